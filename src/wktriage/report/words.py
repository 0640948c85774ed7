"""The words of a verdict, once: the screen, the summary and the page all say the same.

A verdict comes from verdict.json, which may have been written by somebody else: what is missing is
unknown, and whoever shows a text escapes it for where it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from wktriage.core.paths import PROJECT

NODES_SHOWN = 6
REASONS_SHOWN = 3
MISMATCHES_SHOWN = 5
DIGEST_SHOWN = 16
CONFIDENCE_WORDS = ((0.85, "very likely"), (0.7, "likely"), (0.5, "more likely than not"))
CHECKOUT = "wukongim_checkout=PATH"
CHECKOUT_NOTE = "PATH is your WuKongIM checkout."
BINARIES = "wukongim_binary=PATH"
BINARIES_NOTE = "Each PATH is that of the binary, INVENTORY is the one of your hosts."
OLD_DATA = "mode=accumulated"
OLD_DATA_NOTE = (
    "It goes on with the data that is there: add -e data_root=DIR if this run had its own."
)
NO_STEP = "none needed"

FIRST_SIGNS = {
    "active_users_changes": "the number of active users changes",
    "connections_lost": "the first connections are lost",
    "corrupt_state_logged": "a log speaks of corrupt state",
    "disk_full_logged": "a log speaks of a full disk",
    "incomplete_deliveries_logged": "the first incomplete delivery in the logs",
    "intervals_below_offer_ratio": "the first 10 s below the offered rate",
    "last_error_seen": "the simulator reports its first error",
    "log_errors": "the first error in the logs",
    "log_warns": "the first warning in the logs",
    "presence_failed_logged": "the first presence failure in the logs",
    "raft_leader_lost_logged": "the first loss of a Raft leader in the logs",
    "raft_quorum_lost_logged": "the first loss of a Raft quorum in the logs",
    "recv_error_ratio": "the first failed receive",
    "recv_errors": "the first failed receive",
    "send_error_ratio": "the first failed send",
    "send_errors": "the first failed send",
    "send_failed_logged": "the first failed send in the logs",
    "session_errors_logged": "the first session error in the logs",
    "sim_restarts": "the simulator restarts",
}
"""What happens at the moment that a signal names; any other signal is said by its title."""


@dataclass(frozen=True)
class NextStep:
    """What to do next. ``change`` is one variable; ``command`` is None where none is needed."""

    change: str
    command: str | None
    note: str = ""


def sure(confidence: float) -> str:
    """Return a confidence (0 to 1) in words."""
    return next((words for least, words in CONFIDENCE_WORDS if confidence >= least), "uncertain")


def nodes(verdict: Mapping[str, Any]) -> str:
    """Return the nodes that a verdict names, the first few by name; empty when it names none."""
    names = [str(name) for name in verdict.get("nodes") or ()]
    more = len(names) - NODES_SHOWN
    return ", ".join(names[:NODES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def headline(verdict: Mapping[str, Any]) -> str:
    """Return category and nodes in one phrase."""
    named = nodes(verdict)
    return f"{verdict.get('category', 'unknown')}" + (f" on {named}" if named else "")


def where(verdict: Mapping[str, Any]) -> str:
    """Return nodes and component; words for a healthy run and for what was not told."""
    component = str(verdict.get("component") or "none").replace("_", " ")
    named = nodes(verdict)
    if named:
        return named if component == "none" else f"{named}, {component}"
    if component != "none":
        return f"{component}, no single node"
    return "no fault found" if verdict.get("category") == "healthy" else "unknown"


def next_step(verdict: Mapping[str, Any]) -> NextStep:
    """Return the next step; a healthy run needs none, whatever could be run again."""
    step = verdict.get("next_experiment") or {}
    if verdict.get("category") == "healthy" or not step.get("variable"):
        return NextStep(NO_STEP if verdict.get("category") == "healthy" else "unknown", None)
    change = str(step["variable"])
    if step.get("from") != step.get("to"):
        change += f": {step.get('from')} -> {step.get('to')}"
    command = str(step.get("command") or "") or None
    places = {CHECKOUT: CHECKOUT_NOTE, BINARIES: BINARIES_NOTE, OLD_DATA: OLD_DATA_NOTE}
    notes = [note for word, note in places.items() if command and word in command]
    if command and step.get("by") == "person":
        notes.insert(0, "Run it after you have made the change.")
    if command and step.get("experiment"):
        notes.append(f"With repeats, and an answer: {step['experiment']}")
    return NextStep(change, command, " ".join(notes))


def settings(verdict: Mapping[str, Any]) -> str:
    """Return what is not as shipped, or not the scenario's own, in one phrase; empty if all is."""
    return "; ".join(
        f"{s.get('name')} = {s.get('value')} "
        f"({'scenario' if s.get('kind') == 'workload' else 'shipped'}: "
        f"{s.get('shipped') or 'not known'})"
        for s in verdict.get("settings") or ()
    )


