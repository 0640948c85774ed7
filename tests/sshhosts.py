"""Benchmark hosts on one machine: sshd in network, mount, process and host name spaces of its own.

``python tests/sshhosts.py up DIR COUNT`` makes them and writes ``DIR/hosts.yml``, an inventory of
COUNT node hosts and one for the simulator; ``down DIR`` removes them, ``stop DIR NAME`` pulls the
plug of one. Needs root, iproute2, sshd. ``DIR/here`` is a directory of each host's own.

The hosts' links meet in a bridge that lies in a network namespace too. In the machine's own
namespace Docker drops what is forwarded, which bridged frames are (bridge-nf-call-iptables).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.213.{}.{}"
SSHD = "/usr/sbin/sshd"
START_SECONDS = 20.0

SSHD_CONFIG = """\
ListenAddress {address}
HostKey /mnt/host_key
AuthorizedKeysFile /mnt/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 200
Subsystem sftp internal-sftp
"""

#: What a host has of its own: its name, /srv (``DIR/here`` too), /tmp, /proc, and its folder
#: outside as /mnt. Where the folder lies may be hidden from it.
HOST_INIT = """\
set -e
mount --bind {folder} /mnt
mount --bind /mnt/srv /srv
mount --bind /mnt/tmp /tmp
mkdir -p {here}
mount --bind /mnt/srv {here}
hostname {name}
# /sys is that of the new network namespace, without control groups: they are mounted again.
groups=/sys/fs/cgroup
if grep -q : /proc/self/cgroup && [ "$(wc -l < /proc/self/cgroup)" -eq 1 ]; then
  mount -t cgroup2 cgroup2 $groups || true
elif mount -t tmpfs tmpfs $groups; then
  for names in $(cut -d: -f2 /proc/self/cgroup | grep -v =); do
    mkdir $groups/$names && mount -t cgroup -o $names cgroup $groups/$names || true
  done
fi
ip link set lo up
mkdir -p /run/sshd
{sshd} -f /mnt/sshd_config -E /mnt/sshd.log
echo ready > /mnt/ready
exec sleep infinity
"""


@dataclass(frozen=True)
class Host:
    """One host: its inventory name, address, and folder outside."""

    name: str
    address: str
    folder: Path

    @property
    def pid(self) -> int:
        """The process, seen from outside, whose end ends everything on the host."""
        return int((self.folder / "pid").read_text())

    @property
    def srv(self) -> Path:
        """What the host has at /srv."""
        return self.folder / "srv"

    def stop(self) -> None:
        """Pull the plug: every process on the host is killed, the link goes with them."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Hosts:
    """Hosts below one directory."""

    base: Path
    subnet: int

    @property
    def switch(self) -> str:
        """Network namespace of the bridge; the hosts' have names that begin so too."""
        return f"wkt{self.subnet}"

    def host(self, name: str, number: int) -> Host:
        """Return the host of a number; 254 is the controller's."""
        return Host(name, NETWORK.format(self.subnet, number), self.base / name)

    def members(self, nodes: int) -> list[Host]:
        """Return the node hosts and that of the simulator, the last."""
        names = [*(f"bench-node{n}" for n in range(1, nodes + 1)), "bench-sim"]
        return [self.host(name, number) for number, name in enumerate(names, 1)]


