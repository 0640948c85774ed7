"""The directory of a replay on its host: made, marked and removed by this program only."""

from __future__ import annotations

import shutil
from pathlib import Path

from wkreplay import daemon
from wkreplay.errors import ReplayError

MARKER = ".wktriage-replay"
PROGRAM = "wkreplay.pyz"
PIDFILE = "replay.pid"


def create(place: Path) -> None:
    """Make a fresh directory of ours, with this program in it; stop what ran from there before.

    Raises ReplayError for a directory that is not ours.
    """
    packed = Path(__file__).resolve().parents[1]
    if not packed.is_file():
        raise ReplayError("only the packed program (wkreplay.pyz) can make a place for itself")
    remove(place)
    place.mkdir(parents=True)
    (place / MARKER).write_text("recorded incident, served by the WuKongIM triage harness\n")
    shutil.copyfile(packed, place / PROGRAM)


def remove(place: Path) -> bool:
    """Stop what runs from a directory of ours and remove it; return whether it was there.

    Raises ReplayError for a directory that is not ours.
    """
    if not place.exists() and not place.is_symlink():
        return False
    if place.is_symlink() or not (place / MARKER).is_file() or (place / MARKER).is_symlink():
        raise ReplayError(f"{place} lacks the marker {MARKER}: remove it, or name another place")
    daemon.stop(place / PIDFILE)
    shutil.rmtree(place)
    return True
