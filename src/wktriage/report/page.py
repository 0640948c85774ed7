"""report.html: one self-contained page about one bundle, for a person."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import pprof, usage
from wktriage.bundle.readers.jsonl import number
from wktriage.core.times import iso, parse_time
from wktriage.judging import signals
from wktriage.judging.rules import DIRECTORY
from wktriage.judging.signals.context import Context
from wktriage.judging.signals.logs import templates as log_templates
from wktriage.judging.wording import clean, show
from wktriage.report import timeline

TEMPLATES_SHOWN = 40
FUNCTIONS_SHOWN = 8
LEAVES_SHOWN = 6
LANE_WORDS = 6
COLLECTOR_NUMBERS = (("duration_s", "s"), ("bytes", ""))
FIGURE_ROWS = 24
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
"""Lengths (s) of the time steps that the figures beside a plot are averaged over."""

HUES = 4
"""Colours for nodes; more nodes than that share them. The simulator has the one after."""

_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
CONFIDENCE_WORDS = ((0.85, "very likely"), (0.7, "likely"), (0.5, "more likely than not"))


@cache
def _asset(name: str) -> str:
    return resources.files("wktriage.report").joinpath("assets", name).read_text("utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def sure(confidence: float) -> str:
    """Return a confidence (0 to 1) in words."""
    return next((words for least, words in CONFIDENCE_WORDS if confidence >= least), "uncertain")


def embedded(value: Any) -> Markup:
    """Return JSON that is safe inside a script element whatever its strings hold."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return Markup("".join(_ESCAPES.get(c, c) for c in text))  # noqa: S704 (escaped just above)


@cache
def meanings() -> dict[str, str]:
    """Return what each category means: the first paragraph of its page in rules/."""
    found = {}
    for path in sorted(DIRECTORY.glob("*.md")):
        _, _, after = path.read_text(encoding="utf-8").partition("## Means\n\n")
        found[path.stem] = " ".join(after.partition("\n\n")[0].replace("`", "").split())
    return found


def plots(run: timeline.Timeline) -> list[dict[str, Any]]:
    """Return the panels for the page's script: every line has its own x (s since the window began).

    A y of None is a moment at which something was asked and not answered: the line breaks there.
    """
    nodes = tuple(run.lanes)
    found = []
    for panel in run.panels:
        lines = []
        for line in panel.series:
            held = {round(t - run.zero, 2): _rounded(v) for t, v in line.points}
            xs = sorted(held)
            name = clean(line.name, 60)
            ys = [held[x] for x in xs]
            lines.append({"name": name, "hue": _hue(line.name, nodes), "x": xs, "y": ys})
        found.append(
            {
                "key": panel.key,
                "title": panel.title,
                "unit": panel.unit,
                "note": panel.note,
                "holds": panel.holds,
                "band": None if panel.band is None else [_rounded(v) for v in panel.band],
                "lines": lines,
            }
        )
    return found


