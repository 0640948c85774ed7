"""Evidence that is fetched in pieces: what was cut off goes on, and what is wrong is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from wktriage.core.errors import InfraError
from wktriage.run import transfer

DATA = random.Random(1).randbytes(10_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PIECE_BYTES", 3000)


class Link:
    """A host with DATA, whose link breaks when a piece from one of ``breaks`` is asked for."""

    def __init__(self, *breaks: int) -> None:
        self.breaks = list(breaks)
        self.asked: list[int] = []
        self.waited: list[float] = []

    def __call__(self, offset: int, length: int) -> str:
        self.asked.append(offset)
        if offset in self.breaks:
            self.breaks.remove(offset)
            raise ConnectionError("the link is gone")
        piece = base64.b64encode(DATA[offset : offset + length]).decode()
        return f"Welcome to this host\r\n{piece}\r\n"

    def fetch(self, target: Path, sha256: str = SHA256) -> int:
        offer = transfer.Offer(len(DATA), sha256)
        return transfer.fetch(self, offer, target, pause=self.waited.append)


def test_a_link_that_breaks_for_a_moment_costs_one_piece(tmp_path: Path) -> None:
    link = Link(3000)
    assert link.fetch(tmp_path / "h.tar.gz") == len(DATA)
    assert link.asked == [0, 3000, 3000, 6000, 9000]
    assert link.waited == [1.0]
    assert (tmp_path / "h.tar.gz").read_bytes() == DATA


def test_an_interrupted_fetch_goes_on_where_it_stopped(tmp_path: Path) -> None:
    target = tmp_path / "packed" / "h.tar.gz"
    with pytest.raises(ConnectionError):
        Link(*[6000] * 4).fetch(target)
    assert not target.exists()
    link = Link()
    assert link.fetch(target) == len(DATA) - 6000
    assert link.asked == [6000, 9000]
    assert target.read_bytes() == DATA
    assert [f.name for f in target.parent.iterdir()] == ["h.tar.gz"]


def test_a_part_of_another_file_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        Link(*[3000] * 4).fetch(tmp_path / "h.tar.gz", "0" * 64)
    assert Link().fetch(tmp_path / "h.tar.gz") == len(DATA)


def test_what_is_not_what_the_host_said_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="sha256"):
        Link().fetch(tmp_path / "h.tar.gz", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_an_offer_comes_with_the_first_piece(tmp_path: Path) -> None:
    printed = json.dumps({"tar": "/x", "bytes": len(DATA), "sha256": SHA256})
    first = base64.b64encode(DATA[:3000]).decode()
    offer = transfer.offered(f"Welcome\r\n{printed}\r\n{first}\r\n")
    assert offer == transfer.Offer(len(DATA), SHA256, first)
    link = Link()
    assert transfer.fetch(link, offer, tmp_path / "h.tar.gz") == len(DATA)
    assert link.asked == [3000, 6000, 9000]
    assert (tmp_path / "h.tar.gz").read_bytes() == DATA
    assert transfer.offered("Welcome\nnothing\n") is None


def test_a_first_piece_that_is_not_whole_is_asked_for(tmp_path: Path) -> None:
    link = Link()
    offer = transfer.Offer(len(DATA), SHA256, base64.b64encode(DATA[:2999]).decode())
    assert transfer.fetch(link, offer, tmp_path / "h.tar.gz") == len(DATA)
    assert link.asked[0] == 0


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        ({"bytes": 1 << 50, "sha256": SHA256}, "too many"),
        ({"bytes": -1, "sha256": SHA256}, "too many"),
        ({"bytes": 7, "sha256": "../../" + SHA256}, "no offer"),
        ({"bytes": "7", "sha256": SHA256}, "no offer"),
        ([], "no offer"),
    ],
)
def test_an_offer_that_no_run_can_make_is_refused(offer: object, says: str) -> None:
    with pytest.raises(InfraError, match=says):
        transfer.offered(json.dumps(offer) + "\nAAAA\n")


def test_the_host_prints_the_piece_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    argv = [sys.executable, "-c", transfer.SEND, str(tmp_path / "file"), "5000", "20"]
    said = subprocess.run(argv, capture_output=True, check=True).stdout
    assert base64.b64decode(said) == DATA[5000:5020]
