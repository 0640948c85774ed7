"""How a verdict was found, in words: symptom, ledger, abnormal elements, candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wktriage.judging import causes, signals
from wktriage.judging.ledger import STAGES
from wktriage.judging.wording import clean, counted, join, show

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
    "displaced": "not sent, since failures held their places",
    "not_sent": "not sent",
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
    lines = [f"Symptom: {KINDS[symptom['kind']]}"]
    for kind, share in symptom["shares"].items():
        if share is None or share > 0:
            lines.append(f"  {_percent(share):>8} of the offer {SHARES[kind]}")
    if symptom["since"]:
        lines.append(f"  since {symptom['since']}, not before {symptom['since_not_before'] or '?'}")
    return lines


def _ledger(ledger: Mapping[str, Any]) -> list[str]:
    whole = ledger["whole_s"]
    if whole is None:
        return ["Ledger: where a message's time goes is not recorded."]
    lines = [f"Ledger: a message takes {show(whole, 's')}."]
    for row in ledger["stages"]:
        share = row["share"]
        before = row.get("baseline_share")
        beside = "" if before is None else f" (baseline {_percent(before)})"
        bar = "#" * round(BAR * (share or 0))
        seconds = "not known" if row["seconds"] is None else show(row["seconds"], "s")
        lines.append(
            f"  {row['title']:34} {seconds:>10} {_percent(share):>8}{beside} {bar}".rstrip()
        )
    return lines + [f"  {text}" for text in _failures(ledger)]


def _failures(ledger: Mapping[str, Any]) -> list[str]:
    """Return where the servers counted failures, one line a stage: by node, and mostly why."""
    lines = []
    for where in dict.fromkeys(row["where"] for row in ledger["failures"]):
        rows = [row for row in ledger["failures"] if row["where"] == where]
        nodes = join(f"{row['node']} {show(row['count'])}" for row in rows)
        why = max(rows, key=lambda row: row["count"])["reason"]
        mostly = f"; mostly {clean(why, 80)}" if why else ""
        total = counted(sum(row["count"] for row in rows), "failure")
        lines.append(f"{total} in {where} ({nodes}{mostly})")
    return lines


def _abnormal(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    odd = [row for row in resources if row["state"] == "abnormal"]
    unknown = sum(row["state"] == "unknown" for row in resources)
    rest = len(resources) - len(odd) - unknown
    lines = [
        f"Abnormal: {len(odd)} of {len(resources)} elements ({rest} normal, {unknown} not known)."
    ]
    for row in odd:
        where = f" on {join(row['nodes'])}" if row["nodes"] else ""
        figures = join(figures_of(row))
        lines.append(
            f"  {row['element']}{where}: against its {row['against']}; {figures}".rstrip("; ")
        )
    return lines


def figures_of(row: Mapping[str, Any]) -> list[str]:
    """Return what was measured of an element, each with its name: at its nodes, else of the run."""
    lines = []
    for figure in row["measured"].values():
        entry = signals.catalogue()[figure["signal"]]
        values = [figure["nodes"].get(n) for n in row["nodes"]] or [figure["value"]]
        known = [show(v, str(entry["unit"])) for v in values if v is not None]
        if known:
            lines.append(f"{entry['title']} {', '.join(known)}")
    return lines


def _candidates(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["Candidates: no element is abnormal."]
    lines = ["Candidates: upstream first, then the share of a message's time, then contrast."]
    for row in rows:
        mark = {"cause": "+", "suspect": "!"}.get(row["result"], "-")
        where = f" on {join(row['nodes'])}" if row["nodes"] else ""
        share = "not known" if row["share"] is None else _percent(row["share"])
        score = f"holds up {share} of the time, {row['contrast']:.3g} times its limit"
        lines.append(f"  {mark} {row['element']}{where} ({row['category']}): {score}")
        if row["explains"]:
            lines.append(f"      explains {join(row['explains'])}")
        if row["why_lost"]:
            lines.append(f"      {clean(row['why_lost'])}")
    return lines


def _percent(share: float | None) -> str:
    if share is None:
        return "unknown"
    return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.3g} %"


# -- the page -------------------------------------------------------------------------------------


def page(verdict: Mapping[str, Any], nodes: Sequence[str]) -> dict[str, Any]:
    """Return what the page's section on the mechanism needs."""
    winner = next((c for c in verdict["causes"] if c["result"] == "cause"), None)
    titles = {row["element"]: row["title"] for row in verdict["resources"]}
    return {
        "felt": KINDS[verdict["symptom"]["kind"]],
        "shares": [
            {"text": SHARES[kind], "share": _percent(share), "width": f"{100 * share:.2f}"}
            for kind, share in verdict["symptom"]["shares"].items()
            if share
        ],
        "chain": _chain(verdict, winner),
        "ledger": _bars(verdict["ledger"], nodes),
        "heat": _heat(verdict["resources"], nodes, winner),
        "candidates": [
            {
                **row,
                "share": "not known" if row["share"] is None else _percent(row["share"]),
                "contrast": f"{row['contrast']:.3g}",
                "explains": join(titles.get(name, "") for name in row["explains"]),
            }
            for row in verdict["causes"]
        ],
    }


