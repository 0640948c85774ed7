"""The block devices under directories, and what Linux counted for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from wkcollect.proc import Proc

SECTOR = 512
#: Columns of /proc/diskstats after the name (Documentation/admin-guide/iostats.rst), in its order.
_COLUMNS = {
    0: "reads", 2: "read_bytes", 3: "read_ms", 4: "writes", 6: "write_bytes", 7: "write_ms",
    8: "in_flight", 9: "busy_ms", 10: "queued_ms", 15: "flushes", 16: "flush_ms",
}  # fmt: skip


def device_of(path: str) -> str | None:
    """Return the name of the whole disk that a directory lies on; None when none is known.

    Flushes are counted for disks and not for partitions. File systems without a device of their own
    (overlay, btrfs, network) have none here.
    """
    try:
        number = os.stat(path).st_dev
        node = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    except OSError:
        return None
    if os.path.exists(os.path.join(node, "partition")):
        node = os.path.dirname(node)
    return os.path.basename(node) if os.path.isdir(node) else None


class Devices:
    """Samples the devices under some directories."""

    def __init__(self, proc: Proc, paths: Sequence[str]) -> None:
        self._proc = proc
        self._paths: dict[str, list[str]] = {}
        for path in paths if proc.root else ():
            device = device_of(path)
            if device is not None:
                self._paths.setdefault(device, []).append(path)

    def sample(self) -> list[dict[str, Any]] | None:
        """Return the counters of each device since boot; None when they are not known."""
        text = self._proc.read("diskstats") if self._paths else None
        if text is None:
            return None
        rows = []
        for line in text.splitlines():
            words = line.split()
            if len(words) < 14 or words[2] not in self._paths:
                continue
            row: dict[str, Any] = {"name": words[2], "paths": self._paths[words[2]]}
            for place, key in _COLUMNS.items():
                # Kernels before 5.5 count no flushes.
                value = int(words[3 + place]) if 3 + place < len(words) else None
                row[key] = value * SECTOR if value and key.endswith("_bytes") else value
            rows.append(row)
        return rows
