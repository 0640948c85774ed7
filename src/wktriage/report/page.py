"""report.html: one self-contained page about one bundle, for a person."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wktriage import signals
from wktriage.bundle import Bundle
from wktriage.readers import pprof
from wktriage.readers.times import iso, parse_time
from wktriage.report import timeline
from wktriage.rules import DIRECTORY
from wktriage.signals.context import Context
from wktriage.signals.logs import templates as log_templates
from wktriage.wording import clean, show

TEMPLATES_SHOWN = 40
FUNCTIONS_SHOWN = 8
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
        found[path.stem] = " ".join(after.partition("\n\n")[0].split())
    return found


def plots(run: timeline.Timeline) -> list[dict[str, Any]]:
    """Return the panels as uPlot takes them: one x (s since the window began) for all lines."""
    zero = run.window[0] if run.window else run.start
    found = []
    for panel in run.panels:
        xs = sorted({round(t - zero, 2) for s in panel.series for t, _ in s.points})
        columns = []
        for line in panel.series:
            held = {round(t - zero, 2): v for t, v in line.points}
            columns.append([_rounded(held[x]) if x in held else None for x in xs])
        gaps = [
            [round(t - zero, 2) for t, value in line.points if value is None]
            for line in panel.series
        ]
        found.append(
            {
                "key": panel.key,
                "title": panel.title,
                "unit": panel.unit,
                "note": panel.note,
                "step": panel.step,
                "names": [s.name for s in panel.series],
                "data": [xs, *columns],
                "gaps": gaps,
            }
        )
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def summary_rows(panel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return min, mean, max and last of every line of a plot, for those who do not see it."""
    rows = []
    for name, column in zip(panel["names"], panel["data"][1:], strict=True):
        values = [v for v in column if v is not None]
        mean = sum(values) / len(values) if values else None
        rows.append(
            {
                "name": name,
                "min": show(min(values, default=None)),
                "mean": show(mean),
                "max": show(max(values, default=None)),
                "last": show(values[-1] if values else None),
            }
        )
    return rows


def marks(run: timeline.Timeline, verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the moments to mark on every plot (s since the window began), first bad one first."""
    zero = run.window[0] if run.window else run.start
    found = []
    since = parse_time(verdict["since"])
    if since is not None:
        found.append({"at": round(since - zero, 2), "kind": "since", "text": "first sign"})
    seen = {verdict["since"]}
    for rule in verdict["rules"]:
        if rule["result"] != "fired" or rule["role"] != "decides":
            continue
        began = next((x["since"] for x in rule["trace"] if x.get("since")), None)
        moment = parse_time(began)
        if moment is not None and began not in seen:
            seen.add(began)
            found.append({"at": round(moment - zero, 2), "kind": "rule", "text": rule["id"]})
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


def link(citation: Mapping[str, Any]) -> dict[str, str]:
    """Return a citation as a relative link into the bundle and what to look for there."""
    where = str(citation["file"])
    text = where if citation.get("line") is None else f"{where}:{citation['line']}"
    what = citation.get("series") or citation.get("pointer") or citation.get("excerpt") or ""
    value = citation.get("value")
    title = clean(what, 160) + ("" if value is None else f" = {clean(value, 60)}")
    return {"href": quote(where), "text": clean(text, 80), "title": title}


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
                "text": f"{s.text}, {iso(s.start)} to {iso(s.end)}",
            }
            for s in spans
        ]
        bad = [s for s in spans if s.state != "up"]
        found.append(
            {
                "node": node,
                "spans": shown,
                "bad": [f"{s.text} from {iso(s.start)} for {s.end - s.start:.0f} s" for s in bad][
                    :6
                ],
                "recorded": bool(spans),
            }
        )
    return found


def render(bundle: Bundle, verdict: dict[str, Any]) -> str:
    """Return report.html for a bundle and its verdict. Deterministic; needs no network."""
    context = Context(bundle)
    offered = verdict["signals"].get("offered_rate", {}).get("value")
    run = timeline.build(bundle, float(offered) if isinstance(offered, int | float) else None)
    panels = plots(run)
    zero = run.window[0] if run.window else run.start
    data = {
        "plots": panels,
        "marks": marks(run, verdict),
        "range": [round(run.start - zero, 2), round(run.end - zero, 2)],
        "window": [0, round(run.window[1] - zero, 2)] if run.window else None,
    }
    script = _asset("uPlot.iife.min.js") + "\n" + _asset("report.js")
    style = _asset("uPlot.min.css") + "\n" + _asset("report.css")
    manifest = bundle.manifest or {}
    fingerprint = bundle.read_json("fingerprint.json") or {}
    environment = Environment(
        loader=PackageLoader("wktriage.report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clean=clean, show=show, link=link, duration=_seconds)
    return environment.get_template(
        "report.html.j2"
    ).render(
        v=verdict,
        words=str(verdict["category"]).replace("_", " "),
        meaning=meanings().get(verdict["category"], ""),
        sure=sure(verdict["confidence"]),
        panels=[{**p, "rows": summary_rows(p)} for p in panels],
        missing=run.missing,
        lanes=lanes(run),
        axis={"start": iso(run.start), "end": iso(run.end), "zero": iso(zero)},
        data=embedded(data),
        script=Markup(script),  # noqa: S704 (our own asset, not evidence)
        style=Markup(style),  # noqa: S704 (our own asset, not evidence)
        script_hash=_hash(script),
        style_hash=_hash(style),
        logs=log_templates(context)[:TEMPLATES_SHOWN],
        profiles=profiles(bundle, bundle.nodes),
        baseline=bundle.read_json("references/baseline.json"),
        fingerprint=_flat(fingerprint),
        collectors=manifest.get("collectors") or [],
        files=[
            {"path": r, "bytes": bundle.size(r), "sha256": bundle.sha256(r)}
            for r in sorted(bundle.files)
        ],
        catalogue=signals.catalogue(),
    )


def _seconds(value: Any) -> str:
    return "unknown" if value is None else f"{float(value):.0f} s"


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