def _chain(verdict: Mapping[str, Any], winner: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the links from the cause to what was felt."""
    if winner is None:
        return []
    titles = {row["element"]: row["title"] for row in verdict["resources"]}
    where = join(winner["nodes"])
    links = [
        {"kind": "cause", "text": row["title"], "where": "to be put back first"}
        for row in verdict["causes"]
        if row["result"] == "suspect"
    ]
    links.append({"kind": "cause", "text": winner["title"], "where": where})
    explained = [titles[name] for name in winner["explains"] if name in titles]
    if explained:
        links.append({"kind": "through", "text": join(explained), "where": ""})
    # Of a mechanism that nobody has named, the stage is what is known.
    named = winner["element"] != causes.UNLISTED
    held = causes.files()[winner["element"]].holds_up.stages if named else tuple(STAGES)
    known = [row for row in verdict["ledger"]["stages"] if row["share"] and row["stage"] in held]
    if known:
        top = max(known, key=lambda row: row["share"])
        where = f"{_percent(top['share'])} of the time"
        links.append({"kind": "stage", "text": top["title"], "where": where})
    links.append({"kind": "felt", "text": KINDS[verdict["symptom"]["kind"]], "where": ""})
    return links


def _bars(ledger: Mapping[str, Any], nodes: Sequence[str]) -> dict[str, Any] | None:
    """Return the ledger as stacked bars: the run, its baseline, and each node by its seconds."""
    stages = ledger["stages"]
    if ledger["whole_s"] is None:
        return None
    rows = [("the run", [row["share"] for row in stages], show(ledger["whole_s"], "s"))]
    beside = [row.get("baseline_share") for row in stages]
    if any(share is not None for share in beside):
        rows.append(("its baseline", beside, "shares only"))
    for node in nodes:
        seconds = [row["nodes"].get(node) for row in stages]
        total = sum(s for s in seconds if s is not None)
        shares = [s / total if s is not None and total else None for s in seconds]
        rows.append((node, shares, show(total, "s") if total else "not recorded"))
    return {
        "stages": [
            {
                "stage": row["stage"],
                "title": row["title"],
                "seconds": "not known" if row["seconds"] is None else show(row["seconds"], "s"),
                "share": _percent(row["share"]),
                "baseline": ""
                if row.get("baseline_share") is None
                else _percent(row.get("baseline_share")),
            }
            for row in stages
        ],
        "rows": [
            {"name": name, "total": total, "parts": _stacked(stages, shares)}
            for name, shares, total in rows
        ],
        "failures": _failures(ledger),
    }


def _stacked(
    stages: Sequence[Mapping[str, Any]], shares: Sequence[float | None]
) -> list[dict[str, str]]:
    parts, left = [], 0.0
    for row, share in zip(stages, shares, strict=True):
        if share:
            parts.append(
                {
                    "stage": row["stage"],
                    "left": f"{100 * left:.2f}",
                    "width": f"{100 * share:.2f}",
                    "text": f"{row['title']}: {_percent(share)}",
                }
            )
            left += share
    return parts


def _heat(
    resources: Sequence[Mapping[str, Any]],
    nodes: Sequence[str],
    winner: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """Return the table of elements x nodes: the cause, other abnormal ones, then the rest.

    Elements without figures are left out.
    """
    rows = []
    order = {"abnormal": 0, "unknown": 2, "normal": 1}
    cause = None if winner is None else winner["element"]
    for row in sorted(resources, key=lambda r: (r["element"] != cause, order[r["state"]])):
        if not row["measured"]:
            continue
        cells = []
        for place in ("", *nodes):
            # What shows that it is abnormal is what a closed cell tells, and no zero.
            measured = sorted(
                row["measured"].values(),
                key=lambda f: (f["signal"] not in row["signs"], not _at(f, place)),
            )
            figures = [_cell(figure, place) for figure in measured]
            known = [f for f in figures if f is not None]
            here = place in row["nodes"] or row["everywhere"]
            odd = row["state"] == "abnormal" and (here or (not row["nodes"] and not place))
            state = "abnormal" if odd else "normal" if known else "unknown"
            cells.append({"state": state, "place": place or "the run", "figures": known})
        rows.append(
            {
                "title": row["element"].replace("_", " "),
                "state": row["state"],
                "against": row["against"],
                "cells": cells,
                "citations": [
                    c for figure in row["measured"].values() for c in figure["citations"]
                ],
            }
        )
    return rows


def _at(figure: Mapping[str, Any], place: str) -> Any:
    return figure["nodes"].get(place) if place else figure["value"]


def _cell(figure: Mapping[str, Any], place: str) -> dict[str, str] | None:
    value = _at(figure, place)
    if value is None:
        return None
    entry = signals.catalogue()[figure["signal"]]
    return {"title": str(entry["title"]), "value": show(value, str(entry["unit"]))}
