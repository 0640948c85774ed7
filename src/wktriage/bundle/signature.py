"""Who vouches for a bundle: an SSH signature of its manifest, checked by ssh-keygen.

The manifest holds the hash of every other file, so its signature covers them all.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from wktriage.bundle.layout import MANIFEST
from wktriage.core import json_files, private_files
from wktriage.core.errors import InfraError, UsageError

NAMESPACE = "wktriage"
"""Keeps what was signed for other purposes from counting here (ssh-keygen -n)."""

SECONDS = 20
_CAP = 64 * 1024


def signer(bundle: Path, signature: Path, allowed: Path) -> tuple[str | None, str]:
    """Return who signed the manifest of a bundle, and None with the reason when nobody known did.

    ``allowed`` is an allowed-signers file (ssh-keygen(1)). Raises UsageError when a file cannot be
    read, InfraError without a working ssh-keygen.
    """
    manifest = _read(bundle / MANIFEST, json_files.CAP)
    for file in (signature, allowed):
        _read(file, _CAP if file == signature else json_files.CAP)
    name, problem = _keygen("find-principals", signature, allowed, manifest)
    if name is None:
        return None, f"its key is not in {allowed}" if "principal" in problem else problem
    held, problem = _keygen("verify", signature, allowed, manifest, "-I", name, "-n", NAMESPACE)
    return (None, problem) if held is None else (name, "")


def _read(file: Path, cap: int) -> bytes:
    try:
        data = private_files.read(file, cap, follow=True)
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror}") from exc
    if data is None:
        raise UsageError(f"{file} is no file")
    return data


def _keygen(
    action: str, signature: Path, allowed: Path, manifest: bytes, *more: str
) -> tuple[str | None, str]:
    """Return the first line that ssh-keygen printed, or None and what it said instead."""
    words = ["ssh-keygen", "-Y", action, "-s", str(signature), "-f", str(allowed), *more]
    try:
        done = subprocess.run(
            words, input=manifest, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise InfraError(f"ssh-keygen does not work here: {exc}") from exc
    printed = done.stdout.decode("utf-8", "replace").split("\n", 1)[0]
    if done.returncode == 0:
        return printed, ""
    problem = done.stderr.decode("utf-8", "replace") or printed
    return None, " ".join(problem.split())[:200] or f"ssh-keygen ended with {done.returncode}"
