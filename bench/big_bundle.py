"""Measures what judging costs: a normal bundle, and one of an hour with a gigabyte of logs.

    python -m bench.big_bundle [--incident kill-node1] [--seconds 3600] [--log-mb 1000] [--keep DIR]

The big bundle is a recorded incident whose window is repeated: counters go on growing by what they
grew in the window, gauges repeat, times move on, and the window's log lines are spread over the
longer window as often as the size asks for. Prints one JSON object: wall time, CPU time and peak
memory of `wktriage classify --json --out DIR` (verdict, summary and report page) in a new process,
with the bundle's pages dropped from the page cache where the system can do that.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wktriage.incidents import library

ROOT = Path(__file__).resolve().parents[1]
Row = dict[str, Any]
COUNTERS = re.compile(
    r"messages_sent|send_errors|recv_errors|reconnected_users|cpu_seconds|collector_cpu_seconds"
    r"|throttled_seconds|throttled_periods|periods|net_.x_bytes|blk_\w+_bytes|cpu_\w+_ticks"
    r"|seq|commit_index|applied_index"
)
STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{3}")
SAMPLE = re.compile(rb"^([a-zA-Z_:][^ ]*(?:\{.*\})?) ([-+0-9.eE]+)$")
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def seconds_of(stamp: str) -> float:
    """Return an ISO time as epoch seconds; without a zone it is UTC."""
    parsed = datetime.fromisoformat(stamp)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def moved(stamp: str, seconds: float) -> str:
    """Return a time stamp of that many seconds later, in the same form, to the millisecond."""
    later = datetime.fromtimestamp(seconds_of(stamp[:23]) + seconds, UTC)
    return later.strftime(f"%Y-%m-%d{stamp[10]}%H:%M:%S.") + f"{later.microsecond // 1000:03d}"


class Stretch:
    """How the recorded window becomes the long one: ``laps`` times, each ``length`` s later."""

    def __init__(self, window: Row, seconds: float) -> None:
        """Take the recorded window.json and the length asked for, in seconds."""
        self.start, self.end = seconds_of(window["start"]), seconds_of(window["end"])
        self.length = self.end - self.start
        self.laps = max(1, round(seconds / self.length))
        self.shift = (self.laps - 1) * self.length

    def lap_of(self, at: float) -> range:
        """Return the laps in which a moment of the recording occurs."""
        if at < self.start:
            return range(1)
        return range(self.laps) if at < self.end else range(self.laps - 1, self.laps)

    def after(self, stamp: re.Match[str]) -> str:
        """Return the stamp of a line after the window, moved to after the long one."""
        return moved(stamp[0], self.shift)


def advance(value: Any, gain: Any, lap: int) -> Any:
    """Return a row's value in a later lap: counters grown by ``lap`` times their gain."""
    if isinstance(value, dict) and isinstance(gain, dict):
        return {k: advance(v, gain[k], lap) if k in gain else v for k, v in value.items()}
    return value if value is None or isinstance(gain, dict) else value + gain * lap


def gains(first: Row, last: Row) -> Row:
    """Return what each counter of a row grew by over the window; nested rows nest."""
    found: Row = {}
    for key, value in first.items():
        other = last.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            found[key] = gains(value, other)
        elif COUNTERS.fullmatch(key) and value is not None and other is not None:
            found[key] = max(0, other - value)
    return found


def stretch_rows(path: Path, stretch: Stretch) -> None:
    """Repeat the window's rows of a .jsonl file."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    time_of = [seconds_of(r.get("sample_time") or r["time"]) for r in rows]
    ends: dict[tuple[Any, ...], list[Row]] = {}
    inside = [(r, t) for r, t in zip(rows, time_of, strict=True) if stretch.lap_of(t) != range(1)]
    for row, at in inside:
        if at <= stretch.end and not row.get("error"):
            ends.setdefault(stream(row), []).append(row)
    grown = {key: gains(found[0], found[-1]) for key, found in ends.items()}
    with path.open("w", encoding="utf-8") as out:
        for lap in range(stretch.laps):
            for row, at in zip(rows, time_of, strict=True):
                if lap not in stretch.lap_of(at):
                    continue
                later = advance(row, grown.get(stream(row), {}), lap)
                for key in ("sample_time", "due", "time"):
                    if isinstance(row.get(key), str):
                        later[key] = moved(row[key], lap * stretch.length) + "Z"
                out.write(json.dumps(later, separators=(",", ":")) + "\n")


def stream(row: Row) -> tuple[Any, ...]:
    """Return what tells a row's stream from the others of its file."""
    return (row.get("name"), row.get("node"), row.get("probe"), row.get("host"))


