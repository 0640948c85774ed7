"""From a bundle to its verdict: signals, rules in category order, confidence, what to do next.

Nothing but the bundle is read: no clock, no network, no name of a directory. The same bundle gives
the same bytes anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.bundle import fingerprint
from wktriage.bundle.bundle import Bundle
from wktriage.core.categories import CAUSES, COMPONENTS, HEALTHY
from wktriage.core.model import Citation, SignalSet, Tri
from wktriage.judging import (
    confidence,
    eligibility,
    next_experiment,
    resources,
    settings,
    signals,
)
from wktriage.judging.alternatives import alternatives
from wktriage.judging.conditions import criteria
from wktriage.judging.decision import Decision, decide
from wktriage.judging.evidence_summary import evidence_lines
from wktriage.judging.hard_stops import hard_stops
from wktriage.judging.reasons import reasons, refused_settings
from wktriage.judging.traces import rule_trace, signal_table
from wktriage.judging.unknown import unknowns
from wktriage.judging.wording import Names, Shown, clean
from wktriage.request import scenarios

SCHEMA_VERSION = 1
_CITATION = frozenset(Citation("", "").as_dict())
MISMATCHES = 20
"""Statements on what does not agree with the manifest that a verdict holds."""

SHORTEST = 20
"""Shortest window (s) worth proposing: two publications of the simulator's counters."""


@dataclass(frozen=True)
class Reading:
    """What the rules make of a bundle: what a verdict says, and what is proposed, rest on it."""

    signals: SignalSet
    scenario: scenarios.Scenario
    decision: Decision
    run: next_experiment.Run
    component: str
    nodes: tuple[str, ...]
    sure: float
    differing: Sequence[settings.Setting]

    @property
    def values(self) -> dict[str, Any]:
        """What texts of hypotheses may use."""
        return {
            "s": Shown(self.signals),
            "nodes": Names(self.nodes),
            "component": self.component,
        }

    @property
    def suspects(self) -> list[settings.Setting]:
        """The settings that are not as shipped, or not the scenario's own, and have a path."""
        decision = self.decision
        return settings.suspects(
            self.differing, self.component, decision.reach, by_load=decision.by_load
        )


def read(bundle: Bundle) -> Reading:
    """Return what the rules make of a bundle."""
    signal_set = signals.compute(bundle)
    scenario = _scenario(bundle.scenario)
    decision = decide(signal_set, scenario.success, baseline=_baseline_stages(bundle))
    run = _run(bundle, signal_set, scenario)
    component, nodes = _where(bundle, decision)
    return Reading(
        signal_set, scenario, decision, run, component, nodes,
        _confidence(bundle, decision, signal_set),
        settings.differing(run.scenario, run.workload, run.node_env),
    )  # fmt: skip


def judge(bundle: Bundle) -> dict[str, Any]:
    """Return the verdict of a bundle, as verdict.json has it."""
    reading = read(bundle)
    signal_set, decision, run = reading.signals, reading.decision, reading.run
    category, component, nodes = decision.category, reading.component, reading.nodes
    sure, differing = reading.sure, reading.differing
    suspect = next(iter(reading.suspects), None)
    hypothesis, experiment = next_experiment.propose(
        category,
        [h for o in decision.fired(category)[:1] for h in o.rule.hypotheses],
        run,
        reading.values,
        suspect,
        signal_set,
        by_load=decision.by_load,
    )
    since, not_before = _since(decision, signal_set, nodes)
    verdict = {
        "schema_version": SCHEMA_VERSION,
        "bundle": bundle.bundle_id,
        "manifest_sha256": bundle.manifest_sha256,
        "mismatches": _first_of(bundle.mismatches),
        "driver": bundle.driver,
        "replay_of": bundle.replay_of,
        "category": category,
        "component": component,
        "confidence": sure,
        "nodes": list(nodes),
        "since": since,
        "since_not_before": not_before,
        "reasons": reasons(bundle, decision, signal_set),
        "alternatives": alternatives(decision, signal_set, sure),
        "also_holds": decision.also_holding(),
        "unknown": unknowns(decision, signal_set),
        "hard_stops": hard_stops(decision, signal_set, run, isolate=suspect is None),
        "hypothesis": hypothesis,
        "next_experiment": experiment,
        "fix_eligibility": eligibility.assess(category, component, sure, nodes),
        "symptom": decision.symptom.as_dict(),
        "ledger": decision.ledger.as_dict(),
        "resources": resources.table(decision, signal_set),
        "causes": resources.candidates(decision, suspect),
        "scenario": {
            "name": run.scenario,
            "workload": dict(run.workload),
            "mode": run.mode,
            "duration_s": signal_set.value("window_seconds"),
            "success_criteria": criteria(reading.scenario.success),
        },
        "settings": [setting.as_dict() for setting in differing],
        "evidence": evidence_lines(bundle, signal_set),
        "inferred": [*bundle.inferred, *bundle.problems, *bundle.budget.statements()],
        "signals": signal_table(signal_set),
        "rules": [rule_trace(o) for o in decision.outcomes],
    }
    plain: dict[str, Any] = _plain(verdict)
    return plain


def verdict_of(path: Path) -> dict[str, Any]:
    """Return the verdict of the bundle at ``path`` from its evidence. Raises UsageError."""
    return judge(Bundle.open(path))


# -- parts of a verdict ---------------------------------------------------------------------------


