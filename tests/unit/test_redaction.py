"""No secret of the configuration or the caller is left in the evidence; the evidence is."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wktriage.bundle import redaction
from wktriage.core import schemas


def config(text: str) -> tuple[str, Counter[str], redaction.Secrets]:
    counts: Counter[str] = Counter()
    secrets = redaction.Secrets()
    lines = text.encode().splitlines(keepends=True)
    done = b"".join(redaction.redact_config(lines, secrets, counts)).decode()
    return done, counts, secrets


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("jwt_secret = \"wukongim-dev\"\n", "jwt_secret = \"REDACTED\"\n"),
        ("password = 'x'  # not y\n", "password = 'REDACTED'  # not y\n"),
        ("      WK_X_PASSWORD: pass word 1\n", "      WK_X_PASSWORD: REDACTED\n"),
        ("      - WK_X_TOKEN=abc\n", "      - WK_X_TOKEN=REDACTED\n"),
        ('  "api_key": "k"\n', '  "api_key": "REDACTED"\n'),
        ("users = [{ name = \"a\", password = \"b,}c\" }]\n",
         "users = [{ name = \"a\", password = \"REDACTED\" }]\n"),
        ("WK_BENCH_API_TOKEN=abc\r\n", "WK_BENCH_API_TOKEN=REDACTED\r\n"),
        ('run: ["--token=abc", "--x=1"]\n', 'run: ["--token=REDACTED", "--x=1"]\n'),
        ("url: http://me:pw@host/x\n", "url: http://REDACTED@host/x\n"),
        ("  secret: |\n    one\n    two\n  next: 1\n",
         "  secret: |\n    REDACTED\n    REDACTED\n  next: 1\n"),
        ('secret = """one\ntwo"""\nx = 1\n', 'secret = """REDACTED\n"""\nx = 1\n'),
    ],
)  # fmt: skip
def test_configuration_values_are_hidden_in_place(before: str, after: str) -> None:
    done, counts, _ = config(before)
    assert done == after
    assert sum(counts.values()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "token_mode: none\n",
        "jwt_expire = \"24h\"\n",
        "password:\n",
        "WK_X_PASSWORD: ${WK_X_PASSWORD}\n",
        "api_token: \"\"\n",
        "secret: null\n",
        "image: wukongim-dev:local\n",
        "target: http://wk-node1:5001\n",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    done, counts, _ = config(text)
    assert done == text
    assert not counts


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (b"Authorization: Bearer abcdef123456\n", b"Authorization: Bearer REDACTED\n"),
        (b'{"Authorization": "Basic YWJjOmRlZg=="}\n', b'{"Authorization": "Basic REDACTED"}\n'),
        (b"got eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2lnbmF0dXJl here\n", b"got REDACTED here\n"),
        (b'\tx\t{"u": 1, "password": "p w"}\n', b'\tx\t{"u": 1, "password": "REDACTED"}\n'),
        (b"dial redis://u:p@h:1\n", b"dial redis://REDACTED@h:1\n"),
    ],
)  # fmt: skip
def test_credentials_in_logs_are_hidden(line: bytes, left: bytes) -> None:
    counts: Counter[str] = Counter()
    assert redaction.redact_line(line, redaction.Secrets(), counts) == left
    assert sum(counts.values()) == 1


def test_words_of_the_evidence_are_not_learnt() -> None:
    _, _, secrets = config('password = "wukongim"\nsecret: short1\ntoken: s3cr3t-value\n')
    assert secrets.values == {b"s3cr3t-value"}


def tree(root: Path) -> Path:
    (root / "config").mkdir(parents=True)
    (root / "metrics/series/node1").mkdir(parents=True)
    (root / "logs/app").mkdir(parents=True)
    (root / "pprof").mkdir()
    (root / "config/node1.toml").write_text('password = "s3cr3t-value"\n')
    (root / "compose-config.yml").write_text("note: s3cr3t-value\nX_PASSWORD: other-secret-9\n")
    (root / "env.txt").write_text("WK_TOKEN=given-by-env-1\nSCENARIO=custom\n")
    (root / "logs/app/wk-node1.log").write_bytes(
        b"\xff\xfe s3cr3t-value and other-secret-9\nfine\n"
    )
    (root / "status.jsonl").write_text('{"status": {"last_error": "given-by-caller"}}\n')
    (root / "metrics/node1.prom").write_text('x{a="s3cr3t-value"} 1\ny 2\n')
    packed = gzip.compress(b'x{a="s3cr3t-value"} 1\n')
    (root / "metrics/series/node1/1.prom.gz").write_bytes(packed)
    (root / "pprof/node1-heap.pb.gz").write_bytes(gzip.compress(b"label s3cr3t-value"))
    (root / "pprof/node1-cpu.pb.gz").write_bytes(b"\x1f\x8bnot gzip at all")
    return root


def test_tree_holds_no_secret_afterwards(tmp_path: Path) -> None:
    root = tree(tmp_path)
    report = redaction.redact_tree(root, ["given-by-caller"])
    schemas.validate("redaction", report)
    everything = b""
    for path in (p for p in root.rglob("*") if p.is_file()):
        data = path.read_bytes()
        everything += gzip.decompress(data) if path.name.endswith("prom.gz") else data
    for secret in (b"s3cr3t-value", b"other-secret-9", b"given-by-env-1", b"given-by-caller"):
        assert secret not in everything
        assert secret.decode() not in str(report)
    assert b"\xff\xfe REDACTED and REDACTED\nfine\n" in everything
    assert b"SCENARIO=custom" in everything
    assert not (root / "pprof/node1-heap.pb.gz").exists()
    assert (root / "pprof/node1-heap.pb.gz.err").exists()
    assert (root / "pprof/node1-cpu.pb.gz").exists()
    counted = {(r["file"], r["rule"]): r["count"] for r in report["redactions"]}
    assert counted["config/node1.toml", "config-key"] == 1
    assert counted["compose-config.yml", "known-secret"] == 1
    assert counted["logs/app/wk-node1.log", "known-secret"] == 2
    assert counted["metrics/series/node1/1.prom.gz", "known-secret"] == 1


def test_files_without_secrets_keep_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"no newline at the end \xf0")
    before = (tmp_path / "a.log").stat().st_mtime_ns
    redaction.redact_tree(tmp_path)
    assert (tmp_path / "a.log").read_bytes() == b"no newline at the end \xf0"
    assert (tmp_path / "a.log").stat().st_mtime_ns == before


def test_line_too_long_to_search_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"x" * (redaction.LINE_CAP + 5) + b"tail-of-it\nnext\n")
    report = redaction.redact_tree(tmp_path)
    data = (tmp_path / "a.log").read_bytes()
    assert b"tail-of-it" not in data
    assert data.endswith(b" ...[line cut]\nnext\n")
    assert report["redactions"] == [{"file": "a.log", "rule": "cut-line", "count": 1}]


@given(st.binary(max_size=300), st.sampled_from([b"", b"password: ", b"token=", b'"secret": "']))
def test_no_bytes_break_it_and_lines_stay_lines(data: bytes, lead: bytes) -> None:
    lines = (lead + data).replace(b"\r", b"").split(b"\n")
    counts: Counter[str] = Counter()
    done = list(
        redaction.redact_config([line + b"\n" for line in lines], redaction.Secrets(), counts)
    )
    assert len(done) == len(lines)
    assert all(line.count(b"\n") == 1 for line in done)
