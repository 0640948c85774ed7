"""The data root: marker, links, what `clean` may empty."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.module_utils import wk_data_root

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


# --- the same guard on a host ---------------------------------------------------------------


def empty(root: Path) -> None:
    root.mkdir()


def ours(root: Path) -> None:
    data_root.prepare(root, ["node1", "node2"], project="p")
    (root / "node1" / "000001.log").write_text("12345")
    (root / "node1" / "logs").mkdir()
    (root / "node1" / "logs" / "app.log").write_text("not counted")
    (root / "stray").symlink_to("/")


def theirs(root: Path) -> None:
    (root / "node1").mkdir(parents=True)
    (root / "node1" / "precious").write_text("123")


def marked_by_a_link(root: Path) -> None:
    theirs(root)
    (root / "elsewhere").touch()
    (root / data_root.MARKER).symlink_to(root / "elsewhere")


def linked(root: Path) -> None:
    ours(root.with_name("real"))
    root.symlink_to(root.with_name("real"))


def a_file(root: Path) -> None:
    root.touch()


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize("make", [None, empty, ours, theirs, marked_by_a_link, linked, a_file])
def test_host_and_controller_guard_alike(
    tmp_path: Path, make: Callable[[Path], None] | None
) -> None:
    roots = [tmp_path / side / "data" for side in ("controller", "host")]
    for root in roots:
        root.parent.mkdir()
        if make is not None:
            make(root)
    here, there = roots
    answers: list[list[object]] = [[], []]
    for wipe in (False, True):
        for root, answer, check, error in (
            (here, answers[0], data_root.check, UsageError),
            (there, answers[1], wk_data_root.check, wk_data_root.DataRootError),
        ):
            try:
                check(root if check is data_root.check else str(root), wipe=wipe)
                answer.append("may")
            except error as exc:
                answer.append(str(exc).replace(str(root), "ROOT"))
    if answers[0][1] == "may":
        answers[0].append(data_root.data_bytes(here, ["node1", "node2"]))
        answers[1].append(wk_data_root.data_bytes(str(there), ["node1", "node2"]))
        answers[0].append(data_root.wipe(here, as_root=None))
        answers[1].append(wk_data_root.wipe(str(there)))
        data_root.prepare(here, ["node1"], project="p")
        wk_data_root.prepare(str(there), ["node1"], "p")
        markers = [json.loads((root / data_root.MARKER).read_text()) for root in roots]
        assert markers[0] == markers[1]
    assert answers[0] == answers[1]
    if here.is_dir():
        assert tree(here) == tree(there)


def test_a_host_refuses_slash_and_home_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("/", str(tmp_path)):
        with pytest.raises(wk_data_root.DataRootError, match="home directory"):
            wk_data_root.check(path, wipe=False)
