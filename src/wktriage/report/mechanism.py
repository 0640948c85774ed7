"""How a verdict was found, in words: symptom, ledger, abnormal elements, candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wktriage.judging import signals
from wktriage.judging.wording import clean, join, show

KINDS = {
    "none": "Nobody felt anything: every criterion is met.",
    "failed_sends": "Failed sends account for most of what was felt.",
    "failed_receives": "Failed receives account for most of what was felt.",
    "capacity": "Most of what was felt is messages that were not sent, or slowly.",
    "unknown": "What accounts for most of the symptom is not known.",
}
SHARES = {
    "failed_sends": "failed to be sent",
    "failed_receives": "sent and not received",
    "displaced": "not sent because failures held their places",
    "not_sent": "not sent otherwise",
    "slow": "sent slowly",
}
BAR = 24
"""Characters of the longest bar of the ledger."""


def lines(verdict: Mapping[str, Any]) -> list[str]:
    """Return the way from the symptom to the cause, for a terminal."""
    return [
        *_symptom(verdict["symptom"]),
        "",
        *_ledger(verdict["ledger"]),
        "",
        *_abnormal(verdict["resources"]),
        "",
        *_candidates(verdict["causes"]),
    ]


def _symptom(symptom: Mapping[str, Any]) -> list[str]:
    told = [f"Symptom: {KINDS[symptom['kind']]}"]
    for kind, share in symptom["shares"].items():
        if share is None or share > 0:
            told.append(f"  {_percent(share):>8} of the offer {SHARES[kind]}")
    if symptom["since"]:
        told.append(f"  since {symptom['since']}, not before {symptom['since_not_before'] or '?'}")
    return told


def _ledger(ledger: Mapping[str, Any]) -> list[str]:
    whole = ledger["whole_s"]
    if whole is None:
        return ["Ledger: where a message's time goes is not recorded."]
    told = [f"Ledger: a message takes {show(whole, 's')}."]
    for row in ledger["stages"]:
        share = row["share"]
        before = row.get("baseline_share")
        beside = "" if before is None else f" (baseline {_percent(before)})"
        bar = "#" * round(BAR * (share or 0))
        seconds = "not known" if row["seconds"] is None else show(row["seconds"], "s")
        told.append(
            f"  {row['title']:34} {seconds:>10} {_percent(share):>8}{beside} {bar}".rstrip()
        )
    told += [
        f"  {show(row['count'])} failures at {row['where'].replace('_', ' ')}, {row['node']}"
        for row in ledger["failures"]
    ]
    return told


def _abnormal(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    odd = [row for row in resources if row["state"] == "abnormal"]
    unknown = sum(row["state"] == "unknown" for row in resources)
    rest = len(resources) - len(odd) - unknown
    told = [
        f"Abnormal: {len(odd)} of {len(resources)} elements ({rest} normal, {unknown} not known)."
    ]
    for row in odd:
        where = f" on {join(row['nodes'])}" if row["nodes"] else ""
        figures = join(figures_of(row))
        told.append(
            f"  {row['element']}{where}: against its {row['against']}; {figures}".rstrip("; ")
        )
    return told


def figures_of(row: Mapping[str, Any]) -> list[str]:
    """Return what was measured of an element, each with its name: at its nodes, else of the run."""
    told = []
    for figure in row["measured"].values():
        entry = signals.catalogue()[figure["signal"]]
        values = [figure["nodes"].get(n) for n in row["nodes"]] or [figure["value"]]
        known = [show(v, str(entry["unit"])) for v in values if v is not None]
        if known:
            told.append(f"{entry['title']} {', '.join(known)}")
    return told


def _candidates(causes: Sequence[Mapping[str, Any]]) -> list[str]:
    if not causes:
        return ["Candidates: no element is abnormal."]
    told = ["Candidates: upstream first, then the share of a message's time, then contrast."]
    for row in causes:
        mark = "+" if row["result"] == "cause" else "-"
        where = f" on {join(row['nodes'])}" if row["nodes"] else ""
        share = "not known" if row["share"] is None else _percent(row["share"])
        score = f"holds up {share} of the time, {row['contrast']:.3g} times its limit"
        told.append(f"  {mark} {row['element']}{where} ({row['category']}): {score}")
        if row["explains"]:
            told.append(f"      explains {join(row['explains'])}")
        if row["why_lost"]:
            told.append(f"      {clean(row['why_lost'])}")
    return told


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.3g} %"
