#!/usr/bin/env python3
"""Install the collections of requirements.yml into .collections/, without Galaxy.

The PyPI package ``ansible`` (the community package) carries the released collections. Its wheel is
fetched with pip, as pip is set up on this machine, and only the wanted collections are unpacked.
Nothing is fetched when every collection is there already.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".collections" / "ansible_collections"
# The community package whose collections were tested with ansible-core 2.19 and newer.
COMMUNITY_PACKAGE = "ansible>=12,<13"


def wanted() -> dict[str, str | None]:
    """Return the collections of requirements.yml: name to exact version, None for any."""
    doc = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))
    return {c["name"]: c.get("version") for c in doc.get("collections") or []}


def installed_version(name: str) -> str | None:
    """Return the version under .collections/, or None when the collection is not there."""
    manifest = TARGET.joinpath(*name.split("."), "MANIFEST.json")
    if not manifest.is_file():
        return None
    info = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]
    return str(info["version"])


def satisfied(name: str, version: str | None) -> bool:
    """Tell whether the collection is there, in that version when one is asked for."""
    have = installed_version(name)
    return have is not None and version in (None, have)


def fetch_wheel(directory: Path) -> Path:
    """Download the community package's wheel with pip and return its path."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--dest", str(directory), COMMUNITY_PACKAGE),
        ],
        check=True,
    )
    return next(directory.glob("ansible-*.whl"))


def extract(wheel: Path, names: list[str]) -> None:
    """Unpack the named collections out of the wheel; SystemExit when one is not in it."""
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            prefix = "ansible_collections/" + name.replace(".", "/") + "/"
            members = [m for m in archive.namelist() if m.startswith(prefix)]
            if not members:
                sys.exit(f"{name} is not part of {wheel.name}: take it out of requirements.yml")
            archive.extractall(TARGET.parent, members)


def main() -> int:
    """Install what is missing and check the versions asked for."""
    names = wanted()
    missing = [n for n, v in names.items() if not satisfied(n, v)]
    if missing:
        with tempfile.TemporaryDirectory() as tmp:
            extract(fetch_wheel(Path(tmp)), missing)
    for name, version in names.items():
        have = installed_version(name)
        if version and have != version:
            sys.exit(f"{name}: requirements.yml wants {version}, the community package has {have}")
        print(f"{name} {have}")
    if not names:
        print("no collections needed beyond ansible.builtin")
    return 0


if __name__ == "__main__":
    sys.exit(main())
