"""What Linux tells of the host and its processes: /proc and cgroups."""

from __future__ import annotations

import os
import platform
import re
from typing import Any, NamedTuple

from wkcollect.limits import SMALL_BODY

CGROUP_FILE_BYTES = 4096


class CpuTicks(NamedTuple):
    """Cumulative clock ticks of all CPUs of the host."""

    total: int | None
    idle: int | None
    iowait: int | None
    steal: int | None


class Throttling(NamedTuple):
    """What a cgroup's CPU quota did, and how large it is; ``limited`` False means no quota."""

    periods: int | None
    throttled_periods: int | None
    throttled_seconds: float | None
    limit_cores: float | None
    limited: bool | None


class Proc:
    """/proc and cgroups; everything is None where they are absent (or hidden for a test)."""

    def __init__(self, hidden: bool = False) -> None:
        self.root = None if hidden or not os.path.isdir("/proc/self") else "/proc"
        self.cgroups = None if hidden or not os.path.isdir("/sys/fs/cgroup") else "/sys/fs/cgroup"
        try:
            self.ticks = os.sysconf("SC_CLK_TCK")
            self.page = os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            self.ticks, self.page = 100, 4096

    def read(self, name: str) -> str | None:
        """Return the text of /proc/<name>, or None."""
        return None if self.root is None else read_text(os.path.join(self.root, name), SMALL_BODY)

    def cpu_ticks(self) -> CpuTicks:
        """Return the host's ticks."""
        text = self.read("stat")
        if not text or not text.startswith("cpu "):
            return CpuTicks(None, None, None, None)
        # user nice system idle iowait irq softirq steal; guest time is inside user already.
        fields = [int(x) for x in text.split("\n", 1)[0].split()[1:9]]
        fields += [0] * (8 - len(fields))
        return CpuTicks(sum(fields), fields[3], fields[4], fields[7])

    def boot_time(self) -> int | None:
        """Return the epoch seconds of the host's boot, or None."""
        match = re.search(r"^btime (\d+)", self.read("stat") or "", re.M)
        return int(match.group(1)) if match else None

    def memory(self) -> tuple[int | None, int | None]:
        """Return (available, total) bytes, or Nones."""
        text = self.read("meminfo") or ""
        kilobytes = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", text, re.M))

        def in_bytes(key: str) -> int | None:
            return int(kilobytes[key]) * 1024 if key in kilobytes else None

        return in_bytes("MemAvailable"), in_bytes("MemTotal")

    def pressure(self, resource: str) -> float | None:
        """Return the ``some avg10`` of /proc/pressure/<resource> in percent, or None."""
        match = re.search(r"^some avg10=([\d.]+)", self.read("pressure/" + resource) or "", re.M)
        return float(match.group(1)) if match else None

    def process(self, pid: int) -> dict[str, Any] | None:
        """Return a dict of a process's counters, or None when there is no such process."""
        text = self.read(f"{pid}/stat")
        if not text or ")" not in text:
            return None
        fields = text[text.rindex(")") + 2 :].split()
        info: dict[str, Any] = {
            "letter": fields[0],
            "cpu_seconds": (int(fields[11]) + int(fields[12])) / self.ticks,
            "threads": int(fields[17]),
            "start_ticks": int(fields[19]),
            "memory_bytes": int(fields[21]) * self.page,
        }
        io_text = self.read(f"{pid}/io") or ""
        for key in ("read_bytes", "write_bytes"):
            match = re.search(rf"^{key}: (\d+)", io_text, re.M)
            info[key] = int(match.group(1)) if match else None
        return info

    def throttling(self, pid: int) -> Throttling:
        """Return what the CPU quota of a process's cgroup did."""
        text = self.read(f"{pid}/cgroup")
        for line in (text or "").splitlines() if self.cgroups else ():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                throttling = _throttling_v2(f"{self.cgroups}{path}")
            elif "cpu" in controllers.split(","):
                throttling = _throttling_v1(f"{self.cgroups}/{controllers}{path}")
            else:
                continue
            if throttling:
                return throttling
        return Throttling(None, None, None, None, None)

    def facts(self) -> dict[str, Any]:
        """Return what identifies the host: kernel, CPU model, boot id, Python."""
        model = re.search(r"^model name\s*:\s*(.+)$", self.read("cpuinfo") or "", re.M)
        return {
            "kernel": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "cpu_model": model.group(1).strip() if model else None,
            "ncpu": os.cpu_count(),
            "boot_id": (self.read("sys/kernel/random/boot_id") or "").strip() or None,
            "mem_total_bytes": self.memory()[1],
            "python": platform.python_version(),
        }


def start_ticks(pid: int) -> int | None:
    """Return the start of a process in clock ticks since boot, -1 when dead, None off Linux."""
    info = Proc().process(pid)
    if info is None:
        return None
    return -1 if info["letter"] in "ZX" else int(info["start_ticks"])


def read_text(path: str, limit: int) -> str | None:
    """Return the first ``limit`` bytes of a file as text, or None when it cannot be read."""
    try:
        with open(path, "rb") as handle:
            return handle.read(limit).decode("utf-8", "replace")
    except OSError:
        return None


def _cpu_stat(cgroup: str) -> dict[str, int] | None:
    text = read_text(os.path.join(cgroup, "cpu.stat"), CGROUP_FILE_BYTES) or ""
    stat = {key: int(value) for key, value in re.findall(r"^(\w+) (\d+)$", text, re.M)}
    return stat if "nr_periods" in stat else None


def _throttling_v2(cgroup: str) -> Throttling | None:
    stat = _cpu_stat(cgroup)
    if stat is None:
        return None
    quota = (read_text(os.path.join(cgroup, "cpu.max"), CGROUP_FILE_BYTES) or "").split()
    cores, limited = None, None
    if len(quota) == 2:
        limited = quota[0] != "max"
        cores = int(quota[0]) / int(quota[1]) if limited else None
    seconds = stat["throttled_usec"] / 1e6
    return Throttling(stat["nr_periods"], stat["nr_throttled"], seconds, cores, limited)


def _throttling_v1(cgroup: str) -> Throttling | None:
    stat = _cpu_stat(cgroup)
    if stat is None:
        return None
    quota = read_text(os.path.join(cgroup, "cpu.cfs_quota_us"), CGROUP_FILE_BYTES)
    period = read_text(os.path.join(cgroup, "cpu.cfs_period_us"), CGROUP_FILE_BYTES)
    cores, limited = None, None
    if quota and period:
        limited = int(quota) > 0
        cores = int(quota) / int(period) if limited else None
    seconds = stat["throttled_time"] / 1e9
    return Throttling(stat["nr_periods"], stat["nr_throttled"], seconds, cores, limited)
