"""Recorded incidents: what there is, what was recorded, and how a bundle becomes one.

``incidents/labels.jsonl`` says what really happened in each, ``incidents/<id>.tar.xz`` is the
bundle, with one top directory. Labels stay outside the archive: judging must not see them.
``incidents/shared/`` holds, in the same form, incidents in WuKongIM's plain layout, which were
recorded without a baseline of their own; ``incidents/shared.yml`` names the one they share.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from wktriage.core.declarations import Declared
from wktriage.core.durations import parse_rate
from wktriage.core.errors import UsageError
from wktriage.core.yaml_files import load_typed
from wktriage.incidents import labels
from wktriage.replay import server
from wktriage.request.workload import KEYS, TABLE

LABELS = labels.NAME
MAX_ARCHIVE_BYTES = 4 << 20
DEFAULT = "paused-node"
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
# Derived from the evidence, and rebuilt from it.
DERIVED = frozenset({"verdict.json", "summary.md", "report.html", "explain.txt"})


@dataclass(frozen=True)
class Incident:
    """One recorded incident with its label. ``fault_at_s`` counts from the first status sample."""

    bundle: str
    label: str
    fault: str
    scenario: str
    title: str
    archive: Path = field(compare=False)
    also_ok: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    fault_at_s: float | None = None
    baseline: str | None = None
    recorded_on: str | None = None
    checks: tuple[str, ...] = ()
    shared: bool = False

    def row(self) -> dict[str, Any]:
        """Return the row of labels.jsonl."""
        return self.as_label().as_dict()

    def as_label(self) -> labels.Label:
        """Return what labels.jsonl says of it."""
        given = {name: getattr(self, name) for name in labels.Label.__struct_fields__}
        return labels.Label(**given)


class Shared(Declared, frozen=True):
    """incidents/shared.yml: what the labels of the given incidents do not say."""

    baseline: str | None = None
    titles: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """What a recording can answer for. ``duration_s`` is its measured window in seconds."""

    scenario: str
    mode: str
    duration_s: int
    workload: Mapping[str, Any]
    node_env: Mapping[str, str]
    connect_rate: int | None
    nodes: tuple[str, ...]
    sim: str
    plain: bool
    stack: Mapping[str, Any]


def list_incidents(root: Path) -> list[Incident]:
    """Return the incidents below ``root`` (the directory ``incidents/``), own ones first.

    Raises UsageError when a label row is unusable.
    """
    found = _read_labels(root, shared=False, baseline=None, titles={})
    shared = root / "shared"
    if (shared / LABELS).is_file():
        extra = Shared()
        if (root / "shared.yml").is_file():
            extra = load_typed(root / "shared.yml", Shared)
        found += _read_labels(shared, shared=True, baseline=extra.baseline, titles=extra.titles)
    return found


def _read_labels(
    directory: Path, *, shared: bool, baseline: str | None, titles: Mapping[str, str]
) -> list[Incident]:
    path = directory / LABELS
    if not path.is_file():
        return []
    return [
        Incident(
            bundle=label.bundle,
            label=label.label,
            fault=label.fault,
            scenario=label.scenario,
            title=label.title or titles.get(label.bundle) or label.fault,
            archive=directory / f"{label.bundle}.tar.xz",
            also_ok=label.also_ok,
            nodes=label.nodes,
            fault_at_s=label.fault_at_s,
            baseline=label.baseline or baseline,
            recorded_on=label.recorded_on,
            checks=label.checks,
            shared=shared,
        )
        for label in labels.read(path)
    ]


def find_incident(root: Path, name: str) -> Incident:
    """Return the incident of that id. Raises UsageError, with the ids there are, for no such."""
    known = list_incidents(root)
    for incident in known:
        if incident.bundle == name:
            if not incident.archive.is_file():
                raise UsageError(f"incident {name}: {incident.archive} is missing")
            return incident
    names = ", ".join(incident.bundle for incident in known) or "none"
    raise UsageError(f"no incident {name!r}; recorded are: {names} (wktriage incidents)")


def unpack(incident: Incident, target: Path) -> Path:
    """Unpack into the new directory ``target`` (the bundle itself, without a top directory).

    Raises UsageError when the target exists or the archive is not a safe one.
    """
    if target.exists():
        raise UsageError(f"{target} exists: name a directory that does not")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpack-") as temporary:
        try:
            top = server.unpack(incident.archive, Path(temporary))
        except server.ReplayError as error:
            raise UsageError(str(error)) from error
        top.rename(target)
    return target


def unpacked(incident: Incident, cache: Path) -> Path:
    """Return the bundle directory of an incident, unpacked into ``cache`` once per content."""
    digest = hashlib.sha256(incident.archive.read_bytes()).hexdigest()[:12]
    target = cache / f"{incident.bundle}-{digest}"
    if not target.is_dir():
        try:
            unpack(incident, target)
        except (UsageError, OSError):
            # Another process was faster: what it unpacked is the same.
            if not target.is_dir():
                raise
    return target


def recorded(bundle_dir: Path) -> Recorded:
    """Read what a bundle recorded. Raises UsageError when it holds nothing to replay."""
    try:
        recording = server.Recording(bundle_dir)
    except server.ReplayError as error:
        raise UsageError(str(error)) from error
    inputs = server.read_object(bundle_dir / "fingerprint.json").get("inputs") or {}
    manifest = server.read_object(bundle_dir / "manifest.json")
    env = server.read_env(bundle_dir / "env.txt")
    workload = server.read_object(bundle_dir / "config" / "workload.json")
    config: dict[str, Any] = {}
    for event in recording.status.events:
        config = (event.row.get("status") or {}).get("config") or config
    if not workload:
        workload = {key: config[TABLE[key].status] for key in KEYS if TABLE[key].status in config}
    rate = parse_rate(config.get("connect_rate"))
    window = (recording.window[1] - recording.window[0]) / 1e9
    return Recorded(
        scenario=str(
            manifest.get("scenario") or inputs.get("scenario") or env.get("SCENARIO") or "custom"
        ),
        mode=str(inputs.get("mode") or env.get("MODE") or "clean"),
        # A window that ended a status sample early still is the one that was asked for.
        duration_s=round(window),
        workload={k: v for k, v in workload.items() if k in KEYS},
        node_env={str(k): str(v) for k, v in (inputs.get("node_env") or {}).items()},
        connect_rate=int(rate) if rate else None,
        nodes=tuple(recording.node_names),
        sim=recording.sim_name,
        plain=recording.plain,
        stack=_stack_facts(bundle_dir, inputs),
    )


def _stack_facts(bundle_dir: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the recording says about image, revision and data, in stack.json's keys."""
    fingerprint = server.read_object(bundle_dir / "fingerprint.json")
    config = bundle_dir / "config"
    node_configs = {
        f"wk-node{match[1]}": str(path)
        for path in sorted(config.glob("node*.toml"))
        if (match := re.fullmatch(r"node(\d+)", path.stem))
    }
    sim_config = config / "dev-sim.yaml"
    compose = bundle_dir / "compose-config.yml"
    twin = bundle_dir / "references" / "clean-twin.json"
    git = bundle_dir / "git.txt"
    told = re.search(
        r"\b[0-9a-f]{40}\b", git.read_text("utf-8", "replace") if git.is_file() else ""
    )
    return {
        "image": inputs.get("image"),
        "image_digest": (fingerprint.get("derived") or {}).get("image_digest"),
        "git_revision": inputs.get("git_revision") or (told[0] if told else None),
        "git_diff_sha256": inputs.get("git_diff_sha256"),
        "compose_files": [],
        "compose_config": str(compose) if compose.is_file() else None,
        "env": server.read_env(bundle_dir / "env.txt"),
        "node_config_sha256": inputs.get("node_config_sha256"),
        "node_configs": node_configs,
        "sim_config": str(sim_config) if sim_config.is_file() else None,
        # The baseline is an incident of its own; a twin is only known by what it said.
        "references": {"clean-twin": str(twin)} if twin.is_file() else {},
        "data_bytes_at_start": (fingerprint.get("observed") or {}).get("data_bytes_at_start"),
    }