def exposition(path: Path) -> tuple[list[bytes], dict[bytes, float]]:
    """Return the lines of a scrape and the values of its counters and histograms."""
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        lines = file.read().splitlines()
    counting, values = False, {}
    for line in lines:
        if line.startswith(b"# TYPE "):
            counting = line.rsplit(b" ", 1)[1] in (b"counter", b"histogram")
        elif counting and (found := SAMPLE.match(line)):
            values[found[1]] = float(found[2])
    return lines, values


def grown_lines(lines: list[bytes], grown: dict[bytes, float], lap: int) -> bytes:
    """Return a scrape in a later lap."""
    out = []
    for line in lines:
        found = SAMPLE.match(line) if lap else None
        if found and (gain := grown.get(found[1])):
            line = b"%s %s" % (found[1], repr(float(found[2]) + gain * lap).encode())
        out.append(line)
    return b"\n".join(out) + b"\n"


def stretch_metrics(bundle: Path, stretch: Stretch) -> None:
    """Repeat every node's scrapes; the one at the window's end becomes the long window's."""
    for after in sorted((bundle / "metrics").glob("node[0-9]*.prom")):
        before = after.with_name(f"{after.stem}-before.prom")
        if after.stem.endswith("-before") or not before.is_file():
            continue
        first = exposition(before)[1]
        lines, last = exposition(after)
        grown = {key: value - first.get(key, 0.0) for key, value in last.items()}
        after.write_bytes(grown_lines(lines, grown, stretch.laps - 1))
        for scrape in sorted((bundle / "metrics" / "series" / after.stem).glob("*.prom.gz")):
            at = int(scrape.name.partition(".")[0])
            lines = exposition(scrape)[0]
            scrape.unlink()
            for lap in stretch.lap_of(at / 1000):
                later = at + round(lap * stretch.length * 1000)
                data = gzip.compress(grown_lines(lines, grown, lap), compresslevel=1, mtime=0)
                scrape.with_name(f"{later}.prom.gz").write_bytes(data)


