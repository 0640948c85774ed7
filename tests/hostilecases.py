"""The hostile inputs that bench/hostile.py gives to the real commands, one after the other.

Each is small, made anew, and the same on any machine. What is planted may name ``precious``, a file
beside the bundle that nothing may touch.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests import fuzzing, hostileplants
from tests.unit.bundlefakes import Run, pack, packed

from wktriage.bundle import manifest

Plant = Callable[[Path], None]
Words = tuple[str, ...]

CLASSIFY = ("classify", "{bundle}", "--out", "{where}/out")
OURS = ("classify", "{bundle}", "--runs-dir", "{where}/runs")
CHECK = (("verify", "{bundle}"), ("verify-citations", "{bundle}"))
JUDGE = (CLASSIFY, ("verify", "{bundle}"))
ASSEMBLE = ("assemble", "{where}")
VERDICTS = frozenset({0, 3, 4, 5})
REFUSED = frozenset({2})


@dataclass(frozen=True)
class Case:
    """One input: how it is made, which commands get it, and how each of them may end.

    ``source`` is what it is planted in: ``small``, ``full``, ``healthy``, ``failing`` or ``hosts``;
    ``says`` is part of what one of the commands must print, ``megabytes`` what each may take.
    """

    kind: str
    name: str
    plant: Plant
    source: str = "small"
    commands: tuple[Words, ...] = JUDGE
    codes: frozenset[int] = VERDICTS
    says: str = ""
    megabytes: float = 600.0


# ------------------------------------------------------------------ writing


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _links(name: str) -> Iterator[tuple[str, Plant]]:
    yield "a link", lambda b: (b / name).symlink_to(b.parents[1] / "precious")
    yield "a dangling link", lambda b: (b / name).symlink_to(b.parents[1] / "nowhere")
    yield "a hard link", lambda b: (b / name).hardlink_to(b.parents[1] / "precious")
    yield "a FIFO", lambda b: _fifo(b / name)
    yield "a directory", lambda b: (b / name).mkdir()
    yield "a device", lambda b: (b / name).symlink_to("/dev/full")


def writing() -> Iterator[Case]:
    """Yield what lies in wait where something is to be written."""
    for name in ("verdict.json", "summary.md", "report.html"):
        for what, plant in _links(name):
            codes, says = REFUSED, "not a regular file"
            if what == "a hard link":
                codes, says = VERDICTS, ""
            yield Case("writing", f"{name} is {what}", plant, "ours", (OURS,), codes, says)
    claims = json.dumps({"collectors": [], "files": []})
    yield Case("writing", "its manifest says it is ours",
               lambda b: _put(b / "manifest.json", claims), commands=(("classify", "{bundle}"),),
               says="not written")  # fmt: skip
    empty = ("classify", "{bundle}", "--out", "")
    yield Case(
        "writing", "--out is empty", _nothing, commands=(empty,), codes=REFUSED, says="empty"
    )
    for what, plant in (
        ("a dangling link", lambda b: (b.parent / "out").symlink_to("nowhere")),
        ("a file", lambda b: _put(b.parent / "out", "x")),
        ("a FIFO", lambda b: _fifo(b.parent / "out")),
    ):
        yield Case("writing", f"--out is {what}", plant, commands=(CLASSIFY,), codes=REFUSED)


# ------------------------------------------------------------------ time and memory


def _archive(names: Iterator[tuple[tarfile.TarInfo, bytes]], open_: Any = lzma.open) -> Plant:
    def plant(bundle: Path) -> None:
        with open_(_archive_of(bundle), "wb") as out, tarfile.open(fileobj=out, mode="w|") as tar:
            for info, data in names:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

    return plant


def _archive_of(bundle: Path) -> Path:
    return bundle.with_name("bundle.tar.xz")


def _header_of_gigabytes(bundle: Path) -> None:
    member = tarfile.TarInfo("a/x")
    member.type, member.size = tarfile.XHDTYPE, 3 << 30
    with _archive_of(bundle).open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(4 << 30)


def _members_without_end(bundle: Path) -> None:
    with lzma.open(_archive_of(bundle), "wb", preset=0) as file:
        for n in range(300_000):
            file.write(tarfile.TarInfo(f"a/{n}").tobuf(tarfile.GNU_FORMAT))


def _gigabytes_of_zeros(bundle: Path) -> None:
    member = tarfile.TarInfo("a/x")
    member.size = 6 << 30
    with lzma.open(_archive_of(bundle), "wb", preset=0) as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(200):
            file.write(b"\0" * (16 << 20))


def _members(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Plant:
    def plant(bundle: Path) -> None:
        good, odd = tarfile.TarInfo("b/status.jsonl"), tarfile.TarInfo(name)
        odd.type, odd.linkname = kind, target
        _archive(iter([(good, b"{}\n"), (odd, b"")]))(bundle)

    return plant


OF_ARCHIVE = tuple(tuple(w.replace("{bundle}", "{archive}") for w in words) for words in JUDGE)
BOMBS = (
    "stacks_of_lists", "empty_fields", "merges", "deep_yaml", "large_compose", "far_future",
    "many_labels", "long_label", "long_name", "hole", "hole_in_a_log", "one_line", "deep_json",
    "many_files", "four_hundred_nodes", "many_nodes", "large_scrapes", "gigabyte_of_rows",
    "gzip_bomb_log", "hundred_thousand_files", "deep_directories", "many_lines", "cycle_of_links",
)  # fmt: skip


def bombs() -> Iterator[Case]:
    """Yield what costs time, memory, rows or depth."""
    for name in BOMBS:
        # A verdict on 2 000 nodes, and its page, are large whatever is read.
        most = 1300.0 if name == "many_nodes" else 600.0
        yield Case("bombs", name.replace("_", " "), getattr(hostileplants, name), megabytes=most)
    for name, plant in (
        ("a header of 3 GB", _header_of_gigabytes),
        ("300 000 members", _members_without_end),
        ("3 GB of zeros", _gigabytes_of_zeros),
        ("an absolute path", _members("/tmp/wktriage-hostile")),
        ("a path with ..", _members("b/../../precious")),
        ("a link to /etc", _members("b/config", tarfile.SYMTYPE, "/etc")),
        ("a hard link outside", _members("b/x", tarfile.LNKTYPE, "/etc/passwd")),
        ("a device", _members("b/x", tarfile.CHRTYPE)),
        ("two directories", _members("c/x")),
    ):
        yield Case("bombs", f"an archive: {name}", plant, commands=OF_ARCHIVE, codes=REFUSED)


# ------------------------------------------------------------------ damage


def _put(path: Path, text: str | bytes) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


def _nothing(_bundle: Path) -> None:
    """Plant nothing: the command itself is what is odd."""


def _flipped(share: float, cut: bool, bundle: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(bundle, "b")
    data = bytearray(lzma.compress(out.getvalue(), preset=0))
    at = int(share * len(data))
    data[at] ^= 0x41
    _put(_archive_of(bundle), bytes(data[:at] if cut else data))


def _spoilt_verdict(how: str, bundle: Path) -> None:
    _put(bundle / "verdict.json", json.dumps(spoilt_verdict(_verdict(bundle), how)))


def _verdict(bundle: Path) -> dict[str, Any]:
    from wktriage.bundle.bundle import Bundle
    from wktriage.judging.verdict import judge

    verdict: dict[str, Any] = json.loads(json.dumps(judge(Bundle.open(bundle))))
    return verdict


SPOILT_VERDICTS = (
    "no reasons", "reasons are a number", "reason is a text", "file is a list", "line is a text",
    "value is an object", "pointer is a number", "nested",
)  # fmt: skip


def spoilt_verdict(verdict: dict[str, Any], how: str) -> Any:
    """Return one of the forms in which a verdict.json comes damaged."""
    citation: dict[str, Any] = verdict["reasons"][0]["citations"][0]
    if how == "no reasons":
        del verdict["reasons"]
    elif how == "reasons are a number":
        verdict["reasons"] = 5
    elif how == "reason is a text":
        verdict["reasons"] = ["x"]
    elif how == "file is a list":
        citation["file"] = ["x"]
    elif how == "line is a text":
        citation["line"] = "x"
    elif how == "value is an object":
        citation["value"] = {"a": 1}
    elif how == "pointer is a number":
        citation["pointer"] = 7
    elif how == "nested":
        for _ in range(400):
            verdict = {"reasons": [verdict]}
    return verdict


def _document(file: str, text: str | bytes) -> Plant:
    return lambda bundle: _put(bundle / file, text)


def _label(row: str | bytes) -> Plant:
    return lambda bundle: _put(bundle / "labels.jsonl", row)


def _random(bundle: Path) -> None:
    for path in sorted(p for p in bundle.rglob("*") if p.is_file()):
        _put(path, random.Random(path.name).randbytes(4000))


def damage() -> Iterator[Case]:
    """Yield archives, documents and labels that are broken."""
    for share in (0.001, 0.2, 0.4, 0.6, 0.8, 0.999):
        yield Case("damage", f"a byte flipped at {share:.1%} of an .xz",
                   partial(_flipped, share, False), "failing", OF_ARCHIVE,
                   VERDICTS | REFUSED)  # fmt: skip
    for share in (0.01, 0.5, 0.99):
        yield Case("damage", f"an .xz cut at {share:.0%}", partial(_flipped, share, True),
                   "failing", OF_ARCHIVE, REFUSED)  # fmt: skip
    for how in SPOILT_VERDICTS:
        yield Case("damage", f"verdict.json: {how}", partial(_spoilt_verdict, how), "failing",
                   CHECK, REFUSED, "is no verdict")  # fmt: skip
    for what, data in (("empty", b""), ("no UTF-8", b"\xff\xfe\x00"), ("a list", b"[]")):
        yield Case("damage", f"verdict.json: {what}", _document("verdict.json", data), "failing",
                   CHECK, REFUSED, "is no verdict")  # fmt: skip
    for file in ("manifest.json", "topology.json", "window.json", "fingerprint.json"):
        for what, data in (("empty", b""), ("cut", b'{"files": [{"pa'), ("a number", b"5")):
            yield Case("damage", f"{file}: {what}", _document(file, data), "full")
    yield Case("damage", "every file is random", _random, "full")
    other = '{"bundle": "../../other", "label": "healthy", "fault": "x", "scenario": "s"}\n'
    for what, row in (("names ../../other", other), ("is no JSON", "{"), ("is no UTF-8", b"\xff"),
                      ("is nested", "[" * 100_000), ("names nobody", "{}\n")):  # fmt: skip
        yield Case("damage", f"labels.jsonl {what}", _label(row),
                   commands=(("score", "{bundle}"),), codes=REFUSED)  # fmt: skip


# ------------------------------------------------------------------ tampering


def _rewritten(change: Callable[[dict[str, Any]], None], bundle: Path) -> None:
    verdict = _verdict(bundle)
    change(verdict)
    _put(bundle / "verdict.json", json.dumps(verdict))


def _irregular(file: str, replace: Callable[[Path], None], bundle: Path) -> None:
    (bundle / file).unlink()
    replace(bundle / file)


def _link(target: str, path: Path) -> None:
    path.symlink_to(target)


def _grow(file: str, bundle: Path) -> None:
    with (bundle / file).open("ab") as out:
        out.write(b"\n")


def tampering() -> Iterator[Case]:
    """Yield bundles that are not any more what their manifest or their evidence says."""
    told, found = frozenset({3}), "TAMPERED"
    for what, plant in (
        ("a cited file changed", partial(_grow, "status.jsonl")),
        ("an uncited file changed", partial(_grow, "git.txt")),
        ("a file removed", lambda b: (b / "host.jsonl").unlink()),
        ("a file added", lambda b: _put(b / "metrics/node9.prom", "a 1\n")),
        ("evidence is a link", partial(_irregular, "git.txt", partial(_link, "/etc/passwd"))),
        ("evidence is a device", partial(_irregular, "git.txt", partial(_link, "/dev/zero"))),
        ("evidence is a FIFO", partial(_irregular, "git.txt", _fifo)),
        ("evidence is a directory", partial(_irregular, "git.txt", Path.mkdir)),
        ("the manifest lists nothing", _document("manifest.json", '{"collectors":[],"files":[]}')),
    ):  # fmt: skip
        yield Case("tampering", what, plant, "failing", says=found)
    for key, value in (("category", "healthy"), ("confidence", 0.99), ("nodes", ["wk-node9"]),
                       ("component", "host")):  # fmt: skip
        change = partial(lambda k, v, verdict: verdict.update({k: v}), key, value)
        yield Case("tampering", f"{key} of verdict.json edited", partial(_rewritten, change),
                   "failing", (("verify", "{bundle}"),), told, "but the evidence says")  # fmt: skip
    yield Case("tampering", "a citation edited", partial(_rewritten, _other_line), "failing",
               CHECK, told)  # fmt: skip


def _other_line(verdict: dict[str, Any]) -> None:
    verdict["reasons"][0]["citations"][0]["file"] = "env.txt"


# ------------------------------------------------------------------ numbers

NO_NUMBERS = ("1e999", "-1e999", "NaN", "Infinity", "9" * 400, '"5"', "[5]", "true", "null", "{}")


def _counters(text: str, bundle: Path) -> None:
    rows = [json.loads(line) for line in (bundle / "status.jsonl").read_text().splitlines()]
    for row in rows:
        if isinstance(row.get("status"), dict):
            row["status"].update(send_errors="@", messages_sent="@")
    _put(bundle / "status.jsonl", "".join(json.dumps(r).replace('"@"', text) + "\n" for r in rows))
    manifest.reseal(bundle)


def _metrics(text: str, bundle: Path) -> None:
    for file in (bundle / "metrics").glob("*.prom"):
        lines = file.read_text().splitlines()
        _put(file, "".join(
            (line if line[:1] == "#" else f"{line.rpartition(' ')[0]} {text}") + "\n"
            for line in lines
        ))  # fmt: skip
    manifest.reseal(bundle)


def _rows(file: str, text: str, bundle: Path) -> None:
    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: spoilt(v) for k, v in value.items()}
        return "@" if type(value) in (int, float) else value

    rows = [spoilt(json.loads(line)) for line in (bundle / file).read_text().splitlines()]
    _put(bundle / file, "".join(json.dumps(r).replace('"@"', text) + "\n" for r in rows))
    manifest.reseal(bundle)


def numbers() -> Iterator[Case]:
    """Yield counters, series and rows that hold no finite number."""
    for text in NO_NUMBERS:
        yield Case("numbers", f"counters of status are {text[:12]}", partial(_counters, text),
                   "healthy", codes=frozenset({0, 4}), says="insufficient_evidence")  # fmt: skip
    for text in ("NaN", "+Inf", "-Inf", "1e999", "9" * 400, "1_0", "x"):
        yield Case("numbers", f"metrics are {text[:12]}", partial(_metrics, text), "healthy")
    for file in ("resources.jsonl", "host.jsonl", "health.jsonl", "cluster.jsonl"):
        for text in ("1e999", '"x"'):
            yield Case("numbers", f"{file} holds {text}", partial(_rows, file, text), "healthy")


# ------------------------------------------------------------------ terminal

DRIVING = "\x9b2J\x7f\u202e\x84\x1b]0;t\x07\u2066"


def _said(text: str, bundle: Path) -> None:
    rows = [json.loads(line) for line in (bundle / "status.jsonl").read_text().splitlines()]
    for row in rows:
        if isinstance(row.get("status"), dict):
            row["status"]["last_error"] = text
    _put(bundle / "status.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    manifest.reseal(bundle)


def _named(text: str, bundle: Path) -> None:
    topology = (bundle / "topology.json").read_text().replace("wk-node2", text)
    _put(bundle / "topology.json", topology)
    manifest.reseal(bundle)


def _renamed(name: str, bundle: Path) -> None:
    bundle.rename(bundle.parent / name)


def terminal() -> Iterator[Case]:
    """Yield what would drive a terminal, a page or a template."""
    shown = (CLASSIFY, ("classify", "{bundle}", "--json"), ("explain", "{bundle}", "--all"),
             ("explain", "{bundle}", "--json"), ("verify", "{bundle}"))  # fmt: skip
    for what, text in (("C1 and bidirectional marks", DRIVING), ("a template", "{{ 7 * 191 }}"),
                       ("markup", "<script>alert(1)</script>"), ("half a pair", "\ud800"),
                       ("Markdown", "](javascript:alert(1)) ![x](http://evil/)")):  # fmt: skip
        yield Case("terminal", f"last_error: {what}", partial(_said, text), "full", shown)
    yield Case(
        "terminal", "a node's name", partial(_named, json.dumps(DRIVING)[1:-1]), "full", shown
    )
    for what, name in (("a template", "{{ lookup('pipe', 'touch pwned') }}"), ("controls", DRIVING),
                       ("a newline", "a\nb"), ("an option", "--help")):  # fmt: skip
        words = ("classify", "--out", "{where}/out", "--", f"{{where}}/{name}")
        yield Case("terminal", f"a directory's name: {what}", partial(_renamed, name), "full",
                   (words,))  # fmt: skip
    yield Case("terminal", "an error names a directory", _nothing,
               commands=(("classify", "{where}/" + DRIVING),), codes=REFUSED)  # fmt: skip


# ------------------------------------------------------------------ assembling


def _hosts(change: Callable[[Path, Path], None], where: Path) -> None:
    tar = packed(where, "a", lead=True)
    change(tar, where)


def _flip_gzip(share: float, tar: Path, _where: Path) -> None:
    data = bytearray(tar.read_bytes())
    data[int(share * len(data))] ^= 0x41
    _put(tar, bytes(data))


def _deep_row(tar: Path, _where: Path) -> None:
    pack(tar, {"evidence/status.jsonl": "[" * 200_000, "state.json": '{"a":' * 100_000})


def _grown(tar: Path, _where: Path) -> None:
    with tarfile.open(tar, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("evidence/status.jsonl")
        member.size = 1_200_000_000
        with gzip.open(tar.with_name("zeros"), "wb", 1) as out:
            for _ in range(1200):
                out.write(b"\0" * 1_000_000)
        with gzip.open(tar.with_name("zeros"), "rb") as zeros:
            archive.addfile(member, zeros)
    tar.with_name("zeros").unlink()


def _outside(tar: Path, _where: Path) -> None:
    pack(tar, {"evidence/../../../precious": "x", "/tmp/wktriage-hostile": "x", "state.json": "{}"})


def _linking(tar: Path, where: Path) -> None:
    with tarfile.open(tar, "w:gz") as archive:
        for name in ("evidence/logs", "evidence/status.jsonl", "state.json"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, str(where / "precious")
            archive.addfile(member)


def assembling() -> Iterator[Case]:
    """Yield what a hostile host hands in."""
    for share in (0.1, 0.5, 0.9):
        yield _assembled(f"a byte flipped at {share:.0%}", partial(_flip_gzip, share))
    for name, change in (("nested rows and state", _deep_row), ("1.2 GB of zeros", _grown),
                         ("paths outside", _outside), ("links", _linking)):  # fmt: skip
        yield _assembled(name, change)
    for token in (b"NaN", b"1e999", b"\xff\xfe", b'{"done": 5}', b"[]"):
        yield _assembled(f"state.json is {token[:12]!r}"[:40], partial(
            lambda t, tar, _where: pack(tar, {"state.json": t, "collectors.json": t}) and None,
            token))  # fmt: skip


def _assembled(name: str, change: Callable[[Path, Path], None]) -> Case:
    return Case("assembling", name, partial(_hosts, change), "hosts", (ASSEMBLE,), frozenset({0}))


def assemble(where: Path) -> None:
    """Make the bundle of what the hosts in ``where`` handed in, as a run's end does."""
    Run(where, "a").make({"a": where / "a.tar.gz"})


def fuzzed() -> Iterator[Case]:
    """Yield bundles that were damaged at random."""
    for number in range(12):
        yield Case("fuzzed", f"trial {number}",
                   partial(lambda n, b: fuzzing.damage(b, random.Random(n)), number), "full",
                   (*JUDGE, ("explain", "{bundle}"), ("compare", "{bundle}", "{bundle}")),
                   VERDICTS | REFUSED)  # fmt: skip


def every() -> list[Case]:
    """Return all of them."""
    kinds = (writing, bombs, damage, tampering, numbers, terminal, assembling, fuzzed)
    return [case for kind in kinds for case in kind()]
