"""The commands: start a collector, ask where it stands, stop it, pack what it has."""

from __future__ import annotations

import hashlib
import os
import tarfile
import time
from typing import Any

from wkcollect import detached
from wkcollect.files import Reserve, read_json, write_atomic
from wkcollect.state import request_stop
from wkcollect.values import SCHEMA_VERSION, compact_json, indented_json
from wkcollect.window import document_of_the_dead

WRONG, FAILED, STILL_RUNNING = 2, 1, 3
_REQUIRED = ("run_id", "out_dir", "host", "status_url", "window")
#: Scrapes, dumps and logs after a stop, each with its own time limit.
_FINISH_SECONDS = 90.0
_PACKED = ("evidence", "collectors.json", "collector.log", "state.json")


class CommandError(Exception):
    """A command that cannot be carried out; ``code`` is the exit code."""

    def __init__(self, message: str, code: int = WRONG) -> None:
        super().__init__(message)
        self.code = code


def start(spec_file: str) -> str:
    """Start the detached collector for a spec; return its pid and directory as JSON."""
    spec = read_json(spec_file)
    if not isinstance(spec, dict) or spec.get("schema_version") != SCHEMA_VERSION:
        raise CommandError(f"{spec_file} is not a spec of schema version {SCHEMA_VERSION}")
    missing = [key for key in _REQUIRED if key not in spec]
    if missing:
        raise CommandError(f"{spec_file} lacks {', '.join(missing)}")
    if not float(spec["window"]["seconds"]) > 0:
        raise CommandError("window.seconds must be greater than zero")
    out = spec["out_dir"] = os.path.abspath(spec["out_dir"])
    if detached.alive(out):
        raise CommandError(f"a collector already runs in {out}: stop it first")
    if os.path.exists(_state_file(out)):
        raise CommandError(f"{out} holds an earlier run: give another out_dir")
    os.makedirs(os.path.join(out, "evidence"), exist_ok=True)
    answer = detached.start(spec)
    if not answer:
        log = os.path.join(out, "collector.log")
        raise CommandError(f"the collector did not start, see {log}", FAILED)
    return answer


def poll(out: str) -> str:
    """Return as JSON where the collector stands."""
    state = _state(out)
    state["alive"] = detached.alive(out)
    return compact_json(state)


def stop(out: str, reason: str) -> str:
    """Ask the collector to finish early; return as JSON whether it still runs."""
    if not os.path.isdir(out):
        raise CommandError(f"no such directory: {out}")
    _ask_to_stop(out, reason)
    return compact_json({"alive": detached.alive(out), "out_dir": out})


def pack(out: str, tar_file: str, reason: str | None = None) -> str:
    """Pack the evidence of a finished or dead collector; return as JSON what the tar is.

    With a ``reason`` a collector that still runs is asked to finish first. A tar that is there
    stays as it is: whoever fetched a part of it goes on with the rest.
    """
    state = _state(out)
    if reason is not None:
        state = _finished(out, reason)
    if detached.alive(out) and not state.get("done"):
        message = "the collector still runs: wait for it or stop it first"
        raise CommandError(message, STILL_RUNNING)
    window_file = os.path.join(out, "evidence", "window.json")
    reserve = Reserve(out)
    if not os.path.exists(window_file):
        window = indented_json(document_of_the_dead(state))
        reserve.use(lambda: write_atomic(window_file, window))
    if not os.path.exists(tar_file):
        reserve.use(lambda: _archive(out, tar_file))
    return compact_json(
        {
            "tar": tar_file,
            "bytes": os.path.getsize(tar_file),
            "sha256": _sha256(tar_file),
            "done": bool(state.get("done")),
        }
    )


def _archive(out: str, tar_file: str) -> None:
    part = tar_file + ".part"
    with tarfile.open(part, "w:gz", compresslevel=1) as archive:
        for name in _PACKED:
            path = os.path.join(out, name)
            if os.path.exists(path):
                archive.add(path, name)
    os.replace(part, tar_file)


def _ask_to_stop(out: str, reason: str) -> None:
    try:
        request_stop(out, reason)
    except OSError:
        # A full disk takes no request.
        detached.terminate(out)


def _finished(out: str, reason: str) -> dict[str, Any]:
    """Ask the collector to finish, and return its state when it has, or should have."""
    end = time.monotonic() + _FINISH_SECONDS
    while detached.alive(out) and not _state(out).get("done") and time.monotonic() < end:
        _ask_to_stop(out, reason)
        time.sleep(0.2)
    return _state(out)


def _sha256(path: str) -> str:
    total = hashlib.sha256()
    with open(path, "rb") as source:
        for block in iter(lambda: source.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def _state(out: str) -> dict[str, Any]:
    state = read_json(_state_file(out))
    if not isinstance(state, dict):
        raise CommandError(f"nothing was collected in {out}")
    return state


def _state_file(out: str) -> str:
    return os.path.join(out, "state.json")
