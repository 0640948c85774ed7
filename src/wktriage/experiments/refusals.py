"""What makes an experiment prove nothing, or break a rule of the house: refused before it runs.

One function a refusal; each returns the reason with its remedy, or None. All of them look at the
control's bundle and verdict and at the request; :func:`refusals` asks them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wktriage.bundle import fingerprint
from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.core.model import SignalSet, Tri
from wktriage.experiments import expectations
from wktriage.experiments.compare import at, fingerprint_of, measured_mode
from wktriage.experiments.registration import Kind, Setting
from wktriage.judging import signals
from wktriage.judging.predicates import Catalogue

BASELINES = frozenset({"smoke-default", "accumulated-data"})
"""Mixed by design; the baseline is what every other scenario stands on."""

UNCLASSIFIED = frozenset({"insufficient_evidence"})
LOAD_CATEGORIES = frozenset(
    {"client_bottleneck", "local_capacity", "distributed_lag", "server_hot_path", "cold_start",
     "delivery_path", "send_path"}
)  # fmt: skip
"""Categories whose cause may be the load or its mix, unless their component says otherwise."""
NOT_LOAD = frozenset({"node_process", "transport", "host", "stack", "connections"})
"""Components that traffic does not isolate: a process, a link, a machine."""

DURABILITY = {
    "WK_CLUSTER_COMMIT_COORDINATOR_SYNC": "commits are no longer synced to disk",
    "WK_CLUSTER_REPLICATION_MODE": "what a quorum is changes",
    "WK_CLUSTER_CHANNEL_BOOTSTRAP_DEFAULT_MIN_ISR": "fewer replicas must hold a message",
    "WK_CLUSTER_CHANNEL_REPLICA_N": "fewer replicas hold a message",
    "WK_CLUSTER_SLOT_REPLICA_N": "fewer replicas hold the metadata",
    "WK_CLUSTER_GROUP_REPLICA_N": "fewer replicas hold the metadata",
    "WK_CLUSTER_CONTROLLER_REPLICA_N": "fewer replicas hold the cluster's state",
}
"""Node settings whose change would win by giving up what the product promises."""
CODE = frozenset({"image", "git_revision", "git_diff_sha256"})
_MEMORY = re.compile(r"(tmpfs|ramfs|memory|in[-_ ]?memory|/dev/shm)", re.IGNORECASE)


@dataclass(frozen=True)
class Refusal:
    """Why an experiment is not accepted, and what to do instead. ``id`` names the refusal."""

    id: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}"


@dataclass(frozen=True)
class Control:
    """The control's evidence: its bundle, the verdict on it (None: none yet), its signals."""

    bundle: Bundle
    verdict: Mapping[str, Any] | None
    signals: SignalSet


@dataclass(frozen=True)
class Explanation:
    """A cause that could explain the control's symptom, whose experiment is still open.

    ``kind`` and ``knob`` are of the variable that its experiment turns.
    """

    cause: str
    kind: Kind
    knob: str


@dataclass(frozen=True)
class Request:
    """What is asked for.

    ``fingerprint_input`` is the input that the knob is, such as ``workload.concurrency`` or
    ``node_env.WK_…``; for code it is ``code`` (image and revision are one variable there).
    ``treatment_inputs`` are the fingerprint inputs that the treatment will have. ``shipped`` is the
    value of the shipped configuration, None when the knob is none of the nodes'. ``explanations``
    are the causes that the case still knows, the registered one among them by ``cause``.
    ``isolates`` are the scenarios into which the control's can be taken apart, ``isolated`` those
    of them that have been run.
    """

    knob: str
    kind: Kind
    fingerprint_input: str
    before: Setting
    after: Setting
    cause: str
    expected: str
    treatment_inputs: Mapping[str, Any]
    shipped: Setting = None
    attribution_only: bool = False
    stop_if: str | None = None
    explanations: Sequence[Explanation] = ()
    isolates: Sequence[str] = ()
    isolated: Sequence[str] = ()
    observed: Mapping[str, Any] = field(default_factory=dict)
    """What preflight found for the treatment, where it is known: ``data_bytes_at_start``."""

    @property
    def takes_away(self) -> bool:
        """Whether it puts a setting back to what is shipped."""
        plain = (None, self.shipped)
        return self.kind == "config" and self.after in plain and self.before not in plain


def refusals(
    control: Control, request: Request, catalogue: Catalogue | None = None
) -> list[Refusal]:
    """Return every reason why the experiment is refused; [] when it is accepted.

    Raises UsageError when the control has no fingerprint, or the expectation is no predicate.
    """
    known = signals.catalogue() if catalogue is None else catalogue
    refusals = [
        unclassified(control),
        without_baseline(control),
        other_mode(control, request),
        not_one_input(control, request),
        other_profiling(control, request),
        weakens_durability(request),
        workload_first(request),
        isolated_first(control, request),
        already_satisfied(control, request, known),
        stops_at_once(control, request, known),
        tells_nothing_apart(request),
    ]
    return [refusal for refusal in refusals if refusal is not None]


