"""The two programs that run on hosts, each as one file that any Python 3.8 starts."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

PROGRAMS = ("wkcollect", "wkreplay")
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip file can hold
_MAIN = "import sys\n\nfrom {0}.__main__ import main\n\nsys.exit(main())\n"


def content(program: str) -> bytes:
    """Return the zipapp of a host program: the same bytes wherever and whenever it is built.

    The package is found, never imported. Raises ValueError for a name that is no host program.
    """
    if program not in PROGRAMS:
        raise ValueError(f"{program!r} is no host program: those are {', '.join(PROGRAMS)}")
    spec = find_spec(program)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{program} is not installed beside wktriage: install wktriage again")
    root = Path(next(iter(spec.submodule_search_locations)))
    files = {f"{program}/{p.relative_to(root).as_posix()}": p for p in root.rglob("*.py")}
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _MAIN.format(program).encode())
        for name in sorted(files):
            _add(archive, name, files[name].read_bytes())
    return packed.getvalue()


def build(program: str) -> Path:
    """Return the path of the program's zipapp in a private directory of this user.

    The file is named after its content, so an older one is never taken for it.
    """
    packed = content(program)
    folder = Path(tempfile.gettempdir()) / f"wktriage-programs-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ValueError(f"{folder} belongs to somebody else: remove it, or set TMPDIR")
    path = folder / f"{program}-{hashlib.sha256(packed).hexdigest()[:16]}.pyz"
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as out:
            out.write(packed)
        Path(out.name).chmod(0o644)
        Path(out.name).replace(path)
    return path


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _MOMENT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)
