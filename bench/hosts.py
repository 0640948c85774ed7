"""Measures what a run on many hosts costs the controller, and how well the hosts keep time.

    python -m bench.hosts --hosts 3 50 [--seconds 20] [--runs 2]

Each host is an SSH server in namespaces of its own (tests/sshhosts.py, needs root) with a stand-in
for its node. The first run copies the binaries there, the others find them. Prints one JSON object
a run. All hosts share this machine's cores: what is lost to them is the machine's, not a host's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests import sshhosts

from wktriage.core import zipapps
from wktriage.core.times import parse_time

ROOT = Path(__file__).resolve().parents[1]
INCIDENT = "h02"
RECORDED_NODES = 3
BINARY_MB = {"wukongim": 86, "wkbench": 60}
"""What the real binaries are large, without which their copy costs nothing."""

BINARY = """\
#!/bin/sh
exec /usr/bin/python3 /srv/standin/{name}.py "$@"
"""
"""What the shell reads of a binary; what follows only makes it as large as a binary is."""

PROGRAM = """\
import os, re, sys
text = open(sys.argv[-1]).read()
if sys.argv[1] == "dev-sim":
    more = ["--listen=wk-sim=" + re.search(r'listen: "(.+)"', text).group(1)]
else:
    number = (int(re.search(r"^id = (\\d+)", text, re.M).group(1)) - 1) % {recorded} + 1
    place = re.search(r'\\[api\\]\\nlisten_addr = "(.+)"', text).group(1)
    logs = re.search(r'^dir = "(.+)"', text, re.M).group(1)
    more = ["--listen=wk-node%d=%s" % (number, place), "--log-dir=" + logs]
argv = [sys.executable, "/srv/standin/wkreplay.pyz", "serve", "--bundle", "/srv/standin/recording"]
argv += ["--incident", "{incident}", "--log-stdout", *more]
os.execv(sys.executable, argv)
"""


class Watch(threading.Thread):
    """Samples the memory of a process and all that descend from it."""

    def __init__(self, pid: int) -> None:
        """Watch process ``pid``."""
        super().__init__(daemon=True)
        self.pid = pid
        self.highest = 0
        self.over = threading.Event()

    def run(self) -> None:
        """Sample until it is over."""
        while not self.over.wait(1.0):
            self.highest = max(self.highest, sum(_pss(pid) for pid in _descendants(self.pid)))


def _pss(pid: int) -> int:
    """Return the bytes of a process, shared pages by share; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if "Pss:" in line) * 1024
    except (OSError, StopIteration):
        return 0


