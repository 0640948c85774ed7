"""From a bundle to its verdict: signals, rules in category order, confidence, what to do next.

Nothing but the bundle is read: no clock, no network, no name of a directory. The same bundle gives
the same bytes anywhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.core.model import CATEGORIES, COMPONENTS, Citation, SignalSet, Tri, Value
from wktriage.judging import confidence, eligibility, next_experiment, rules, signals
from wktriage.judging.predicates import Leaf, kleene_or
from wktriage.judging.rules import Outcome
from wktriage.judging.signals import history
from wktriage.judging.wording import Shown, clean, join, render, show
from wktriage.request import scenarios

SCHEMA_VERSION = 1
ABSTAIN = "insufficient_evidence"
REASON_CITATIONS = 4
ALTERNATIVES = 3
UNKNOWNS = 12
_CITATION = frozenset(Citation("", "").as_dict())
SHORTEST = 20
"""Shortest window (s) worth proposing: two publications of the simulator's counters."""
INNER = frozenset(CATEGORIES[3:-1])
"""Categories whose component history_sensitive takes over as the inner cause."""


@dataclass(frozen=True)
class Decision:
    """Which category holds, and what the rules of each said."""

    category: str
    outcomes: tuple[Outcome, ...]
    holds: Mapping[str, Tri]

    def of(self, category: str) -> list[Outcome]:
        """Return the outcomes of one category's rules."""
        return [o for o in self.outcomes if o.rule.category == category]

    def fired(self, category: str, role: str = "decides") -> list[Outcome]:
        """Return the rules of that role that fired, heaviest first."""
        found = [o for o in self.of(category) if o.rule.role == role and o.tri is Tri.YES]
        return sorted(found, key=lambda o: (-o.rule.weight, o.rule.id))


def decide(found: SignalSet, success: Mapping[str, Any]) -> Decision:
    """Evaluate every rule; the first category that holds wins, none holding is abstaining."""
    loaded = rules.load(signals.catalogue(), success)
    outcomes = tuple(rules.evaluate(rule, found) for rule in loaded)
    holds = {
        category: kleene_or(
            [o.tri for o in outcomes if o.rule.category == category and o.rule.role == "decides"]
        )
        for category in CATEGORIES
    }
    winner = next((c for c in CATEGORIES if holds[c] is Tri.YES), ABSTAIN)
    return Decision(winner, outcomes, holds)


def judge(bundle: Bundle) -> dict[str, Any]:
    """Return the verdict of a bundle, as verdict.json has it."""
    found = signals.compute(bundle)
    scenario = _scenario(bundle.scenario)
    decision = decide(found, scenario.success)
    category = decision.category
    run = _run(bundle, found, scenario)
    component, nodes = _where(bundle, decision)
    sure = _confidence(bundle, decision, found)
    values = {
        "s": Shown(found),
        "nodes": join(nodes),
        "component": component,
    }
    fired = decision.fired(category)
    hypothesis, experiment = next_experiment.propose(
        category, [h for o in fired for h in o.rule.hypotheses], run, values
    )
    since, not_before = _since(decision, found, nodes)
    verdict = {
        "schema_version": SCHEMA_VERSION,
        "bundle": bundle.bundle_id,
        "driver": bundle.driver,
        "replay_of": bundle.replay_of,
        "category": category,
        "component": component,
        "confidence": sure,
        "nodes": list(nodes),
        "since": since,
        "since_not_before": not_before,
        "reasons": _reasons(bundle, decision, found),
        "alternatives": _alternatives(decision, sure),
        "also_holds": [c for c in CATEGORIES if c != category and decision.holds[c] is Tri.YES],
        "unknown": _unknown(decision, found),
        "hard_stops": _hard_stops(decision, found, run),
        "hypothesis": hypothesis,
        "next_experiment": experiment,
        "fix_eligibility": eligibility.assess(category, component, sure, nodes),
        "scenario": {
            "name": run.scenario,
            "workload": dict(run.workload),
            "mode": run.mode,
            "duration_s": found_value(found, "window_seconds"),
            "success_criteria": criteria(scenario.success),
        },
        "evidence": _evidence(bundle, found),
        "inferred": [*bundle.inferred, *bundle.problems],
        "signals": _signals(found),
        "rules": [_rule(o) for o in decision.outcomes],
    }
    plain: dict[str, Any] = _plain(verdict)
    return plain


