"""Checks before anything starts; each failure says what to do."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from wktriage.core.errors import InfraError
from wktriage.request.request import Request
from wktriage.stack.driver import Driver, Findings

MIN_FREE_BYTES = 2 * 1024**3
"""A run of the largest scenario writes about this much (three nodes, preallocated logs)."""

LOW_FREE_RATIO = 0.09
"""Under 6 to 9 % free, WuKongIM's own findings call latency conclusions invalid."""

MAX_CLOCK_OFFSET_S = 0.5
"""Half a sample interval: beyond it, the order of events on two hosts can't be told."""

RAM_FILESYSTEMS = frozenset({"tmpfs", "ramfs"})
NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"})


def check_disk(host: str, disk: Mapping[str, Any], *, path: str, findings: Findings) -> None:
    """Check space and kind of the filesystem under the data root."""
    free, total = int(disk["free_bytes"]), int(disk["total_bytes"])
    if not disk["writable"]:
        findings.errors.append(
            InfraError(f"{host}: {disk['inspected']} is not writable: choose -e data_root=DIR")
        )
    if free < MIN_FREE_BYTES:
        findings.errors.append(
            InfraError(
                f"{host}: {free / 1024**3:.1f} GiB free under {path}, at least "
                f"{MIN_FREE_BYTES / 1024**3:.0f} GiB are needed: free some or choose "
                "-e data_root=DIR"
            )
        )
    elif total and free / total < LOW_FREE_RATIO:
        findings.warnings.append(
            f"{host}: only {100 * free / total:.0f} % free under {path}: latencies of this run "
            "will not be comparable"
        )
    kind = disk.get("filesystem")
    if kind in RAM_FILESYSTEMS:
        findings.warnings.append(f"{host}: {path} is in memory ({kind}): nothing is durable there")
    elif kind in NETWORK_FILESYSTEMS:
        findings.warnings.append(f"{host}: {path} is on a network filesystem ({kind})")


def check_clocks(offsets: Mapping[str, float], *, uncertainty: float, findings: Findings) -> None:
    """Compare the hosts' clocks; ``offsets`` are seconds ahead of the controller.

    ``uncertainty`` (s) is how well each offset is known; what it may explain is not said.
    """
    if len(offsets) < 2:
        return
    fast, slow = max(offsets, key=offsets.__getitem__), min(offsets, key=offsets.__getitem__)
    spread = offsets[fast] - offsets[slow]
    if spread - 2 * uncertainty > MAX_CLOCK_OFFSET_S:
        findings.warnings.append(
            f"clocks of {fast} and {slow} differ by {spread:.2f} s: samples are put on the "
            "controller's time, logs are not; synchronise them (chrony or systemd-timesyncd)"
        )


def check_python(host: str, version: str, *, findings: Findings) -> None:
    """The collector needs Python 3.8 on the hosts; the controller needs 3.11 (it runs this)."""
    parts = tuple(int(p) for p in re.findall(r"\d+", version)[:2])
    if parts < (3, 8):
        findings.errors.append(
            InfraError(f"{host}: Python {version} is too old for the collector: install 3.8+")
        )


def round_seconds(probes: Iterable[Mapping[str, Any]]) -> float:
    """Return how long it took until all hosts had been asked something; 0.0 for one alone."""
    spans = [(float(probe["asked_at"]), float(probe["answered_at"])) for probe in probes]
    if len(spans) < 2:
        return 0.0
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def boot_id(by_host: Mapping[str, str | None]) -> str | None:
    """Return one mark for the boot of all hosts; None when one host can't tell."""
    if any(not v for v in by_host.values()):
        return None
    if len(by_host) == 1:
        return next(iter(by_host.values()))
    return ",".join(f"{host}={value}" for host, value in sorted(by_host.items()))


def describe(lines: Iterable[str]) -> str:
    """Join findings for a task's message."""
    return "; ".join(lines) or f"all good (Python {sys.version.split()[0]})"


def run(request: Request, probes: Mapping[str, Mapping[str, Any]], driver: Driver) -> Findings:
    """Check everything; ``probes`` maps each host to what wk_host_probe found there.

    Raises the first error, with the others in its text.
    """
    findings = Findings()
    driver.preflight(request, probes, findings)
    offsets: dict[str, float] = {}
    for host, probe in probes.items():
        check_python(host, str(probe["python"]), findings=findings)
        check_disk(host, probe["disk"], path=request.data_root, findings=findings)
        offsets[host] = float(probe["clock_offset_s"])
    check_clocks(
        offsets,
        uncertainty=max((float(p["clock_uncertainty_s"]) for p in probes.values()), default=0.0),
        findings=findings,
    )
    findings.raise_first()
    return findings
