"""Give every hostile input to the real commands, each in its own process; print how it went.

    python -m bench.hostile [--only KIND]

Kinds: writing, bombs, damage, tampering, numbers, terminal, assembling, fuzzed. A row passes when
every command ended as it may (never with 1, a traceback or an error that nobody foresaw), within
90 s and 600 MB (2 000 nodes: 1 300), left nothing but its reports, and put no control character on
the terminal. Seconds and memory are the most that one of its commands took. Ends with 1 when a row
does not pass.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import hostileplants
from tests.hostilecases import ASSEMBLE, Case, assemble, every

from wktriage.bundle import archive

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 90.0
ADDRESS_SPACE = 4 << 30
REPORTS = {"out", "out/verdict.json", "out/summary.md", "out/report.html"}
INCIDENTS = {"healthy": "baseline", "failing": "lostmaj", "ours": "lostmaj"}
UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass
class Row:
    """What became of one input."""

    case: Case
    codes: list[int] = field(default_factory=list)
    seconds: float = 0.0
    megabytes: float = 0.0
    outcome: str = ""
    left: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def bundle_for(case: Case, where: Path, cache: Path) -> Path:
    """Return the bundle that the case is planted in, made anew below ``where``."""
    if case.source == "hosts":
        return where
    bundle = where / ("runs/bundle" if case.source == "ours" else "bundle")
    if case.source == "small":
        return hostileplants.make(bundle)
    if case.source == "full":
        source = ROOT / "tests/fixtures/replay/full"
    else:
        incident = INCIDENTS[case.source]
        source = cache / incident
        if not source.is_dir():
            archive.unpack_bundle(ROOT / "incidents" / f"{incident}.tar.xz", source)
    shutil.copytree(source, bundle)
    return bundle


def planted(case: Case, bundle: Path) -> None:
    """Plant in a process of its own: memory that this one ever had counts as its commands'."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            case.plant(bundle)
            code = 0
        except BaseException:  # noqa: BLE001 (said, and the child ends)
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1] != 0:
        raise RuntimeError(f"{case.name} could not be planted")


def listing(where: Path) -> dict[str, tuple[int, int]]:
    """Return what lies below a directory: names, with inode and size."""

    def walk(directory: Path, prefix: str, depth: int) -> Iterator[tuple[str, tuple[int, int]]]:
        with os.scandir(directory) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                is_dir = entry.is_dir(follow_symlinks=False)
                yield prefix + entry.name, (status.st_ino, 0 if is_dir else status.st_size)
                if is_dir and depth < 12:
                    yield from walk(Path(entry.path), f"{prefix}{entry.name}/", depth + 1)

    return dict(walk(where, "", 0))


def run(row: Row, words: list[str], where: Path, temporary: Path) -> None:
    """Run one command and add to the row how it went."""
    argv = [str(Path(sys.executable).with_name("wktriage")), *words]
    if words[0] == ASSEMBLE[0]:
        argv = [sys.executable, "-m", "bench.hostile", "--assemble", *words[1:]]

    with tempfile.TemporaryFile() as out:
        began = time.monotonic()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=where,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        used = wait(process)
        took = time.monotonic() - began
        out.seek(0)
        text = out.read(20_000_000).decode("utf-8", "replace")
    unit = 1 if sys.platform == "darwin" else 1024
    row.codes.append(process.returncode)
    row.seconds = max(row.seconds, took)
    row.megabytes = max(row.megabytes, used.ru_maxrss * unit / 1e6)
    row.outcome = row.outcome or outcome(text)
    if process.returncode not in row.case.codes and not (
        # A command that finds fault says so with 3, whatever the verdict.
        words[0] in ("verify", "verify-citations", "explain") and process.returncode in (0, 3)
    ):
        row.wrong.append(f"{words[0]} ended with {process.returncode}: {outcome(text)}")
    if "Traceback" in text or "mistake in wktriage" in text:
        row.wrong.append(f"{words[0]}: {' '.join(text.split())[-200:]}")
    if any(c not in "\n\t" and unicodedata.category(c) in UNSHOWN for c in text):
        row.wrong.append(f"{words[0]} put a control character on the terminal")
    if row.case.says and row.case.says in text:
        row.case = Case(**{**vars(row.case), "says": ""})


