"""The grounds of a new experiment: its control, what each side will have, and all refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.bundle import fingerprint
from wktriage.bundle.bundle import Bundle
from wktriage.core import paths
from wktriage.core.errors import UsageError
from wktriage.core.git import git_state
from wktriage.experiments import refusals, variables
from wktriage.experiments.case import CaseFile
from wktriage.experiments.compare import fingerprint_of, measured_mode
from wktriage.experiments.design import Side
from wktriage.experiments.effects import Outcome
from wktriage.experiments.refusals import Control, Explanation, Refusal
from wktriage.experiments.registration import Snapshot, Variable
from wktriage.judging import signals, verdict_files
from wktriage.judging.verdict import judge
from wktriage.request import code as codes
from wktriage.request import knobs, scenarios
from wktriage.request.request import Request, StackHost
from wktriage.run import planning
from wktriage.stack import builds, drivers

PURPOSE = "experiment"


class RefusedError(UsageError):
    """An experiment that is not accepted; nothing was started."""


@dataclass(frozen=True)
class Bench:
    """Where runs happen: the inventory's driver and hosts, and the directory of defaults."""

    driver: str
    benchmark_host: bool
    root: Path
    hosts: tuple[StackHost, ...] = ()

    def check(self, values: Mapping[str, Any]) -> Request:
        """Return the checked request of a run. Raises UsageError."""
        return drivers.check_request(
            values,
            driver=self.driver,
            benchmark_host=self.benchmark_host,
            root=self.root,
            hosts=self.hosts,
        )

    def predict(self, request: Request, control: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fingerprint inputs that a run of ``request`` will have on this bench.

        What only the stack can tell when it is built stays as it was in the control.
        """
        document = planning.run_document(request, purpose=PURPOSE, boot_id=None)
        hosts = [host.name for host in self.hosts] or control.get("hosts") or ["localhost"]
        topology = {"driver": request.driver, "nodes": [{"host": host} for host in hosts]}
        predicted = fingerprint.inputs_of(document, topology)
        for name in ("image", "git_revision", "git_diff_sha256", "node_config_sha256"):
            predicted[name] = control.get(name)
        if request.code is not None:
            predicted |= request.code.inputs()
        elif request.checkout is not None:
            state = git_state(Path(request.checkout))
            predicted["git_revision"] = state.revision
            predicted["git_diff_sha256"] = state.diff_sha256
        return predicted


def control_of(name: str, runs_dir: Path) -> Control:
    """Return the evidence of a control, named by its directory or by its id in ``runs_dir``.

    Its verdict is judged again from the evidence; None when it was never classified.
    """
    directory = Path(name).expanduser()
    if not directory.is_dir():
        directory = runs_dir / name
    if not directory.is_dir():
        raise UsageError(f"control {name!r}: no such directory, and no bundle in {runs_dir}")
    bundle = Bundle.open(directory)
    classified = (directory / "verdict.json").is_file()
    return Control(bundle, judge(bundle) if classified else None, signals.compute(bundle))


def verdict_of(control: Control) -> Mapping[str, Any]:
    """Return the verdict on a control. Raises RefusedError when it was never classified."""
    if control.verdict is not None:
        return control.verdict
    root = control.bundle.root
    # A bundle that is not kept with our own is only written into where that is asked for.
    out = "" if verdict_files.is_ours(root, paths.runs_dir()) else f" --out {root}"
    raise RefusedError(
        f"refused: The control has no verdict. Classify it first: wktriage classify {root}{out}"
    )


def side_inputs(control: Bundle, variable: Variable, side: Side) -> dict[str, Any]:
    """Return the fingerprint inputs of a side: the control's, or those with the variable turned."""
    inputs = dict(fingerprint_of(control)["inputs"])
    return inputs if side is Side.CONTROL else variables.applied(inputs, variable)


def run_values(
    bench: Bench, stack: Mapping[str, Any], inputs: Mapping[str, Any], duration: int, turn: int
) -> dict[str, Any]:
    """Return the extra vars of one run with these inputs; ``turn`` counts such runs from 0."""
    values = {**stack, **variables.asked_of(inputs), "duration": duration, "fail_on": "never"}
    profiled = fingerprint.profiled(inputs.get("profiled"))
    if profiled == "none":
        values["profile_seconds"] = 0
    elif profiled == "onset":
        values["profile"] = profiled
    if codes.CODE in values:
        return values
    return {**values, **drivers.named(bench.driver).recall(inputs, turn)}


def window_of(control: Bundle) -> int:
    """Return the seconds of the control's window. Raises UsageError without one."""
    document = control.read_json("window.json") or {}
    asked = document.get("asked_seconds")
    if isinstance(asked, int | float) and asked >= 1:
        return round(asked)
    if control.window is None:
        raise UsageError(f"{control.bundle_id} has no measured window: record it again")
    return round(control.window[1] - control.window[0])


def refuse(
    control: Control,
    terms: Mapping[str, Any],
    bench: Bench,
    values: Mapping[str, Any] | None,
    case: CaseFile | None,
    runs_dir: Path,
    *,
    attribution_only: bool,
    code_only: bool = False,
) -> list[Refusal]:
    """Return every reason against an experiment, before anything of it exists.

    ``terms`` are those of :func:`wktriage.experiments.hypothesis.terms`, ``values`` the extra vars
    of a treatment run, None where the stack can have no such run. With ``code_only`` the question
    is which of two versions of the code it is, not what causes a failure: then nothing has to be
    tried before code.
    """
    variable: Variable = terms["variable"]
    settled = code_only and variable.kind == "code"
    inputs = fingerprint_of(control.bundle)["inputs"]
    request = refusals.Request(
        knob=variable.knob,
        kind=variable.kind,
        fingerprint_input=variable.fingerprint_input,
        before=variable.before,
        after=variable.after,
        cause=terms["cause"],
        expected=terms["expected"],
        treatment_inputs=_treatment(bench, values, inputs, variable, runs_dir),
        shipped=variables.shipped(variable),
        attribution_only=attribution_only,
        stop_if=terms.get("stop_if"),
        explanations=() if settled else explanations(control.verdict, case),
        isolates=() if settled else _isolates(control.bundle),
        isolated=_isolated(runs_dir, inputs),
    )
    known = refusals.refusals(control, request)
    accumulated = measured_mode(fingerprint_of(control.bundle)) == "accumulated"
    if accumulated and not drivers.named(bench.driver).keeps_snapshots:
        known.append(
            Refusal(
                "snapshot",
                "The control ran on accumulated data, each run would add to what the next one "
                "finds, and this stack can keep no snapshot of it.",
                "Use a stack that can, or a clean control.",
            )
        )
    return known


def snapshot_of(control: Bundle, bench: Bench, values: Mapping[str, Any]) -> Snapshot | None:
    """Keep the data that all runs begin with, where the control ran on accumulated data.

    ``values`` are the extra vars of a run; ``data_snapshot`` among them names one to take, or one
    that is there already. Raises UsageError when it cannot be kept.
    """
    if measured_mode(fingerprint_of(control)) != "accumulated":
        return None
    request = bench.check({**values, "data_snapshot": None})
    name = str(values.get("data_snapshot") or f"after-{control.bundle_id[:16].lower()}")
    kept = drivers.named(bench.driver).snapshot(request, name)
    return Snapshot(str(kept["name"]), str(kept["sha256"]), int(kept["bytes"]))


def _treatment(
    bench: Bench,
    values: Mapping[str, Any] | None,
    inputs: Mapping[str, Any],
    variable: Variable,
    runs_dir: Path,
) -> dict[str, Any]:
    """Return the inputs of a treatment run; where it cannot be asked yet, those it should have."""
    if values is None:
        return variables.applied(inputs, variable)
    code = codes.of(values, runs_dir) if variable.kind == "code" else None
    if code is not None and not builds.there(code, drivers.named(bench.driver)):
        return variables.applied(inputs, variable)
    return bench.predict(bench.check(values), inputs)


def explanations(verdict: Mapping[str, Any] | None, case: CaseFile | None) -> list[Explanation]:
    """Return the causes whose experiments are still open: proposed or tried, and not decided."""
    decided: dict[str, Outcome] = {}
    proposed: dict[str, Any] = {}
    for experiment in case.experiments if case is not None else ():
        if experiment.outcomes and experiment.cause:
            decided[experiment.cause] = experiment.outcomes[-1].outcome
    hypothesis = (verdict or {}).get("hypothesis") or {}
    proposal = (verdict or {}).get("next_experiment") or {}
    if hypothesis.get("id") and proposal.get("knob") in knobs.load():
        proposed[str(hypothesis["id"])] = knobs.load()[str(proposal["knob"])]
    return [
        Explanation(cause, knob.kind, knob.name)
        for cause, knob in proposed.items()
        if decided.get(cause, Outcome.INCONCLUSIVE) is Outcome.INCONCLUSIVE
    ]


def _isolates(bundle: Bundle) -> Sequence[str]:
    known = bundle.scenario in scenarios.names()
    return scenarios.load(bundle.scenario).isolates if known else ()


def _isolated(runs_dir: Path, inputs: Mapping[str, Any]) -> list[str]:
    """Return the scenarios that ran on the control's code and configuration."""
    ran = set()
    for path in sorted(runs_dir.glob("[!.]*/fingerprint.json")):
        try:
            theirs = json.loads(path.read_bytes())["inputs"]
            same = all(
                theirs.get(name) == inputs.get(name)
                for name in ("image", "git_revision", "git_diff_sha256", "node_env", "driver")
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if same:
            ran.add(str(theirs.get("scenario")))
    return sorted(ran)
