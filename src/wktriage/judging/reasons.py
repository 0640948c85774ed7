"""The reasons of a verdict: the rules that fired, in words, each with its citations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core.categories import ABSTAIN, CAUSES, HEALTHY
from wktriage.core.model import Citation, SignalSet, Tri
from wktriage.judging import oddities, signals
from wktriage.judging.causes import UNLISTED
from wktriage.judging.decision import Decision
from wktriage.judging.ledger import STAGES
from wktriage.judging.predicates import Leaf
from wktriage.judging.rules import Outcome
from wktriage.judging.symptom import CAPACITY, FAILED_RECEIVES, FAILED_SENDS
from wktriage.judging.unknown import unknowns
from wktriage.judging.wording import Names, Shown, agree, clean, join, render, show

CITATIONS = 4
"""Citations of one reason: enough to check it, few enough to read."""

_NAMED_MISSING = 5
_LOG_TIMES = re.compile(r"^(?:[\w.-]+ +\| ?)?(?:\d{4}[-/]\d\d[-/]\d\d[T ][\d:.,]+Z?\s+)*")

_STRUCTURED = re.compile(r"\.go:\d+ ([^{]+)(?:\{|$)")
_COMPONENT = re.compile(r'"component": ?"([^"]+)"')
_ERROR = re.compile(r'"error": ?"([^"]*)("?)')
_SHORTEST_ERROR = 10
"""Characters of an error, cut with its line, from which on it says anything."""

_REFUSED_SETTING = re.compile(r"unknown config env:? \"?(WK_[A-Z0-9_]{1,80})")


_SYMPTOMS = {
    FAILED_SENDS: (
        "{{ s.count('send_errors', 'send') }} failed"
        "{% if s.known('send_error_ratio') %} ({{ s.send_error_ratio }} of those attempted)"
        "{% endif %}{% if s.some('recv_errors') %}, and {{ s.count('recv_errors', 'receive') }}"
        "{% endif %}."
    ),
    FAILED_RECEIVES: (
        "{{ s.count('recv_errors', 'receive') }} failed{% if s.some('send_errors') %}, against "
        "{{ s.count('send_errors', 'failed send') }}{% else %} and no send did{% endif %}: "
        "messages are accepted and do not arrive."
    ),
    CAPACITY: (
        "{% if s.below('achieved_rate_ratio', 0.952) %}The simulator sent {{ s.sent_rate }} of the "
        "{{ s.offered_rate }} offered{% elif s.below('worst_achieved_rate_ratio', 0.8) %}At worst "
        "the simulator sent {{ s.worst_achieved_rate_ratio }} of its offer for ten seconds"
        "{% else %}The offer was sent, but slowly: a send takes {{ s.send_server_latency_mean }} "
        "inside the servers (p99 {% if s.some('send_server_latency_off_scale') %}at least "
        "{% endif %}{{ s.send_server_latency_p99 }}){% endif %}"
        "{% if s.some('send_errors') %}; {{ s.count('send_errors', 'send') }} failed, which "
        "accounts for little of it{% else %}, and no send failed{% endif %}."
    ),
}
"""What the users felt, in words, by what accounts for most of it."""

_FELT_BY = {
    FAILED_SENDS: ("send_errors", "send_error_ratio", "recv_errors"),
    FAILED_RECEIVES: ("recv_errors", "send_errors"),
    CAPACITY: ("achieved_rate_ratio", "worst_achieved_rate_ratio", "send_server_latency_p99"),
}
ODDITIES = 3
"""Measurements that are named of what sets a node apart."""

REMARKS = 4
"""Elements that look odd though nobody felt them, or though they explain nothing: so many said."""


def reasons(bundle: Bundle, decision: Decision, signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return why the category holds: the symptom, its cause, and what else that explains."""
    category = decision.category
    firing = decision.fired(category)
    stated = [_reason(o.rule.id, text_of(o, signal_set), _citations(o)) for o in firing]
    if category in CAUSES:
        stated[:1] = [*_symptom(decision, signal_set), stated[0], *_chain(decision)]
        if _unlisted(decision):
            stated += [*_stage(decision, signal_set), *_odd(decision, signal_set)]
            stated += _remarks(decision, signal_set)
    if category == "baseline_health":
        stated = [*_refused_starts(signal_set), *stated, *_of_baseline(bundle)]
    if category == HEALTHY:
        stated += _remarks(decision, signal_set)
    else:
        stated[1:1] = _memory_kills(stated[0]["rule"] if stated else category, signal_set)
    if not stated:
        stated = [_abstaining(bundle, decision, signal_set)]
    # A claim without a citation is a defect: it is not made.
    return [r for r in stated if r["citations"]] or stated[:1]