def check_request(incident: Incident, held: Recorded, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Check a request against a recording and return the parameters of the replay.

    ``asked`` holds the extra vars that were given (scenario, duration in seconds, mode, node_env,
    connect_rate, workload knobs). Raises UsageError "not recorded: ..." for what differs.
    """
    name = incident.bundle

    def refuse(what: str, holds: str) -> None:
        raise UsageError(
            f"not recorded: {what}; incident {name} holds {holds}. Leave it out, choose another "
            "incident (wktriage incidents), or run on a real stack (-i inventory/compose)"
        )

    def same(key: str, holds: Any) -> None:
        if key in asked and str(asked[key]) != str(holds):
            refuse(f"{key}={asked[key]}", f"{key}={'unknown' if holds is None else holds}")

    same("scenario", held.scenario)
    same("mode", held.mode)
    same("connect_rate", held.connect_rate)
    for key in KEYS:
        same(key, held.workload.get(key))
    node_env = asked.get("node_env", held.node_env)
    if dict(node_env) != dict(held.node_env):
        knobs = ", ".join(f"{k}={v}" for k, v in held.node_env.items()) or "no node_env"
        refuse("node_env " + (", ".join(f"{k}={v}" for k, v in node_env.items()) or "{}"), knobs)
    duration = asked.get("duration", held.duration_s)
    if int(duration) > held.duration_s:
        refuse(f"duration={duration}", f"a window of {held.duration_s} s")
    if held.plain and int(duration) < held.duration_s:
        refuse(
            f"duration={duration}",
            f"/metrics only of the start and the end of its {held.duration_s} s window",
        )
    return {
        "incident": name,
        "scenario": held.scenario,
        "mode": held.mode,
        "duration": int(duration),
        "workload": dict(held.workload),
        "node_env": dict(held.node_env),
        "connect_rate": held.connect_rate,
    }


def replay_request(project: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Check what was asked of a replay, before anything starts; see ``check_request``.

    ``project`` is the project directory. Adds ``bundle_dir`` (the unpacked recording), ``archive``
    and ``baseline_dir`` (the recorded baseline, None when the incident has none).
    """
    root, cache = project / "incidents", project / ".cache" / "incidents"
    incident = find_incident(root, str(asked.get("incident") or DEFAULT))
    bundle_dir = unpacked(incident, cache)
    request = check_request(incident, recorded(bundle_dir), asked)
    baseline = None
    if incident.baseline:
        baseline = str(unpacked(find_incident(root, incident.baseline), cache))
    return {
        **request,
        "archive": str(incident.archive),
        "bundle_dir": str(bundle_dir),
        "baseline_dir": baseline,
    }


def verify(root: Path) -> list[str]:
    """Return what is wrong with the incidents below ``root``; an empty list when nothing is."""
    problems = []
    known = list_incidents(root)
    names = [incident.bundle for incident in known]
    problems += [
        f"{name}: labelled twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for directory, shared in ((root, False), (root / "shared", True)):
        labelled = {i.archive.name for i in known if i.shared is shared}
        files = {path.name for path in directory.glob("*.tar.xz")}
        problems += [f"{directory / name}: no label" for name in sorted(files - labelled)]
        problems += [f"{directory / name}: missing" for name in sorted(labelled - files)]
    for incident in known:
        if incident.baseline and incident.baseline not in names:
            problems.append(f"{incident.bundle}: its baseline {incident.baseline} is no incident")
        if incident.archive.is_file():
            problems += [f"{incident.bundle}: {text}" for text in _verify_archive(incident)]
    return problems


def _verify_archive(incident: Incident) -> list[str]:
    if incident.archive.stat().st_size > MAX_ARCHIVE_BYTES:
        return [f"larger than {MAX_ARCHIVE_BYTES} bytes"]
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "bundle"
        try:
            unpack(incident, target)
            recorded(target)
        except UsageError as error:
            return [str(error)]
        return [
            f"{entry['path']}: differs from its manifest"
            for entry in server.read_object(target / "manifest.json").get("files", [])
            if _sha256(target / entry["path"]) != entry["sha256"]
        ]


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def pack(bundle_dir: Path, incident: Incident) -> Path:
    """Store a bundle as an incident: the archive, and its row in labels.jsonl beside it.

    The bundle itself is not touched. What is stored is slimmed: heap profiles are left out, and
    the compressed scrapes are stored uncompressed inside their .gz (level 0), so that xz can use
    how much they resemble each other. The manifest is adjusted to both. The archive's bytes depend
    on the evidence and the id alone. Raises UsageError when the bundle cannot be replayed.
    """
    if not re.match(labels.ID, incident.bundle):
        raise UsageError(f"{incident.bundle!r}: use lower-case letters, digits and '-' only")
    recorded(bundle_dir)
    with tempfile.TemporaryDirectory() as temporary:
        slim = Path(temporary) / incident.bundle
        shutil.copytree(bundle_dir, slim, ignore=_ignore(bundle_dir), symlinks=True)
        for path in slim.rglob("*"):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                path.unlink()
        for path in sorted((slim / "metrics").rglob("*.prom.gz")):
            path.write_bytes(_stored_gzip(gzip.decompress(path.read_bytes())))
        _scrub(slim)
        _adjust_manifest(slim)
        data = _tar(slim, incident.bundle)
    if len(data) > MAX_ARCHIVE_BYTES:
        raise UsageError(
            f"{incident.bundle} packs to {len(data)} bytes, more than {MAX_ARCHIVE_BYTES}: "
            "record a shorter window"
        )
    incident.archive.parent.mkdir(parents=True, exist_ok=True)
    _replace(incident.archive, data)
    _write_label(incident)
    return incident.archive


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


def _scrub(bundle_dir: Path) -> None:
    """Replace the directories of the recording machine in text files: they are nobody's business.

    The data root is the topology's, the checkout is where the compose configuration and the
    stacks of the goroutine dumps say the sources lie.
    """
    topology = server.read_object(bundle_dir / "topology.json") or {}
    compose = bundle_dir / "compose-config.yml"
    text = compose.read_text(encoding="utf-8", errors="replace") if compose.is_file() else ""
    found = {m.group(1): SCRUBBED["checkout"] for m in _CHECKOUT.finditer(text)}
    found |= {m.group(1): SCRUBBED["runs"] for m in _RUNS.finditer(text)}
    if topology.get("data_root"):
        found[str(topology["data_root"])] = SCRUBBED["data"]
    for path in sorted(bundle_dir.rglob("*")):
        if path.suffix in _BINARY or not path.is_file():
            continue
        before = data = path.read_bytes()
        # Longest first: one directory may begin another's name.
        for directory in sorted(found, key=len, reverse=True):
            data = data.replace(directory.encode(), found[directory].encode())
        data = _GO_HOME.sub(b"/srv/go/", data)
        if data != before:
            path.write_bytes(data)


def _adjust_manifest(bundle_dir: Path) -> None:
    path = bundle_dir / "manifest.json"
    manifest = server.read_object(path)
    if not manifest:
        return
    kept = []
    for entry in manifest.get("files", []):
        file = bundle_dir / str(entry["path"])
        if file.is_file():
            entry["bytes"] = file.stat().st_size
            entry["sha256"] = _sha256(file)
            kept.append(entry)
    manifest["files"] = kept
    for collector in manifest.get("collectors", []):
        if collector.get("name") == "pprof-heap" and collector.get("status") == "ok":
            collector.update(status="skipped", files=0, bytes=0, error="left out of the incident")
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


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


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def _write_label(incident: Incident) -> None:
    path = incident.archive.parent / LABELS
    others = labels.read(path) if path.is_file() else []
    kept = [label for label in others if label.bundle != incident.bundle]
    _replace(path, labels.text([*kept, incident.as_label()]).encode("utf-8"))
