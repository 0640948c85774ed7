"""No secret of the configuration or the caller is left in the evidence; the evidence is."""

from __future__ import annotations

import contextlib
import gzip
import json
import string
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.secretcases import LOOKALIKES, SECRETS, Case, profile, read

from wktriage.bundle import redaction
from wktriage.bundle.redaction import profiles
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


@pytest.mark.parametrize("case", SECRETS, ids=lambda c: f"{c.file}: {c.text[:60]!r}")
def test_no_planted_secret_survives(case: Case, tmp_path: Path) -> None:
    path = case.plant(tmp_path)
    report = redaction.redact_tree(tmp_path)
    assert path.exists()
    assert case.secret.encode() not in read(path)
    assert case.secret not in str(report)
    assert read(path).count(b"\n") == case.data.count(b"\n")
    assert sum(r["count"] for r in report["redactions"]) >= 1


@pytest.mark.parametrize("case", LOOKALIKES, ids=lambda c: f"{c.file}: {c.text[:60]!r}")
def test_no_lookalike_is_lost(case: Case, tmp_path: Path) -> None:
    path = case.plant(tmp_path)
    assert redaction.redact_tree(tmp_path)["redactions"] == []
    assert read(path) == case.data


def test_there_are_enough_of_both() -> None:
    assert len({c.secret for c in SECRETS}) >= 69
    assert len(LOOKALIKES) >= 40


@pytest.mark.parametrize("case", [c for c in SECRETS if c.file.endswith("app.json")])
def test_json_stays_json(case: Case, tmp_path: Path) -> None:
    path = case.plant(tmp_path)
    redaction.redact_tree(tmp_path)
    before, after = json.loads(case.data), json.loads(path.read_text())
    assert before.keys() == after.keys()


@pytest.mark.parametrize(
    "line",
    [
        b"eyJ-" * (256 * 1024),
        b"password: x" + b" " * (32 * 1024) + b"y",
        b"password: x" + b" " * (32 * 1024) + b"\n",
        b"a://b:c@" * (64 * 1024),
        b'token="\\' * (64 * 1024),
        b"token=[" * (64 * 1024),
        b"token={" * (64 * 1024),
        b"x:y@a(" * (64 * 1024),
        b"-----BEGIN PRIVATE KEY-----" * (16 * 1024),
        b"token=a,;&|" * (32 * 1024),
        b"- " * (256 * 1024),
    ],
    ids=lambda line: line[:16],
)
def test_hostile_lines_take_no_time(line: bytes) -> None:
    for redact in (redaction.redact_lines, redaction.redact_config):
        begun = time.process_time()
        list(redact([line], redaction.Secrets(), Counter()))
        # The two that hung took 12 and 400 seconds.
        assert time.process_time() - begun < 1


def test_twice_the_line_takes_twice_the_time() -> None:
    def seconds(size: int) -> float:
        begun = time.process_time()
        list(redaction.redact_lines([b"token=a,;&|" * size], redaction.Secrets(), Counter()))
        return time.process_time() - begun

    seconds(100)
    assert seconds(64_000) < 16 * max(seconds(8_000), 0.01)


def test_what_stands_beside_a_secret_stays() -> None:
    def log(text: str) -> str:
        return redaction.redact_text(text)

    assert log("a token=x1y2 uid=u1") == "a token=REDACTED uid=u1"
    assert log("?access_token=x1&uid=u1") == "?access_token=REDACTED&uid=u1"
    assert (
        log("{User:bob ManagerPassword:a b Port:1}") == "{User:bob ManagerPassword:REDACTED Port:1}"
    )
    assert log("{user=bob,password=x1,host=h}") == "{user=bob,password=REDACTED,host=h}"
    assert log("Cookie: a=1; b=2 x") == "Cookie: REDACTED x"
    assert log("root:pw@tcp(h:1)/db") == "root:REDACTED@tcp(h:1)/db"
    assert log("[--token x1 --id 7]") == "[--token REDACTED --id 7]"


def test_a_key_that_was_cut_off_hides_no_log(tmp_path: Path) -> None:
    lines = [f"2026-01-01T00:00:{n:02} INFO step {n} done, all well" for n in range(30)]
    path = tmp_path / "a.log"
    path.write_text("-----BEGIN PRIVATE KEY-----\n" + "\n".join(lines) + "\n")
    redaction.redact_tree(tmp_path)
    assert path.read_text().splitlines()[1:] == lines