def unclassified(control: Control) -> Refusal | None:
    """Refuse a control whose failure nobody has classified."""
    verdict = control.verdict
    remedy = "Classify it first: wktriage classify BUNDLE."
    if verdict is None:
        return Refusal("unclassified", "The control has no verdict.", remedy)
    if verdict.get("bundle") != control.bundle.bundle_id:
        return Refusal("unclassified", "The verdict is that of another bundle.", remedy)
    if verdict.get("category") in UNCLASSIFIED:
        return Refusal(
            "unclassified",
            "The control could not be classified: its evidence is insufficient.",
            "Repeat the run until it can be classified.",
        )
    return None


def without_baseline(control: Control) -> Refusal | None:
    """Refuse work above the baseline's load without a healthy baseline of the same stack."""
    if control.bundle.scenario in BASELINES:
        return None
    baseline = control.bundle.read_json("references/baseline.json")
    remedy = "Run smoke-default on this stack until it is healthy, then the control again."
    if baseline is None:
        return Refusal("baseline", "The control ran without a baseline of its stack.", remedy)
    if baseline.get("healthy") is not True:
        return Refusal("baseline", "The control's baseline was not healthy.", remedy)
    return None


def other_mode(control: Control, request: Request) -> Refusal | None:
    """Refuse clean against accumulated, as measured."""
    theirs = measured_mode(fingerprint_of(control.bundle))
    ours = measured_mode({"inputs": request.treatment_inputs, "observed": request.observed})
    if theirs is not None and theirs == ours:
        return None
    return Refusal(
        "mode",
        f"As measured, the control ran on {theirs or 'unknown'} data and the treatment would run "
        f"on {ours or 'unknown'} data: numbers of the two are never compared.",
        "Record the control again in the mode that both sides are to have (mode=clean or "
        "mode=accumulated).",
    )


def not_one_input(control: Control, request: Request) -> Refusal | None:
    """Refuse anything but exactly one differing input."""
    inputs = fingerprint_of(control.bundle)["inputs"]
    paths = fingerprint.compare({"inputs": inputs}, {"inputs": request.treatment_inputs})
    unknown = [p for p in paths if _unknown(inputs, request.treatment_inputs, p)]
    if unknown:
        return Refusal(
            "inputs",
            f"Not known on both sides: {', '.join(unknown)}. Unknown is not equal.",
            "Record the control again with this harness.",
        )
    differing = variables(paths, inputs, request.treatment_inputs)
    if not differing:
        return Refusal(
            "inputs",
            "The treatment would differ from the control in nothing: it would be a repeat.",
            "Change one variable, or ask whether the failure recurs: "
            f"wktriage investigate -e bundle={control.bundle.root}.",
        )
    others = [path for path in differing if path != request.fingerprint_input]
    if others:
        return Refusal(
            "inputs",
            f"The treatment would differ in {', '.join(differing)}, not in {request.knob} alone.",
            _as_in_control(inputs, others),
        )
    return None


def _as_in_control(inputs: Mapping[str, Any], others: Sequence[str]) -> str:
    """Return what to do about inputs that are not the variable and differ all the same."""
    revision = str(inputs.get("git_revision"))[:12]
    named = ["the code" if other == "code" else other for other in others]
    text = f"Bring {' and '.join(named)} back to what the control had"
    return f"{text} (git checkout {revision})." if "code" in others else f"{text}."


