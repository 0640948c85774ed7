"""What a person sees in a terminal: elapsed times, causes of failures, the verdict, live lines."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wktriage.core.terminal import visible
from wktriage.report import words

LABEL_WIDTH = 11

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
            gave is not repeated.
    """
    lines: list[str] = []
    shown = ""
    for key in (*CAUSE_KEYS, *CAUSE_KEYS_LAST):
        value = result.get(key)
        if value is None or value in ("", [], {}):
            continue
        text = visible(_text(value)).strip("\n")
        if key == "rc" and value == 0:
            continue
        shown += text + "\n"
        first, *rest = text.splitlines() or [""]
        lines.append(f"{key}: {first}" if not rest else f"{key}:")
        lines += [f"  {line}" for line in ([first, *rest] if rest else [])]
    for message in chain:
        text = visible(message).strip().rstrip(".")
        if text and text not in GENERIC_CAUSES and text not in shown:
            shown += text + "\n"
            lines += ["cause:", *(f"  {line}" for line in text.splitlines())]
    return lines or ["the task gave no reason: run again with -vvv"]


def verdict_lines(verdict: Mapping[str, Any], width: int = 100) -> list[str]:
    """Return a verdict as lines of at most ``width`` columns (at least 40), labels in front.

    Strings in verdict.json may stem from evidence: control characters are made visible.
    """
    return labelled(words.rows(verdict), width)


def labelled(rows: Iterable[Sequence[str | None]], width: int = 100) -> list[str]:
    """Return pairs of label and text as lines of at most ``width`` columns (at least 40).

    A text without a label stands at the edge.
    """
    lines: list[str] = []
    for label, text in rows:
        lines += textwrap.wrap(
            visible(text or "").replace("\n", " "),
            max(40, width),
            initial_indent="" if label is None else f"{label:<{LABEL_WIDTH}}",
            subsequent_indent=" " * LABEL_WIDTH,
            break_on_hyphens=False,
        )
    return lines


def command_lines(verdict: Mapping[str, Any]) -> list[str]:
    """Return the command of the next step on one line, to be copied; empty when none is needed."""
    step = words.next_step(verdict)
    if step.command is None:
        return []
    command = visible(step.command).replace("\n", " ")
    if command.startswith("wktriage "):
        command = program() + command.removeprefix("wktriage")
    return ["Command of the next step:", f"  {command}", *([f"  {step.note}"] if step.note else [])]


def program() -> str:
    """Return how ``wktriage`` is called here: by its name when on PATH, else by its path."""
    ours = Path(sys.executable).with_name("wktriage")
    on_path = shutil.which("wktriage")
    if on_path is not None and os.path.realpath(on_path) == os.path.realpath(ours):
        return "wktriage"
    return os.path.relpath(ours) if ours.is_relative_to(Path.cwd()) else str(ours)


def box(lines: Iterable[str], title: str, width: int = 100) -> list[str]:
    """Draw a frame of ``width`` inner columns around the lines."""
    top = f"╭─ {title} " + "─" * max(0, width - len(title) - 1) + "╮"
    return [top, *(f"│ {line:<{width}} │" for line in lines), "╰" + "─" * (width + 2) + "╯"]


def live(text: str, width: int) -> str:
    """Return what puts ``text`` on the live line of a terminal of ``width`` columns.

    The cursor goes back to the start of the line, so that what is printed next overwrites it.
    An empty text clears the line.
    """
    return f"\r\x1b[K{text[: max(0, width - 1)]}\r"
