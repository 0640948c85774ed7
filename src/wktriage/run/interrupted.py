"""The bundle of a run whose controller is gone: its collectors are stopped, and packed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from wktriage.bundle import layout
from wktriage.bundle.assembly import assemble
from wktriage.core.errors import InfraError
from wktriage.core.json_files import parse_object, read_object
from wktriage.run import collector_spec

STOP_SECONDS = 90.0
COMMAND_SECONDS = 60
POLL_SECONDS = 0.5
PACKED = "packed"
"""Folder beside run.json for what the hosts handed in, as role evidence names it."""


def assemble_interrupted(pending_file: Path, reason: str) -> Path:
    """Make the bundle of a run whose controller is gone; return its directory.

    ``pending_file`` is the run's mark. Collectors on this machine are asked to stop and what they
    have is packed; those on other hosts are recorded as failed. A bundle that is finished already
    stays as it is. Raises InfraError when the mark can't be read, and what ``assemble`` does.
    """
    pending = read_object(pending_file)
    if not pending:
        raise InfraError(f"{pending_file} is no mark of a run: remove it if the run is over")
    try:
        bundle_dir = Path(pending["bundle_dir"])
        collectors = Path(pending["collector_dir"])
        run_file, topology_file = Path(pending["run_file"]), Path(pending["topology_file"])
    except (KeyError, TypeError) as exc:
        raise InfraError(f"{pending_file} lacks {exc}: remove it if the run is over") from exc
    if (bundle_dir / layout.MANIFEST).exists():
        return bundle_dir
    tars = {}
    for spec_file in sorted(collectors.glob("*/spec.json")):
        packed = _stop_and_pack(spec_file.parent, reason)
        if packed is not None:
            tars[str((read_object(spec_file) or {}).get("host"))] = packed
    # The stack's role keeps the baseline's reference in the run's work directory.
    baseline = run_file.parent / "baseline.json"
    references = {"baseline": baseline} if baseline.is_file() else {}
    assemble(
        bundle_dir,
        tars,
        run_file,
        topology_file,
        references=references,
        clocks=run_file.parent / PACKED,
        interrupted=reason,
    )
    return bundle_dir


def _stop_and_pack(directory: Path, reason: str) -> Path | None:
    """Stop a collector on this machine and pack what it has; None when it has nothing."""

    def command(*args: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            collector_spec.command(sys.executable, str(directory), *args),
            capture_output=True, timeout=COMMAND_SECONDS, check=False, env=dict(os.environ),
        )  # fmt: skip

    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        polled = command("poll", str(directory))
        state = parse_object(polled.stdout)
        if state is None:
            return None
        if state.get("done") or not state.get("alive"):
            break
        command("stop", str(directory), "--reason", reason)
        time.sleep(POLL_SECONDS)
    target = directory / "evidence.tar.gz"
    packed = command("pack", str(directory), str(target))
    return target if packed.returncode == 0 else None
