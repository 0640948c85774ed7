"""The bundle of a run whose controller is gone: its collectors are stopped, and packed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wktriage.bundle import layout
from wktriage.bundle.assembly import assemble
from wktriage.core.errors import InfraError
from wktriage.core.json_files import read_object
from wktriage.run import collector_spec

PACK_SECONDS = 150
"""What a collector may take to finish, and to pack what it has."""

PACKED = "packed"
"""Folder beside run.json for what the hosts handed in, as role evidence names it."""

ARCHIVE = ".tar.gz"
"""Ends the name of what a host handed in, after the host's own."""


def assemble_interrupted(pending_file: Path, reason: str) -> Path:
    """Make the bundle of a run whose controller is gone; return its directory.

    ``pending_file`` is the run's mark. What hosts have handed in lies beside run.json. Collectors
    on this machine are asked to stop and what they have is packed; a host that handed in nothing
    is recorded as failed. A bundle that is finished already stays as it is. Raises InfraError when
    the mark can't be read, and what ``assemble`` does.
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
    folder = run_file.parent / PACKED
    tars = handed_in(folder)
    for spec_file in sorted(collectors.glob("*/spec.json")):
        host = str((read_object(spec_file) or {}).get("host"))
        packed = None if host in tars else _stop_and_pack(spec_file.parent, reason)
        if packed is not None:
            tars[host] = packed
    # The stack's role keeps the baseline's reference in the run's work directory.
    baseline = run_file.parent / "baseline.json"
    references = {"baseline": baseline} if baseline.is_file() else {}
    assemble(
        bundle_dir,
        tars,
        run_file,
        topology_file,
        references=references,
        clocks=folder,
        interrupted=reason,
    )
    return bundle_dir


def handed_in(folder: Path) -> dict[str, Path]:
    """Return host and archive of what hosts handed in to a run's folder."""
    return {file.name.removesuffix(ARCHIVE): file for file in sorted(folder.glob(f"*{ARCHIVE}"))}


def _stop_and_pack(directory: Path, reason: str) -> Path | None:
    """Stop a collector on this machine and pack what it has; None when it has nothing."""
    target = directory / "evidence.tar.gz"
    pack = ("pack", str(directory), str(target), "--stop", reason)
    packed = subprocess.run(
        collector_spec.command(sys.executable, str(directory), *pack),
        capture_output=True,
        timeout=PACK_SECONDS,
        check=False,
    )
    return target if packed.returncode == 0 else None
