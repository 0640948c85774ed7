"""Hard stops: what must not be done after a verdict, whatever its confidence."""

from __future__ import annotations

from typing import Any

from wktriage.core.categories import HEALTHY
from wktriage.core.model import SignalSet, Tri
from wktriage.judging import next_experiment
from wktriage.judging.decision import Decision
from wktriage.judging.signals import history

CITATIONS_EACH = 2


def hard_stops(
    decision: Decision, signal_set: SignalSet, run: next_experiment.Run, *, isolate: bool = True
) -> list[dict[str, Any]]:
    """Return the hard stops that apply to what comes after this verdict.

    ``isolate`` is False where a setting is taken away first.
    """
    category = decision.category
    stops: list[dict[str, Any]] = []

    def stop(name: str, text: str, *names: str) -> None:
        cited = [s for n in names if (s := signal_set.get(n)) is not None]
        citations = dict.fromkeys(c for s in cited for c in s.citations[:CITATIONS_EACH])
        stops.append({"id": name, "text": text, "citations": [c.as_dict() for c in citations]})

    baseline_bad = run.scenario == "smoke-default" and category != HEALTHY
    if baseline_bad or category == "baseline_health":
        stop(
            "baseline_failed",
            "smoke-default is not healthy on this stack. Start no high-rate run before it is.",
            "baseline_passed",
            "sim_ever_running",
            "send_errors",
            "recv_errors",
        )
    errors = [n for n in ("send_errors", "recv_errors") if signal_set.value(n) not in (None, 0)]
    if errors or signal_set.value("last_error_seen") is True:
        stop(
            "classify_before_optimisation",
            "The run had errors. Settle this class of failure before you optimise anything.",
            *errors,
            "last_error_seen",
        )
    if signal_set.value("mode_accumulated") is True:
        text = "This run used existing data. Only pass or fail may be compared with its clean twin."
        if signal_set.value("clean_twin_passed") is None and category != HEALTHY:
            text += f" It has no clean twin yet: {history.NO_TWIN}."
        stop("evidence_class", text, "mode_accumulated")
    if decision.holds["client_bottleneck"] is Tri.YES:
        stop(
            "client_is_the_limit",
            "The simulator is the limit. Do not blame the servers on the strength of this run.",
            "achieved_rate_ratio",
            "in_flight_limit_binds",
            "sim_cpu_of_limit",
        )
    if isolate and decision.by_load and next_experiment.must_isolate(category, run):
        stop(
            "isolate_before_mixed",
            "Person and group traffic ran together. Run the isolated scenarios first.",
            "offered_rate",
        )
    return stops