def test_profile_stays_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "node1-cpu.pb.gz"
    path.write_bytes(gzip.compress(profile(["", "kind", "token=s3cr3t-1", "main.run"])))
    redaction.redact_tree(tmp_path)
    assert gzip.decompress(path.read_bytes()) == profile(["", "kind", "token=REDACTED", "main.run"])


def test_damaged_archives_are_searched_as_far_as_they_go(tmp_path: Path) -> None:
    packed = gzip.compress(b'wk_up{token="s3cr3t-value-1"} 1\n' * 50, 1)
    (tmp_path / "1.prom.gz").write_bytes(packed[:-6])
    (tmp_path / "2.prom.gz").write_bytes(b"no archive: token=s3cr3t-value-1\n")
    redaction.redact_tree(tmp_path)
    assert b"REDACTED" in read(tmp_path / "1.prom.gz")
    assert b"s3cr3t" not in read(tmp_path / "1.prom.gz")
    assert not (tmp_path / "2.prom.gz").exists()


@given(st.binary(max_size=200))
def test_no_bytes_break_the_profile_reader(data: bytes) -> None:
    with contextlib.suppress(profiles.NoProfileError):
        assert profiles.redact(data, bytes) == data


NAMES = st.sampled_from(
    ["password", "JWT_SECRET_KEY", "secretKey", "TOKEN_1", "DB_PWD", "REDIS_PASS", "SIGNING_KEY",
     "ENCRYPTION_KEY", "api-key", "managerToken", "x-api-key", "db.password", "client_secret",
     "PGPASSWORD", "authToken", "credentials", "passphrase"]
)  # fmt: skip
VALUES = st.text(
    string.ascii_letters + string.digits + "-_+/=!%^*~", min_size=8, max_size=40
).filter(lambda v: any(c.isdigit() for c in v) and v[0] not in "-=*%~")
NOISE = st.text(string.ascii_lowercase + " ", max_size=30)
CONFIG_SHAPES = st.sampled_from(
    ["{n}: {v}", "{n}: '{v}'", '{n} = "{v}"', "export {n}={v}", "- {n}={v}", '"{n}": "{v}",',
     "a: {{{n}: '{v}'}}", "{n}:\n  - {v}", "{n}:\n  {v}", "{n}: |\n  x\n  {v}", "{n}: >-\n  {v}",
     '{n}: "x\n  {v}"', "{n}=x\\\n{v}", '["--{n}", "{v}"]', "- --{n}\n- {v}", '- "{n}={v}"']
)  # fmt: skip
LOG_SHAPES = st.sampled_from(
    ["{n}={v}", "{n}: {v}", '{n}="{v}"', '{{"{n}":"{v}"}}', '"{{\\"{n}\\":\\"{v}\\"}}"',
     "?{n}={v}&a=b", "{{A:b {n}:{v} C:d}}", "map[{n}:[{v}]]", "--{n} {v}", "{n}:{v}",
     "{n} => '{v}'", "({n}={v})"]
)  # fmt: skip


@given(NAMES, VALUES, CONFIG_SHAPES, NOISE)
def test_no_secret_of_a_configuration_survives(
    name: str, value: str, shape: str, noise: str
) -> None:
    text = f"{noise}\n{shape.format(n=name, v=value)}\nnext: {noise}\n"
    done, _, _ = config(text)
    assert value not in done
    assert done.endswith(f"\nnext: {noise}\n")
    assert done.count("\n") == text.count("\n")


@given(NAMES, VALUES, LOG_SHAPES, NOISE)
def test_no_secret_of_a_log_survives(name: str, value: str, shape: str, noise: str) -> None:
    text = f"{noise} {shape.format(n=name, v=value)} {noise}\nnext {noise}\n"
    done = redaction.redact_text(text)
    assert value not in done
    assert done.endswith(f"\nnext {noise}\n")


@given(st.lists(st.sampled_from(
    ["token", "password", "=", ": ", ":", '"', "'", "[", "]", "{", "}", "\\", "\n", "  ", "- ",
     "eyJ", ".", "://", "@", "(", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "|",
     "x", "Bearer ", "--token ", "Cookie", "Authorization", "\"\"\"", "</", "<token>"]
), max_size=40))  # fmt: skip
def test_nothing_breaks_it_and_no_line_goes(parts: list[str]) -> None:
    for redact in (redaction.redact_lines, redaction.redact_config):
        lines = "".join(parts).encode().splitlines(keepends=True)
        once = list(redact(lines, redaction.Secrets(), Counter()))
        assert len(once) == len(lines)
        assert all(not line.strip() or done.strip() for line, done in zip(lines, once, strict=True))