def wait(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Wait for a process, and end it after SECONDS; return what it used."""
    deadline = time.monotonic() + SECONDS
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return used
        if time.monotonic() > deadline:
            process.kill()
            deadline += 3600
        time.sleep(0.01)


def outcome(text: str) -> str:
    """Return the line that says how a command ended."""
    lines = [line for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith(("category", "wktriage:"))), None)
    return " ".join((said or (lines[-1] if lines else "")).replace("wktriage: ", "").split())[:70]


def tried(case: Case, base: Path, cache: Path) -> Row:
    """Make one input, give it to its commands, and return how it went."""
    where, temporary = base / "where", base / "tmp"
    where.mkdir()
    temporary.mkdir()
    row = Row(case)
    try:
        (where / "precious").write_text("mine")
        bundle = bundle_for(case, where, cache)
        planted(case, bundle)
        names = {"bundle": bundle, "where": where, "archive": where / "bundle.tar.xz"}
        before = listing(where)
        for words in case.commands:
            run(row, [fill(word, names) for word in words], where, temporary)
        after = listing(where)
        ours = {f"runs/bundle/{name}" for name in ("verdict.json", "summary.md", "report.html")}
        row.left = sorted(k for k in after.keys() - before.keys())
        if case.source != "hosts":
            changed = {k for k in before if k not in after or (
                after[k] != before[k] and k not in ours)}  # fmt: skip
            stray = set(row.left) - REPORTS - ours
            row.wrong += [f"left or changed {name}" for name in sorted(changed | stray)[:3]]
        if (where / "precious").read_text() != "mine":
            row.wrong.append("precious was changed")
        row.wrong += [f"left {p.name} in the temporary directory" for p in temporary.iterdir()]
        if row.seconds > SECONDS or row.megabytes > row.case.megabytes:
            row.wrong.append("took too much")
        if row.case.says:
            row.wrong.append(f"did not say {row.case.says!r}")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return row


def fill(word: str, names: dict[str, Path]) -> str:
    """Return a word with the places of this run in it."""
    for name, path in names.items():
        word = word.replace(f"{{{name}}}", str(path))
    return word


def left(row: Row) -> str:
    """Return in words what a row's commands left behind."""
    if row.case.source == "hosts":
        return "its bundle" if any(n.startswith("runs/b1/") for n in row.left) else "nothing"
    reports = [n for n in row.left if n.endswith((".json", ".md", ".html"))]
    return f"{len(reports)} reports" if reports else "nothing"


def main() -> int:
    """Run all, or one kind; print the table."""
    # Whatever an input asks for, the machine keeps the rest of its memory.
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="this kind, or names that hold this")
    parser.add_argument("--assemble", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.assemble:
        assemble(asked.assemble)
        return 0
    chosen = [c for c in every() if asked.only in (c.kind, "") or asked.only in c.name]
    print("| input | outcome | exit | seconds | MB | left | passes |\n| --- " + "| --- " * 6 + "|")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="wktriage-hostile-") as temporary:
        for number, case in enumerate(chosen):
            base = Path(temporary) / str(number)
            base.mkdir()
            row = tried(case, base, Path(temporary))
            failed += bool(row.wrong)
            codes = ", ".join(str(code) for code in row.codes)
            print(
                f"| {case.kind}: {case.name} | {row.outcome.replace('|', ' ')} | {codes} | "
                f"{row.seconds:.1f} | {row.megabytes:.0f} | {left(row)} | "
                f"{'no: ' + '; '.join(row.wrong) if row.wrong else 'yes'} |",
                flush=True,
            )
    print(f"\n{len(chosen)} inputs, {failed} do not pass")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
