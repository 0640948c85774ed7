"""How a bundle becomes the archive of an incident: small, without traces of its machine."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from wktriage.bundle import manifest
from wktriage.bundle.bundle import Bundle
from wktriage.bundle.layout import DERIVED, MANIFEST
from wktriage.core.json_files import write_object

SCRUBBED = {"checkout": "/srv/WuKongIM", "data": "/srv/data", "runs": "/srv/runs"}
_CHECKOUT = re.compile(r"(/[^\s:'\"]+)/docker/(?:conf|sim|dev-sim|observability)\b")
_RUNS = re.compile(r"(/[^\s:'\"]+)/\.work/")
_GO_HOME = re.compile(rb"/(?:root|home/[^/\s]+)/go/")
_BINARY = frozenset({".gz", ".xz"})
# The dictionary spans what one node logs into several files. Logs of 100 MB took 176 s with
# "extreme" and 9 s without, for 1.7 MB instead of 1.2.
DICTIONARY = 64 << 20
EXTREME_BELOW = 30 << 20
# Nothing judges these: they are the largest parts that xz cannot shrink.
DROPPED = re.compile(r"pprof/[^/]*-heap\.pb\.gz(?:\.err)?\Z")


def packed(bundle_dir: Path, identity: str) -> bytes:
    """Return the archive of a bundle, with ``identity`` as its top directory.

    The bundle itself is not touched. What is packed is slimmed: heap profiles are left out, and
    the compressed scrapes are stored uncompressed inside their .gz (level 0), so that xz can use
    how much they resemble each other. The manifest is adjusted to both. The bytes depend on the
    evidence and the id alone.
    """
    with tempfile.TemporaryDirectory() as temporary:
        slim = Path(temporary) / identity
        shutil.copytree(bundle_dir, slim, ignore=_ignore(bundle_dir), symlinks=True)
        for path in slim.rglob("*"):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                path.unlink()
        for path in sorted((slim / "metrics").rglob("*.prom.gz")):
            path.write_bytes(_stored_gzip(gzip.decompress(path.read_bytes())))
        bundle = Bundle.open(slim)
        _scrub(bundle)
        _adjust_manifest(bundle)
        return _tar(slim, identity)


def _ignore(root: Path) -> Callable[[str, list[str]], set[str]]:
    def ignored(directory: str, names: list[str]) -> set[str]:
        folder = Path(directory).relative_to(root).as_posix()
        inside = {name: name if folder == "." else f"{folder}/{name}" for name in names}
        return {n for n, path in inside.items() if path in DERIVED or DROPPED.match(path)}

    return ignored


def _stored_gzip(data: bytes) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=0, mtime=0, filename="") as file:
        file.write(data)
    return out.getvalue()


def _scrub(bundle: Bundle) -> None:
    """Replace the directories of the recording machine in text files: they are nobody's business.

    The data root is the topology's, the checkout is where the compose configuration and the
    stacks of the goroutine dumps say the sources lie.
    """
    topology = bundle.read_json("topology.json") or {}
    text = bundle.read_text("compose-config.yml") or ""
    scrubbed = {m.group(1): SCRUBBED["checkout"] for m in _CHECKOUT.finditer(text)}
    scrubbed |= {m.group(1): SCRUBBED["runs"] for m in _RUNS.finditer(text)}
    if topology.get("data_root"):
        scrubbed[str(topology["data_root"])] = SCRUBBED["data"]
    for path in sorted(bundle.root.rglob("*")):
        if path.suffix in _BINARY or not path.is_file():
            continue
        before = data = path.read_bytes()
        # Longest first: one directory may begin another's name.
        for directory in sorted(scrubbed, key=len, reverse=True):
            data = data.replace(directory.encode(), scrubbed[directory].encode())
        data = _GO_HOME.sub(b"/srv/go/", data)
        if data != before:
            path.write_bytes(data)


def _adjust_manifest(bundle: Bundle) -> None:
    document = bundle.read_json(MANIFEST)
    if not document:
        return
    kept = []
    for entry in document.get("files", []):
        file = bundle.root / str(entry["path"])
        if file.is_file():
            entry["bytes"] = file.stat().st_size
            entry["sha256"] = manifest.sha256(file)
            kept.append(entry)
    document["files"] = kept
    for collector in document.get("collectors", []):
        if collector.get("name") == "pprof-heap" and collector.get("status") == "ok":
            collector.update(status="skipped", files=0, bytes=0, error="left out of the incident")
    write_object(bundle.root / MANIFEST, document)


def _tar(directory: Path, name: str) -> bytes:
    out = io.BytesIO()
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    preset = 9 | (lzma.PRESET_EXTREME if size < EXTREME_BELOW else 0)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": DICTIONARY}]
    with (
        lzma.LZMAFile(out, "w", format=lzma.FORMAT_XZ, filters=filters) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        # Scrapes of one node beside each other, in the order of time.
        for path in [directory, *sorted(directory.rglob("*"))]:
            member = tar.gettarinfo(path, (Path(name) / path.relative_to(directory)).as_posix())
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = 0
            member.mode = 0o755 if path.is_dir() else 0o644
            if path.is_dir():
                tar.addfile(member)
            else:
                with path.open("rb") as file:
                    tar.addfile(member, file)
    return out.getvalue()
