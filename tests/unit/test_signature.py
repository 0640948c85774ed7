"""An SSH signature of the manifest says who vouches for a bundle."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from wktriage.bundle import archive
from wktriage.cli import main
from wktriage.core import paths
from wktriage.core.errors import InfraError, UsageError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return archive.unpack_bundle(paths.PROJECT / "incidents/lostmaj.tar.xz", tmp_path / "bundle")


def key(place: Path, name: str) -> Path:
    path = place / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def signed(bundle: Path, by: Path, namespace: str = "wktriage") -> Path:
    data = (bundle / "manifest.json").read_bytes()
    words = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(by), "-n", namespace]
    done = subprocess.run(words, input=data, capture_output=True, check=True)
    path = by.with_name(f"{by.name}.{namespace}.sig")
    path.write_bytes(done.stdout)
    return path


def verify(*words: str | Path) -> tuple[int, str]:
    ended = CliRunner().invoke(main.group, ["verify", *map(str, words)], standalone_mode=False)
    if ended.exception is not None:
        raise ended.exception
    return int(ended.return_value), ended.output


@pytest.fixture
def signers(tmp_path: Path) -> tuple[Path, Path]:
    own = key(tmp_path, "own")
    allowed = tmp_path / "allowed"
    allowed.write_text(f"me@example.org {own.with_suffix('.pub').read_text()}")
    return own, allowed


def test_a_good_signature_names_its_signer(bundle: Path, signers: tuple[Path, Path]) -> None:
    own, allowed = signers
    code, text = verify(bundle, "--signature", signed(bundle, own), "--allowed-signers", allowed)
    assert "Signature: good, by me@example.org" in text
    assert code == 0


@pytest.mark.parametrize("how", ["changed", "stranger", "purpose", "garbage"])
def test_what_does_not_hold_is_said(
    how: str, bundle: Path, signers: tuple[Path, Path], tmp_path: Path
) -> None:
    own, allowed = signers
    signature = signed(bundle, own)
    if how == "changed":
        manifest = bundle / "manifest.json"
        manifest.write_bytes(manifest.read_bytes() + b"\n")
    elif how == "stranger":
        signature = signed(bundle, key(tmp_path, "stranger"))
    elif how == "purpose":
        signature = signed(bundle, own, "git")
    else:
        signature.write_bytes(b"\x00\xff")
    code, text = verify(bundle, "--signature", signature, "--allowed-signers", allowed)
    assert code == 3
    assert "the signature does not hold" in text
    assert "Signature: does not hold" in text


def test_files_that_are_missing_are_named(bundle: Path, signers: tuple[Path, Path],
                                          tmp_path: Path) -> None:  # fmt: skip
    with pytest.raises(UsageError, match=r"none\.sig is no file"):
        verify(bundle, "--signature", tmp_path / "none.sig", "--allowed-signers", signers[1])


def test_without_the_program_it_is_said(
    bundle: Path, signers: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    signature = signed(bundle, signers[0])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InfraError, match="ssh-keygen does not work here"):
        verify(bundle, "--signature", signature, "--allowed-signers", signers[1])