def variables(paths: Sequence[str], one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the variables that differing inputs stand for.

    Image, revision and changed files are one, ``code``. A preset with one value changed is called
    ``custom``: that name is no second variable.
    """
    # Mode and profiling have refusals of their own, which say what to do.
    left = [path for path in paths if path not in CODE and path not in ("mode", "profiled")]
    renamed = "custom" in (one.get("scenario"), other.get("scenario"))
    if renamed and any(path.startswith("workload.") for path in left):
        left = [path for path in left if path != "scenario"]
    return ["code", *left] if CODE.intersection(paths) else left


def other_profiling(control: Control, request: Request) -> Refusal | None:
    """Refuse profiled against unprofiled, and profiles at other moments."""
    theirs = fingerprint_of(control.bundle)["inputs"].get("profiled")
    ours = request.treatment_inputs.get("profiled")
    if theirs == ours and theirs is not None:
        return None
    return Refusal(
        "profiled",
        f"Profiles change the load, and the sides would have them at other times: the control "
        f"{_profiled(theirs)}, the treatment {_profiled(ours)}.",
        "Leave out profile and profile_seconds: then both have those of the control.",
    )


def _profiled(value: object) -> str:
    words = {
        "onset": "at the onset of trouble",
        "after": "after its window",
        "none": "never",
    }
    return words.get(str(value), "at a time that is not known")


def weakens_durability(request: Request) -> Refusal | None:
    """Refuse to win by giving up durability or quorum, unless it is marked as attribution only."""
    if request.attribution_only:
        return None
    why = DURABILITY.get(request.fingerprint_input.removeprefix("node_env."))
    if why is not None and _strengthens(request):
        why = None
    if why is None and request.kind == "stack" and _MEMORY.search(str(request.after)):
        why = "data would be kept in memory"
    if why is None or request.takes_away:
        return None
    return Refusal(
        "durability",
        f"With {request.knob} = {request.after}, {why}: what that wins is no result of the "
        "product.",
        "Leave it as it is, or add -e attribution_only=true to only find where time goes.",
    )


def workload_first(request: Request) -> Refusal | None:
    """Refuse configuration or code while a workload experiment could explain the symptom.

    Taking away a setting that differs from the shipped configuration comes before both.
    """
    if request.kind not in ("config", "code") or request.takes_away:
        return None
    before = ("workload",) if request.kind == "config" else ("workload", "config")
    open_ones = [e for e in request.explanations if e.kind in before and e.cause != request.cause]
    if not open_ones:
        return None
    first = open_ones[0]
    return Refusal(
        "workload_first",
        f"An experiment on {first.knob}, which the verdict proposes, could still explain it.",
        "Try that first (-e proposal=1): workload before configuration before code.",
    )


def isolated_first(control: Control, request: Request) -> Refusal | None:
    """Refuse a mixed scenario before its isolated ones where load is the cause."""
    verdict = control.verdict or {}
    load = verdict.get("category") in LOAD_CATEGORIES and verdict.get("component") not in NOT_LOAD
    load = load or (verdict.get("next_experiment") or {}).get("kind") == "isolate"
    waiting = [name for name in request.isolates if name not in request.isolated]
    if not load or not waiting or request.takes_away:
        return None
    return Refusal(
        "isolate",
        f"{control.bundle.scenario} mixes traffic, and its load may be the cause.",
        f"Run {' and '.join(waiting)} on the same stack first, each by itself.",
    )


def already_satisfied(control: Control, request: Request, catalogue: Catalogue) -> Refusal | None:
    """Refuse an expectation that the control satisfies already, or that it cannot answer."""
    predicate = expectations.parse(request.expected, "expected observation", catalogue)
    outcome = predicate.evaluate(control.signals)
    if outcome.tri is Tri.YES:
        return Refusal(
            "satisfied",
            f"The control satisfies the expectation already: {request.expected}.",
            "Expect what the failed run did not show.",
        )
    if outcome.tri is Tri.UNKNOWN:
        return Refusal(
            "satisfied",
            f"The control does not tell {', '.join(outcome.undecided) or request.expected}, so "
            "that nothing could be compared with it.",
            "Expect something of a signal that the control has.",
        )
    return None


def stops_at_once(control: Control, request: Request, catalogue: Catalogue) -> Refusal | None:
    """Refuse a stop condition that the control meets: no run of it would ever finish."""
    if request.stop_if is None:
        return None
    predicate = expectations.parse(request.stop_if, "stop condition", catalogue)
    if predicate.evaluate(control.signals).tri is not Tri.YES:
        return None
    return Refusal(
        "stop",
        f"The control meets the stop condition already: {request.stop_if}.",
        "Stop at something worse than what the control shows.",
    )


def tells_nothing_apart(request: Request) -> Refusal | None:
    """Refuse half the rate, and any lower one: less load relieves whatever is the limit."""
    if request.knob == "rate" and _number(request.after) < _number(request.before):
        return Refusal(
            "same_prediction",
            "A lower rate relieves any limit, so that it tells no cause from another.",
            "Turn the variable that the hypothesis blames.",
        )
    return None


def _strengthens(request: Request) -> bool:
    """Tell whether the new value promises at least as much as the old: synced, or more replicas."""
    before = request.shipped if request.before is None else request.before
    if str(request.after).lower() == "true":
        return True
    try:
        return float(str(request.after)) >= float(str(before))
    except ValueError:
        return False


def _number(value: Setting) -> float:
    """Return a rate such as 0.25/s as a number. Raises UsageError for what is none."""
    try:
        return float(str(value).removesuffix("/s"))
    except ValueError:
        raise UsageError(f"rate {value!r} is no rate such as 0.25/s") from None


def _unknown(left: Mapping[str, Any], right: Mapping[str, Any], path: str) -> bool:
    return at(left, path) is None and at(right, path) is None
