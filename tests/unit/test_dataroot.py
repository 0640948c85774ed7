"""The data root: marker, links, what `clean` may empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from wktriage.core.errors import UsageError
from wktriage.stack import data_root


def test_files_without_marker_are_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError, match="mode=clean will not empty"):
        data_root.wipe(tmp_path, as_root=None)
    assert (tmp_path / "precious").exists()
    data_root.check(tmp_path, wipe=False)


def test_a_link_to_a_marker_is_no_marker(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("{}")
    root = tmp_path / "data"
    root.mkdir()
    (root / data_root.MARKER).symlink_to(real)
    with pytest.raises(UsageError, match=r"holds files but no"):
        data_root.check(root, wipe=True)


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    root = tmp_path / "data"
    data_root.prepare(root, ["node1"], project="p")
    (root / "node2").symlink_to(outside)
    (root / "node1" / "inner").symlink_to(outside)
    assert data_root.wipe(root, as_root=None)
    assert (outside / "precious").exists()
    assert [p.name for p in root.iterdir()] == [data_root.MARKER]


def test_a_linked_root_is_refused(tmp_path: Path) -> None:
    real = tmp_path / "real"
    data_root.prepare(real, [], project="p")
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(UsageError, match="symbolic link"):
        data_root.check(tmp_path / "link", wipe=True)


def test_home_and_slash_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (Path("/"), tmp_path):
        with pytest.raises(UsageError, match="home directory"):
            data_root.check(path, wipe=False)


def test_preparing_someone_elses_data_leaves_no_marker(tmp_path: Path) -> None:
    (tmp_path / "node1").mkdir()
    data_root.prepare(tmp_path, ["node1"], project="p")
    assert not data_root.has_marker(tmp_path)


def test_what_cannot_be_read_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "node1" / "messages").mkdir(parents=True)

    def refuse(*_args: object, onerror: object = None, **_kw: object) -> object:
        assert callable(onerror)
        onerror(PermissionError("no"))
        return iter(())

    monkeypatch.setattr(data_root.os, "walk", refuse)
    total = data_root.data_bytes(tmp_path, ["node1"])
    assert total is None
    assert data_root.measured_mode(total) is None
