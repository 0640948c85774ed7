"""report.html: one self-contained page about one bundle, for a person."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import usage
from wktriage.core.times import iso
from wktriage.judging.signals.context import Context
from wktriage.judging.wording import clean
from wktriage.report import figures, mechanism, sections, timeline, words

_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def render(bundle: Bundle, verdict: dict[str, Any], cases: Sequence[Any] = ()) -> str:
    """Return report.html for a bundle and its verdict. Deterministic; needs no network.

    ``cases`` are :class:`wktriage.report.CaseLink`.
    """
    script = asset("uPlot.iife.min.js") + "\n" + asset("report.js")
    style = asset("uPlot.min.css") + "\n" + asset("report.css")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            v=verdict,
            words=str(verdict["category"]).replace("_", " "),
            meaning=words.categories().get(verdict["category"], ""),
            sure=words.sure(verdict["confidence"]),
            where=words.where(verdict),
            step=words.next_step(verdict),
            settings=words.settings(verdict),
            identity=words.identity(verdict),
            tampered=words.tampered(verdict),
            cases=cases,
            script=Markup(script),  # noqa: S704 (our own asset, not evidence)
            style=Markup(style),  # noqa: S704 (our own asset, not evidence)
            script_hash=digest(script),
            style_hash=digest(style),
            **_over_time(bundle, verdict),
            **_evidence(bundle, verdict),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("wktriage.report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clean=clean,
        counted=words.counted,
        duration=_seconds,
        href=sections.href,
        links=sections.links,
    )
    return environment


def _over_time(bundle: Bundle, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template needs to draw: plots, marks and lanes on one axis."""
    offered = verdict["signals"].get("offered_rate", {}).get("value")
    run = timeline.build(bundle, float(offered) if isinstance(offered, int | float) else None)
    panels = figures.plots(run)
    moments = figures.marks(run, verdict)
    span = figures.span(run)
    data = {
        "plots": panels,
        "marks": moments,
        "range": span,
        "window": [0, round(run.window[1] - run.zero, 2)] if run.window else None,
    }
    return {
        "panels": [{**p, "figures": figures.table(p, span)} for p in panels],
        "missing": run.missing,
        "lanes": figures.lanes(run),
        "seen": {s.state for spans in run.lanes.values() for s in spans},
        "moments": moments,
        "lines": figures.on_axis(moments, span),
        "axis": {"zero": iso(run.zero) if run.zero else None, "window": run.window is not None},
        "data": embedded(data),
    }


def _evidence(bundle: Bundle, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template needs for the sections below the timeline."""
    context = Context(bundle)
    return {
        "mechanism": mechanism.page(verdict, bundle.nodes),
        "nodes": bundle.nodes,
        "rules": sections.rules(verdict),
        "counts": Counter(r["result"] for r in verdict["rules"]),
        "logs": sections.logs(context),
        "logged": any(context.logs[n].files for n in (*bundle.nodes, usage.SIM)),
        "profiles": sections.profiles(bundle),
        "baseline": bundle.read_json("references/baseline.json"),
        "fingerprint": sections.flat(bundle.read_json("fingerprint.json") or {}),
        "collectors": sections.collectors(bundle),
        "files": sections.files(bundle),
    }


def embedded(value: Any) -> Markup:
    """Return JSON that is safe inside a script element whatever its strings hold."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return Markup("".join(_ESCAPES.get(c, c) for c in text))  # noqa: S704 (escaped just above)


@cache
def asset(name: str) -> str:
    """Return the text of one of our own assets."""
    return resources.files("wktriage.report").joinpath("assets", name).read_text("utf-8")


def digest(text: str) -> str:
    """Return the hash by which a page allows one of its own scripts or styles."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _seconds(value: Any) -> str:
    return "unknown" if value is None else f"{float(value):.0f} s"
