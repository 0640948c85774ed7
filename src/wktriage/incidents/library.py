"""Recorded incidents: what there is, and what was recorded.

``incidents/labels.jsonl`` says what really happened in each, ``incidents/<id>.tar.xz`` is the
bundle, with one top directory. Labels stay outside the archive: judging must not see them.
``incidents/shared/`` holds, in the same form, incidents in WuKongIM's plain layout, which were
recorded without a baseline of their own; ``incidents/shared.yml`` names the one they share.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from wktriage.bundle.archive import unpack_bundle
from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import status
from wktriage.bundle.readers.jsonl import number
from wktriage.bundle.readers.usage import SIM
from wktriage.core.declarations import Declared
from wktriage.core.durations import parse_rate
from wktriage.core.errors import UsageError
from wktriage.core.paths import cache_dir
from wktriage.core.suggestions import did_you_mean
from wktriage.core.times import parse_time
from wktriage.core.yaml_files import load_typed
from wktriage.incidents import labels
from wktriage.request.workload import KEYS

DEFAULT = "paused-node"
_STACK_INPUTS = ("image", "git_revision", "git_diff_sha256", "node_config_sha256")


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
    element: str | None = None
    components: tuple[str, ...] = ()
    shared: bool = False

    def as_label(self) -> labels.Label:
        """Return what labels.jsonl says of it."""
        fields = {name: getattr(self, name) for name in labels.Label.__struct_fields__}
        return labels.Label(**fields)


class Shared(Declared, frozen=True):
    """incidents/shared.yml: what the labels of the given incidents do not say."""

    baseline: str | None = None
    titles: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """What a recording can answer for.

    ``duration_s`` is its measured window in seconds, ``node_ids`` holds WuKongIM's node id by name.
    """

    scenario: str
    mode: str
    duration_s: int
    workload: Mapping[str, Any]
    node_env: Mapping[str, str]
    connect_rate: int | None
    node_ids: Mapping[str, int]
    sim: str
    plain: bool
    stack: Mapping[str, Any]


def list_incidents(root: Path) -> list[Incident]:
    """Return the incidents below ``root`` (the directory ``incidents/``), own ones first.

    Raises UsageError when a label row is unusable.
    """
    incidents = _read_labels(root, shared=False, baseline=None, titles={})
    shared = root / "shared"
    if (shared / labels.LABELS).is_file():
        extra = Shared()
        if (root / "shared.yml").is_file():
            extra = load_typed(root / "shared.yml", Shared)
        incidents += _read_labels(shared, shared=True, baseline=extra.baseline, titles=extra.titles)
    return incidents


def _read_labels(
    directory: Path, *, shared: bool, baseline: str | None, titles: Mapping[str, str]
) -> list[Incident]:
    path = directory / labels.LABELS
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
            element=label.element,
            components=label.components,
            shared=shared,
        )
        for label in labels.read(path)
    ]


def find_incident(root: Path, name: str) -> Incident:
    """Return the incident of that id. Raises UsageError, with a suggestion, for an unknown one."""
    known = list_incidents(root)
    for incident in known:
        if incident.bundle == name:
            if not incident.archive.is_file():
                raise UsageError(f"incident {name}: {incident.archive} is missing")
            return incident
    hint = did_you_mean(name, [incident.bundle for incident in known])
    raise UsageError(f"no incident {name!r} (`wktriage incidents` lists them){hint}")


def unpack(incident: Incident, target: Path) -> Path:
    """Unpack into the new directory ``target`` (the bundle itself, without a top directory).

    Raises UsageError when the target exists or the archive is not a safe one.
    """
    return unpack_bundle(incident.archive, target)


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
        bundle = Bundle.open(bundle_dir)
    except UsageError as error:
        raise UsageError(f"nothing to replay: {error}") from error
    samples = status.samples(bundle)
    if not samples:
        raise UsageError(f"nothing to replay: {bundle_dir.name} has no readable status.jsonl")
    inputs = (bundle.read_json("fingerprint.json") or {}).get("inputs") or {}
    start, end = replayed_window(bundle, samples)
    rate = parse_rate(status.effective_config(bundle).get("connect_rate"))
    sim = (bundle.read_json("topology.json") or {}).get("sim") or {}
    # Shown in the order of the file; what had to be inferred has none of its own.
    written = bundle.exists("config/workload.json")
    keys = list(bundle.workload) if written else [k for k in KEYS if k in bundle.workload]
    scenario = bundle.scenario if bundle.scenario != "unknown" else inputs.get("scenario")
    return Recorded(
        scenario=str(scenario or "custom"),
        mode=str(inputs.get("mode") or bundle.env.get("MODE") or "clean"),
        # A window that ended a status sample early still is the one that was asked for.
        duration_s=round(end - start),
        workload={key: bundle.workload[key] for key in keys if key in KEYS},
        node_env={str(k): str(v) for k, v in (inputs.get("node_env") or {}).items()},
        connect_rate=int(rate) if rate else None,
        node_ids={n: int(bundle.metrics_key(n).removeprefix("node")) for n in bundle.nodes},
        sim=str(sim.get("name") or SIM),
        plain=not bundle.exists("manifest.json"),
        stack=_stack_facts(bundle, inputs),
    )


def _stack_facts(bundle: Bundle, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the recording says about image, revision and data, in stack.json's keys."""
    fingerprint = bundle.read_json("fingerprint.json") or {}

    def path(rel: str) -> str | None:
        return str(bundle.root / rel) if bundle.exists(rel) else None

    twin = path("references/clean-twin.json")
    revision = re.search(r"\b[0-9a-f]{40}\b", bundle.read_text("git.txt") or "")
    return {
        "image": inputs.get("image"),
        "image_digest": (fingerprint.get("derived") or {}).get("image_digest"),
        "git_revision": inputs.get("git_revision") or (revision[0] if revision else None),
        "git_diff_sha256": inputs.get("git_diff_sha256"),
        "compose_files": [],
        "compose_config": path("compose-config.yml"),
        "env": bundle.env,
        "node_config_sha256": inputs.get("node_config_sha256"),
        "node_configs": {
            f"wk-node{match[1]}": str(bundle.root / rel)
            for rel in bundle.files
            if (match := re.fullmatch(r"config/node(\d+)\.toml", rel))
        },
        "sim_config": path("config/dev-sim.yaml"),
        # The baseline is an incident of its own; a twin is only known by what it said.
        "references": {"clean-twin": twin} if twin else {},
        "data_bytes_at_start": (fingerprint.get("observed") or {}).get("data_bytes_at_start"),
    }


