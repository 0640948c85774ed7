"""What Linux counts for one process: descriptors, its network namespace, its control group.

Whatever a kernel, a cgroup version or a missing right leaves out is absent from the sample.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import NamedTuple

from wkcollect.namespaces import port_range
from wkcollect.proc import Proc, read_text

FILE_BYTES = 64 * 1024
#: Samples after which the range of ports is read again: it takes a thread.
PORT_RANGE_EVERY = 6

_SNMP = {
    "ActiveOpens": "tcp_connects",
    "AttemptFails": "tcp_connects_failed",
    "EstabResets": "tcp_established_resets",
    "OutSegs": "tcp_segments_sent",
    "RetransSegs": "tcp_segments_retransmitted",
}
_NETSTAT = {
    "ListenOverflows": "listen_overflows",
    "ListenDrops": "listen_drops",
    "TCPTimeouts": "tcp_timeouts",
    "TCPSynRetrans": "tcp_syns_retransmitted",
    "TCPBacklogDrop": "tcp_backlog_drops",
    "TCPRcvQDrop": "tcp_receive_queue_drops",
    "TCPAbortOnTimeout": "tcp_aborts_on_timeout",
}
_SOCKSTAT = {"inuse": "tcp_sockets", "orphan": "tcp_orphans", "tw": "tcp_time_wait"}
#: Columns of /proc/net/dev after the interface: eight of receiving, then eight of sending.
_LINK = {
    0: "link_rx_bytes", 1: "link_rx_packets", 2: "link_rx_errors", 3: "link_rx_drops",
    8: "link_tx_bytes", 9: "link_tx_packets", 10: "link_tx_errors", 11: "link_tx_drops",
}  # fmt: skip
_MEMORY_EVENTS = {
    "high": "memory_high_hits", "max": "memory_limit_hits", "oom_kill": "memory_oom_kills"
}  # fmt: skip
_IO_V2 = {
    "rbytes": "io_read_bytes", "wbytes": "io_write_bytes", "rios": "io_reads", "wios": "io_writes"
}  # fmt: skip
_IO_V1 = {
    "blkio.throttle.io_service_bytes": {"Read": "io_read_bytes", "Write": "io_write_bytes"},
    "blkio.throttle.io_serviced": {"Read": "io_reads", "Write": "io_writes"},
}

Counters = dict[str, int]


class Groups(NamedTuple):
    """The directories of a process's control groups; None where there is none."""

    unified: str | None
    memory: str | None
    io: str | None