def _symptom(decision: Decision, signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return what the users felt; nothing where the criteria cannot show it."""
    kind, winner = decision.symptom.kind, decision.winner
    if kind not in _SYMPTOMS or winner is None:
        return []
    cited = [s for name in _FELT_BY[kind] if (s := signal_set.get(name)) is not None]
    text = render(_SYMPTOMS[kind], {"s": Shown(signal_set)})
    return [_reason(winner.rule.id, text, [c for s in cited for c in s.citations[:1]])]


def _chain(decision: Decision) -> list[dict[str, Any]]:
    """Return what else is seen and is explained by the cause."""
    winner = decision.winner
    if winner is None or winner.candidate is None:
        return []
    element = winner.candidate.cause.element
    explained = {
        o.candidate.cause.element: o
        for o in decision.outcomes
        if o.candidate is not None and o.candidate.explained_by == element
    }
    explained.pop(UNLISTED, None)
    if not explained:
        return []
    titles = join([o.rule.title for o in explained.values()])
    cited = [c for o in explained.values() for c in _citations(o)[:1]]
    return [_reason(winner.rule.id, f"That explains what else is seen: {titles}.", cited)]


def _unlisted(decision: Decision) -> bool:
    candidate = decision.winner.candidate if decision.winner is not None else None
    return candidate is not None and candidate.cause.element == UNLISTED


def _stage(decision: Decision, signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return where most of a message's time goes, and at which node, where no cause is known.

    Beside a baseline it is where most of what came on top of it goes.
    """
    stage, winner = decision.ledger.largest(), decision.winner
    # While a receive is waited for, time passes outside the servers whatever is wrong.
    if stage is None or winner is None or decision.symptom.kind == FAILED_RECEIVES:
        return []
    share = decision.ledger.cluster.share(stage)
    seconds = {a.node: a.stages.get(stage) for a in decision.ledger.nodes}
    known = {str(n): s for n, s in seconds.items() if s}
    slowest = max(known, key=lambda n: known[n]) if known else None
    where = "" if slowest is None else f", longest at {slowest} ({show(known[slowest], 's')})"
    before = decision.ledger.baseline.get(stage)
    beside = "" if before is None else f", {show(before, 'share')} in the baseline"
    most = "Most of a message's time" if before is None else "What grew most of a message's time"
    text = f"{most} ({show(share, 'share')}{beside}) passes here: {STAGES[stage]}{where}."
    names = ("send_cycle_time", "send_server_latency_mean", "append_mean", "dispatch_wait_mean")
    cited = [s for name in names if (s := signal_set.get(name)) is not None]
    return [_reason(winner.rule.id, text, [c for s in cited for c in s.citations[:1]])]


def _odd(decision: Decision, signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return in what the named node differs most from its peers, where no cause is known."""
    winner = decision.winner
    if winner is None or not winner.nodes:
        return []
    named = winner.nodes[0]
    mine = [o for o in oddities.oddities(signal_set) if o.signal.node == named][:ODDITIES]
    parts = [
        f"{signals.title(o.signal.name)} {show(o.signal.value, o.signal.unit)} "
        f"(others at most {show(o.peers, o.signal.unit)})"
        for o in mine
    ]
    cited = [c for o in mine for c in o.signal.citations[:1]]
    text = f"What sets {named} apart from the other nodes: {join(parts)}."
    return [_reason(winner.rule.id, text, cited)]


def _remarks(decision: Decision, signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return what looks odd though nobody felt it, or though it explains nothing."""
    healthy = decision.category == HEALTHY
    begins = "Nobody felt it, but" if healthy else "It does not explain this, but"
    rows = []
    for state in sorted(decision.unfelt, key=lambda s: -s.contrast)[:REMARKS]:
        nodes = state.nodes
        text = render(
            state.cause.file.message, _values(signal_set, nodes, everywhere=state.everywhere)
        )
        cited = _of_leaves(state.evaluation.leaves, nodes)
        element = state.cause.element
        rows.append(_reason(f"{decision.category}.{element}", f"{begins}: {text}", cited))
    return rows


def _reason(rule: str, text: str, citations: Sequence[Citation]) -> dict[str, Any]:
    kept = list(dict.fromkeys(citations))[:CITATIONS]
    return {"rule": rule, "text": text, "citations": [c.as_dict() for c in kept]}


def text_of(outcome: Outcome, signal_set: SignalSet) -> str:
    """Return what a rule or cause that holds says, in words."""
    text = outcome.rule.message
    return render(text, _values(signal_set, outcome.nodes, everywhere=outcome.everywhere))


def _values(signal_set: SignalSet, names: Sequence[str], *, everywhere: bool) -> dict[str, Any]:
    nodes = Names(names) if names else "every node" if everywhere else "a node"
    return {
        "s": Shown(signal_set),
        "nodes": nodes,
        # The same at the beginning of a sentence; a node's own name stays as it is.
        "Nodes": nodes if names else nodes.capitalize(),
        "named": bool(names),
        "everywhere": everywhere,
    }


def _citations(outcome: Outcome) -> list[Citation]:
    return _of_leaves(outcome.evaluation.leaves, outcome.nodes)


def _of_leaves(leaves: Iterable[Leaf], nodes: Sequence[str]) -> list[Citation]:
    """Return what speaks for it: leaves that hold, those of its nodes first."""

    def relevance(leaf: Leaf) -> tuple[bool, bool]:
        return (leaf.result is not Tri.YES, bool(nodes) and leaf.node not in nodes)

    ordered = sorted(leaves, key=relevance)
    # One from each leaf before a second from any.
    first = [leaf.citations[0] for leaf in ordered if leaf.citations]
    rest = [c for leaf in ordered for c in leaf.citations[1:2]]
    return [*first, *rest]


def _refused_starts(signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return what nodes said themselves of a start that failed."""
    failed = signal_set.per_node("node_start_failed")
    nodes = [n for n in signal_set.nodes if n in failed and failed[n].value is True]
    quoted = [(n, c) for n in nodes for c in failed[n].citations if c.excerpt][:1]
    if not quoted:
        return []
    speaker, citation = quoted[0]
    everybody = len(nodes) > 1 and len(nodes) == len(signal_set.nodes)
    who = "No node started" if everybody else f"{join(nodes)} did not start"
    text = f'{who}. {speaker} logged: "{own_words(citation.excerpt)}".'
    cited = [c for n in nodes for c in failed[n].citations[:1]]
    return [_reason("baseline_health.node_never_up", text, cited)]


def own_words(excerpt: str) -> str:
    """Return what a log line says: without times and place, and of its fields only the error."""
    line = _LOG_TIMES.sub("", clean(excerpt))
    structured = _STRUCTURED.search(line)
    if structured is None:
        return clean(line, 300)
    component, error = _COMPONENT.search(line), _ERROR.search(line)
    words = structured.group(1).strip()
    if component is not None:
        words += f" (component {component.group(1)})"
    if error is not None and len(error.group(1)) >= _SHORTEST_ERROR:
        words += f": {error.group(1)}" + ("" if error.group(2) else "…")
    return clean(words, 300)


def refused_settings(signal_set: SignalSet) -> tuple[str, ...]:
    """Return the node settings that nodes name in the line with which they refuse to start."""
    lines = [
        citation.excerpt
        for signal in signal_set.per_node("node_start_failed").values()
        if signal.value is True
        for citation in signal.citations
    ]
    named = [m.group(1) for line in lines if (m := _REFUSED_SETTING.search(line)) is not None]
    return tuple(dict.fromkeys(named))


def _memory_kills(rule: str, signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return whom the kernel killed for want of memory: whatever else holds, that comes first."""
    killed = {n: s for n, s in signal_set.per_node("node_oom_killed").items() if s.value is True}
    cited = [c for s in killed.values() for c in s.citations[:1]]
    subjects = list(killed)
    simulator = signal_set.get("sim_oom_killed")
    if simulator is not None and simulator.value is True:
        subjects.append("the simulator")
        cited += simulator.citations[:1]
    if not subjects:
        return []
    names = Names(subjects)
    text = (
        f"The kernel killed {names} because {agree(names, 'it', 'they')} ran out of memory (OOM)."
    )
    return [_reason(rule, text, cited)]


def _of_baseline(bundle: Bundle) -> list[dict[str, Any]]:
    rel = "references/baseline.json"
    reference = bundle.read_json(rel) or {}
    if reference.get("category") in (None, HEALTHY):
        return []
    category = clean(reference["category"], 80)
    name = clean(reference.get("bundle_id", "of unknown name"), 80)
    cite = bundle.cite(rel, pointer="/category", value=category)
    return [_reason("baseline_health.gate", f"The baseline {name} is {category}.", [cite])]


def _abstaining(bundle: Bundle, decision: Decision, signal_set: SignalSet) -> dict[str, Any]:
    missing = [u["what"] for u in unknowns(decision, signal_set)][:_NAMED_MISSING]
    text = "No category can be decided. " + (
        f"Not known: {join(missing)}." if missing else "What failed fits none of them."
    )
    known = [
        citation
        for outcome in decision.of(HEALTHY)
        for leaf in outcome.evaluation.leaves
        if leaf.value is not None
        for citation in leaf.citations[:1]
    ]
    if not known and bundle.files:
        known = [bundle.cite(bundle.files[0])]
    return _reason(f"{ABSTAIN}.undecided", text, known)