def _scenario(name: str) -> scenarios.Scenario:
    # A workload of someone else's: what is asked of any run is asked of it too.
    return scenarios.load(name if name in scenarios.names() else scenarios.CUSTOM)


def _run(
    bundle: Bundle, signal_set: SignalSet, scenario: scenarios.Scenario
) -> next_experiment.Run:
    manifest = bundle.manifest or {}
    accumulated = signal_set.value("mode_accumulated")
    seconds = signal_set.value("window_seconds")
    duration = round(seconds) if isinstance(seconds, (int, float)) else scenario.duration
    inputs = (bundle.read_json("fingerprint.json") or {}).get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    env, rate = inputs.get("node_env"), inputs.get("connect_rate")
    return next_experiment.Run(
        scenario=clean(bundle.scenario, 80),
        workload={
            clean(k, 40): v if isinstance(v, (int, float, bool)) or v is None else clean(v, 80)
            for k, v in sorted(bundle.workload.items())
        },
        mode="accumulated" if accumulated is True else "clean",
        duration=max(duration, SHORTEST),
        purpose=clean(manifest.get("purpose", "target"), 40),
        node_env={str(k): str(v) for k, v in env.items()} if isinstance(env, dict) else {},
        refused=refused_settings(signal_set),
        bundle=clean(bundle.bundle_id, 80),
        connect_rate=rate if type(rate) is int and rate > 0 else None,
        profiled=fingerprint.profiled(inputs.get("profiled")) or "after",
        # Binaries have no revision.
        from_checkout=inputs.get("git_revision") != "not_applicable",
    )


def _where(bundle: Bundle, decision: Decision) -> tuple[str, tuple[str, ...]]:
    """Return component and nodes of the winning category."""
    fired = decision.fired(decision.category)
    if not fired:
        return "none", ()
    component = fired[0].rule.component
    # Of a gate that names none, another of the same category may.
    nodes = next((o.nodes for o in fired if o.nodes or o.candidate is not None), ())
    if decision.category == "history_sensitive":
        inner = decision.upstream()
        if inner is not None:
            return inner.cause.file.component, inner.nodes or nodes
    if fired[0].rule.id == "baseline_health.gate":
        reference = bundle.read_json("references/baseline.json") or {}
        if reference.get("component") in COMPONENTS:
            component = str(reference["component"])
        named = reference.get("nodes")
        if isinstance(named, list):
            nodes = tuple(clean(n, 80) for n in named[:50])
    return component, nodes


def _baseline_stages(bundle: Bundle) -> Mapping[str, Any]:
    stages = (bundle.read_json("references/baseline.json") or {}).get("stages")
    return stages if isinstance(stages, dict) else {}


def _confidence(bundle: Bundle, decision: Decision, signal_set: SignalSet) -> float:
    return confidence.of_verdict(decision, _damage(bundle, signal_set))


def _first_of(mismatches: Sequence[str]) -> list[str]:
    """Return the first few of what does not agree with the manifest, and how many more."""
    more = len(mismatches) - MISMATCHES
    return [*mismatches[:MISMATCHES], *([f"and {more} more"] if more > 0 else [])]


def _damage(bundle: Bundle, signal_set: SignalSet) -> float:
    """Return the share of sources that are there but could not be used as they should."""
    invalid, samples = (
        signal_set.value("status_unreadable_rows"),
        signal_set.value("status_samples"),
    )
    share = 0.0
    if isinstance(invalid, (int, float)) and isinstance(samples, (int, float)):
        share = invalid / (invalid + samples) if invalid else 0.0
    scrapes = [f for f in bundle.files if f.startswith("metrics/node") and f.endswith(".prom")]
    expected = [
        f"metrics/{bundle.metrics_key(n)}{w}.prom" for n in bundle.nodes for w in ("", "-before")
    ]
    lost = [f for f in expected if f not in scrapes and not bundle.exists(f + ".err")]
    gone = len(lost) / len(expected) if expected else 0.0
    problems = min(0.2 * (len(bundle.problems) + len(bundle.mismatches)), 0.6)
    return min(1.0, share + gone + problems)


def _since(
    decision: Decision, signal_set: SignalSet, nodes: Sequence[str]
) -> tuple[str | None, str | None]:
    """Return since when and not before when: the earliest that symptom and cause know of."""
    if decision.category == HEALTHY:
        return None, None
    moments = [
        (leaf.since, leaf.since_not_before)
        for outcome in decision.fired(decision.category)
        for leaf in outcome.evaluation.leaves
        if leaf.result is Tri.YES
        and leaf.since
        and not leaf.signal.startswith("worst_")  # the worst moment, not the first
        and (leaf.node is None or leaf.node in nodes)
    ]
    felt = [signal_set.get(n) for n in decision.symptom.signs if not n.startswith("worst_")]
    if decision.category in CAUSES:
        moments += [(s.since, s.since_not_before) for s in felt if s is not None and s.since]
    if not moments:
        trouble = signal_set.get("onset_seen")
        if trouble is None or trouble.value is not True:
            return None, None
        return trouble.since, trouble.since_not_before
    # ISO times in UTC with equal precision sort as text.
    return min(moments, key=lambda m: (m[0], m[1] or ""))


def _plain(value: Any) -> Any:
    """Return a copy that JSON can hold on any machine: finite, rounded, printable."""
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if set(value) == _CITATION:
            # Verbatim: it is checked again against the file.
            return value
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return clean(value)
