"""Faults of links: capped, delayed, or with connections that are destroyed once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

from wktriage.core.errors import InfraError
from wktriage.lab.actions import commands
from wktriage.lab.actions.commands import Target, in_namespace
from wktriage.lab.actions.firewall import CHAIN
from wktriage.lab.actions.tables import ActionTable, CheckTable, check_each, for_each

PROXY_PORT = 17999
PROXY_MARK = 87
PROXY_MAX_SECONDS = 600
TOOLS: Mapping[str, Sequence[str]] = {
    "cap_link": ("nsenter", "tc"),
    "delay_link": ("nsenter", "iptables"),
    "sever": ("nsenter", "ss"),
    "port_range": ("nsenter",),
}
"""What the actions that only root may do call on this machine."""
_PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
_UNCAPPED = ("rate", "10gbit", "quantum", "60000")


class LinkActions:
    """What is done to the links of containers, inside their network namespaces."""

    def __init__(self) -> None:
        self._proxies: dict[str, subprocess.Popen[bytes]] = {}
        self._severed: dict[str, int] = {}
        self._ranges: dict[str, str] = {}
        self.actions: ActionTable = {
            "cap_link": for_each(self._cap),
            "uncap_link": for_each(self._uncap),
            "delay_link": for_each(self._delay),
            "undelay_link": for_each(self._undelay),
            "sever": for_each(self._sever),
            "port_range": for_each(self._port_range),
            "port_range_off": for_each(self._port_range_off),
        }
        self.checks: CheckTable = {
            "capped": check_each(self._capped),
            "delayed": check_each(self._delayed),
            "severed": check_each(self._severed_some),
            "ports_narrowed": check_each(self._ports_narrowed),
        }

    # -- capped ---------------------------------------------------------------------------------

    def _cap(self, target: Target, rate_kbit: int, port: int | None = None) -> None:
        """Let the target send no more than ``rate_kbit`` kbit/s; ``port`` caps that one alone."""
        rate = f"{rate_kbit}kbit"
        for device in _devices(target):
            _tc(target, "qdisc", "add", "dev", device, "root", "handle", "1:", "htb",
                "default", "1" if port is None else "2")  # fmt: skip
            _tc(target, "class", "add", "dev", device, "parent", "1:", "classid", "1:1", "htb",
                "rate", rate, "ceil", rate, "burst", "16k", "cburst", "16k")  # fmt: skip
            if port is None:
                continue
            _tc(target, "class", "add", "dev", device, "parent", "1:", "classid", "1:2", "htb",
                *_UNCAPPED)  # fmt: skip
            for end in ("dport", "sport"):
                _tc(target, "filter", "add", "dev", device, "parent", "1:", "protocol", "ip",
                    "u32", "match", "ip", end, str(port), "0xffff", "flowid", "1:1")  # fmt: skip

    def _uncap(self, target: Target) -> None:
        for device in _devices(target):
            if "qdisc htb 1: root" in _tc(target, "qdisc", "show", "dev", device):
                _tc(target, "qdisc", "del", "dev", device, "root")

    def _capped(self, target: Target) -> str | None:
        """A cap takes hold when something had to wait for it."""
        for device in _devices(target):
            _, _, capped = _tc(target, "-s", "class", "show", "dev", device).partition(" htb 1:1 ")
            if any(int(n) > 0 for n in re.findall(r"overlimits (\d+)", capped)[:1]):
                return None
        return f"{target.name} never sent as much as its link may carry"

    # -- delayed --------------------------------------------------------------------------------

    def _delay(self, target: Target, port: int, delay_ms: float) -> None:
        """Lead the target's connections to or from a port through a proxy that delays both ways.

        Those that exist are broken, so that all of them are made again through it.
        """
        argv = [
            *("nsenter", "-t", commands.process_id(target), "-n"),
            *(sys.executable, "-m", "wktriage.lab.delay_proxy"),
            *map(str, (PROXY_PORT, delay_ms, PROXY_MARK, PROXY_MAX_SECONDS)),
        ]
        proxy = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
        self._proxies[target.name] = proxy
        if proxy.stdout is None or proxy.stdout.readline().strip() != b"ready":
            raise InfraError(f"the proxy that delays {target.name} did not start")
        _nat(target, "-N", CHAIN)
        _nat(target, "-A", CHAIN, "-p", "tcp", "--dport", str(port), "-m", "mark", "!", "--mark",
             str(PROXY_MARK), "-j", "REDIRECT", "--to-ports", str(PROXY_PORT))  # fmt: skip
        for hook in ("PREROUTING", "OUTPUT"):
            _nat(target, "-I", hook, "1", "-j", CHAIN)
        self._sever(target, port)

    def _undelay(self, target: Target) -> None:
        existing = _nat(target, "-S")
        for hook in ("PREROUTING", "OUTPUT"):
            if f"-A {hook} -j {CHAIN}" in existing:
                _nat(target, "-D", hook, "-j", CHAIN)
        if f"-N {CHAIN}" in existing:
            _nat(target, "-F", CHAIN)
            _nat(target, "-X", CHAIN)
        proxy = self._proxies.pop(target.name, None)
        if proxy is not None:
            proxy.kill()
            proxy.communicate()

    def _delayed(self, target: Target) -> str | None:
        proxy = self._proxies.get(target.name)
        if proxy is None or proxy.poll() is not None:
            return f"the proxy that delays {target.name} has ended"
        rows = _nat(target, "-L", CHAIN, "-v", "-x", "-n").splitlines()
        hit = any(row.split()[0] not in {"0", "Chain", "pkts"} for row in rows if row.split())
        return None if hit else f"no connection of {target.name} goes through the delay"

    # -- destroyed, and without ports -------------------------------------------------------------

    def _sever(self, target: Target, port: int) -> None:
        """Destroy the target's established connections to or from a port, once."""
        closed = in_namespace(
            target, "ss", "-K", "-t", "-n", "-H", "state", "established",
            f"( sport = :{port} or dport = :{port} )",
        )  # fmt: skip
        self._severed[target.name] = len(closed.splitlines())

    def _severed_some(self, target: Target) -> str | None:
        count = self._severed.get(target.name, 0)
        return None if count else f"{target.name} had no connection that could be destroyed"

    def _port_range(self, target: Target, ports: int) -> None:
        """Leave the target so many ports for connections that it makes."""
        if target.name not in self._ranges:
            self._ranges[target.name] = in_namespace(target, "cat", _PORT_RANGE).strip()
        _write_range(target, f"40000 {40000 + ports - 1}")

    def _port_range_off(self, target: Target) -> None:
        before = self._ranges.pop(target.name, None)
        if before is not None:
            _write_range(target, before)

    def _ports_narrowed(self, target: Target) -> str | None:
        """Ports are short when a connection could not get one: the simulator says so."""
        return commands.not_said(target, "cannot assign requested address")


def _devices(target: Target) -> list[str]:
    """Return the network devices of the target's namespace but the loopback."""
    rows = in_namespace(target, "cat", "/proc/self/net/dev").splitlines()[2:]
    return [name for row in rows if (name := row.partition(":")[0].strip()) != "lo"]


def _tc(target: Target, *args: str) -> str:
    return in_namespace(target, "tc", *args)


def _nat(target: Target, *args: str) -> str:
    return in_namespace(target, "iptables", "-w", "5", "-t", "nat", *args)


def _write_range(target: Target, text: str) -> None:
    in_namespace(target, "sh", "-c", f'echo "$0" > {_PORT_RANGE}', text)