def rows(verdict: Mapping[str, Any]) -> list[tuple[str | None, str]]:
    """Return the verdict as (label, text) for a screen; the command of the next step is not in it.

    A person copies that command, so it is printed on a line of its own. A label of None stands for
    a text that begins the line.
    """
    lines: list[tuple[str | None, str]] = []
    if verdict.get("replay_of"):
        lines.append((None, f"REPLAY of {verdict['replay_of']}"))
    lines += [("TAMPERED", text) for text in tampered(verdict)]
    lines.append(("category", str(verdict.get("category", "unknown"))))
    confidence = verdict.get("confidence")
    if isinstance(confidence, int | float):
        lines.append(("confidence", f"{confidence:.2f}, {sure(confidence)}"))
    lines.append(("where", where(verdict)))
    if verdict.get("since"):
        since, bound = verdict["since"], verdict.get("since_not_before")
        known = bound and bound != since
        lines.append(("since", f"{since}" + (f", not before {bound}" if known else "")))
    if differs := settings(verdict):
        lines.append(("settings", differs))
    lines += [("HARD STOP", str(stop.get("text"))) for stop in verdict.get("hard_stops") or ()]
    reasons = verdict.get("reasons") or ()
    lines += [("because", str(reason.get("text"))) for reason in reasons[:REASONS_SHOWN]]
    if more := len(reasons) - REASONS_SHOWN if len(reasons) > REASONS_SHOWN else 0:
        lines.append(("", f"{counted(more, 'more reason')} in the report"))
    lines += [
        ("runner-up", f"{other.get('category')}: {other.get('why_not')}")
        for other in (verdict.get("alternatives") or ())[:1]
    ]
    if unknown := verdict.get("unknown"):
        lines.append(("unknown", f"{counted(len(unknown), 'thing')}, listed in the report"))
    if statement := (verdict.get("hypothesis") or {}).get("statement"):
        lines.append(("hypothesis", str(statement)))
    lines.append(("next step", next_step(verdict).change))
    if expect := (verdict.get("next_experiment") or {}).get("expect"):
        lines.append(("expected", str(expect)))
    if check := (verdict.get("next_experiment") or {}).get("check"):
        lines.append(("checked by", f"{check} in the next run, after you have made the change"))
    if fix := verdict.get("fix_eligibility"):
        lines.append(
            ("code", f"change needed: {fix.get('code_change_needed')}. {fix.get('reason')}")
        )
    if verdict.get("bundle"):
        lines.append(("bundle", identity(verdict)))
    return lines


def identity(verdict: Mapping[str, Any]) -> str:
    """Return which bundle a verdict is of: its id, and its manifest's hash, which nobody picks."""
    digest = verdict.get("manifest_sha256")
    name = str(verdict.get("bundle", "unknown"))
    return f"{name}, manifest sha256 {str(digest)[:DIGEST_SHOWN]}" if digest else name


def tampered(verdict: Mapping[str, Any]) -> list[str]:
    """Return what does not agree with the manifest, the first few; empty when all does."""
    mismatches = [str(text) for text in verdict.get("mismatches") or ()]
    more = len(mismatches) - MISMATCHES_SHOWN
    shown = mismatches[:MISMATCHES_SHOWN]
    if more > 0:
        shown.append(f"{counted(more, 'more file')}: wktriage verify BUNDLE lists all")
    return shown


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the right number: ``1 file``, ``2 files``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def first_sign(signal: str) -> str:
    """Return what happens at the moment that a signal names as its first."""
    # Every screen needs these words, and few of them need what reads the evidence.
    from wktriage.judging import signals

    return FIRST_SIGNS.get(signal) or signals.title(signal)


@cache
def categories() -> dict[str, str]:
    """Return what each category means: the first paragraph of its page in rules/."""
    means = {}
    for path in sorted((PROJECT / "rules").glob("*.md")):
        _, _, after = path.read_text(encoding="utf-8").partition("## Means\n\n")
        means[path.stem] = " ".join(after.partition("\n\n")[0].replace("`", "").split())
    return means
