"""Faults of disks and data: slow, full or stuck volumes, and data that is gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wktriage.core.errors import InfraError
from wktriage.core.times import parse_time
from wktriage.core.topology import Node
from wktriage.lab.actions import commands
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.control_groups import control_group
from wktriage.lab.actions.tables import (
    ActionTable,
    CheckTable,
    check_each,
    check_host,
    for_each,
    on_host,
)
from wktriage.stack import data_root as data_roots

MAX_STUCK_SECONDS = 90
FILLER = "wktriage-filler"
TOOLS: Mapping[str, Sequence[str]] = {
    "stick": ("fsfreeze", "mkfs.ext4", "mount", "umount"),
    "throttle_writes": (),
    "fill": ("mkfs.ext4", "mount", "umount"),
}
"""What the actions that only root may do call on this machine."""


class DiskActions:
    """What is done to the data of nodes and the volume under it.

    ``data_root`` is the directory of all nodes' data, None when the topology names none.
    """

    def __init__(self, data_root: str | None) -> None:
        self._data_root = None if data_root is None else Path(data_root)
        self._emptied: dict[str, float] = {}
        self._filler: Path | None = None
        self._stuck: Path | None = None
        self._thaw: subprocess.Popen[bytes] | None = None
        self.actions: ActionTable = {
            "lose_data": for_each(self._lose_data),
            "throttle_writes": for_each(self._throttle_writes),
            "fill": on_host(self._fill),
            "unfill": on_host(self._unfill),
            "stick": on_host(self._stick),
            "unstick": on_host(self._unstick),
        }
        self.checks: CheckTable = {
            "started_empty": check_each(self._started_empty),
            "writing_slowly": check_each(self._writing_slowly),
            "full": check_host(self._full),
            "stuck": check_host(self._is_stuck),
        }

    def _lose_data(self, target: Node) -> None:
        """Empty a node's data directory, as a volume that was replaced by a new one would be."""
        directory = Path(target.data_dir or "")
        root = self._data_root
        if root is None or not data_roots.has_marker(root) or directory.parent != root:
            raise InfraError(f"{target.name} keeps its data in no data root of the harness")
        shutil.rmtree(directory)
        directory.mkdir()
        self._emptied[target.name] = time.time()

    def _throttle_writes(self, target: Target, iops: int) -> None:
        """Allow the target ``iops`` writes a second to the device of its data (0: no limit)."""
        device, file = self._device(), _write_limit(target)
        limit = f"wiops={iops or 'max'}" if file.name == "io.max" else str(iops)
        file.write_text(f"{device} {limit}\n")

    def _device(self) -> str:
        """Return ``major:minor`` of the disk that holds the data root."""
        if self._data_root is None:
            raise InfraError("the topology names no data root")
        number = self._data_root.stat().st_dev
        device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        if not device.exists():
            raise InfraError(f"{self._data_root} is on no block device of its own")
        if (device / "partition").exists():
            device = device.resolve().parent
        return (device / "dev").read_text().strip()

    def _fill(self, leave_mb: float) -> None:
        """Fill the lab's own volume but for ``leave_mb``."""
        if self._data_root is None or not os.path.ismount(self._data_root.parent):
            raise InfraError("only a volume that the lab made is filled (volume_mb in the fault)")
        self._filler = self._data_root / FILLER
        with self._filler.open("wb") as file:
            size = _free_bytes(self._data_root) - int(leave_mb * 1e6)
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def _unfill(self) -> None:
        if self._filler is not None:
            self._filler.unlink(missing_ok=True)

    def _stick(self) -> None:
        """Let every write to the lab's own volume wait until healed."""
        if self._data_root is None or not os.path.ismount(self._data_root.parent):
            raise InfraError("only a volume that the lab made gets stuck (volume_mb in the fault)")
        top = self._data_root.parent
        # Thaws it even when this process is killed before it can.
        late = ["sh", "-c", f'sleep {MAX_STUCK_SECONDS}; exec fsfreeze --unfreeze "$0"', str(top)]
        self._thaw = subprocess.Popen(late, start_new_session=True, stderr=subprocess.DEVNULL)
        commands.run(["fsfreeze", "--freeze", str(top)])
        self._stuck = top

    def _unstick(self) -> None:
        if self._stuck is not None:
            commands.run(["fsfreeze", "--unfreeze", str(self._stuck)])
            self._stuck = None
        if self._thaw is not None:
            os.killpg(self._thaw.pid, signal.SIGKILL)
            self._thaw.wait()
            self._thaw = None

    def _started_empty(self, target: Target) -> str | None:
        started = parse_time(commands.inspect(target, "{{.State.StartedAt}}"))
        emptied = self._emptied.get(target.name)
        empty = emptied is not None and started is not None and started > emptied
        return None if empty else f"{target.name} did not start after its data had gone"

    def _writing_slowly(self, target: Target, iops: int) -> str | None:
        device = self._device()
        limited = any(
            line.split()[0] == device and str(iops) in line.replace("=", " ").split()[1:]
            for line in _write_limit(target).read_text().splitlines()
        )
        return None if limited else f"{target.name} is not limited to {iops} writes a second"

    def _full(self, leave_mb: float) -> str | None:
        left = _free_bytes(self._data_root or Path()) / 1e6
        return None if left <= leave_mb + 1 else f"{left:.0f} MB are free"

    def _is_stuck(self) -> str | None:
        return None if self._stuck is not None else "the volume is not frozen"


def _write_limit(target: Target) -> Path:
    return control_group(target, "blkio", "blkio.throttle.write_iops_device", "io.max")


def _free_bytes(path: Path) -> int:
    free = os.statvfs(path)
    return free.f_bavail * free.f_frsize


@contextlib.contextmanager
def volume(directory: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of its own under ``directory`` while the block runs; yield its top.

    Raises InfraError when this machine has no loop devices or no mkfs.ext4.
    """
    image, top = directory / "volume.img", directory / "volume"
    top.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(top):  # of a lab run that was killed
        commands.run(["umount", str(top)])
    with image.open("wb") as file:
        file.truncate(megabytes * 1_000_000)
    try:
        commands.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)])
        commands.run(["mount", "-o", "loop", str(image), str(top)])
        try:
            (top / "lost+found").rmdir()
            yield top
        finally:
            commands.run(["umount", str(top)])
    finally:
        image.unlink()
