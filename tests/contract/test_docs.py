"""Generated pages are those of now, links lead somewhere, tracked files name no machine."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
# In pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "path of one machine": "|".join(
        ["/wo" + r"rk/(?:main|shared|\.)", "/op" + "t/scratch", r"/hom" + r"e/\w+/"]
    ),
    "package registry": "|".join(["py" + r"pi\.org", "pythonho" + "sted", r"galaxy\.ansi" + "ble"]),
    "note to oneself": r"\b(?:TO" + "DO|FIX" + r"ME|XX" + r"X)\b",
}
#: Not ours word by word: the licence text, locks, recordings, vendored scripts.
FOREIGN = re.compile(
    r"LICENSE|.*\.lock|incidents/.*|tests/fixtures/.*|.*/vendor/.*|.*\.min\.(js|css)"
)


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = done.stdout.decode().split("\0")
    return [Path(n) for n in names if n and (ROOT / n).is_file()]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gen_docs", ROOT / "tools" / "gen_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current() -> None:
    old = [str(path) for path in generator().stale()]
    assert not old, f"run make docs: {old}"


def test_relative_links_lead_somewhere() -> None:
    broken = []
    for path in tracked():
        if path.suffix != ".md" or FOREIGN.fullmatch(str(path)):
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (ROOT / path.parent / target).exists():
                broken.append(f"{path}: {target}")
    assert not broken


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_tracked_files_hold_no(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in tracked():
        if FOREIGN.fullmatch(str(path)):
            continue
        raw = (ROOT / path).read_bytes()
        if b"\0" in raw:  # a picture or an archive holds no words, only bytes that look so
            continue
        text = raw.decode("utf-8", errors="replace")
        lines = enumerate(text.splitlines(), 1)
        found += [f"{path}:{n}: {line.strip()[:80]}" for n, line in lines if pattern.search(line)]
    assert not found


def test_locks_name_no_index() -> None:
    for path in ROOT.glob("requirements*.lock"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text