class KernelCounters:
    """Samples one process after another of the same target: a restart gives it a new pid."""

    def __init__(self, proc: Proc) -> None:
        self._proc = proc
        self._pid: int | None = None
        self._groups = Groups(None, None, None)
        self._ports: tuple[int, int] | None = None
        self._samples = 0

    def sample(self, pid: int, identity: str | None = None) -> Counters | None:
        """Return what the kernel counts for ``pid``; None when it cannot be told here.

        ``identity`` is what its control group must name (a container's id): the engine may run on
        another machine, where its pids are others.
        """
        cgroup = self._proc.read(f"{pid}/cgroup")
        if cgroup is None or (identity and identity not in cgroup):
            return None
        if pid != self._pid:
            self._pid, self._samples = pid, 0
            self._groups = _groups(self._proc.cgroups, cgroup)
        if self._samples % PORT_RANGE_EVERY == 0:
            self._ports = port_range(pid)
        self._samples += 1
        counters: Counters = {}
        for part in (self._descriptors, self._network, self._memory, self._io, self._pressure):
            # One file that is not as expected costs its own counters.
            with contextlib.suppress(OSError, ValueError, IndexError):
                part(pid, counters)
        if self._ports is not None:
            counters["port_range_low"], counters["port_range_high"] = self._ports
        return counters or None

    def _descriptors(self, pid: int, counters: Counters) -> None:
        limits = self._proc.read(f"{pid}/limits") or ""
        limit = re.search(r"^Max open files +(\d+)", limits, re.M)
        if limit:
            counters["descriptor_limit"] = int(limit.group(1))
        # Since Linux 6.2 the size of the directory is their number; listing them costs more.
        directory = f"{self._proc.root}/{pid}/fd"
        counters["open_descriptors"] = os.stat(directory).st_size or len(os.listdir(directory))

    def _network(self, pid: int, counters: Counters) -> None:
        for name, protocol, columns in (("snmp", "Tcp:", _SNMP), ("netstat", "TcpExt:", _NETSTAT)):
            counters.update(_pair(self._proc.read(f"{pid}/net/{name}") or "", protocol, columns))
        for line in (self._proc.read(f"{pid}/net/sockstat") or "").splitlines():
            words = line.split()
            if words and words[0] == "TCP:":
                fields = dict(zip(words[1::2], words[2::2]))
                counters.update({_SOCKSTAT[k]: int(v) for k, v in fields.items() if k in _SOCKSTAT})
        for line in (self._proc.read(f"{pid}/net/dev") or "").splitlines()[2:]:
            name, _, rest = line.partition(":")
            values = rest.split()
            for place, key in _LINK.items() if name.strip() != "lo" else ():
                counters[key] = counters.get(key, 0) + int(values[place])
        counters["network_namespace"] = os.stat(f"{self._proc.root}/{pid}/ns/net").st_ino

    def _memory(self, pid: int, counters: Counters) -> None:
        stat = self._proc.read(f"{pid}/stat") or ""
        counters["major_faults"] = int(stat[stat.rindex(")") + 2 :].split()[9])
        if self._groups.memory:
            hits = read_text(f"{self._groups.memory}/memory.failcnt", FILE_BYTES)
            if hits is not None:
                counters["memory_limit_hits"] = int(hits)
            events = read_text(f"{self._groups.memory}/memory.oom_control", FILE_BYTES) or ""
        else:
            events = read_text(f"{self._groups.unified}/memory.events", FILE_BYTES) or ""
        for key, value in re.findall(r"^(\w+) (\d+)$", events, re.M):
            if key in _MEMORY_EVENTS:
                counters[_MEMORY_EVENTS[key]] = int(value)

    def _io(self, _pid: int, counters: Counters) -> None:
        totals: Counters = {}
        if self._groups.io:
            for name, operations in _IO_V1.items():
                text = read_text(f"{self._groups.io}/{name}", FILE_BYTES) or ""
                for operation, value in re.findall(r"^\d+:\d+ (\w+) (\d+)$", text, re.M):
                    if operation in operations:
                        key = operations[operation]
                        totals[key] = totals.get(key, 0) + int(value)
        else:
            text = read_text(f"{self._groups.unified}/io.stat", FILE_BYTES) or ""
            for field, value in re.findall(r"\b(\w+)=(\d+)", text):
                if field in _IO_V2:
                    totals[_IO_V2[field]] = totals.get(_IO_V2[field], 0) + int(value)
        counters.update(totals)

    def _pressure(self, _pid: int, counters: Counters) -> None:
        for resource in ("cpu", "io", "memory") if self._groups.unified else ():
            text = read_text(f"{self._groups.unified}/{resource}.pressure", FILE_BYTES) or ""
            total = re.search(r"^some .*total=(\d+)", text, re.M)
            if total:
                counters[f"{resource}_pressure_us"] = int(total.group(1))


def _groups(root: str | None, text: str) -> Groups:
    """Return the directories that /proc/<pid>/cgroup names; v1 controllers come before v2."""
    values: dict[str, str] = {}
    for line in text.splitlines() if root else ():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            where = f"{root}/{controllers}{path}" if controllers else f"{root}{path}"
            if os.path.isdir(where):
                values[controller] = where
    return Groups(values.get(""), values.get("memory"), values.get("blkio"))


def _pair(text: str, protocol: str, columns: dict[str, str]) -> Counters:
    """Return the named columns of a file that has a line of names, then one of values."""
    lines = [line.split() for line in text.splitlines() if line.startswith(protocol)]
    if len(lines) != 2:
        return {}
    return {columns[k]: int(v) for k, v in zip(*lines) if k in columns}
