"""A bundle on disk: bounded, read-only access to evidence, and citations into it.

Two layouts are read alike: the full one (with ``manifest.json``) and the plain one that WuKongIM's
own script writes. What a plain bundle does not say is inferred, and each inference is listed.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from wktriage.bundle import layout, plain
from wktriage.bundle.files import EXCERPT_CAP, FILES_CAP, EvidenceFiles
from wktriage.core.budget import Budget
from wktriage.core.errors import UsageError
from wktriage.core.model import Citation, Value
from wktriage.core.times import parse_time

_MARKS = ("status.jsonl", "manifest.json", "env.txt", "metrics", "docker-stats.jsonl", "logs")
_DIGITS = re.compile(r"(\d{1,18})$")

NAME_CAP = 253
"""Characters of a node's name, as of a host's."""


def _short(text: str) -> str:
    return text if len(text) <= EXCERPT_CAP + 60 else f"{text[:EXCERPT_CAP]}…{text[-55:]}"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= NAME_CAP


@dataclass
class Bundle(EvidenceFiles):
    """One evidence directory. Open with :meth:`open`; nothing in it is ever written.

    ``window`` is (start, end) as epoch seconds, None when no measured window can be told.
    ``inferred`` lists every statement that the bundle itself does not make; ``problems`` what is
    damaged; ``added`` the files that the manifest does not list: they are no evidence.
    """

    manifest: dict[str, Any] | None = None
    nodes: tuple[str, ...] = ()
    driver: str = "unknown"
    replay_of: str | None = None
    scenario: str = "unknown"
    workload: dict[str, Any] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    inferred: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    added: tuple[str, ...] = ()
    _hashes: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path, budget: Budget | None = None) -> Bundle:
        """Open the bundle at ``path``, to be read within ``budget`` (60 s, 500 MB).

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
        bundle = cls(root=root, budget=budget or Budget())
        bundle._load()
        return bundle

    # -- identity and citations ---------------------------------------------------------------

    def sha256(self, rel: str) -> str:
        """Return the hex digest of a file as it is now; "" when it is absent or unreadable."""
        if rel not in self._hashes:
            digest = super().sha256(rel)
            if not digest:
                return ""
            self._hashes[rel] = digest
        return self._hashes[rel]

    @cached_property
    def _listed(self) -> dict[str, str]:
        """The manifest's hashes by path."""
        entries = (self.manifest or {}).get("files")
        return {
            e["path"]: str(e.get("sha256"))
            for e in (entries if isinstance(entries, list) else [])
            if isinstance(e, dict) and isinstance(e.get("path"), str)
        }

    @property
    def manifest_sha256(self) -> str | None:
        """The hash of the manifest, which stands for all that it lists; None without one."""
        return self.sha256(layout.MANIFEST) or None

    @cached_property
    def mismatches(self) -> list[str]:
        """Every statement on a file that does not agree with the manifest; all are hashed.

        A file that the manifest does not list is no evidence: nothing reads it.
        """
        if self.manifest is None:
            unread = self.exists(layout.MANIFEST)
            return ["manifest.json cannot be read: it covers nothing of this bundle"] * unread
        if not self._listed:
            return ["the manifest lists no file: it covers nothing of this bundle"]
        amiss = [f"{rel} is not in the manifest, and is not used" for rel in self.added]
        for rel, digest in sorted(self._listed.items()):
            if rel in self.too_large:
                continue
            if not self.exists(rel):
                amiss.append(f"{rel} is in the manifest but not there")
            elif self.sha256(rel) != digest:
                amiss.append(f"{rel} is not the file that the manifest lists")
        return [_short(text) for text in amiss]

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
        """Return a citation of a place in a bundle file, without the secrets that stand there.

        Raises ValueError when the bundle does not hold the file: such a claim has no evidence.
        """
        digest = self.sha256(file)
        if not digest:
            raise ValueError(f"cannot cite {file}: the bundle does not hold it")
        return Citation(
            file,
            digest,
            line,
            pointer,
            None if series is None else self.shown(series),
            self.shown(value) if isinstance(value, str) else value,
            self.shown(excerpt)[:EXCERPT_CAP],
        )

    def metrics_key(self, node: str) -> str:
        """Return the stem of a node's metrics and pprof files: ``node<id>``."""
        if node in self._ids:
            return f"node{self._ids[node]}"
        digits = _DIGITS.search(node)
        if digits:
            return f"node{digits.group(1)}"
        return f"node{self.nodes.index(node) + 1}" if node in self.nodes else node

    @cached_property
    def _ids(self) -> dict[str, int]:
        """WuKongIM's node ids by name, as the topology has them."""
        known: dict[str, int] = {}
        for entry in self.topology_nodes:
            if isinstance(entry.get("id"), int):
                known.setdefault(str(entry["name"]), entry["id"])
        return known

    def node_by_id(self, number: object) -> str | None:
        """Return the name of the node with that WuKongIM node id, or None."""
        return self._by_id.get(str(number))

    # -- loading ------------------------------------------------------------------------------

    @cached_property
    def topology_nodes(self) -> tuple[dict[str, Any], ...]:
        """The node entries of topology.json, () without a usable one.

        Names longer than any host's can be are no names.
        """
        topology = self.read_json("topology.json") or {}
        nodes = topology.get("nodes")
        if not isinstance(nodes, list):
            return ()
        named = (n for n in nodes if isinstance(n, dict) and _is_name(n.get("name")))
        return tuple(itertools.islice(named, plain.NODES_CAP))

    @cached_property
    def _by_id(self) -> dict[str, str]:
        names = {self.metrics_key(n).removeprefix("node"): n for n in self.nodes}
        names.update({str(n["id"]): str(n["name"]) for n in self.topology_nodes if "id" in n})
        return names

    def _load(self) -> None:
        self.list_files()
        if self.more_files:
            self.problems.append(f"more than {FILES_CAP} files: the others are not looked at")
        for rel in self.too_large:
            self.problems.append(_short(f"{rel} is larger than 2 GiB, and is not read"))
        manifest = self.read_json("manifest.json")
        if self.exists("manifest.json"):
            self.manifest = manifest
            self._leave_out_added()
        topology = self.read_json("topology.json") or {}
        self.driver = self._text(manifest, "driver") or self._text(topology, "driver") or "unknown"
        self.replay_of = self._text(manifest, "replay_of") or self._text(topology, "replay_of")
        self.nodes = self._find_nodes()
        self._load_workload(manifest)
        self._load_window()

    def _leave_out_added(self) -> None:
        """Take the files that the manifest does not list out of the evidence."""
        if not self._listed:
            return
        covered = self._listed.keys() | {layout.MANIFEST}
        others = [rel for rel in self.files if rel not in covered]
        # Hidden files are what tools leave in any directory.
        self.added = tuple(f for f in others if not any(p[:1] == "." for p in f.split("/")))
        self.keep_only([rel for rel in self.files if rel in covered])

    def _find_nodes(self) -> tuple[str, ...]:
        named = tuple(dict.fromkeys(str(n["name"]) for n in self.topology_nodes))
        if named:
            return named
        self.inferred.append("nodes: from the names of metrics and log files")
        return plain.nodes(self)

    def _load_workload(self, manifest: dict[str, Any] | None) -> None:
        workload = self.read_json("config/workload.json")
        env = self.env
        self.scenario = (
            self._text(manifest, "scenario")
            or self._text(workload, "scenario")
            or env.get("SCENARIO")
            or "unknown"
        )
        if workload is not None:
            self.workload = {k: v for k, v in workload.items() if k != "schema_version"}
            return
        self.workload = plain.workload(self, env)
        self.workload["scenario"] = self.scenario
        self.inferred.append("workload: from env.txt and the simulator's status")

    @cached_property
    def env(self) -> dict[str, str]:
        """The KEY=value lines of env.txt."""
        return plain.env(self)

    def _load_window(self) -> None:
        window = self.read_json("window.json")
        if window is not None:
            start, end = parse_time(window.get("start")), parse_time(window.get("end"))
            if start is not None and end is not None and end > start:
                self.window = (start, end)
                return
            self.problems.append("window.json holds no usable start and end")
        self.window, why = plain.window(self)
        self.inferred.append(f"window: {why}")

    @staticmethod
    def _text(source: dict[str, Any] | None, key: str) -> str | None:
        value = (source or {}).get(key)
        return value[:EXCERPT_CAP] if isinstance(value, str) and value else None
