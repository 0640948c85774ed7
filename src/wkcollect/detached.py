"""The collector as a process of its own session: starting it, and whether it lives."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from typing import Any

from wkcollect.collector import Collector
from wkcollect.files import read_json, write_atomic
from wkcollect.proc import start_ticks
from wkcollect.values import compact_json

ENDED = "the collector was ended by a signal"


def start(spec: dict[str, Any]) -> str:
    """Start the detached collector; return its mark as JSON, "" when it did not start.

    It forks and never executes anything anew: what runs is in memory, so the zipapp may go away.
    """
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.close(reader)
            _detach(spec, writer)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.wait()
    return answer.decode("ascii").strip()


class _Log(io.TextIOWrapper):
    """Standard error that ends nobody: what a full disk does not take is not said."""

    def write(self, text: str) -> int:
        """Write what can be written."""
        try:
            return super().write(text)
        except OSError:
            return len(text)


def _detach(spec: dict[str, Any], writer: int) -> None:
    """Leave the session and the terminal, then collect. Never returns."""
    out = spec["out_dir"]
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.chdir("/")
    os.umask(0o027)
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(os.path.join(out, "collector.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stderr = _Log(open(2, "wb", buffering=0, closefd=False), write_through=True)
    code = 1
    try:
        # Before anybody can know it, it takes signals as it does later.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        collector = Collector(spec)
        signal.signal(signal.SIGTERM, lambda _signum, _frame: collector.run.stop(ENDED))
        mark = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}
        write_atomic(_mark_file(out), compact_json(mark).encode())
        collector.state.publish()
        os.write(writer, compact_json({**mark, "out_dir": out}).encode() + b"\n")
        os.close(writer)
        collector.collect()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # Sampler threads may sit in a request still: they must not hold the exit up.
        os._exit(code)


def alive(out: str) -> bool:
    """Say whether the collector of an out directory runs."""
    mark = read_json(_mark_file(out))
    if not isinstance(mark, dict):
        return False
    try:
        os.kill(mark["pid"], 0)
    except (OSError, KeyError, TypeError):
        return False
    ticks = start_ticks(mark["pid"])
    # The number alone may belong to another process by now.
    return ticks is None or mark.get("start_ticks") in (None, ticks)


def terminate(out: str) -> None:
    """Ask the collector of an out directory to finish by a signal, which needs no disk."""
    if alive(out):
        os.kill(read_json(_mark_file(out))["pid"], signal.SIGTERM)


def _mark_file(out: str) -> str:
    return os.path.join(out, "pid")
