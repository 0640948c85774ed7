"""What to try next: one hypothesis and the one experiment that could prove it wrong.

Order: isolated scenarios before mixed ones, workload before configuration before code. An
experiment changes exactly one variable.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wktriage.core.categories import NOT_ABOUT_TRAFFIC
from wktriage.core.durations import parse_rate
from wktriage.core.errors import UsageError
from wktriage.core.model import SignalSet, Tri
from wktriage.judging import signals, typed_predicates
from wktriage.judging.settings import Setting
from wktriage.judging.wording import render
from wktriage.request import knobs, scenarios
from wktriage.request.request import NODE_ENV
from wktriage.request.workload import INTEGERS, KEYS

UNEXPLAINED = "unexplained"
SHIPPED = "shipped_setting"
"""The hypothesis that blames a setting which differs from the shipped configuration."""
OWN = "own_workload"
"""The one that blames a workload which differs from the scenario's own."""

SYMPTOMS = (
    "send_error_ratio <= 0.001",
    "recv_error_ratio <= 0.001",
    "achieved_rate_ratio >= 0.95",
    "send_server_latency_p99 <= 1",
    "worst_achieved_rate_ratio >= 0.8",
)
"""What any experiment may expect to be gone, worst first, where its hypothesis names no number or
one that the run satisfies already."""

RECUR = "nothing: does it recur?"
BASELINES = frozenset({"smoke-default", "accumulated-data"})
"""Mixed, but never taken apart: when the baseline fails, no other scenario runs before it."""

_PLAIN = re.compile(r"[A-Za-z0-9./]{1,32}\Z")
CLEAN_DATA_ROOT = ".data-clean"
CHECKOUT = "PATH"
"""Stands for the WuKongIM checkout: whoever shows a command says so."""


@dataclass(frozen=True)
class Run:
    """What was run: scenario name, effective workload, mode and window length in seconds.

    ``connect_rate`` is in users a second, None: the simulator's own.
    """

    scenario: str
    workload: Mapping[str, Any]
    mode: str
    duration: int
    purpose: str = "target"
    node_env: Mapping[str, str] = field(default_factory=dict)
    connect_rate: int | None = None
    refused: tuple[str, ...] = ()
    """Node settings because of which a node refused to start."""
    profiled: str = "after"
    """When profiles were taken (onset, after, none): they change the load, so they are an input."""
    bundle: str = ""
    """The run's bundle, which an experiment takes as its control."""
    from_checkout: bool = True
    """Whether the stack was made from a checkout; else from two binaries."""

    @property
    def mixed(self) -> bool:
        """Whether person and group channels ran side by side."""
        return (
            _count(self.workload, "person_channels") > 0 < _count(self.workload, "group_channels")
        )