def run(*argv: str) -> None:
    """Run a command; an error has what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")


@functools.cache
def missing() -> str | None:
    """Say why there can be no such hosts here, None when there can."""
    if os.geteuid():
        return "no hosts in namespaces here: that needs root"
    tools = ("ip", "unshare", "ssh", "ssh-keygen", SSHD)
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        return f"no hosts in namespaces here: no {', '.join(absent)}"
    done = subprocess.run(["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "true"])
    return "no hosts in namespaces here: not allowed" if done.returncode else None


def up(base: Path, nodes: int, *, subnet: int | None = None) -> list[Host]:
    """Make the hosts, wait until each answers, write the inventory; return them."""
    base = base.resolve()
    base.mkdir(parents=True, exist_ok=True)
    base.chmod(0o755)
    hosts = Hosts(base, _free_subnet() if subnet is None else subnet)
    (base / "subnet").write_text(str(hosts.subnet))
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(base / "key"))
    _make_switch(hosts)
    members = hosts.members(nodes)
    for host in members:
        _make_host(hosts, host)
    keys = [f"{h.address} {(h.folder / 'host_key.pub').read_text()}" for h in members]
    (base / "known_hosts").write_text("".join(keys))
    end = time.monotonic() + START_SECONDS
    for host in members:
        while not (host.folder / "ready").exists():
            if time.monotonic() > end:
                raise RuntimeError(f"{host.name} did not start: see {host.folder}/init.log")
            time.sleep(0.05)
    _write_inventory(base, members)
    return members


def down(base: Path) -> None:
    """Remove all of them and whatever runs there. Keys, logs and what they wrote stay."""
    base = base.resolve()
    subnet = int((base / "subnet").read_text())
    hosts = Hosts(base, subnet)
    for pid_file in base.glob("*/pid"):
        Host(pid_file.parent.name, "", pid_file.parent).stop()
    subprocess.run(["ip", "link", "delete", f"{hosts.switch}c"], capture_output=True)
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for name in [line.split()[0] for line in listed.splitlines() if line.strip()]:
        if name == hosts.switch or name.startswith(f"{hosts.switch}-"):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@contextmanager
def running(base: Path, nodes: int) -> Iterator[list[Host]]:
    """Have hosts while the block runs."""
    try:
        yield up(base, nodes)
    finally:
        if (base / "subnet").exists():
            down(base)


def _free_subnet() -> int:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    taken = {line.split()[0] for line in listed.splitlines() if line.strip()}
    return next(n for n in range(1, 255) if f"wkt{n}" not in taken)


def _make_switch(hosts: Hosts) -> None:
    switch, link = hosts.switch, f"{hosts.switch}c"
    run("ip", "netns", "add", switch)
    inside = ("ip", "-n", switch)
    run(*inside, "link", "add", "bridge", "type", "bridge")
    run(*inside, "link", "set", "bridge", "up")
    # The controller's link: what it sends is neither forwarded nor bridged on its own side.
    run("ip", "link", "add", link, "type", "veth", "peer", "name", "controller", "netns", switch)
    run(*inside, "link", "set", "controller", "master", "bridge", "up")
    run("ip", "address", "add", f"{NETWORK.format(hosts.subnet, 254)}/24", "dev", link)
    run("ip", "link", "set", link, "up")


def _make_host(hosts: Hosts, host: Host) -> None:
    number = host.address.rpartition(".")[2]
    space = f"{hosts.switch}-{number}"
    for folder in ("srv", "tmp"):
        (host.folder / folder).mkdir(parents=True)
    (host.folder / "tmp").chmod(0o1777)
    key = host.folder / "host_key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(key))
    shutil.copy(hosts.base / "key.pub", host.folder / "authorized_keys")
    (host.folder / "sshd_config").write_text(SSHD_CONFIG.format(address=host.address))
    here = hosts.base / "here"
    here.mkdir(exist_ok=True)
    script = HOST_INIT.format(folder=host.folder, here=here, name=host.name, sshd=SSHD)
    (host.folder / "init.sh").write_text(script)
    run("ip", "netns", "add", space)
    switch = ("ip", "-n", hosts.switch)
    port = f"port{number}"
    run(*switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
    run(*switch, "link", "set", port, "master", "bridge", "up")
    run("ip", "-n", space, "address", "add", f"{host.address}/24", "dev", "eth0")
    run("ip", "-n", space, "link", "set", "eth0", "up")
    enter = ["ip", "netns", "exec", space, "unshare", "--mount", "--uts", "--ipc", "--pid"]
    enter += ["--fork", "--kill-child", "--mount-proc", "/bin/sh", str(host.folder / "init.sh")]
    with (host.folder / "init.log").open("wb") as log:
        process = subprocess.Popen(
            enter, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (host.folder / "pid").write_text(str(process.pid))
    # It outlives this program; nobody waits for it.
    process.returncode = 0


def _write_inventory(base: Path, members: list[Host]) -> None:
    def entry(host: Host) -> dict[str, str]:
        return {"ansible_host": host.address}

    document = {
        "wk_stack": {
            "children": {
                "wk_nodes": {"hosts": {h.name: entry(h) for h in members[:-1]}},
                "wk_sim": {"hosts": {members[-1].name: entry(members[-1])}},
            },
            "vars": {
                "stack_driver": "processes",
                "wk_benchmark_host": True,
                "ansible_user": "root",
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_ssh_private_key_file": str(base / "key"),
                "ansible_ssh_common_args": (
                    f"-o UserKnownHostsFile={base}/known_hosts -o StrictHostKeyChecking=yes"
                ),
            },
        }
    }
    # JSON is YAML.
    (base / "hosts.yml").write_text(json.dumps(document, indent=2) + "\n")


def main(argv: list[str]) -> int:
    """Run the command line."""
    if argv[:1] == ["up"] and len(argv) == 3:
        if why := missing():
            sys.exit(why)
        try:
            up(Path(argv[1]), int(argv[2]))
        except BaseException:
            down(Path(argv[1]))
            raise
    elif argv[:1] == ["down"] and len(argv) == 2:
        down(Path(argv[1]))
    elif argv[:1] == ["stop"] and len(argv) == 3:
        Host(argv[2], "", Path(argv[1]) / argv[2]).stop()
    else:
        sys.stderr.write("usage: sshhosts.py up DIR COUNT | down DIR | stop DIR NAME\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
