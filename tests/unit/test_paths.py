"""Where an installed wheel and a checkout leave their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from wktriage.core import paths

ROOT = Path(__file__).parents[2]


def test_a_checkout_keeps_all_to_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert (paths.PROJECT, paths.work_dir(), paths.cache_dir()) == (ROOT, ROOT, ROOT / ".cache")


@pytest.mark.parametrize(
    ("asked", "below"), [(None, "home/.cache"), ("relative", "home/.cache"), ("{tmp}/xdg", "xdg")]
)
def test_a_wheel_writes_where_its_user_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str | None, below: str
) -> None:
    monkeypatch.setattr(paths, "INSTALLED", True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if asked is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", asked.format(tmp=tmp_path))
    assert paths.work_dir() == tmp_path
    assert paths.cache_dir() == tmp_path / below / "wktriage"
