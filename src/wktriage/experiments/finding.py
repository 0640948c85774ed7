"""The finding of a case, in WuKongIM's own list of them: dated, concise, newest first, once.

The list is Markdown: a title, then one ``## YYYY-MM-DD what`` section a finding, of bullets that
begin with a word and a colon. A finding names its case, by which it is recognised again.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import stat
import textwrap
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wktriage.core import private_files
from wktriage.core.errors import UsageError

PATH = Path("docs/development/WKSIM_STRESS_FINDINGS.md")
TITLE = "# WKSIM Stress Findings"
WIDTH = 80
_LONGEST = 900
_HEADING = re.compile(r"^## (?:(\d{4}-\d{2}-\d{2})\b)?.*$", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_OPENS = re.compile(r"(#|[-+*>=]|```|~~~|\d+[.)])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recorded finding: where it stands and the hash of its section's text."""

    path: str
    heading: str
    sha256: str


@dataclass(frozen=True)
class Entry:
    """What to record: an ISO date, a short title, and (label, text) bullets in order."""

    case_id: str
    date: str
    title: str
    bullets: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Recorded:
    """The list before and after. ``changed`` is false when the case stands in it already."""

    before: str
    after: str
    heading: str
    section: str

    @property
    def changed(self) -> bool:
        """Whether anything is to be written."""
        return self.before != self.after

    def diff(self) -> str:
        """Return the change as a unified diff; "" for none."""
        return "".join(
            difflib.unified_diff(
                self.before.splitlines(keepends=True),
                self.after.splitlines(keepends=True),
                f"a/{PATH.as_posix()}",
                f"b/{PATH.as_posix()}",
            )
        )

    def finding(self) -> Finding:
        """Return what the case keeps of it."""
        return Finding(
            PATH.as_posix(), self.heading, hashlib.sha256(self.section.encode()).hexdigest()
        )


def section_of(entry: Entry) -> str:
    """Return the section of a finding. Raises UsageError for one that says nothing."""
    if not _DATE.match(entry.date):
        raise UsageError(f"{entry.date!r} is no date such as 2026-11-26")
    if not plain(entry.title) or not entry.bullets:
        raise UsageError("a finding needs a title and at least one bullet")
    lines = [f"## {entry.date} {plain(entry.title)}", ""]
    for label, text in (*entry.bullets, ("Case", _mark(entry.case_id))):
        lines += _wrapped(f"{plain(label)}: {plain(text)}")
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    first, *rest = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return [f"- {first}", *(f"  {_harmless(line)}" for line in rest)]


def _harmless(line: str) -> str:
    """Return a line whose first word begins no heading, list or block by its place alone."""
    opens = _OPENS.match(line)
    if opens is None:
        return line
    at = opens.end() - 1 if line[0].isdigit() else 0
    return f"{line[:at]}\\{line[at:]}"


def plain(text: str) -> str:
    """Return evidence text as one line that Markdown shows and does not run."""
    flat = " ".join(_CONTROL.sub(" ", text).split())
    short = flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST].rstrip()} …"
    return short.replace("<", "&lt;").replace("](", "]\\(")


def record(text: str, entry: Entry) -> Recorded:
    """Return the list with the finding in its place, newest first; unchanged when it has it.

    A section that stands there already is left alone, whatever a person made of it since.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    unix = text.replace("\r\n", "\n")
    headings = list(_HEADING.finditer(unix))
    marked = re.compile(rf"^- Case:\s+{re.escape(_mark(entry.case_id))}\s*$", re.MULTILINE)
    ends = [*(h.start() for h in headings[1:]), len(unix)]
    for heading, end in zip(headings, ends, strict=False):
        section = unix[heading.start() : end]
        if marked.search(section):
            return Recorded(text, text, heading.group(0), section.rstrip("\n") + "\n")
    section = section_of(entry)
    if not unix.strip():
        unix = f"{TITLE}\n"
    older = next((h.start() for h in headings if h[1] and h[1] <= entry.date), None)
    if older is None:
        after = f"{unix.rstrip()}\n\n{section}"
    else:
        after = f"{unix[:older]}{section}\n{unix[older:]}"
    return Recorded(text, after.replace("\n", newline), section.split("\n", 1)[0], section)


def read(checkout: Path) -> str:
    """Return the list of a checkout, "" when there is none yet. Raises UsageError."""
    path = checkout / PATH
    _no_link(checkout, path)
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        if not checkout.is_dir():
            raise UsageError(f"{checkout}: is no checkout") from None
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: cannot be read: {exc}") from exc


def write(checkout: Path, recorded: Recorded) -> bool:
    """Write the list into a checkout, whole or not at all; tell whether it changed.

    Raises UsageError when it is not any more what was read, or the place cannot take it, and
    InfraError when the machine cannot.
    """
    if not recorded.changed:
        return False
    path = checkout / PATH
    if read(checkout) != recorded.before:
        raise UsageError(f"{path}: changed while the finding was written; record it again")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
    except OSError as exc:
        raise private_files.failure(path, exc) from exc
    private_files.write(path, recorded.after.encode("utf-8"), mode=mode)
    return True


def _mark(case_id: str) -> str:
    return f"`{case_id}`"


def _no_link(checkout: Path, path: Path) -> None:
    # Written through a link it would land elsewhere than where the diff said.
    for part in (path, *path.parents):
        if part == checkout:
            return
        if part.is_symlink():
            raise UsageError(f"{part}: is a link; the findings must be a file of the checkout")
