"""The page's sections of evidence: rules, logs, profiles, collectors, files, and links to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import pprof
from wktriage.bundle.readers.jsonl import number
from wktriage.judging import signals
from wktriage.judging.signals.context import Context
from wktriage.judging.signals.logs import templates as log_templates
from wktriage.judging.wording import clean, show
from wktriage.report import figures, words

TEMPLATES_SHOWN = 40
FUNCTIONS_SHOWN = 8
LEAVES_SHOWN = 6
FILES_SHOWN = 5000
CITATIONS_SHOWN = 3
COLLECTOR_NUMBERS = (("duration_s", "s"), ("bytes", ""))


def rules(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rules for the table: the verdict's own category first, telling leaves first."""
    ordered = sorted(verdict["rules"], key=lambda r: r["category"] != verdict["category"])
    return [_rule(rule, own=rule["category"] == verdict["category"]) for rule in ordered]


def _rule(rule: Mapping[str, Any], *, own: bool) -> dict[str, Any]:
    telling = {"fired": "yes", "not_fired": "no", "unknown": "unknown"}[rule["result"]]
    nodes = rule["nodes"]

    def rank(leaf: Mapping[str, Any]) -> tuple[bool, bool]:
        elsewhere = bool(nodes) and leaf["node"] is not None and leaf["node"] not in nodes
        return leaf["result"] != telling, elsewhere

    leaves = sorted(rule["trace"], key=rank)
    return {
        "id": rule["id"],
        "result": rule["result"],
        "own": own,
        "category": str(rule["category"]).replace("_", " "),
        "nodes": nodes,
        "leaves": [_leaf(leaf) for leaf in leaves[:LEAVES_SHOWN]],
        "more": max(0, len(leaves) - LEAVES_SHOWN),
        "citations": [c for leaf in leaves for c in leaf["citations"][:1]],
    }


def _leaf(leaf: Mapping[str, Any]) -> dict[str, Any]:
    unit = signals.catalogue().get(leaf["signal"], {}).get("unit", "")
    return {
        "signal": leaf["signal"],
        "node": leaf["node"],
        "value": show(leaf["value"], unit),
        "threshold": f"{leaf['op']} {show(leaf['threshold'], unit)}",
        "result": leaf["result"],
        "why": clean(leaf.get("why_unknown", ""), 120),
    }


def logs(context: Context) -> list[dict[str, Any]]:
    """Return the most frequent templates of WARN and ERROR lines, each with its first line."""
    return [
        {**template, "first": figures.clock(template["first"])}
        for template in log_templates(context)[:TEMPLATES_SHOWN]
    ]


def profiles(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the CPU profile of every node by package group, as shares of its samples."""
    shown: list[dict[str, Any]] = []
    for node in bundle.nodes:
        rel = f"pprof/{bundle.metrics_key(node)}-cpu.pb.gz"
        data = bundle.read_bytes(rel, pprof.CAP + 1) if bundle.exists(rel) else None
        profile = pprof.decode(data) if data else None
        if profile is None or not profile.total:
            shown.append({"node": node, "why": bundle.error(rel) or "not recorded", "groups": []})
            continue
        top = sorted(profile.groups.items(), key=lambda kv: (-kv[1], kv[0]))[:FUNCTIONS_SHOWN]
        groups = [{"name": clean(k, 60), "share": v / profile.total} for k, v in top]
        shown.append({"node": node, "why": "", "groups": groups, "cores": show(profile.cores)})
    return shown


def href(rel: object) -> str:
    """Return the relative address of a bundle file, whatever bytes its name holds."""
    return quote(str(rel), errors="surrogateescape")


def link(citation: Mapping[str, Any]) -> dict[str, str]:
    """Return a citation as a relative link into the bundle and what to look for there."""
    where = str(citation["file"])
    text = where if citation.get("line") is None else f"{where}:{citation['line']}"
    what = citation.get("series") or citation.get("pointer") or citation.get("excerpt") or ""
    value = citation.get("value")
    title = clean(what, 160) + ("" if value is None else f" = {clean(value, 60)}")
    return {"href": href(where), "text": clean(text, 80), "title": title}


def links(
    citations: Sequence[Mapping[str, Any]], most: int = CITATIONS_SHOWN
) -> list[dict[str, str]]:
    """Return the first few citations as links, one for each place."""
    by_place: dict[str, dict[str, str]] = {}
    for citation in citations:
        shown = link(citation)
        if len(by_place) < most or shown["text"] in by_place:
            by_place.setdefault(shown["text"], shown)
    return list(by_place.values())


def files(bundle: Bundle) -> list[dict[str, Any]]:
    """Return every file that the bundle has or should have, with its status.

    ``met`` is "yes" for a file that is as the manifest lists it (a plain bundle lists none).
    """
    entries = (bundle.manifest or {}).get("files")
    listed = {
        e["path"]: e
        for e in (entries if isinstance(entries, list) else [])
        if isinstance(e, dict) and isinstance(e.get("path"), str)
    }
    shown: list[dict[str, Any]] = []
    added = frozenset(bundle.added)
    names = sorted({*bundle.files, *bundle.added, *listed})
    for rel in names[:FILES_SHOWN]:
        digest = bundle.sha256(rel)
        met, status = "yes", "as listed" if listed else "present"
        if rel in added:
            met, status = "no", "not in the manifest, not used"
        elif not bundle.exists(rel):
            met, status = "no", "missing"
        elif not digest:
            met, status = "no", "cannot be read"
        elif rel in listed and listed[rel].get("sha256") != digest:
            met, status = "no", "differs from the manifest"
        elif rel.endswith(".err"):
            met = "unknown"
            status = f"not fetched: {clean(bundle.error(rel.removesuffix('.err')), 120)}"
        shown.append(
            {"path": rel, "bytes": bundle.size(rel), "sha256": digest, "met": met, "status": status}
        )
    if more := len(names) - len(shown):
        rest = {"path": words.counted(more, "more file"), "bytes": 0, "sha256": ""}
        shown.append({**rest, "met": "unknown", "status": "not shown"})
    return shown


def collectors(bundle: Bundle) -> list[dict[str, Any]]:
    """Return what the manifest says of the collectors, as text."""
    entries = (bundle.manifest or {}).get("collectors")
    shown = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            text = {k: clean(entry.get(k), 60) for k in ("name", "host", "status")}
            error = clean(entry.get("error") or "", 160)
            numbers = {k: show(number(entry.get(k)), u) for k, u in COLLECTOR_NUMBERS}
            shown.append({**text, **numbers, "error": error})
    return shown


def flat(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return a nested document as (dotted name, text) rows."""
    rows: list[tuple[str, str]] = []
    for key in sorted(document):
        value = document[key]
        name = f"{prefix}{clean(key, 60)}"
        if isinstance(value, Mapping) and value:
            rows += flat(value, name + ".")
        else:
            shown = json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
            rows.append((name, clean(shown, 200)))
    return rows