def _busy_seconds() -> float:
    """Return for how long the cores of this machine have been busy since it was started."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = ticks[3:5]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo[-1])
        todo += parents.get(todo.pop(), [])
    return found


def prepare(base: Path, nodes: int, *, padded: bool) -> None:
    """Make the hosts and what stands in for the binaries, as large as those if ``padded``."""
    standin = base / "standin"
    program = str(zipapps.build("wkreplay"))
    standin.mkdir(parents=True)
    shutil.copy(program, standin / "wkreplay.pyz")
    archive = ROOT / "incidents" / "shared" / f"{INCIDENT}.tar.xz"
    unpack = [sys.executable, program, "unpack", str(archive), str(standin / "recording")]
    subprocess.run(unpack, check=True, capture_output=True)
    program_text = PROGRAM.format(recorded=RECORDED_NODES, incident=INCIDENT)
    for name, megabytes in BINARY_MB.items():
        (standin / f"{name}.py").write_text(program_text)
        file = base / name
        with file.open("wb") as out:
            out.write(BINARY.format(name=name).encode())
            for _ in range(megabytes if padded else 0):
                # Packs to half, as the real ones do.
                out.write((os.urandom(2048) + bytes(2048)) * 256)
        file.chmod(0o755)
        if not padded:
            shutil.copy(file, standin)
    for host in sshhosts.up(base / "hosts", nodes):
        shutil.copytree(standin, host.srv / "standin")


def once(base: Path, nodes: int, seconds: int, forks: int, binaries: str) -> dict[str, Any]:
    """Run once with the binaries that lie in ``binaries``, and return what it cost."""
    where = base / "hosts"
    bundle_id = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-smoke-default-0001"
    given = {
        "wukongim_binary": f"{binaries}/wukongim", "wkbench_binary": f"{binaries}/wkbench",
        "runs_dir": where / "here" / "runs", "data_root": where / "here" / "data",
        "stack_project": "bench-hosts", "profile_seconds": 0, "fail_on": "never",
        "duration": seconds, "bundle_id": bundle_id,
    }  # fmt: skip
    argv = [
        str(Path(sys.executable).with_name("wktriage")),
        "triage",
        "-i",
        str(where / "hosts.yml"),
    ]
    for name, value in given.items():
        argv += ["-e", f"{name}={value}"]
    env = {**os.environ, "WKTRIAGE_PLAIN": "1", "ANSIBLE_FORKS": str(forks)}
    before, busy = resource.getrusage(resource.RUSAGE_CHILDREN), _busy_seconds()
    began = time.monotonic()
    with (base / "run.log").open("w") as log:
        process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=log, stderr=log)
        watch = Watch(process.pid)
        watch.start()
        process.wait()
        watch.over.set()
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    runs = where / "here" / "runs"
    bundle = runs / bundle_id
    if not (bundle / "manifest.json").is_file():
        raise SystemExit(f"no bundle: see {base / 'run.log'}")
    phases = json.loads((runs / ".timings" / f"{bundle_id}.json").read_text())["wall"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "hosts": nodes + 1,
        "forks": forks,
        "wall_s": round(wall, 1),
        "beyond_window_s": round(wall - seconds, 1),
        # Beside connecting, warming up, window and the last scrapes.
        "outside_s": round(wall - phases["watch"], 1),
        "phases_s": phases,
        "controller_cpu_s": round(cpu, 1),
        # Servers, stand-ins and collectors of the hosts, and whatever else ran on the same cores.
        "other_cpu_s": round(_busy_seconds() - busy - cpu, 1),
        "controller_mb": round(watch.highest / 1e6),
        **_kept_time(bundle),
        "bundle_mb": round(
            sum(f.stat().st_size for f in bundle.rglob("*") if f.is_file()) / 1e6, 1
        ),
    }


def _kept_time(bundle: Path) -> dict[str, Any]:
    """Return skew of the collectors' first samples and jitter of the sampling, over all hosts."""
    times: dict[str, list[float]] = {}
    for line in (bundle / "host.jsonl").read_text().splitlines():
        row = json.loads(line)
        at = parse_time(row.get("sample_time"))
        if at is not None:
            times.setdefault(row["host"], []).append(at)
    firsts = [min(found) for found in times.values()]
    off = sorted(
        abs((later - earlier) - round(later - earlier))
        for found in times.values()
        for earlier, later in itertools.pairwise(found)
    )
    window = json.loads((bundle / "window.json").read_text())
    return {
        "hosts_heard": len(times),
        "start_skew_s": round(max(firsts) - min(firsts), 2) if firsts else None,
        "jitter_p99_ms": round(1000 * off[int(0.99 * (len(off) - 1))], 1) if off else None,
        "status_jitter_ms": window["cadence"]["jitter_ms"],
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, nargs="+", default=[3, 50], help="hosts with a node")
    parser.add_argument("--seconds", type=int, default=20, help="length of the window")
    parser.add_argument("--forks", type=int, default=20, help="hosts that Ansible asks at once")
    parser.add_argument("--runs", type=int, default=2, help="how often; the first copies binaries")
    parser.add_argument("--placed", action="store_true", help="binaries are on the hosts already")
    args = parser.parse_args()
    if why := sshhosts.missing():
        raise SystemExit(why)
    for nodes in args.hosts:
        with tempfile.TemporaryDirectory(prefix="wkbench-") as folder:
            base = Path(folder)
            try:
                prepare(base, nodes, padded=not args.placed)
                for _ in range(args.runs):
                    binaries = "host:/srv/standin" if args.placed else str(base)
                    cost = once(base, nodes, args.seconds, args.forks, binaries)
                    print(json.dumps(cost), flush=True)
            except SystemExit:
                print((base / "run.log").read_text()[-4000:], file=sys.stderr)
                raise
            finally:
                sshhosts.down(base / "hosts")


if __name__ == "__main__":
    main()