def dump_verdict(verdict: Mapping[str, Any]) -> bytes:
    """Return the bytes of verdict.json: sorted keys, two spaces, one final newline."""
    text = json.dumps(verdict, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", errors="backslashreplace")


def verdict_of(path: Path) -> dict[str, Any]:
    """Return the verdict of the bundle at ``path`` from its evidence. Raises UsageError."""
    return judge(Bundle.open(path))


def write(directory: Path, verdict: Mapping[str, Any], *, dry: bool = False) -> bool:
    """Write verdict.json into ``directory``; tell whether it differs from what was there.

    ``dry`` only tells. Raises UsageError when the file cannot be written.
    """
    file = directory / "verdict.json"
    data = dump_verdict(verdict)
    try:
        changed = not file.is_file() or file.read_bytes() != data
        if changed and not dry:
            directory.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    except OSError as exc:
        raise UsageError(f"{file}: cannot be written: {exc}") from exc
    return changed


def write_verdict(path: Path, out: Path | None = None) -> Path:
    """Judge the bundle at ``path`` and write verdict.json into ``out``, else into the bundle.

    Returns the file. Raises UsageError without ``out`` when this harness did not make the bundle.
    """
    bundle = Bundle.open(path)
    target = writable(bundle, out)
    write(target, judge(bundle))
    return target / "verdict.json"


def writable(bundle: Bundle, out: Path | None) -> Path:
    """Return where derived files go. A bundle that someone else made is never written into."""
    if out is not None:
        return out
    if not is_ours(bundle):
        raise UsageError(
            f"{bundle.root} was not made by this harness and is not written into: use --out DIR"
        )
    return bundle.root


def is_ours(bundle: Bundle) -> bool:
    """Tell whether this harness made the bundle: its manifest lists collectors and files."""
    manifest = bundle.manifest or {}
    return isinstance(manifest.get("collectors"), list) and isinstance(manifest.get("files"), list)


def found_value(found: SignalSet, name: str) -> Value:
    """Return a cluster signal's value, None when unknown."""
    signal = found.get(name)
    return signal.value if signal is not None else None


# -- parts of a verdict ---------------------------------------------------------------------------


def _scenario(name: str) -> scenarios.Scenario:
    # A workload of someone else's: what is asked of any run is asked of it too.
    return scenarios.load(name if name in scenarios.names() else scenarios.CUSTOM)


def _run(bundle: Bundle, found: SignalSet, scenario: scenarios.Scenario) -> next_experiment.Run:
    manifest = bundle.manifest or {}
    accumulated = found_value(found, "mode_accumulated")
    seconds = found_value(found, "window_seconds")
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
        connect_rate=rate if type(rate) is int and rate > 0 else None,
    )


def _where(bundle: Bundle, decision: Decision) -> tuple[str, tuple[str, ...]]:
    """Return component and nodes of the winning category."""
    fired = decision.fired(decision.category)
    if not fired:
        return "none", ()
    component = fired[0].rule.component
    nodes = next((o.nodes for o in fired if o.nodes), ())
    if decision.category == "history_sensitive":
        inner = next((c for c in CATEGORIES if c in INNER and decision.holds[c] is Tri.YES), None)
        if inner is not None:
            heaviest = decision.fired(inner)[0]
            return heaviest.rule.component, heaviest.nodes or nodes
    if fired[0].rule.id == "baseline_health.gate":
        reference = bundle.read_json("references/baseline.json") or {}
        if reference.get("component") in COMPONENTS:
            component = str(reference["component"])
        named = reference.get("nodes")
        if isinstance(named, list):
            nodes = tuple(clean(n, 80) for n in named[:50])
    return component, nodes


def _confidence(bundle: Bundle, decision: Decision, found: SignalSet) -> float:
    place = CATEGORIES.index(decision.category)
    # Healthy is what is left when nothing else holds, and no rival of a failure.
    later = [c for c in CATEGORIES[place + 1 : -1] if decision.holds[c] is Tri.YES]
    if decision.category in (ABSTAIN, "baseline_health", "history_sensitive"):
        later = []
    return confidence.of_verdict(decision.of(decision.category), len(later), _damage(bundle, found))


def _damage(bundle: Bundle, found: SignalSet) -> float:
    """Return the share of sources that are there but could not be used as they should."""
    invalid, samples = (
        found_value(found, "status_invalid_rows"),
        found_value(found, "status_samples"),
    )
    share = 0.0
    if isinstance(invalid, (int, float)) and isinstance(samples, (int, float)):
        share = invalid / (invalid + samples) if invalid else 0.0
    scrapes = [f for f in bundle.files if f.startswith("metrics/node") and f.endswith(".prom")]
    wanted = [
        f"metrics/{bundle.metrics_key(n)}{w}.prom" for n in bundle.nodes for w in ("", "-before")
    ]
    lost = [f for f in wanted if f not in scrapes and not bundle.exists(f + ".err")]
    gone = len(lost) / len(wanted) if wanted else 0.0
    problems = min(0.2 * len(bundle.problems), 0.6)
    return min(1.0, share + gone + problems)


