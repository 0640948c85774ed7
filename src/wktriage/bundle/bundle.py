"""A bundle on disk: bounded, read-only access to evidence, and citations into it.

Two layouts are read alike: the full one (with ``manifest.json``) and the plain one that WuKongIM's
own script writes. What a plain bundle does not say is inferred, and each inference is listed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from wktriage.bundle.readers import status as status_reader
from wktriage.core.errors import UsageError
from wktriage.core.model import Citation, Value
from wktriage.core.text import LINE_CAP, iter_lines
from wktriage.core.times import parse_time

T = TypeVar("T")

DERIVED = frozenset({"verdict.json", "summary.md", "report.html", "explain.txt"})
"""Files that judging writes beside the evidence; never evidence themselves."""

JSON_CAP = 16 * 1024 * 1024
"""Bytes read of a JSON document; a larger one counts as unreadable."""

READ_CAP = 64 * 1024 * 1024
"""Bytes read of any other file that is read whole, after decompression."""

EXCERPT_CAP = 200
_MARKS = ("status.jsonl", "manifest.json", "env.txt", "metrics", "docker-stats.jsonl", "logs")
_NODE_FILE = re.compile(r"^metrics/node(\d+)(?:-before)?\.prom(?:\.err)?$")
_LOG_FILE = re.compile(r"^logs/[^/]+/([A-Za-z0-9][\w.-]*)\.log(?:\.err)?$")
_DIGITS = re.compile(r"(\d+)$")


@dataclass
class Bundle:
    """One evidence directory. Open with :meth:`open`; nothing in it is ever written.

    ``window`` is (start, end) as epoch seconds, None when no measured window can be told.
    ``inferred`` lists every statement that the bundle itself does not make; ``problems`` what is
    damaged (a manifest file that is missing or cannot be read).
    """

    root: Path
    manifest: dict[str, Any] | None = None
    files: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    driver: str = "unknown"
    replay_of: str | None = None
    scenario: str = "unknown"
    workload: dict[str, Any] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    inferred: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _hashes: dict[str, str] = field(default_factory=dict, repr=False)
    _file_set: frozenset[str] = field(default_factory=frozenset, repr=False)
    _read: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Open the bundle at ``path``.

        Raises UsageError when it is no directory, or holds none of the files of a bundle.
        """
        root = Path(path)
        if not root.is_dir():
            raise UsageError(f"{root} is not a directory: give the directory of a bundle")
        if not any((root / mark).exists() for mark in _MARKS):
            raise UsageError(
                f"{root} is not a bundle: it has none of {', '.join(_MARKS)}; "
                "give the directory that holds status.jsonl or manifest.json"
            )
        bundle = cls(root=root)
        bundle._load()
        return bundle

    # -- reading ------------------------------------------------------------------------------

    def once(self, what: str, read: Callable[[], T]) -> T:
        """Return what ``read`` returned the first time: judging and the report read the same."""
        if what not in self._read:
            self._read[what] = read()
        found: T = self._read[what]
        return found

    def path(self, rel: str) -> Path | None:
        """Return the path of a bundle file, or None when it is absent, a link or outside."""
        if rel not in self._file_set:
            return None
        return self.root / rel

    def exists(self, rel: str) -> bool:
        """Tell whether the bundle holds that file."""
        return rel in self._file_set

    def size(self, rel: str) -> int:
        """Return the size in bytes, 0 when absent."""
        path = self.path(rel)
        try:
            return path.stat().st_size if path else 0
        except OSError:
            return 0

    def error(self, rel: str) -> str | None:
        """Return the first line of ``<rel>.err`` (why a file could not be fetched), or None."""
        if not self.exists(rel + ".err"):
            return None
        text = self.read_text(rel + ".err", cap=2000) or ""
        return text.splitlines()[0][:EXCERPT_CAP] if text.strip() else "no reason recorded"

    def read_bytes(self, rel: str, cap: int = READ_CAP) -> bytes | None:
        """Return at most ``cap`` bytes (decompressed when .gz); None when absent or unreadable.

        A compressed file that is truncated or damaged yields what could be decompressed.
        """
        path = self.path(rel)
        if path is None:
            return None
        try:
            if not rel.endswith(".gz"):
                with path.open("rb") as handle:
                    return handle.read(cap)
            return _gunzip(path, cap)
        except OSError:
            return None

    def read_text(self, rel: str, cap: int = READ_CAP) -> str | None:
        """Return text with invalid bytes replaced; None when absent or unreadable."""
        data = self.read_bytes(rel, cap)
        return None if data is None else data.decode("utf-8", errors="replace")

    def read_json(self, rel: str) -> dict[str, Any] | None:
        """Return a JSON object; None when absent, too large, damaged or no object."""
        text = self.read_text(rel, JSON_CAP)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def lines(self, rel: str, cap: int = LINE_CAP) -> Iterator[tuple[int, bytes]]:
        """Stream (1-based line number, line without newline cut at ``cap`` bytes)."""
        path = self.path(rel)
        if path is not None:
            yield from iter_lines(path, cap)

    # -- identity and citations ---------------------------------------------------------------

    def sha256(self, rel: str) -> str:
        """Return the hex digest of a file as it is now; "" when it is absent."""
        if rel not in self._hashes:
            path = self.path(rel)
            if path is None:
                return ""
            try:
                with path.open("rb") as handle:
                    self._hashes[rel] = hashlib.file_digest(handle, "sha256").hexdigest()
            except OSError:
                return ""
            listed = self._listed.get(rel)
            if listed is not None and listed != self._hashes[rel]:
                self.problems.append(f"{rel} is not the file that the manifest lists")
        return self._hashes[rel]

    @cached_property
    def _listed(self) -> dict[str, str]:
        """The manifest's hashes by path."""
        entries = (self.manifest or {}).get("files")
        return {
            e["path"]: e["sha256"]
            for e in (entries if isinstance(entries, list) else [])
            if isinstance(e, dict)
            and isinstance(e.get("path"), str)
            and isinstance(e.get("sha256"), str)
        }

    @cached_property
    def bundle_id(self) -> str:
        """The manifest's id; for a plain bundle ``plain-`` and a digest of paths and hashes."""
        if self.manifest is not None and isinstance(self.manifest.get("bundle_id"), str):
            return str(self.manifest["bundle_id"])
        digest = hashlib.sha256()
        for rel in self.files:
            digest.update(f"{rel}\0{self.sha256(rel)}\n".encode("utf-8", "surrogateescape"))
        return f"plain-{digest.hexdigest()[:12]}"

    def cite(
        self,
        file: str,
        *,
        line: int | None = None,
        pointer: str | None = None,
        series: str | None = None,
        value: Value = None,
        excerpt: str = "",
    ) -> Citation:
        """Return a citation of a place in a bundle file.

        Raises ValueError when the bundle does not hold the file: such a claim has no evidence.
        """
        digest = self.sha256(file)
        if not digest:
            raise ValueError(f"cannot cite {file}: the bundle does not hold it")
        return Citation(file, digest, line, pointer, series, value, excerpt[:EXCERPT_CAP])

    def metrics_key(self, node: str) -> str:
        """Return the stem of a node's metrics and pprof files: ``node<id>``."""
        for entry in self.topology_nodes:
            if entry.get("name") == node and isinstance(entry.get("id"), int):
                return f"node{entry['id']}"
        digits = _DIGITS.search(node)
        if digits:
            return f"node{digits.group(1)}"
        return f"node{self.nodes.index(node) + 1}" if node in self.nodes else node

    def node_by_id(self, number: object) -> str | None:
        """Return the name of the node with that WuKongIM node id, or None."""
        return self._by_id.get(str(number))

    # -- loading ------------------------------------------------------------------------------

    @cached_property
    def topology_nodes(self) -> tuple[dict[str, Any], ...]:
        """The node entries of topology.json, () without a usable one."""
        topology = self.read_json("topology.json") or {}
        nodes = topology.get("nodes")
        if not isinstance(nodes, list):
            return ()
        return tuple(n for n in nodes if isinstance(n, dict) and isinstance(n.get("name"), str))

    @cached_property
    def _by_id(self) -> dict[str, str]:
        found = {self.metrics_key(n).removeprefix("node"): n for n in self.nodes}
        found.update({str(n["id"]): str(n["name"]) for n in self.topology_nodes if "id" in n})
        return found

    def _load(self) -> None:
        self.files = tuple(sorted(_walk(self.root)))
        self._file_set = frozenset(self.files)
        manifest = self.read_json("manifest.json")
        if self.exists("manifest.json"):
            if manifest is None:
                self.problems.append("manifest.json cannot be read")
            else:
                self.manifest = manifest
                self._check_manifest(manifest)
        topology = self.read_json("topology.json") or {}
        self.driver = self._text(manifest, "driver") or self._text(topology, "driver") or ""
        self.replay_of = self._text(manifest, "replay_of") or self._text(topology, "replay_of")
        if not self.driver:
            self.driver = "compose" if self.size("compose-config.yml") else "unknown"
            self.inferred.append(f"driver {self.driver}: from the presence of compose-config.yml")
        self.nodes = self._find_nodes()
        self._load_workload(manifest)
        self._load_window()

    def _check_manifest(self, manifest: dict[str, Any]) -> None:
        listed = manifest.get("files")
        for entry in listed if isinstance(listed, list) else []:
            rel = entry.get("path") if isinstance(entry, dict) else None
            if isinstance(rel, str) and rel not in self._file_set:
                self.problems.append(f"{rel[:EXCERPT_CAP]} is in the manifest but not there")
            elif isinstance(rel, str) and entry.get("bytes") != self.size(rel):
                self.problems.append(f"{rel[:EXCERPT_CAP]} differs in size from the manifest")

    def _find_nodes(self) -> tuple[str, ...]:
        named = tuple(dict.fromkeys(str(n["name"]) for n in self.topology_nodes))
        if named:
            return named
        found: set[str] = set()
        for rel in self.files:
            metrics = _NODE_FILE.match(rel)
            log = _LOG_FILE.match(rel)
            if metrics:
                found.add(f"wk-node{metrics.group(1)}")
            elif log and log.group(1) != "wk-sim":
                found.add(log.group(1))
        self.inferred.append("nodes: from the names of metrics and log files")
        return tuple(sorted(found, key=_natural))

    def _load_workload(self, manifest: dict[str, Any] | None) -> None:
        workload = self.read_json("config/workload.json")
        env = self._env()
        self.scenario = (
            self._text(manifest, "scenario")
            or self._text(workload, "scenario")
            or env.get("SCENARIO")
            or "unknown"
        )
        if workload is not None:
            self.workload = {k: v for k, v in workload.items() if k != "schema_version"}
            return
        names = {
            "WK_SIM_USERS": "users",
            "WK_SIM_PERSON_CHANNELS": "person_channels",
            "WK_SIM_GROUP_CHANNELS": "group_channels",
            "WK_SIM_GROUP_MEMBERS": "group_members",
            "WK_SIM_RATE": "rate",
            "WK_SIM_TRAFFIC_CONCURRENCY": "concurrency",
            "WK_SIM_WARMUP": "warmup",
            "WK_SIM_VERIFY_RECV": "verify_recv",
            "WK_SIM_UID_PREFIX": "uid_prefix",
        }
        for variable, name in names.items():
            if variable in env:
                text = env[variable]
                self.workload[name] = int(text) if text.isascii() and text.isdigit() else text
        config = status_reader.effective_config(self)
        for theirs, name in status_reader.CONFIG_NAMES.items():
            if theirs in config and name not in self.workload:
                self.workload[name] = config[theirs]
        self.workload["scenario"] = self.scenario
        self.inferred.append("workload: from env.txt and the simulator's status")

    def _env(self) -> dict[str, str]:
        found: dict[str, str] = {}
        text = self.read_text("env.txt", 64 * 1024) or ""
        # A last line that does not end may be cut: half a number is worse than none.
        for line in text[: text.rfind("\n") + 1].splitlines():
            key, sep, value = line.partition("=")
            if sep and key.replace("_", "").isalnum():
                found[key.strip()] = value.strip()[:EXCERPT_CAP]
        return found

    @cached_property
    def env(self) -> dict[str, str]:
        """The KEY=value lines of env.txt."""
        return self._env()

    def _load_window(self) -> None:
        window = self.read_json("window.json")
        if window is not None:
            start, end = parse_time(window.get("start")), parse_time(window.get("end"))
            if start is not None and end is not None and end > start:
                self.window = (start, end)
                return
            self.problems.append("window.json holds no usable start and end")
        self.window, why = status_reader.infer_window(self)
        self.inferred.append(f"window: {why}")

    @staticmethod
    def _text(source: dict[str, Any] | None, key: str) -> str | None:
        value = (source or {}).get(key)
        return value[:EXCERPT_CAP] if isinstance(value, str) and value else None


def _walk(root: Path) -> Iterator[str]:
    """Yield the regular files under ``root``, following no link."""
    for name, directories, files in os.walk(root, followlinks=False):
        directory = Path(name)
        directories[:] = sorted(d for d in directories if not (directory / d).is_symlink())
        for file in files:
            path = directory / file
            rel = path.relative_to(root).as_posix()
            if rel not in DERIVED and not path.is_symlink() and path.is_file():
                yield rel


def _gunzip(path: Path, cap: int) -> bytes | None:
    """Return at most ``cap`` decompressed bytes; what was readable of a damaged file, else None."""
    chunks: list[bytes] = []
    total = 0
    stream = zlib.decompressobj(wbits=31)
    with path.open("rb") as handle:
        try:
            while total < cap and not stream.eof:
                data = stream.unconsumed_tail or handle.read(64 * 1024)
                if not data:
                    break
                chunks.append(stream.decompress(data, cap - total))
                total += len(chunks[-1])
        except zlib.error:
            pass
    return b"".join(chunks) if total or stream.eof else None


def _natural(name: str) -> tuple[str, int]:
    digits = _DIGITS.search(name)
    return (name[: digits.start()], int(digits.group(1))) if digits else (name, -1)
