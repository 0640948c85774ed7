"""All stand-ins of one host, from claiming their ports to the end."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Union

from wkreplay import daemon
from wkreplay.errors import ReplayError
from wkreplay.files import Row, read_object, write_object
from wkreplay.lease import Lease
from wkreplay.listener import Listener
from wkreplay.logs import LogWriter
from wkreplay.ports import Port, parse_address
from wkreplay.recording import Recording
from wkreplay.surfaces.base import Clock, Surface
from wkreplay.surfaces.control import ControlSurface
from wkreplay.surfaces.node import NodeSurface
from wkreplay.surfaces.sim import SimSurface

Process = Union[Listener, LogWriter]
CONTROL = "control"


def serve(options: argparse.Namespace) -> None:
    """Serve the asked processes until SIGTERM or SIGINT; with ``--hold`` from `begin` on.

    With ``--lease`` it ends, too, when nobody asked anything, or let it begin, for that long:
    whoever started it may be gone, and the ports are not its own. So it does when its pidfile is
    gone or names another: nobody could stop it any more.

    The pidfile says which ports it holds and, once it serves, the shift of its clock. Raises
    ReplayError when the recording, a name or a port cannot be used.
    """
    recording = Recording(Path(options.bundle))
    pidfile = Path(options.pidfile) if options.pidfile else None
    if pidfile and daemon.running(pidfile):
        raise ReplayError(f"a replay is running already ({pidfile}); stop it first")
    if (options.daemon or options.hold) and pidfile is None:
        raise ReplayError("--daemon and --hold need --pidfile")
    ports = _claim(options, recording)
    done = threading.Event()
    if pidfile:
        daemon.forget(pidfile)
    if options.daemon and pidfile:
        daemon.detach(pidfile)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    state: Row = {"pid": os.getpid(), "ports": {n: p.address[1] for n, p in ports.items()}}
    start_at = options.start_at
    if pidfile and options.hold:
        write_object(pidfile, state)
        begin_file = daemon.begin_file(pidfile)
        lease = Lease(options.lease)
        while not begin_file.exists() and not done.wait(0.05):
            if lease.over() or not _is_told(pidfile):
                done.set()
        start_at = read_object(begin_file).get("start_at")
    if not done.is_set():
        clock = Clock(recording, start_at if start_at is not None else time.time())
        lease = Lease(options.lease)
        threads = _processes(options, recording, clock, ports, lease)
        for thread in threads:
            thread.start()
        if pidfile:
            write_object(pidfile, {**state, "shift_ms": clock.shift_ms})
        while not done.wait(1.0) and not lease.over() and _is_told(pidfile):
            pass
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join(2)
    if pidfile and _is_told(pidfile):
        daemon.forget(pidfile)


def _is_told(pidfile: Path | None) -> bool:
    """Say whether the pidfile, if there is one, still names this process."""
    return pidfile is None or read_object(pidfile).get("pid") == os.getpid()


def _claim(options: argparse.Namespace, recording: Recording) -> dict[str, Port]:
    """Return the claimed port of each asked process, and that of the control surface."""
    ports: dict[str, Port] = {}
    known = [*recording.node_names, recording.sim_name]
    for text in options.listen:
        match = re.fullmatch(r"([\w-]+)=(.+)", text)
        if not match:
            raise ReplayError(f"--listen {text!r}: expected NAME=ADDRESS:PORT")
        if match[1] not in known:
            raise ReplayError(
                f"not recorded: {match[1]}; incident {options.incident} holds {', '.join(known)}"
            )
        ports[match[1]] = Port(parse_address(match[2]), or_another=options.any_port)
    if options.control:
        ports[CONTROL] = Port(parse_address(options.control), or_another=options.any_port)
    return ports


def _processes(
    options: argparse.Namespace,
    recording: Recording,
    clock: Clock,
    ports: dict[str, Port],
    lease: Lease,
) -> list[Process]:
    """Return the threads of all stand-ins."""
    threads: list[Process] = []
    surfaces: list[Surface] = []
    for name, port in ports.items():
        if name == CONTROL:
            control = ControlSurface(surfaces, recording, clock)
            threads.append(Listener(control, options.incident, port, lease))
            continue
        simulates = name == recording.sim_name
        surface = (SimSurface if simulates else NodeSurface)(name, recording, clock)
        surfaces.append(surface)
        threads.append(Listener(surface, options.incident, port, lease))
        if options.log_dir or options.log_stdout:
            directory = Path(options.log_dir) if options.log_dir and not simulates else None
            stdout = sys.stdout.buffer if options.log_stdout else None
            threads.append(LogWriter(surface, directory, stdout))
    return threads