def replayed_window(bundle: Bundle, seen: Sequence[status.Sample]) -> tuple[float, float]:
    """Return the window (start, end; epoch seconds) that a replay of the bundle goes through.

    ``seen`` are its samples, at least one. It is the measured window; where none was measured it
    begins with the first counted message and is as long as was asked for, or ends with the last
    sample. The stand-ins on the hosts serve the same one.
    """
    window = bundle.read_json("window.json") or {}
    start, end = parse_time(window.get("start")), parse_time(window.get("end"))
    if start is not None and end is not None:
        return start, end
    first, last = seen[0].time, seen[-1].time
    moved = next((sample.time for sample in seen if sample.sent), None)
    asked = _seconds(window.get("asked_seconds") or bundle.env.get("DURATION"))
    if moved is None:
        return max(first, last - (asked or 0.0)), last
    return moved, last if asked is None else min(moved + asked, last)


def _seconds(value: object) -> float | None:
    """Return a finite number that is not negative, given as one or as text; else None."""
    try:
        seconds = float(value) if isinstance(value, str) else number(value)
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < math.inf else None


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
    root, cache = project / "incidents", cache_dir() / "incidents"
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


def with_inputs(project: Path, inputs: Mapping[str, Any]) -> list[Incident]:
    """Return the incidents recorded with these fingerprint inputs, in the order of the labels.

    Driver and hosts are those of the replay. An incident into which a fault was put while it ran
    does not count: the fault is no input. Raises UsageError when there is none.
    """
    names = (*_STACK_INPUTS, "scenario", "mode", "node_env", "workload", "connect_rate")
    held = []
    for incident in list_incidents(project / "incidents"):
        if incident.checks or incident.fault_at_s is not None or incident.nodes or incident.shared:
            continue
        if incident.scenario != inputs.get("scenario") or not incident.archive.is_file():
            continue
        bundle = Bundle.open(unpacked(incident, cache_dir() / "incidents"))
        theirs = (bundle.read_json("fingerprint.json") or {}).get("inputs")
        if isinstance(theirs, dict) and all(theirs.get(n) == inputs.get(n) for n in names):
            held.append(incident)
    if not held:
        workload = inputs.get("workload") or {}
        values = ", ".join(
            f"{k}={v}" for k, v in {**workload, **(inputs.get("node_env") or {})}.items()
        )
        raise UsageError(
            f"not recorded: no incident of scenario {inputs.get('scenario')} has exactly these "
            f"inputs: {values}. Run the experiment on a real stack (-i inventory/compose)"
        )
    return held