def propose(
    category: str,
    hypothesis_ids: Sequence[str],
    run: Run,
    values: Mapping[str, Any],
    suspect: Setting | None = None,
    seen: SignalSet | None = None,
    *,
    by_load: bool = True,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``hypothesis`` and ``next_experiment`` of a verdict.

    ``values`` are what texts may use: ``nodes`` (text, may be empty), ``component`` and ``s``.
    ``suspect`` is a setting that is not the shipped one and may be to blame: it is taken away
    before anything else is tried. ``seen`` are the run's signals, which no expectation may satisfy.
    ``by_load`` is whether load or contention is the cause: else isolating traffic proves nothing.
    """
    name = choose(hypothesis_ids, run, suspect, nodes_named=bool(values["nodes"]))
    hypothesis, experiment = hypothetical(name, run, values, suspect, seen)
    if by_load and must_isolate(category, run) and name not in (SHIPPED, OWN):
        experiment = _isolate(run)
        experiment |= {"by": "harness", "knob": None, **dict.fromkeys(_PREDICATES)}
    return hypothesis, experiment


def hypothetical(
    name: str,
    run: Run,
    values: Mapping[str, Any],
    suspect: Setting | None = None,
    seen: SignalSet | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a hypothesis of the catalogue and its own experiment, as :func:`propose` does."""
    entry = knobs.hypotheses()[name]
    setting = suspect.name if suspect is not None and name in (SHIPPED, OWN) else ""
    values = {
        **values,
        "setting": setting or (run.refused[0] if run.refused else ""),
        "value": suspect.value if suspect is not None else "",
        "shipped": (suspect.shipped if suspect is not None else None) or "not known",
    }
    experiment = _experiment(entry, run, values)
    experiment |= _terms(entry, experiment, run, values, seen)
    hypothesis = {
        "id": name,
        "statement": render(entry.statement, values),
        "expected_observation": render(entry.expected_observation, values),
        "falsification_test": render(entry.falsification_test, values),
        "variable": experiment["variable"],
    }
    return hypothesis, experiment


def must_isolate(category: str, run: Run) -> bool:
    """Tell whether the isolated scenarios come before any other experiment."""
    return run.mixed and category not in NOT_ABOUT_TRAFFIC and run.scenario not in BASELINES


_PREDICATES = ("expect", "falsified_if", "check", "experiment")


def _terms(
    entry: knobs.Hypothesis,
    experiment: Mapping[str, Any],
    run: Run,
    values: Mapping[str, Any],
    seen: SignalSet | None,
) -> dict[str, Any]:
    """Return who does the experiment, with what it expects and how a person's part is checked.

    What the harness can turn and compare by itself has a knob, an expectation and a command of its
    own for the whole experiment.
    """
    plan = entry.experiment
    terms: dict[str, Any] = {"by": "harness", "knob": None, **dict.fromkeys(_PREDICATES)}
    if isinstance(plan, knobs.NoChange):
        return {**terms, "by": "nobody"}
    if isinstance(plan, knobs.StateChange):
        if plan.person is None:
            return terms
        return {
            **terms,
            "by": "person",
            "check": plan.check,
            "expected_result": f"{render(plan.person, values)} {experiment['expected_result']}",
        }
    if isinstance(plan, knobs.Recur):
        return terms
    expect = unmet(entry.expect, seen)
    if expect is None:
        return terms
    knob = str(experiment["variable"])
    changed = plan.knob if isinstance(plan, knobs.WorkloadChange | knobs.ConfigChange) else knob
    terms |= {"knob": changed, "expect": expect, "falsified_if": f"not ({expect})"}
    if run.bundle:
        words = ["wktriage", "experiment", "-e", f"control={run.bundle}", "-e", "proposal=1"]
        terms["experiment"] = f"{shlex.join(words)} {stack_words(run)}"
    return terms


def stack_words(run: Run) -> str:
    """Return the words of a command that only a person knows: where the stack's code is."""
    if run.from_checkout:
        return f"-e wukongim_checkout={CHECKOUT}"
    return f"-e wukongim_binary={CHECKOUT} -e wkbench_binary={CHECKOUT} -i INVENTORY"


def unmet(expect: str | None, seen: SignalSet | None) -> str | None:
    """Return the first expectation with a number that the run does not satisfy; None without one.

    ``expect`` is the hypothesis's own; what the run cannot tell counts as no expectation.
    """
    if seen is None:
        return expect
    for text in (expect, *SYMPTOMS):
        if text is None:
            continue
        predicate = typed_predicates.parse(text, "expected observation", signals.catalogue())
        if predicate.evaluate(seen).tri is Tri.NO:
            return text
    return None


def choose(ids: Sequence[str], run: Run, suspect: Setting | None, *, nodes_named: bool) -> str:
    """Return the first hypothesis that can be told of this run; a suspected setting's before it."""
    known = knobs.hypotheses()
    for name in (*ids, UNEXPLAINED):
        entry = known[name]
        if entry.needs_nodes and not nodes_named:
            continue
        if entry.needs_refused_setting and not run.refused:
            continue
        if suspect is not None and not entry.needs_refused_setting:
            return of_setting(suspect)
        return name
    raise UsageError(f"hypotheses.yml: {UNEXPLAINED} must not need nodes")


def of_setting(suspect: Setting) -> str:
    """Return the hypothesis that blames a setting."""
    return SHIPPED if suspect.kind == "config" else OWN


def _experiment(entry: knobs.Hypothesis, run: Run, values: Mapping[str, Any]) -> dict[str, Any]:
    plan = entry.experiment
    common = {
        "expected_result": render(entry.expected_result, values),
        "stop_condition": render(entry.stop_condition, values),
    }
    if isinstance(plan, knobs.NoChange):
        return {
            "kind": "none",
            "variable": plan.variable,
            "from": plan.from_,
            "to": plan.to,
            "command": None,
            **common,
        }
    if isinstance(plan, knobs.Recur):
        return {
            "kind": "recur",
            "variable": RECUR,
            "from": "as it was",
            "to": "as it was",
            "command": _command(run),
            **common,
        }
    if isinstance(plan, knobs.Unset):
        setting = str(values["setting"])
        return {
            "kind": "config",
            "variable": setting,
            "from": run.node_env.get(setting, "set"),
            "to": "not set",
            "command": _command(run, unset=setting),
            **common,
        }
    if isinstance(plan, knobs.OwnWorkload):
        key = str(values["setting"])
        own = int(values["shipped"]) if key in INTEGERS else values["shipped"]
        return {
            "kind": "workload",
            "variable": key,
            "from": run.workload.get(key),
            "to": own,
            "command": _command(run, change={key: own}),
            **common,
        }
    if isinstance(plan, knobs.StateChange):
        return {
            "kind": "state",
            "variable": render(plan.variable, values),
            "from": render(plan.from_, values),
            "to": render(plan.to, values),
            "command": _command(
                run, scenario=plan.scenario, mode=plan.mode, duration=plan.duration
            ),
            **common,
        }
    knob = knobs.load()[plan.knob]
    if isinstance(plan, knobs.ConfigChange):
        return {
            "kind": "config",
            "variable": knob.env,
            "from": run.node_env.get(knob.env, knob.default),
            "to": plan.to,
            "command": _command(run, node_env={knob.env: str(plan.to)}),
            **common,
        }
    before = run.workload.get(knob.name, knob.default)
    after = _changed(before, plan, knob)
    return {
        "kind": "workload",
        "variable": knob.name,
        "from": before,
        "to": after,
        "command": _command(run, change={knob.name: after}),
        **common,
    }


def _changed(before: Any, plan: knobs.WorkloadChange, knob: knobs.Knob) -> Any:
    """Return the new value of a workload knob, inside the knob's range."""
    if plan.factor is None:
        return plan.to
    start = next((n for n in map(_amount, (before, knob.default)) if n is not None), 0.0)
    value = start * plan.factor
    value = max(value, value if plan.least is None else plan.least)
    value = min(max(value, knob.minimum or 0.0), knob.maximum or value)
    return f"{value:g}/s" if knob.type == "rate" else round(value)


def _isolate(run: Run) -> dict[str, Any]:
    """Return the first isolated run of a mix; its other half is named as the step after it."""
    known = run.scenario in scenarios.names()
    isolates = scenarios.load(run.scenario).isolates if known else ()
    person, group = _count(run.workload, "person_channels"), _count(run.workload, "group_channels")
    if isolates:
        to = " first, then ".join(isolates)
        command = _command(run, scenario=isolates[0])
    else:
        to = f"{person} person channels only first, then {group} group channels only"
        command = _command(run, change={"group_channels": 0})
    return {
        "kind": "isolate",
        "variable": "traffic mix",
        "from": f"{person} person and {group} group channels together",
        "to": to,
        "expected_result": (
            "One isolated scenario fails as the mix did and shows the path. If both pass, the two "
            "kinds of traffic disturb each other."
        ),
        "stop_condition": "Stop at the first isolated scenario that fails. Classify that run.",
        "command": command,
    }


def _command(
    run: Run,
    *,
    scenario: str | None = None,
    mode: str | None = None,
    duration: int | None = None,
    change: Mapping[str, Any] | None = None,
    node_env: Mapping[str, str] | None = None,
    unset: str | None = None,
) -> str:
    """Return the exact command of a run that differs in what is given."""
    name = scenario or run.scenario
    words = ["wktriage", "triage", "-e"]
    extra: list[str] = []
    if change or (scenario is None and name not in scenarios.names()) or name == scenarios.CUSTOM:
        # A preset's workload is fixed: any other one is a custom scenario with all values said.
        name = scenarios.CUSTOM
        workload = {**dict(run.workload), **(change or {})}
        # Values may come from evidence, and Ansible templates extra vars: plain ones only.
        extra = [
            f"{key}={workload[key]}" for key in KEYS if _PLAIN.match(str(workload.get(key, "")))
        ]
    words.append(f"scenario={name}")
    for item in extra:
        words += ["-e", item]
    words += ["-e", f"mode={mode or run.mode}", "-e", f"duration={duration or run.duration}"]
    if mode == "clean" != run.mode:
        # A clean run empties its data root, and the data that is there is the evidence.
        words += ["-e", f"data_root={CLEAN_DATA_ROOT}"]
    if run.connect_rate is not None:
        words += ["-e", f"connect_rate={run.connect_rate}"]
    if run.profiled == "none":
        words += ["-e", "profile_seconds=0"]
    elif run.profiled == "onset":
        words += ["-e", "profile=onset"]
    kept = {
        k: v
        for k, v in run.node_env.items()
        if k != unset and NODE_ENV.match(k) and _PLAIN.match(v)
    }
    if environment := {**kept, **(node_env or {})}:
        words += ["-e", json.dumps({"node_env": environment}, sort_keys=True)]
    return f"{shlex.join(words)} {stack_words(run)}"


def _amount(value: Any) -> float | None:
    """Return the number that a knob's value is: a count, or the number a second of a rate."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else parse_rate(value)


def _count(workload: Mapping[str, Any], key: str) -> int:
    value = workload.get(key, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
