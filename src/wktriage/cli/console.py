"""What a person sees in a terminal: elapsed times, the cause of a failure, the verdict box."""

from __future__ import annotations

import os
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

#: Keys of a task result that tell why it failed, in the order in which a person wants them.
CAUSE_KEYS = ("msg", "reason", "rc", "status", "cmd", "stderr", "module_stderr", "stdout")
CAUSE_KEYS_LAST = ("module_stdout", "results_file", "path", "errors", "argument_errors")
#: What ansible-core says of every failure.
GENERIC_CAUSES = ("Task failed", "Module failed", "Action failed")


def is_plain(stream_is_tty: bool, env: Mapping[str, str] = os.environ) -> bool:
    """Tell whether to print plain lines: no terminal, CI, a dumb terminal, or asked for.

    ``WKTRIAGE_PLAIN=1`` is how a caller that runs us behind a pseudo-terminal says that its own
    output is no terminal.
    """
    return (
        not stream_is_tty
        or bool(env.get("CI"))
        or env.get("TERM") == "dumb"
        or env.get("WKTRIAGE_PLAIN") == "1"
    )


def elapsed(seconds: float) -> str:
    """Format a duration in seconds as ``m:ss`` (``h:mm:ss`` from one hour on)."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def visible(text: str) -> str:
    """Make control characters visible, so that shown text cannot drive the terminal.

    Newlines and tabs stay. Bidirectional overrides count as control characters.
    """
    return "".join(
        c
        if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs")
        else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in text.replace("\r\n", "\n")
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return " ".join(str(v) for v in value)
    return str(value)


def cause_lines(result: Mapping[str, Any], chain: Iterable[str] = ()) -> list[str]:
    """Return the lines that say why a task failed: everything it told, nothing cut off.

    Args:
        result: the task's result.
        chain: messages of the exception and its causes, outermost first; one that the result
            already told is not told twice.
    """
    lines: list[str] = []
    told = ""
    for key in (*CAUSE_KEYS, *CAUSE_KEYS_LAST):
        value = result.get(key)
        if value is None or value in ("", [], {}):
            continue
        text = visible(_text(value)).strip("\n")
        if key == "rc" and value == 0:
            continue
        told += text + "\n"
        first, *rest = text.splitlines() or [""]
        lines.append(f"{key}: {first}" if not rest else f"{key}:")
        lines += [f"  {line}" for line in ([first, *rest] if rest else [])]
    for message in chain:
        text = visible(message).strip().rstrip(".")
        if text and text not in GENERIC_CAUSES and text not in told:
            told += text + "\n"
            lines += ["cause:", *(f"  {line}" for line in text.splitlines())]
    return lines or ["the task gave no reason: run again with -vvv"]


def verdict_lines(verdict: Mapping[str, Any], width: int = 100) -> list[str]:
    """Return the lines of the verdict box's inside, wrapped to ``width`` columns.

    Args:
        verdict: verdict.json as read. Strings in it may stem from evidence and are made visible.
        width: inner width in columns, at least 40.
    """
    width = max(40, width)
    rows: list[tuple[str, str]] = []
    if verdict.get("replay_of"):
        rows.append(("", f"REPLAY of {verdict['replay_of']}"))
    rows.append(("category", str(verdict.get("category", "unknown"))))
    confidence = verdict.get("confidence")
    if isinstance(confidence, int | float):
        rows.append(("confidence", f"{confidence:.2f}"))
    if verdict.get("component") not in (None, "none"):
        rows.append(("component", str(verdict["component"])))
    if verdict.get("nodes"):
        rows.append(("where", ", ".join(str(n) for n in verdict["nodes"])))
    if verdict.get("since"):
        rows.append(("since", str(verdict["since"])))
    rows += [("stop", str(s.get("text", s))) for s in verdict.get("hard_stops") or []]
    rows += [("because", str(r.get("text", r))) for r in (verdict.get("reasons") or [])[:3]]
    rows += [
        ("not", f"{a.get('category')}: {a.get('why_not')}")
        for a in (verdict.get("alternatives") or [])[:1]
    ]
    if verdict.get("unknown"):
        rows.append(("unknown", f"{len(verdict['unknown'])} things, see the report"))
    step = verdict.get("next_experiment") or {}
    if step.get("variable"):
        before, after = step.get("from"), step.get("to")
        change = f": {before} -> {after}" if before != after else ""
        rows.append(("next", f"{step['variable']}{change}"))
    lines: list[str] = []
    for label, text in rows:
        lines += textwrap.wrap(
            visible(text).replace("\n", " "),
            width,
            initial_indent=f"{label:<11}" if label else "",
            subsequent_indent=" " * 11,
            break_on_hyphens=False,
        )
    return lines


def box(lines: Iterable[str], title: str, width: int = 100) -> list[str]:
    """Draw a frame of ``width`` inner columns around the lines."""
    top = f"╭─ {title} " + "─" * max(0, width - len(title) - 1) + "╮"
    return [top, *(f"│ {line:<{width}} │" for line in lines), "╰" + "─" * (width + 2) + "╯"]