def _since(
    decision: Decision, found: SignalSet, nodes: Sequence[str]
) -> tuple[str | None, str | None]:
    """Return since when and not before when: the earliest moment the deciding rules know."""
    if decision.category in ("healthy",):
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
    if not moments:
        trouble = found.get("trouble_seen")
        if trouble is None or trouble.value is not True:
            return None, None
        return trouble.since, trouble.since_not_before
    # ISO times in UTC with equal precision sort as text.
    return min(moments, key=lambda m: (m[0], m[1] or ""))


def _reasons(bundle: Bundle, decision: Decision, found: SignalSet) -> list[dict[str, Any]]:
    category = decision.category
    # What speaks against it is worth more to a reader than what agrees.
    roles = ("decides", "against", "supports")
    told = [o for role in roles for o in decision.fired(category, role)]
    reasons = [
        {
            "rule": o.rule.id,
            "text": render(o.rule.message, {"s": Shown(found), "nodes": join(o.nodes) or "a node"}),
            "citations": [c.as_dict() for c in _citations(o)],
        }
        for o in told
    ]
    if category == "baseline_health":
        reasons += _baseline_reasons(bundle)
    if not reasons:
        reasons = [_abstaining(bundle, decision, found)]
    # A claim without a citation is a defect: it is not made.
    return [r for r in reasons if r["citations"]] or reasons[:1]


def _baseline_reasons(bundle: Bundle) -> list[dict[str, Any]]:
    rel = "references/baseline.json"
    reference = bundle.read_json(rel) or {}
    if reference.get("category") in (None, "healthy"):
        return []
    cite = bundle.cite(rel, pointer="/category", value=clean(reference["category"], 80))
    text = (
        f"Baseline {clean(reference.get('bundle_id', 'unknown'), 80)}: "
        f"{clean(reference['category'], 80)}."
    )
    return [{"rule": "baseline_health.gate", "text": text, "citations": [cite.as_dict()]}]


def _abstaining(bundle: Bundle, decision: Decision, found: SignalSet) -> dict[str, Any]:
    missing = [u["what"] for u in _unknown(decision, found)][:5]
    text = "No category can be decided: " + (
        f"unknown are {join(missing)}." if missing else "what failed fits none of them."
    )
    known = [
        citation
        for outcome in decision.of("healthy")
        for leaf in outcome.evaluation.leaves
        if leaf.value is not None
        for citation in leaf.citations[:1]
    ]
    if not known and bundle.files:
        known = [bundle.cite(bundle.files[0])]
    return {
        "rule": f"{ABSTAIN}.undecided",
        "text": text,
        "citations": [c.as_dict() for c in _unique(known)[:REASON_CITATIONS]],
    }


def _citations(outcome: Outcome) -> list[Citation]:
    """Return what speaks for a rule: leaves that hold, those of its nodes first."""

    def relevance(leaf: Leaf) -> tuple[bool, bool]:
        return (leaf.result is not Tri.YES, bool(outcome.nodes) and leaf.node not in outcome.nodes)

    leaves = sorted(outcome.evaluation.leaves, key=relevance)
    # One from each leaf before a second from any.
    first = [leaf.citations[0] for leaf in leaves if leaf.citations]
    rest = [c for leaf in leaves for c in leaf.citations[1:2]]
    return _unique([*first, *rest])[:REASON_CITATIONS]


def _unique(citations: Iterable[Citation]) -> list[Citation]:
    return list(dict.fromkeys(citations))


def _alternatives(decision: Decision, sure: float) -> list[dict[str, Any]]:
    """Return the best competitors, why each lost, and its share of what is left."""
    scored = []
    for category in CATEGORIES:
        if category == decision.category:
            continue
        closeness, why = _closeness(category, decision)
        scored.append((closeness, category, why))
    scored.sort(key=lambda item: (-item[0], CATEGORIES.index(item[1])))
    best = scored[:ALTERNATIVES]
    total = sum(closeness for closeness, _, _ in scored) or 1.0
    return [
        {
            "category": category,
            "confidence": round((1 - sure) * closeness / total, 2),
            "why_not": why,
        }
        for closeness, category, why in best
    ]


