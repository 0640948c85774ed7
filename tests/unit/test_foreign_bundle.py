"""A bundle by mail from someone unknown: it writes nowhere, tells no secret, drives no terminal."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from wktriage import report
from wktriage.bundle import archive
from wktriage.bundle.bundle import Bundle
from wktriage.bundle.citations import verify_citation
from wktriage.cli import main
from wktriage.cli.commands.verify import citations
from wktriage.core import paths
from wktriage.core.errors import InfraError, UsageError
from wktriage.judging.verdict import judge
from wktriage.judging.verdict_files import dump, is_ours, target, write

INCIDENTS = paths.PROJECT / "incidents"
SECRET, PASSWORD = "q7Zk2Wm9Xc4V", "hunter2-of-redis"
RAW = "\x9b\x7f\u202e\x84"
FILES = ("verdict.json", "summary.md", "report.html")


def spoilt(incident: str, root: Path) -> Path:
    """Return a bundle in whose logs and status secrets and terminal controls were planted."""
    archive.unpack_bundle(INCIDENTS / f"{incident}.tar.xz", root)
    compose = root / "compose-config.yml"
    before = compose.read_text() if compose.exists() else ""
    compose.write_text(f"{before}\nx-redis-password: {PASSWORD}\n")
    for log in (root / "logs").rglob("*.log"):
        lines = log.read_text(errors="replace").splitlines()
        # In front, where an excerpt shows it, but behind what says whose line it is.
        log.write_text("".join(_planted(line) + "\n" for line in lines))
    status = root / "status.jsonl"
    rows = [json.loads(line) for line in status.read_text().splitlines()]
    for row in rows:
        if isinstance(row.get("status"), dict):
            row["status"]["last_error"] = f"dial {PASSWORD} {RAW} token={SECRET}"
    status.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return root


def _planted(line: str) -> str:
    head, separator, rest = line.partition("\t")
    return (
        f"{head}{separator}{rest} "
        if not separator
        else (f"{head}{separator}{rest[:60]} token={SECRET} {PASSWORD} {RAW} {rest[60:]}")
    )


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoilt("lostmaj", tmp_path_factory.mktemp("foreign") / "bundle")


@pytest.fixture
def bundle(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked, tmp_path / "foreign"))


def classify(*words: str | Path) -> Result:
    return CliRunner().invoke(main.group, ["classify", *map(str, words)], standalone_mode=False)


def test_its_secrets_are_in_no_output(tmp_path: Path) -> None:
    opened = Bundle.open(spoilt("disconnect1", tmp_path / "foreign"))
    verdict = judge(opened)
    out = tmp_path / "out"
    write(out, verdict)
    report.write_all(opened, verdict, out)
    assert b"REDACTED" in (out / "verdict.json").read_bytes()
    for name in FILES:
        text = (out / name).read_text()
        assert SECRET not in text
        assert PASSWORD not in text
        assert not set(RAW) & set(text)
        assert stat.S_IMODE((out / name).stat().st_mode) == 0o600
    assert any("REDACTED" in c.excerpt for c in citations(verdict))
    assert [w for c in citations(verdict) if (w := verify_citation(opened, c)) is not None] == []


def test_a_redacted_series_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/node1.prom").write_text('a 1\nwk_up{token="q7Zk2Wm9",x="1"} 5\nb 2\n')
    opened = Bundle.open(tmp_path)
    cited = opened.cite("metrics/node1.prom", series='wk_up{token="q7Zk2Wm9",x="1"}', value=5.0)
    assert cited.series == 'wk_up{token="REDACTED",x="1"}'
    assert verify_citation(opened, cited) is None


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_nothing_drives_the_terminal(json_too: list[str], bundle: Path) -> None:
    ended = classify(bundle, *json_too)
    assert ended.exit_code == 0
    assert not set(RAW) & set(ended.output)
    if json_too:
        assert json.loads(ended.output)["category"]


def test_an_error_names_a_directory_safely(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("sys.argv", ["wktriage", "classify", str(tmp_path / f"x{RAW}\x1b[2J")])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert "\\x9b" in shown
    assert not set(RAW + "\x1b") & set(shown)


def test_a_directory_whose_name_is_a_template_is_only_a_name(bundle: Path) -> None:
    odd = bundle.with_name("{{ lookup('pipe', 'touch pwned') }}")
    bundle.rename(odd)
    out = odd.parent / "out {{ 1 + 1 }}"
    ended = classify(odd, "--out", out)
    assert ended.exception is None
    assert sorted(p.name for p in out.iterdir()) == sorted(FILES)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("manifest", [{"collectors": [], "files": []}, None])
def test_it_is_not_written_into_whatever_it_says(
    manifest: dict[str, Any] | None, bundle: Path, tmp_path: Path
) -> None:
    if manifest is not None:
        (bundle / "manifest.json").write_text(json.dumps(manifest))
    before = sorted(bundle.rglob("*"))
    ended = classify(bundle)
    assert ended.exception is None
    assert "not written" in ended.output
    assert sorted(bundle.rglob("*")) == before
    with pytest.raises(UsageError, match="--out"):
        target(bundle, None, tmp_path / "runs")


def test_ours_is_what_really_lies_among_the_runs(bundle: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "linked").symlink_to(bundle)
    assert not is_ours(runs / "linked", runs)
    assert not is_ours(runs / ".." / "foreign", runs)
    assert not is_ours(runs, runs)
    assert not is_ours(bundle, tmp_path / "nowhere")
    ours = bundle.rename(runs / "b")
    assert is_ours(ours, runs)
    assert classify(ours, "--runs-dir", runs).exception is None
    assert (ours / "report.html").exists()


def hard(path: Path, precious: Path) -> None:
    path.hardlink_to(precious)


def link(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def dangling(path: Path, precious: Path) -> None:
    path.symlink_to(precious.with_name("nowhere"))


def fifo(path: Path, _precious: Path) -> None:
    os.mkfifo(path)


def device(path: Path, _precious: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("plant", [hard, link, dangling, fifo, device], ids=lambda p: p.__name__)
def test_derived_files_go_through_no_link(
    plant: Callable[[Path, Path], None], name: str, bundle: Path, tmp_path: Path
) -> None:
    precious = tmp_path / ".bashrc"
    precious.write_text("mine")
    plant(bundle / name, precious)
    opened = Bundle.open(bundle)
    verdict = {"category": "healthy"}
    if plant is hard:
        private = [write(bundle, verdict)] if name == "verdict.json" else []
        assert private in ([], [True])
        if name != "verdict.json":
            report.write_all(opened, judge(opened), bundle)
        assert (bundle / name).read_bytes() != b"mine"
    elif name == "verdict.json":
        with pytest.raises(UsageError, match="not a regular file"):
            write(bundle, verdict)
        with pytest.raises(UsageError, match="no usable verdict"):
            report.write_for(bundle, bundle)
    else:
        with pytest.raises(UsageError, match="not a regular file"):
            report.write_all(opened, judge(opened), bundle)
    assert precious.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_an_empty_out_is_refused(bundle: Path, tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ended = CliRunner().invoke(main.group, ["classify", str(bundle), "--out", ""])
    assert ended.exit_code == 2
    assert "name a directory" in ended.output
    assert list((tmp_path / "here").iterdir()) == []


def test_a_full_disk_is_no_usage_error(bundle: Path, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    ended = classify(bundle, "--out", tmp_path / "out")
    assert isinstance(ended.exception, InfraError)
    assert ended.exception.exit_code == 6
    assert list((tmp_path / "out").iterdir()) == []


def test_the_bytes_of_a_verdict_hold_no_raw_control() -> None:
    data = dump({"x": RAW}).decode()
    assert not set(RAW) & set(data)
    assert json.loads(data) == {"x": RAW}
