"""What is not known and could have changed the verdict."""

from __future__ import annotations

from collections.abc import Iterable

from wktriage.core.categories import ABSTAIN, CATEGORIES
from wktriage.core.model import SignalSet, Tri
from wktriage.judging import signals
from wktriage.judging.decision import Decision
from wktriage.judging.rules import Outcome
from wktriage.judging.wording import clean, show

KEPT = 12


def missing_signals(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the names of the signals for want of which the rules are unknown."""
    names = [name for o in outcomes for name in (*o.missing, *o.evaluation.undecided)]
    return list(dict.fromkeys(names))


def in_question(name: str) -> str:
    """Return what is not known when a signal is not: ``whether there was a lost quorum``."""
    title = signals.title(name)
    return f"whether there was {title}" if signals.catalogue()[name]["unit"] == "bool" else title


def unknowns(decision: Decision, signal_set: SignalSet) -> list[dict[str, str]]:
    """Return the unknowns that could have changed the verdict or its confidence.

    Hosts that were lost, clocks that were set and profiles in the window come first, whatever the
    verdict.
    """
    place = CATEGORIES.index(decision.category)
    undecided = decision.category == ABSTAIN and not decision.fired(ABSTAIN)
    matters: dict[str, str] = {}
    for category in CATEGORIES if undecided else CATEGORIES[: place + 1]:
        for outcome in decision.of(category):
            if outcome.tri is not Tri.UNKNOWN:
                continue
            for name in missing_signals([outcome]):
                matters.setdefault(name, _effect(outcome))
    return _remarks(signal_set) + [
        {
            "signal": name,
            "what": in_question(name),
            "why": f"{_sentence(_why_unknown(name, signal_set))} {effect}",
        }
        for name, effect in list(matters.items())[:KEPT]
    ]


def _remarks(signal_set: SignalSet) -> list[dict[str, str]]:
    """Return what is not known because of a host, or of what the harness did itself."""
    rows = []
    lost = signal_set.value("hosts_lost")
    if lost not in (None, "none"):
        rows.append(
            {
                "signal": "hosts_lost",
                "what": f"what happened on {clean(lost, 200)}",
                "why": "Nothing could be fetched from there, or the collector there died.",
            }
        )
    step = signal_set.value("clock_step")
    if isinstance(step, int | float) and step > 0:
        host = clean(signal_set.value("clock_step_host"), 80)
        rows.append(
            {
                "signal": "clock_step",
                "what": f"the order of what {host} logged and of what other hosts did",
                "why": f"Its clock was set by {show(step, 's')} meanwhile. Samples keep their "
                "order, log lines do not.",
            }
        )
    seconds = signal_set.value("profiled_in_window_seconds")
    if isinstance(seconds, int | float) and seconds > 0:
        rows.append(
            {
                "signal": "profiled_in_window_seconds",
                "what": "how the window would have gone on without profiles",
                "why": f"CPU profiles of {show(seconds, 's')} were taken in it when trouble began: "
                "latencies from there on are disturbed.",
            }
        )
    return rows


def _effect(outcome: Outcome) -> str:
    return f"It would show or rule out {outcome.rule.title}."


def _sentence(text: str) -> str:
    # The name of a file or a node at the beginning stays as it is.
    start = text[:1].upper() if text.partition(" ")[0].isalpha() else text[:1]
    return f"{start}{text[1:].rstrip('.')}."


def _why_unknown(name: str, signal_set: SignalSet) -> str:
    candidates = [signal_set.get(name), *signal_set.per_node(name).values()]
    for signal in candidates:
        if signal is not None and signal.value is None and signal.why_unknown:
            return clean(signal.why_unknown, 200)
    return "it is not recorded"