def _closeness(category: str, decision: Decision) -> tuple[float, str]:
    """Return how close a category came (0 to 1) and why it lost."""
    deciding = [o for o in decision.of(category) if o.rule.role == "decides"]
    if decision.holds[category] is Tri.YES:
        return 1.0, f"holds as well, but {decision.category} is decided before it"
    unknown = [o for o in deciding if o.tri is Tri.UNKNOWN]
    if unknown:
        names = _missing(unknown)
        # That evidence may be worthless is always possible, and says nothing of the cause.
        near = 0.05 if category == ABSTAIN else 0.3
        return near, f"cannot be decided: {join(names[:4])} unknown"

    def met(o: Outcome) -> float:
        leaves = o.evaluation.leaves
        return sum(leaf.result is Tri.YES for leaf in leaves) / len(leaves) if leaves else 0.0

    nearest = max(deciding, key=lambda o: (met(o), o.rule.weight, o.rule.id))
    against = next((leaf for leaf in nearest.evaluation.leaves if leaf.result is Tri.NO), None)
    why = f"{nearest.rule.id} does not hold"
    if against is not None:
        where = f" on {against.node}" if against.node else ""
        why += f": {against.signal}{where} is {show(against.value)}, "
        why += f"not {against.op} {show(against.threshold)}"
    return 0.3 * met(nearest), why


def _missing(outcomes: Iterable[Outcome]) -> list[str]:
    names = [name for o in outcomes for name in (*o.missing, *o.evaluation.undecided)]
    return list(dict.fromkeys(names))


def _unknown(decision: Decision, found: SignalSet) -> list[dict[str, str]]:
    """Return the unknowns that could have changed the verdict or its confidence."""
    place = CATEGORIES.index(decision.category)
    undecided = decision.category == ABSTAIN and not decision.fired(ABSTAIN)
    matters: dict[str, str] = {}
    for category in CATEGORIES if undecided else CATEGORIES[: place + 1]:
        for outcome in decision.of(category):
            if outcome.tri is not Tri.UNKNOWN:
                continue
            effect = "would decide" if outcome.rule.role == "decides" else "would weigh in"
            for name in _missing([outcome]):
                matters.setdefault(name, f"{effect} {outcome.rule.id}")
    return [
        {"what": name, "why": f"{_why_unknown(name, found)}; {effect}"}
        for name, effect in list(matters.items())[:UNKNOWNS]
    ]


def _why_unknown(name: str, found: SignalSet) -> str:
    candidates = [found.get(name), *found.per_node(name).values()]
    for signal in candidates:
        if signal is not None and signal.value is None and signal.why_unknown:
            return clean(signal.why_unknown, 200)
    return "not recorded"


def _hard_stops(
    decision: Decision, found: SignalSet, run: next_experiment.Run
) -> list[dict[str, Any]]:
    """Return the hard stops that apply to what comes after this verdict."""
    category = decision.category
    stops: list[dict[str, Any]] = []

    def stop(name: str, text: str, *names: str) -> None:
        cited = [s for n in names if (s := found.get(n)) is not None]
        citations = _unique(c for s in cited for c in s.citations[:2])
        stops.append({"id": name, "text": text, "citations": [c.as_dict() for c in citations]})

    baseline_bad = run.scenario == "smoke-default" and category != "healthy"
    if baseline_bad or category == "baseline_health":
        stop(
            "baseline_failed",
            "smoke-default is not healthy here: no high-rate run before it is.",
            "baseline_passed",
            "sim_ever_running",
            "send_errors",
            "recv_errors",
        )
    errors = [n for n in ("send_errors", "recv_errors") if (found_value(found, n) or 0) != 0]
    if errors or found_value(found, "last_error_seen") is True:
        stop(
            "classify_before_optimisation",
            "There are errors: nothing is optimised before this class of failure is settled.",
            *errors,
            "last_error_seen",
        )
    if found_value(found, "mode_accumulated") is True:
        text = (
            "This run stood on accumulated data: it is never compared with a clean run, pass and "
            "fail of a clean twin apart."
        )
        if found_value(found, "clean_twin_passed") is None and category != "healthy":
            text += f" It has none: {history.NO_TWIN}."
        stop("evidence_class", text, "mode_accumulated")
    if decision.holds["client_bottleneck"] is Tri.YES:
        stop(
            "client_is_the_limit",
            "The simulator is the limit: no blame on the servers from this run.",
            "offered_to_sent_ratio",
            "client_limit_bound",
            "sim_cpu_of_limit",
        )
    if next_experiment.must_isolate(category, run):
        stop(
            "isolate_before_mixed",
            "Person and group traffic ran together: the isolated scenarios come first.",
            "offered_rate",
        )
    return stops


