"""Where bundle and manifest, or verdict and bundle, do not agree, a person is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from wktriage.bundle import archive
from wktriage.bundle.bundle import Bundle
from wktriage.cli import main
from wktriage.core import paths
from wktriage.core.errors import UsageError
from wktriage.judging.verdict import judge
from wktriage.judging.verdict_files import write
from wktriage.report import write_all

INCIDENT = paths.PROJECT / "incidents" / "lostmaj.tar.xz"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return archive.unpack_bundle(INCIDENT, tmp_path / "bundle")


def run(*words: str | Path) -> tuple[int, str]:
    ended = CliRunner().invoke(main.group, [str(w) for w in words], standalone_mode=False)
    if ended.exception is not None:
        raise ended.exception
    return int(ended.return_value), ended.output


def changed(bundle: Path) -> str:
    with (bundle / "window.json").open("a") as file:
        file.write("\n")
    return "window.json is not the file that the manifest lists"


def changed_uncited(bundle: Path) -> str:
    (bundle / "git.txt").write_text("another revision\n")
    return "git.txt is not the file that the manifest lists"


def removed(bundle: Path) -> str:
    (bundle / "host.jsonl").unlink()
    return "host.jsonl is in the manifest but not there"


def added(bundle: Path) -> str:
    (bundle / "metrics" / "node9.prom").write_text("# TYPE go_goroutines gauge\ngo_goroutines 1\n")
    return "metrics/node9.prom is not in the manifest, and is not used"


TAMPERINGS = [changed, changed_uncited, removed, added]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda t: t.__name__)
def test_it_is_said_on_screen_in_summary_and_page(
    tamper: Any, bundle: Path, tmp_path: Path
) -> None:
    before = judge(Bundle.open(bundle))
    assert before["mismatches"] == []
    text = tamper(bundle)
    opened = Bundle.open(bundle)
    verdict = judge(opened)
    assert verdict["mismatches"] == [text]
    assert verdict["confidence"] < before["confidence"]
    write_all(opened, verdict, tmp_path / "out")
    for name in ("summary.md", "report.html"):
        page = (tmp_path / "out" / name).read_text()
        assert "Does not agree with its manifest" in page
    _, screen = run("classify", bundle)
    assert "TAMPERED" in screen
    code, checked = run("verify", bundle)
    assert code == 3
    assert text in checked


def test_added_evidence_is_not_used(bundle: Path) -> None:
    added(bundle)
    (bundle / ".DS_Store").write_text("of a tool")
    opened = Bundle.open(bundle)
    assert not opened.exists("metrics/node9.prom")
    assert opened.added == ("metrics/node9.prom",)


@pytest.mark.parametrize("files", [[], None, ["x"], [{"path": 5}]])
def test_a_manifest_that_lists_nothing_covers_nothing(files: Any, bundle: Path) -> None:
    (bundle / "manifest.json").write_text(json.dumps({"collectors": [], "files": files}))
    verdict = judge(Bundle.open(bundle))
    assert verdict["mismatches"] == ["the manifest lists no file: it covers nothing of this bundle"]


def test_the_manifests_hash_identifies_the_bundle_everywhere(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    verdict = judge(opened)
    digest = opened.sha256("manifest.json")
    assert verdict["manifest_sha256"] == digest
    write_all(opened, verdict, tmp_path / "out")
    for name in ("summary.md", "report.html"):
        assert digest[:16] in (tmp_path / "out" / name).read_text()
    assert digest[:16] in run("classify", bundle)[1]
    code, text = run("verify", bundle)
    assert code == 0
    assert digest[:16] in text


def test_an_edited_verdict_is_found_out(bundle: Path) -> None:
    verdict = judge(Bundle.open(bundle))
    write(bundle, verdict)
    assert run("verify-citations", bundle)[0] == 0
    assert run("verify", bundle)[0] == 0
    write(bundle, {**verdict, "category": "healthy"})
    code, text = run("verify-citations", bundle)
    assert code == 3
    assert "category is healthy, but the evidence says" in text
    write(bundle, {**verdict, "confidence": 0.99})
    assert run("verify", bundle)[0] == 3


def first_citation(verdict: dict[str, Any]) -> dict[str, Any]:
    citation: dict[str, Any] = verdict["reasons"][0]["citations"][0]
    return citation


def spoil(verdict: dict[str, Any], how: str) -> Any:
    """Return one of the forms in which a verdict.json comes damaged."""
    if how == "no reasons":
        del verdict["reasons"]
    elif how == "reasons are a number":
        verdict["reasons"] = 5
    elif how == "reason is a text":
        verdict["reasons"] = ["x"]
    elif how == "file is a list":
        first_citation(verdict)["file"] = ["x"]
    elif how == "line is a text":
        first_citation(verdict)["line"] = "x"
    elif how == "value is an object":
        first_citation(verdict)["value"] = {"a": 1}
    elif how == "pointer is a number":
        first_citation(verdict)["pointer"] = 7
    elif how == "nested":
        for _ in range(400):
            verdict = {"reasons": [verdict]}
    return verdict


@pytest.mark.parametrize("command", ["verify-citations", "verify"])
@pytest.mark.parametrize("how", [
    "no reasons", "reasons are a number", "reason is a text", "file is a list", "line is a text",
    "value is an object", "pointer is a number", "nested",
])  # fmt: skip
def test_a_damaged_verdict_is_refused_in_words(how: str, command: str, bundle: Path) -> None:
    verdict = json.loads(json.dumps(judge(Bundle.open(bundle))))
    (bundle / "verdict.json").write_text(json.dumps(spoil(verdict, how)))
    with pytest.raises(UsageError, match="is no verdict"):
        run(command, bundle)


def test_an_error_that_nobody_foresaw_is_one_line(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("boom")

    monkeypatch.setattr("wktriage.cli.commands.judge.judge", broken)
    monkeypatch.setattr("sys.argv", ["wktriage", "classify", str(bundle)])
    monkeypatch.delenv("WKTRIAGE_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended:
        main.main()
    shown = capsys.readouterr().err
    assert ended.value.code == 6
    assert len(shown.splitlines()) == 1
    assert "KeyError" in shown
    assert "SECURITY.md" in shown
    monkeypatch.setenv("WKTRIAGE_DEBUG", "1")
    with pytest.raises(SystemExit):
        main.main()
    assert "Traceback" in capsys.readouterr().err
