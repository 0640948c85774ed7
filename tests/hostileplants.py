"""Small evidence that would take hours, or all of the memory, and what is no evidence at all.

Each function plants one thing in a bundle of its own, a directory.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

from wktriage.core.times import iso


def row(second: float, **more: Any) -> str:
    told = {"state": "running", "run_id": "r", "messages_sent": second * 10, "send_errors": 0,
            "recv_errors": 0, "active_users": 4, "reconnected_users": 0, **more}  # fmt: skip
    return json.dumps({"sample_time": iso(1.77e9 + second), "status": told}) + "\n"


def make(root: Path) -> Path:
    """Make a small bundle without a manifest, to plant something in; return it."""
    for name in ("metrics", "pprof", "logs/app"):
        (root / name).mkdir(parents=True)
    (root / "status.jsonl").write_text("".join(map(row, range(60))))
    (root / "metrics/node1.prom").write_text("# TYPE go_goroutines gauge\ngo_goroutines 5\n")
    nodes = [{"name": f"wk-node{n}", "id": n} for n in (1, 2, 3)]
    (root / "topology.json").write_text(json.dumps({"nodes": nodes}))
    return root


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def profile(*parts: bytes) -> bytes:
    named = field(6, b"") + field(6, b"cpu") + field(1, field(1, 1)) + field(5, field(1, 1))
    return named + b"".join(parts) + field(10, 10**9)


def stacks_of_lists(root: Path) -> None:
    """A stack of 2000 locations of 2000 lines each, a thousand times."""
    lines = field(4, field(1, 1)) * 2000
    sample = field(2, field(1, b"\x01" * 2000) + field(2, varint(5)))
    data = profile(field(4, field(1, 1) + lines), sample * 1000)
    (root / "pprof/node1-cpu.pb.gz").write_bytes(gzip.compress(data))


def empty_fields(root: Path) -> None:
    (root / "pprof/node1-cpu.pb.gz").write_bytes(gzip.compress(b'"\x00' * 30_000_000, 1))


def merges(root: Path) -> None:
    grown = "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))
    (root / "compose-config.yml").write_text(f"cpus: 1\na0: &a0 {{k: v, l: w}}\n{grown}")


def deep_yaml(root: Path) -> None:
    (root / "compose-config.yml").write_text("cpus: " + "[" * 400_000)


def large_compose(root: Path) -> None:
    services = "".join(f"  wk-node{n}:\n    cpus: 1\n    image: x\n" for n in range(12_000))
    (root / "compose-config.yml").write_text("services:\n" + services)


def far_future(root: Path) -> None:
    with (root / "status.jsonl").open("a") as file:
        file.write(json.dumps({**json.loads(row(60)), "sample_time": "9999-12-31T00:00:00Z"}))


def many_labels(root: Path) -> None:
    labels = ",".join(f'a{n}="b"' for n in range(400_000))
    text = f"# TYPE go_goroutines gauge\ngo_goroutines{{{labels}}} 1\n"
    (root / "metrics/node1.prom").write_text(text)


def long_label(root: Path) -> None:
    label = '\\"' * 3_000_000
    text = f'# TYPE go_goroutines gauge\ngo_goroutines{{a="{label}"}} 1\n'
    (root / "metrics/node1.prom").write_text(text)


def long_name(root: Path) -> None:
    nodes = [{"name": "n" * 5_000_000, "id": 1}, {"name": "wk-node2", "id": 2}]
    (root / "topology.json").write_text(json.dumps({"nodes": nodes}))


def hole(root: Path) -> None:
    with (root / "core.bin").open("wb") as file:
        file.truncate(1 << 40)


def hole_in_a_log(root: Path) -> None:
    with (root / "logs/app/wk-node1.log").open("wb") as file:
        file.truncate(1 << 40)


def one_line(root: Path) -> None:
    (root / "status.jsonl").write_bytes(b"x" * 100_000_000)


def deep_json(root: Path) -> None:
    (root / "window.json").write_text('{"a":' * 100_000)


def many_files(root: Path) -> None:
    for number in range(2000):
        (root / "logs" / f"{number}.log").write_bytes(b"")


def many_nodes(root: Path) -> None:
    nodes = [{"name": f"wk-node{n}", "id": n} for n in range(1, 2001)]
    (root / "topology.json").write_text(json.dumps({"nodes": nodes}))


def four_hundred_nodes(root: Path) -> None:
    nodes = [{"name": f"wk-node{n}", "id": n} for n in range(1, 401)]
    (root / "topology.json").write_text(json.dumps({"nodes": nodes}))
    text = (root / "metrics/node1.prom").read_text()
    for n in range(1, 401):
        (root / f"metrics/node{n}.prom").write_text(text)


def large_scrapes(root: Path) -> None:
    text = "# TYPE go_goroutines gauge\n" + "".join(
        f'go_goroutines{{a="{n}"}} {n}\n' for n in range(10_000)
    )
    directory = root / "metrics/series/node1"
    directory.mkdir(parents=True)
    data = gzip.compress(text.encode(), 1)
    for n in range(118):
        stamp = iso(1.77e9 + n / 2).replace("-", "").replace(":", "").replace(".", "")
        (directory / f"{stamp}.prom.gz").write_bytes(data)


def gigabyte_of_rows(root: Path) -> None:
    block = "".join(map(row, range(4000))).encode()
    with (root / "status.jsonl").open("wb") as file:
        for _ in range(951_000_000 // len(block)):
            file.write(block)


def gzip_bomb_log(root: Path) -> None:
    (root / "metrics/node1.prom.gz").write_bytes(gzip.compress(b"\0" * 200_000_000, 9))
    directory = root / "metrics/series/node1"
    directory.mkdir(parents=True)
    layer = gzip.compress(b"# TYPE a gauge\n" * 20_000_000, 1)
    (directory / "20260101T000000000Z.prom.gz").write_bytes(layer)


def hundred_thousand_files(root: Path) -> None:
    directory = root / "logs/many"
    directory.mkdir()
    for n in range(100_000):
        os.close(os.open(directory / f"{n}.log", os.O_CREAT | os.O_WRONLY, 0o600))


def deep_directories(root: Path) -> None:
    here = root
    for _ in range(400):
        here = here / "d"
        here.mkdir()
    (here / "status.jsonl").write_text(row(1))


def many_lines(root: Path) -> None:
    (root / "logs/app/wk-node1.log").write_bytes(b"\n" * 50_000_000)


def cycle_of_links(root: Path) -> None:
    (root / "logs/again").symlink_to(root)
    (root / "logs/self").symlink_to("self")