def criteria(success: Mapping[str, Any]) -> list[str]:
    """Return the leaves of a success predicate as text."""
    if "signal" in success:
        right = success.get("value", success.get("other_signal"))
        return [f"{success['signal']} {success['op']} {show(right)}"]
    found = []
    for form in ("all", "any"):
        for child in success.get(form, []):
            found += criteria(child)
    if "not" in success:
        found += [f"not ({c})" for c in criteria(success["not"])]
    return found


def _evidence(bundle: Bundle, found: SignalSet) -> dict[str, str]:
    """Return one line on each kind of evidence that the report names."""
    samples, coverage = found_value(found, "status_samples"), found_value(found, "status_coverage")
    status = (
        "none"
        if not bundle.exists("status.jsonl")
        else (
            f"{show(samples)} samples in the window, coverage {show(coverage)}, "
            f"{show(found_value(found, 'status_invalid_rows'))} unreadable rows"
        )
    )
    lines = {"status": status}
    for kind in ("compose", "app", "error", "warn"):
        lines[f"{kind}_logs"] = _files(
            bundle,
            [
                f"logs/{kind}/{n}.log"
                for n in (*bundle.nodes, "wk-sim")
                if kind == "compose" or n != "wk-sim"
            ],
        )
    keys = [bundle.metrics_key(n) for n in bundle.nodes]
    scrapes = [f"metrics/{k}{w}.prom" for k in keys for w in ("-before", "")]
    series = sum(f.startswith("metrics/series/") for f in bundle.files)
    lines["metrics"] = _files(bundle, scrapes) + (f", {series} scrapes between" if series else "")
    lines["pprof"] = _files(
        bundle,
        [f"pprof/{k}-{w}" for k in keys for w in ("cpu.pb.gz", "heap.pb.gz", "goroutine.txt")],
    )
    resources = [f for f in ("docker-stats.jsonl", "resources.jsonl") if bundle.size(f)]
    lines["docker_stats"] = _files(bundle, resources) if resources else "none"
    return lines


def _files(bundle: Bundle, wanted: Sequence[str]) -> str:
    there = [f for f in wanted if bundle.exists(f)]
    size = sum(bundle.size(f) for f in there)
    text = f"{len(there)} of {len(wanted)} files, {show(size, 'bytes')}"
    refused = [f"{f}: {clean(e, 80)}" for f in wanted if (e := bundle.error(f)) is not None]
    return text + (f"; not fetched: {'; '.join(refused[:4])}" if refused else "")


def _signals(found: SignalSet) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name, meta in signals.catalogue().items():
        whole = found.get(name)
        entry: dict[str, Any] = {"unit": meta["unit"], "value": whole.value if whole else None}
        if whole is not None and whole.since:
            entry["since"] = whole.since
        if whole is not None and whole.value is None and whole.why_unknown:
            entry["why_unknown"] = whole.why_unknown
        nodes = {n: s.value for n, s in found.per_node(name).items()}
        if nodes:
            entry["nodes"] = nodes
        entries[name] = entry
    return entries


def _rule(outcome: Outcome) -> dict[str, Any]:
    words = {Tri.YES: "fired", Tri.NO: "not_fired", Tri.UNKNOWN: "unknown"}
    trace: dict[tuple[Any, ...], dict[str, Any]] = {}
    for leaf in outcome.evaluation.leaves:
        key = (leaf.signal, leaf.node, leaf.op, str(leaf.threshold))
        if key in trace or leaf.op == "known":
            continue
        trace[key] = {
            "signal": leaf.signal,
            "node": leaf.node,
            "op": leaf.op,
            "threshold": leaf.threshold,
            "value": leaf.value,
            "result": leaf.result.value,
            # What was not looked at in the end needs no place in the evidence.
            "citations": [c.as_dict() for c in leaf.citations[:1]]
            if outcome.tri is Tri.YES or leaf.result is Tri.NO
            else [],
        }
        if leaf.result is Tri.UNKNOWN and leaf.why_unknown:
            trace[key]["why_unknown"] = leaf.why_unknown
    return {
        "id": outcome.rule.id,
        "category": outcome.rule.category,
        "role": outcome.rule.role,
        "weight": outcome.rule.weight,
        "result": words[outcome.tri],
        "nodes": list(outcome.nodes),
        "missing": list(outcome.missing),
        "trace": list(trace.values()),
    }


def _plain(value: Any) -> Any:
    """Return a copy that JSON can hold on any machine: finite, rounded, printable."""
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if set(value) == _CITATION:
            # Verbatim: it is checked again against the file.
            return dict(value)
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return clean(value)