def _hue(name: str, nodes: Sequence[str]) -> int:
    """Return the colour of a line: the same for a node in all plots, 0 (grey) for references."""
    if name in nodes:
        return 1 + nodes.index(name) % HUES
    return {"offered": 0, "whole host": 0, "receive errors": 2, "wk-sim": HUES + 1}.get(name, 1)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def figures(panel: Mapping[str, Any], span: Sequence[float]) -> dict[str, Any]:
    """Return a plot as a table: least, mean and most of every line, then its mean by time step.

    ``span`` is the axis (from, to) in seconds.
    """
    lines = panel["lines"]
    step = next((n for n in STEPS if (span[1] - span[0]) / n <= FIGURE_ROWS), STEPS[-1])
    known = [[v for v in line["y"] if v is not None] for line in lines]
    rows = [
        ("least", [show(min(k, default=None)) for k in known]),
        ("mean", [show(_mean(k)) for k in known]),
        ("most", [show(max(k, default=None)) for k in known]),
    ]
    for begin in range(math.floor(span[0] / step) * step, math.ceil(span[1]), step):
        means = [
            _mean(
                [
                    y
                    for x, y in zip(line["x"], line["y"], strict=True)
                    if y is not None and begin <= x < begin + step
                ]
            )
            for line in lines
        ]
        if any(m is not None for m in means):
            shown = ["–" if m is None else show(m) for m in means]
            rows.append((f"{begin} to {begin + step} s", shown))
    return {"names": [line["name"] for line in lines], "rows": rows}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def marks(run: timeline.Timeline, verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the moments to mark on every plot (s since the window began), in their order.

    The verdict's own is not always the first: what else fired may have begun before. A rule's
    moment is the earliest that one of the signals that made it fire names.
    """
    found = []
    since = parse_time(verdict["since"])
    if since is not None:
        found.append({"at": round(since - run.zero, 2), "kind": "since", "text": ""})
    moments: dict[tuple[str, str], list[str]] = {}
    for rule in verdict["rules"]:
        if rule["result"] != "fired" or rule["role"] != "decides" or rule["category"] == "healthy":
            continue
        held = [x["signal"] for x in rule["trace"] if x["result"] == "yes"]
        began = [(verdict["signals"].get(name, {}).get("since"), name) for name in held]
        known = [b for b in began if isinstance(b[0], str) and parse_time(b[0]) is not None]
        if known:
            moments.setdefault(min(known), []).append(str(rule["id"]))
    for (moment, signal), ids in sorted(moments.items()):
        at = round((parse_time(moment) or 0.0) - run.zero, 2)
        found.append({"at": at, "kind": "rule", "text": f"{signal}: {', '.join(ids)}"})
    found.sort(key=lambda m: (m["at"], m["kind"] != "since"))
    for i, mark in enumerate(found):
        if mark["kind"] == "since":
            words = str(verdict["category"]).replace("_", " ")
            mark["text"] = f"{words} since here" if i else "first sign of trouble"
        mark["time"] = _clock(run.zero + float(str(mark["at"])))[:8]
    return found


def rules(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rules for the table: the verdict's own category first, telling leaves first."""
    catalogue = signals.catalogue()
    ordered = sorted(verdict["rules"], key=lambda r: r["category"] != verdict["category"])
    telling = {"fired": "yes", "not_fired": "no", "unknown": "unknown"}
    found = []
    for rule in ordered:
        nodes = rule["nodes"]

        def rank(leaf: Mapping[str, Any], rule: Mapping[str, Any] = rule) -> tuple[bool, bool]:
            return (
                leaf["result"] != telling[rule["result"]],
                bool(rule["nodes"])
                and leaf["node"] is not None
                and leaf["node"] not in rule["nodes"],
            )

        leaves = sorted(rule["trace"], key=rank)
        shown = []
        for leaf in leaves[:LEAVES_SHOWN]:
            unit = catalogue.get(leaf["signal"], {}).get("unit", "")
            shown.append(
                {
                    "signal": leaf["signal"],
                    "node": leaf["node"],
                    "value": show(leaf["value"], unit),
                    "wanted": f"{leaf['op']} {show(leaf['threshold'], unit)}",
                    "result": leaf["result"],
                    "why": clean(leaf.get("why_unknown", ""), 120),
                }
            )
        found.append(
            {
                "id": rule["id"],
                "result": rule["result"],
                "role": rule["role"],
                "own": rule["category"] == verdict["category"],
                "category": str(rule["category"]).replace("_", " "),
                "nodes": nodes,
                "leaves": shown,
                "more": max(0, len(leaves) - LEAVES_SHOWN),
                "citations": [c for leaf in leaves for c in leaf["citations"][:1]],
            }
        )
    return found


def profiles(bundle: Bundle, nodes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the CPU profile of every node by package group, as shares of its samples."""
    found: list[dict[str, Any]] = []
    for node in nodes:
        rel = f"pprof/{bundle.metrics_key(node)}-cpu.pb.gz"
        data = bundle.read_bytes(rel) if bundle.exists(rel) else None
        profile = pprof.decode(data) if data else None
        if profile is None or not profile.total:
            found.append({"node": node, "why": bundle.error(rel) or "not recorded", "groups": []})
            continue
        top = sorted(profile.groups.items(), key=lambda kv: (-kv[1], kv[0]))[:FUNCTIONS_SHOWN]
        groups = [{"name": clean(k, 60), "share": v / profile.total} for k, v in top]
        found.append({"node": node, "why": "", "groups": groups, "cores": show(profile.cores)})
    return found


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


def links(citations: Sequence[Mapping[str, Any]], most: int = 3) -> list[dict[str, str]]:
    """Return the first few citations as links, one for each place."""
    found: dict[str, dict[str, str]] = {}
    for citation in citations:
        shown = link(citation)
        if len(found) < most or shown["text"] in found:
            found.setdefault(shown["text"], shown)
    return list(found.values())


def lanes(run: timeline.Timeline) -> list[dict[str, Any]]:
    """Return the node lanes as percentages of the common axis."""
    length = run.end - run.start
    found: list[dict[str, Any]] = []
    for node, spans in run.lanes.items():
        shown = [
            {
                "left": f"{(max(s.start, run.start) - run.start) / length * 100:.2f}",
                "width": f"{(min(s.end, run.end) - max(s.start, run.start)) / length * 100:.2f}",
                "state": s.state,
                "text": f"{s.text}, {_clock(s.start)[:8]} to {_clock(s.end)[:8]}",
            }
            for s in spans
        ]
        bad = [s for s in spans if s.state != "up"]
        words = [f"{s.text} from {_clock(s.start)[:8]} for {s.end - s.start:.0f} s" for s in bad]
        if len(bad) > LANE_WORDS:
            words = [*words[:LANE_WORDS], f"and {len(bad) - LANE_WORDS} more"]
        found.append({"node": node, "spans": shown, "bad": words, "recorded": bool(spans)})
    return found


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
    found: list[dict[str, Any]] = []
    for rel in sorted({*bundle.files, *listed}):
        digest = bundle.sha256(rel)
        met, status = "yes", "as listed" if listed else "there"
        if not bundle.exists(rel):
            met, status = "no", "missing"
        elif not digest:
            met, status = "no", "cannot be read"
        elif rel in listed and listed[rel].get("sha256") != digest:
            met, status = "no", "differs from the manifest"
        elif rel.endswith(".err"):
            met = "unknown"
            status = f"not fetched: {clean(bundle.error(rel.removesuffix('.err')), 120)}"
        elif listed and rel not in listed and rel != "manifest.json":
            met, status = "unknown", "not in the manifest"
        found.append(
            {"path": rel, "bytes": bundle.size(rel), "sha256": digest, "met": met, "status": status}
        )
    return found


def collectors(bundle: Bundle) -> list[dict[str, Any]]:
    """Return what the manifest says of the collectors, as text."""
    entries = (bundle.manifest or {}).get("collectors")
    found = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            text = {k: clean(entry.get(k), 60) for k in ("name", "host", "status")}
            error = clean(entry.get("error") or "", 160)
            numbers = {k: show(number(entry.get(k)), u) for k, u in COLLECTOR_NUMBERS}
            found.append({**text, **numbers, "error": error})
    return found


def render(bundle: Bundle, verdict: dict[str, Any]) -> str:
    """Return report.html for a bundle and its verdict. Deterministic; needs no network."""
    context = Context(bundle)
    offered = verdict["signals"].get("offered_rate", {}).get("value")
    run = timeline.build(bundle, float(offered) if isinstance(offered, int | float) else None)
    panels = plots(run)
    moments = marks(run, verdict)
    span = [round(run.start - run.zero, 2), round(run.end - run.zero, 2)]
    data = {
        "plots": panels,
        "marks": moments,
        "range": span,
        "window": [0, round(run.window[1] - run.zero, 2)] if run.window else None,
    }
    script = _asset("uPlot.iife.min.js") + "\n" + _asset("report.js")
    style = _asset("uPlot.min.css") + "\n" + _asset("report.css")
    fingerprint = bundle.read_json("fingerprint.json") or {}
    environment = Environment(
        loader=PackageLoader("wktriage.report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clean=clean, href=href, links=links, duration=_seconds)
    return environment.get_template(
        "report.html.j2"
    ).render(
        v=verdict,
        words=str(verdict["category"]).replace("_", " "),
        meaning=meanings().get(verdict["category"], ""),
        sure=sure(verdict["confidence"]),
        panels=[{**p, "figures": figures(p, span)} for p in panels],
        missing=run.missing,
        lanes=lanes(run),
        seen={s.state for spans in run.lanes.values() for s in spans},
        moments=moments,
        lines=[
            {**m, "left": f"{(m['at'] - span[0]) / (span[1] - span[0]) * 100:.2f}"}
            for m in moments
            if span[0] <= m["at"] <= span[1]
        ],
        axis={"zero": iso(run.zero) if run.zero else None, "window": run.window is not None},
        rules=rules(verdict),
        data=embedded(data),
        script=Markup(script),  # noqa: S704 (our own asset, not evidence)
        style=Markup(style),  # noqa: S704 (our own asset, not evidence)
        script_hash=_hash(script),
        style_hash=_hash(style),
        logs=[{**t, "first": _clock(t["first"])} for t in log_templates(context)[:TEMPLATES_SHOWN]],
        logged=any(context.logs[n].files for n in (*bundle.nodes, usage.SIM)),
        profiles=profiles(bundle, bundle.nodes),
        baseline=bundle.read_json("references/baseline.json"),
        fingerprint=_flat(fingerprint),
        collectors=collectors(bundle),
        counts=Counter(r["result"] for r in verdict["rules"]),
        files=files(bundle),
    )


def _seconds(value: Any) -> str:
    return "unknown" if value is None else f"{float(value):.0f} s"


def _clock(moment: Any) -> str:
    """Return the time of day (UTC, ms) of epoch seconds."""
    text = iso(moment) if isinstance(moment, float) else None
    return text[11:23] if text else "unknown"


def _flat(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return a nested document as (dotted name, text) rows."""
    found: list[tuple[str, str]] = []
    for key in sorted(document):
        value = document[key]
        name = f"{prefix}{clean(key, 60)}"
        if isinstance(value, Mapping) and value:
            found += _flat(value, name + ".")
        else:
            shown = json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
            found.append((name, clean(shown, 200)))
    return found