def stretch_logs(bundle: Path, stretch: Stretch, size: int) -> None:
    """Repeat the window's log lines until all logs together hold ``size`` bytes.

    Every file is repeated as often as the others, so that a line of the app log and its copy in
    the compose log keep the same time.
    """
    paths = [p for p in sorted((bundle / "logs").glob("*/*.log")) if p.stat().st_size]
    texts = {p: re.findall(r".*\n", p.read_text("utf-8", "replace")) for p in paths}
    timed = {p: list(windowed(lines, stretch)) for p, lines in texts.items()}
    inside = sum(len(line.encode()) for rows in timed.values() for _, line in rows)
    rest = sum(p.stat().st_size for p in paths) - inside
    rounds = max(1, (size - rest) // max(inside, 1))
    step = stretch.length * stretch.laps / rounds
    for path in paths:
        rows, lines = timed.pop(path), texts.pop(path)
        first = next((n for n, x in enumerate(lines) if rows and x is rows[0][1]), len(lines))
        with path.open("w", encoding="utf-8") as out:
            out.writelines(lines[:first])
            for number in range(rounds if rows else 0):
                for share, line in rows:
                    at = stretch.start + (number + share) * step
                    out.write(STAMP.sub(stamper(at), line, count=2))
            if rows:
                for line in lines[first + len(rows) :]:
                    out.write(STAMP.sub(stretch.after, line, count=2))


def stamper(at: float) -> Callable[[re.Match[str]], str]:
    """Return what replaces a stamp by the moment ``at``, in the stamp's own form."""
    whole, part = clock(int(at)), f".{int(at * 1000) % 1000:03d}"
    return lambda m: f"{whole[:10]}{m[0][10]}{whole[11:]}{part}"


_CLOCK: dict[int, str] = {}


def clock(second: int) -> str:
    """Return an epoch second as date and time, remembered: lines of one second come together."""
    if second not in _CLOCK:
        _CLOCK.clear()
        _CLOCK[second] = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return _CLOCK[second]


def windowed(lines: list[str], stretch: Stretch) -> Iterator[tuple[float, str]]:
    """Yield the stretch of lines that begins and ends in the window, each with its share of it."""
    share, found = 0.0, list[tuple[float, str]]()
    for line in lines:
        stamp = STAMP.search(line[:80])
        if stamp:
            share = (seconds_of(stamp[0]) - stretch.start) / stretch.length
        if 0 <= share < 1 and (stamp or found):
            found.append((share, line))
        elif found:
            break
    yield from found


def make(incident: str, target: Path, seconds: float, log_bytes: int) -> Row:
    """Write the big bundle into the new directory ``target``; return what it holds."""
    found = library.find_incident(ROOT / "incidents", incident)
    library.unpack(found, target)
    window = json.loads((target / "window.json").read_text("utf-8"))
    stretch = Stretch(window, seconds)
    for path in sorted(target.glob("*.jsonl")):
        if path.name != "docker-stats.jsonl":
            stretch_rows(path, stretch)
    stretch_metrics(target, stretch)
    stretch_logs(target, stretch, log_bytes)
    window["asked_seconds"] = stretch.length * stretch.laps
    for key in ("due", "taken"):
        window["cadence"][key] *= stretch.laps
    for place in (window, window["profile"], *window["phases"]):
        for key in ("start", "end"):
            if place.get(key) and seconds_of(place[key]) >= stretch.end:
                place[key] = moved(place[key], stretch.shift) + "Z"
    (target / "window.json").write_text(json.dumps(window), encoding="utf-8")
    seal(target)
    return {
        "made_of": incident,
        "window_seconds": window["asked_seconds"],
        "status_samples": len((target / "status.jsonl").read_bytes().splitlines()),
        "scrapes": len(list(target.glob("metrics/series/*/*.gz"))),
        **sizes(target),
    }


def sizes(bundle: Path) -> Row:
    """Return what a bundle weighs, in MB (10^6 bytes)."""
    logs = sum(p.stat().st_size for p in bundle.glob("logs/*/*"))
    every = sum(p.stat().st_size for p in bundle.rglob("*") if p.is_file())
    return {"log_mb": round(logs / 1e6, 1), "mb": round(every / 1e6, 1)}


def seal(bundle: Path) -> None:
    """Bring the manifest up to date with the files."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["files"] = []
    for file in sorted(p for p in bundle.rglob("*") if p.is_file() and p != path):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        rel = file.relative_to(bundle).as_posix()
        manifest["files"].append({"path": rel, "bytes": file.stat().st_size, "sha256": digest})
    path.write_text(json.dumps(manifest), encoding="utf-8")


def drop_pages(bundle: Path) -> bool:
    """Drop a bundle's pages from the page cache; False where the system has no way to ask."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in bundle.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def measure(bundle: Path) -> Row:
    """Judge a bundle in a new process and return what it cost.

    A child's peak memory starts at its parent's on Linux, so the parent's is given beside it.
    """
    cold = drop_pages(bundle)
    with tempfile.TemporaryDirectory() as tmp:
        wktriage = str(Path(sys.executable).with_name("wktriage"))
        argv = [wktriage, "classify", str(bundle), "--json", "--out", f"{tmp}/out"]
        begun = time.monotonic()
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.monotonic() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        verdict = json.loads(Path(tmp, "out", "verdict.json").read_text("utf-8"))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss * PEAK_UNIT / 1e6, 1),
        "parent_peak_mb": round(own * PEAK_UNIT / 1e6, 1),
        "pages_dropped": cold,
        "exit": child.returncode,
        "category": verdict["category"],
        "nodes": verdict["nodes"],
        "confidence": verdict["confidence"],
    }


def main() -> None:
    """Make the big bundle in a process of its own, judge both, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incident", default="kill-node1", help="what the big one is made of")
    parser.add_argument("--normal", default=library.DEFAULT, help="the normal bundle")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--log-mb", type=float, default=1000)
    parser.add_argument("--keep", type=Path, help="make the bundle here and leave it")
    parser.add_argument("--make-only", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make_only:
        print(json.dumps(make(asked.incident, asked.keep, asked.seconds, int(asked.log_mb * 1e6))))
        return
    work = Path(tempfile.mkdtemp(prefix="big-bundle-"))
    try:
        normal, big = work / "normal", asked.keep or work / "big"
        found = library.find_incident(ROOT / "incidents", asked.normal)
        library.unpack(found, normal)
        # Apart, so that this process stays small: a child's peak begins at its parent's.
        argv = [sys.executable, "-m", "bench.big_bundle", "--make-only", "--keep", str(big)]
        argv += ["--incident", asked.incident, "--seconds", str(asked.seconds)]
        argv += ["--log-mb", str(asked.log_mb)]
        made = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
        figures = {
            "load1": os.getloadavg()[0],
            "normal": {"incident": asked.normal, **sizes(normal), **measure(normal)},
            "big": {**made, **measure(big)},
        }
        print(json.dumps(figures, indent=2))
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
