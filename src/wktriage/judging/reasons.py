"""The reasons of a verdict: the rules that fired, in words, each with its citations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core.categories import ABSTAIN, HEALTHY
from wktriage.core.model import Citation, SignalSet, Tri
from wktriage.judging.decision import Decision
from wktriage.judging.predicates import Leaf
from wktriage.judging.rules import Outcome
from wktriage.judging.unknown import unknowns
from wktriage.judging.wording import Names, Shown, agree, clean, join, render

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


def reasons(bundle: Bundle, decision: Decision, signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return why the category holds: the heaviest rule first, each reason with citations."""
    category = decision.category
    # What speaks against it is worth more to a reader than what agrees.
    roles = ("decides", "against", "supports")
    stated = [
        _reason(o.rule.id, text_of(o, signal_set), _citations(o))
        for role in roles
        for o in decision.fired(category, role)
    ]
    if category == "baseline_health":
        stated = [*_refused_starts(signal_set), *stated, *_of_baseline(bundle)]
    if category != HEALTHY:
        stated[1:1] = _memory_kills(stated[0]["rule"] if stated else category, signal_set)
    if not stated:
        stated = [_abstaining(bundle, decision, signal_set)]
    # A claim without a citation is a defect: it is not made.
    return [r for r in stated if r["citations"]] or stated[:1]


def _reason(rule: str, text: str, citations: Sequence[Citation]) -> dict[str, Any]:
    kept = list(dict.fromkeys(citations))[:CITATIONS]
    return {"rule": rule, "text": text, "citations": [c.as_dict() for c in kept]}


def text_of(outcome: Outcome, signal_set: SignalSet) -> str:
    """Return what a rule that fired says, in words."""
    everywhere = outcome.everywhere
    nodes = Names(outcome.nodes) if outcome.nodes else "every node" if everywhere else "a node"
    values = {
        "s": Shown(signal_set),
        "nodes": nodes,
        # The same at the beginning of a sentence; a node's own name stays as it is.
        "Nodes": nodes if outcome.nodes else nodes.capitalize(),
        "named": bool(outcome.nodes),
        "everywhere": everywhere,
    }
    return render(outcome.rule.message, values)


def _citations(outcome: Outcome) -> list[Citation]:
    """Return what speaks for a rule: leaves that hold, those of its nodes first."""

    def relevance(leaf: Leaf) -> tuple[bool, bool]:
        return (leaf.result is not Tri.YES, bool(outcome.nodes) and leaf.node not in outcome.nodes)

    leaves = sorted(outcome.evaluation.leaves, key=relevance)
    # One from each leaf before a second from any.
    first = [leaf.citations[0] for leaf in leaves if leaf.citations]
    rest = [c for leaf in leaves for c in leaf.citations[1:2]]
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
