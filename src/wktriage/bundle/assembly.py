"""Makes a bundle out of what the collectors packed and what the controller knows of the run.

Everything is put together in a directory beside the bundle, redacted there, and moved in at the
end, the manifest last: a bundle with a manifest is whole, and no secret was ever in it.
"""

from __future__ import annotations

import heapq
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from wktriage.bundle import fingerprint, manifest, redaction
from wktriage.core import json_files, schemas
from wktriage.core import topology as topologies
from wktriage.core.declarations import convert
from wktriage.core.errors import InfraError, UsageError
from wktriage.core.json_files import parse_object, read_object
from wktriage.core.times import utc_now
from wktriage.request import workload as workloads

CONTROLLER = "controller"
# Bounds on what one host may hand in: far above any real run, below what fills a disk.
MAX_MEMBERS = 200_000
MAX_MEMBER_BYTES = 1 << 30
MAX_TOTAL_BYTES = 8 << 30
STOP_SECONDS = 90.0
COMMAND_SECONDS = 60
ROWS = tuple(schemas.ROW_SCHEMAS)
EVIDENCE = re.compile(
    r"(?:"
    + "|".join(re.escape(name) for name in ROWS)
    + r"|window\.json|fingerprint\.json|env\.txt|git\.txt|compose-config\.yml"
    r"|config/(?:workload\.json|node\d+\.toml|dev-sim\.yaml)"
    r"|metrics/node\d+(?:-before)?\.prom"
    r"|metrics/series/node\d+/\d+\.prom(?:\.gz)?"
    r"|pprof/node\d+-(?:cpu\.pb\.gz|heap\.pb\.gz|goroutine\.txt|goroutine-summary\.json)"
    r"|logs/(?:compose|app|error|warn|debug)/[A-Za-z0-9][A-Za-z0-9._-]*\.log"
    r")(?:\.err)?"
)
_ROW_TIME = re.compile(rb'"(?:sample_time|time)"\s*:\s*"([^"]{1,40})"')


@dataclass
class HostEvidence:
    """What one host handed in: its directory and what its collector says of itself."""

    host: str
    root: Path
    said: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def lead(self) -> bool:
        """Whether this host watched the simulator."""
        return bool(self.said.get("lead") or self.state.get("lead"))


# --- unpacking ------------------------------------------------------------------------------


def unpack(archive: Path, target: Path) -> list[str]:
    """Unpack what a collector packed into ``target``; return what was refused, and why.

    Only plain files with the names of the bundle layout are taken; links, devices, absolute
    paths and ``..`` are refused, and so is everything beyond the size limits. A damaged archive
    yields what comes before the damage. Raises InfraError when it can't be opened at all.
    """
    refused: list[str] = []
    total = 0
    try:
        with tarfile.open(archive, "r:*") as tar:
            for number, member in enumerate(tar):
                name = PurePosixPath(member.name)
                problem = None
                if member.isdir():
                    continue
                if number >= MAX_MEMBERS or total + member.size > MAX_TOTAL_BYTES:
                    refused.append("the rest: too much")
                    break
                if not member.isreg():
                    problem = "no plain file"
                elif name.is_absolute() or ".." in name.parts:
                    problem = "outside of the archive"
                elif not _wanted(name):
                    problem = "no file of the bundle layout"
                elif member.size > MAX_MEMBER_BYTES:
                    problem = f"larger than {MAX_MEMBER_BYTES} bytes"
                if problem:
                    refused.append(f"{str(name)[:120]!r}: {problem}")
                    continue
                source = tar.extractfile(member)
                if source is None:
                    continue
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                total += member.size
    except (tarfile.TarError, EOFError, zlib.error, OSError) as exc:
        if not any(target.rglob("*")):
            raise InfraError(f"{archive}: not what a collector packs: {exc}") from exc
        refused.append(f"the rest: archive is damaged: {exc}")
    return refused


def _wanted(name: PurePosixPath) -> bool:
    text = name.as_posix()
    if text in ("collectors.json", "collector.log", "state.json"):
        return True
    return text.startswith("evidence/") and bool(EVIDENCE.fullmatch(text[len("evidence/") :]))


def _json(path: Path) -> dict[str, Any]:
    return read_object(path) or {}


def _host_evidence(host: str, archive: Path | None, scratch: Path) -> HostEvidence:
    root = scratch / f"host-{len(list(scratch.iterdir()))}"
    root.mkdir()
    found = HostEvidence(host, root)
    if archive is None or not archive.is_file():
        found.problem = "nothing could be fetched from this host"
        return found
    try:
        refused = unpack(archive, root)
    except InfraError as exc:
        found.problem = str(exc)
        return found
    found.said = _json(root / "collectors.json")
    found.state = _json(root / "state.json")
    if schemas.problem("collectors", found.said) is not None:
        found.said = {}
    if refused:
        found.problem = f"left out {len(refused)} entries, first {refused[0]}"
    elif not found.said:
        found.problem = f"the collector died in phase {found.state.get('phase', 'unknown')}"
    return found


# --- merging --------------------------------------------------------------------------------


def _row_time(line: bytes) -> bytes:
    match = _ROW_TIME.search(line[:300])
    return match[1] if match else b""


def _lines(handle: BinaryIO) -> Iterator[bytes]:
    """Yield the whole lines of a file; a last one that was cut off by a crash is dropped."""
    return (line for line in handle if line.endswith(b"\n"))


def _merge_rows(sources: list[Path], target: Path) -> None:
    """Merge JSON-lines files that are each in order of time."""
    handles = [path.open("rb") for path in sources]
    try:
        with target.open("wb") as out:
            merged: Iterable[bytes] = heapq.merge(*(_lines(h) for h in handles), key=_row_time)
            out.writelines(merged)
    finally:
        for handle in handles:
            handle.close()


def _merge(hosts: list[HostEvidence], stage: Path) -> list[str]:
    """Move every host's evidence into one tree; return what two hosts both claimed."""
    conflicts = []
    ordered = sorted(hosts, key=lambda h: not h.lead)
    for name in ROWS:
        sources = [h.root / "evidence" / name for h in ordered]
        sources = [p for p in sources if p.is_file()]
        if sources:
            _merge_rows(sources, stage / name)
    for host in ordered:
        root = host.root / "evidence"
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            relative = path.relative_to(root)
            if relative.as_posix() in ROWS:
                continue
            target = stage / relative
            if target.exists():
                # The lead's window is the run's; its samplers follow the same simulator.
                if relative.as_posix() != "window.json":
                    conflicts.append(f"{relative.as_posix()} of {host.host}")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    return conflicts


def _window(stage: Path, hosts: list[HostEvidence], why: str | None) -> dict[str, Any]:
    """Return the run's window.json, all hosts' collectors listed; made up when there is none."""
    lead = next((h for h in hosts if h.lead), None)
    document = _json(stage / "window.json") if lead else {}
    if schemas.problem("window", document) is not None:
        asked = lead.state.get("window_seconds") if lead else None
        reason = why or "no window was recorded"
        document = {
            "schema_version": 1, "valid": False, "reason": reason, "start": None, "end": None,
            "asked_seconds": asked, "running_since": None, "warmup_over": None,
            "counters_moved_at": None, "sim_run_id": None, "interrupted": why, "phases": [],
            "cadence": {"interval_s": None, "due": None, "taken": None, "missed": None,
                        "jitter_ms": {"p50": None, "p99": None, "max": None}},
            "collector": [],
            "profile": {"start": None, "end": None, "fenced": False, "fence_reason": reason},
        }  # fmt: skip
    cost = []
    for host in hosts:
        own = _json(host.root / "evidence" / "window.json").get("collector")
        cost.extend(own if isinstance(own, list) else [])
    if lead is not None:
        cost = [*document["collector"], *(c for c in cost if c not in document["collector"])]
    document["collector"] = cost
    schemas.validate("window", document)
    return document


# --- what the controller adds ---------------------------------------------------------------


class _Controller:
    """The controller's own files, and how each of them went."""

    def __init__(self, stage: Path) -> None:
        self.stage = stage
        self.rows: dict[str, dict[str, Any]] = {}

    def note(self, name: str, file: str | None, error: str | None = None) -> None:
        row = self.rows.setdefault(
            name, {"name": name, "host": CONTROLLER, "status": "ok", "duration_s": None,
                   "files": [], "error": None, "good": 0},
        )  # fmt: skip
        if file is not None:
            row["files"].append(file)
        if error is None:
            row["good"] += 1
        else:
            row["error"] = row["error"] or error
        row["status"] = "ok" if not row["error"] else "partial" if row["good"] else "failed"

    def text(self, collector: str, name: str, text: str) -> None:
        path = self.stage / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="replace")
        self.note(collector, name)

    def copy(self, collector: str, name: str, source: Any) -> None:
        """Copy a file of the stack's work directory; a replay has its own already."""
        target = self.stage / name
        if target.exists():
            self.note(collector, name)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if source is None:
                raise OSError("no such file is known")
            shutil.copyfile(Path(str(source)), target)
            self.note(collector, name)
        except OSError as exc:
            error = f"{name}: {exc.strerror or exc}"
            target.with_name(target.name + ".err").write_text(error + "\n", encoding="utf-8")
            self.note(collector, name + ".err", error)

    def as_rows(self) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k != "good"} for row in self.rows.values()]


def _env_text(run: Mapping[str, Any]) -> str:
    lines = [
        f"{key}={run.get(name) if run.get(name) is not None else 'unknown'}"
        for key, name in (
            ("SCENARIO", "scenario"), ("MODE", "mode"), ("DRIVER", "driver"),
            ("DURATION", "duration"), ("PROFILE_SECONDS", "profile_seconds"),
        )
    ]  # fmt: skip
    env = run.get("env")
    if not isinstance(env, Mapping):
        try:
            env = workloads.environment(run["workload"])
        except (KeyError, TypeError):
            env = {}
    named = {**dict(run.get("node_env") or {}), **dict(env)}
    lines += [f"{key}={' '.join(str(named[key]).splitlines())}" for key in sorted(named)]
    return "\n".join(lines) + "\n"


def _git_text(run: Mapping[str, Any]) -> str:
    given = run.get("git")
    if isinstance(given, Mapping):
        state = fingerprint.GitState(
            given.get("branch"), given.get("revision"), given.get("status")
        )
    elif run.get("checkout"):
        state = fingerprint.git_state(Path(str(run["checkout"])))
    else:
        state = fingerprint.GitState(None, run.get("git_revision"), None)
    return state.as_text()


def _add_own(
    own: _Controller, run: Mapping[str, Any], topology: Mapping[str, Any],
    references: Mapping[str, Path],
) -> None:  # fmt: skip
    own.text("env", "env.txt", _env_text(run))
    own.text("git", "git.txt", _git_text(run))
    workload = {
        "scenario": run.get("scenario"),
        **dict(run.get("workload") or {}),
        "connect_rate": run.get("connect_rate"),
    }
    env = run.get("env")
    if isinstance(env, Mapping):
        # What the simulator was really given: in a replay, the recording's own users.
        workload["uid_prefix"] = env.get("WK_SIM_UID_PREFIX")
    convert(workload, workloads.Document, "config/workload.json")
    own.text("config", "config/workload.json", json_files.dumps(workload))
    if topology["driver"] != "processes":
        own.copy("config", "compose-config.yml", run.get("compose_config"))
    configs = run.get("node_configs") or {}
    for node in topology["nodes"]:
        own.copy("config", f"config/node{node['id']}.toml", configs.get(node["name"]))
    own.copy("config", "config/dev-sim.yaml", run.get("sim_config"))
    json_files.write(own.stage / "topology.json", topology)
    own.note("topology", "topology.json")
    for name, source in sorted(references.items()):
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise UsageError(f"{name!r} is no name of a reference: use lower case letters and -")
        own.copy("references", f"references/{name}.json", source)


# --- the bundle -----------------------------------------------------------------------------


def _inputs(path: Path, what: str) -> dict[str, Any]:
    document = _json(path)
    if not document:
        raise InfraError(f"{path} holds no {what}: the run was not opened, start it again")
    return document


def _interruption(
    given: str | None, window: Mapping[str, Any], run: Mapping[str, Any], secrets: Iterable[str]
) -> str | None:
    failed = run.get("failed")
    found = [given, window.get("interrupted")]
    if isinstance(failed, Mapping):
        found.insert(0, f"task {failed.get('task')!r} failed: {failed.get('message')}")
    if run.get("refused"):
        found = [f"not started: refused by {run['refused']}"]
    texts = [" ".join(redaction.redact_text(str(t), secrets).split()) for t in found if t]
    return "; ".join(dict.fromkeys(texts))[:500] or None


def assemble(
    bundle_dir: Path,
    tars: Mapping[str, Path],
    run_file: Path,
    topology_file: Path,
    *,
    references: Mapping[str, Path] | None = None,
    secrets: Iterable[str] = (),
    interrupted: str | None = None,
) -> dict[str, Any]:
    """Write the bundle of a run and return its manifest.

    ``tars`` maps host to what ``collector.py pack`` made there; a host without one is recorded as
    failed. ``run_file`` is run.json, ``references`` name -> file to carry in ``references/``
    besides those that run.json names, ``secrets`` values to hide besides those that the
    configuration gives away. ``interrupted`` says why the run did not end by itself.

    Raises UsageError when the bundle is written already, InfraError when run or topology can't be
    read, SchemaError when a document comes out wrong.
    """
    if (bundle_dir / manifest.NAME).exists():
        raise UsageError(f"{bundle_dir} is a finished bundle: a bundle is written once")
    run = _inputs(run_file, "run")
    topology = _inputs(topology_file, "topology")
    topologies.check(topology, topology_file.name)
    known = [*secrets, *(str(s) for s in run.get("secrets") or [])]
    recorded = {name: Path(path) for name, path in (run.get("references") or {}).items()}
    references = {**recorded, **(references or {})}
    bundle_dir.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".assemble-", dir=bundle_dir.parent))
    try:
        stage = scratch / "bundle"
        stage.mkdir()
        document = _fill(stage, scratch, tars, run, topology, references, known, interrupted)
        manifest.write(stage, document)
        _move_in(stage, bundle_dir)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return document


def _fill(
    stage: Path, scratch: Path, tars: Mapping[str, Path], run: Mapping[str, Any],
    topology: Mapping[str, Any], references: Mapping[str, Path], secrets: list[str],
    interrupted: str | None,
) -> dict[str, Any]:  # fmt: skip
    names = sorted({*(str(h) for h in tars), *(str(n["host"]) for n in topology["nodes"]),
                    str(topology["sim"]["host"])})  # fmt: skip
    if run.get("refused"):
        names = []
    inbox = scratch / "hosts"
    inbox.mkdir()
    hosts = [_host_evidence(name, tars.get(name), inbox) for name in names]
    hosts.sort(key=lambda h: not h.lead)
    conflicts = _merge(hosts, stage)
    lead = next((h for h in hosts if h.lead), None)
    if run.get("refused"):
        why: str | None = f"not started: refused by {run['refused']}"
    else:
        why = None if lead else "the collector beside the simulator left nothing"
    window = _window(stage, hosts, why)
    json_files.write(stage / "window.json", window)
    recorded = _json(stage / "fingerprint.json")
    (stage / "fingerprint.json").unlink(missing_ok=True)
    own = _Controller(stage)
    _add_own(own, run, topology, references)
    facts = {h.host: h.said["facts"] for h in hosts if h.said.get("facts")}
    json_files.write(
        stage / "fingerprint.json", fingerprint.build(run, topology, stage, facts, recorded)
    )
    own.note("fingerprint", "fingerprint.json")
    report = redaction.redact_tree(stage, secrets)
    schemas.validate("redaction", report)
    json_files.write(stage / "redaction.json", report)
    own.note("redaction", "redaction.json")
    collectors = [*_collector_rows(hosts, stage, conflicts), *own.as_rows()]
    broken = _interruption(interrupted, window, run, secrets)
    identity = {
        "bundle_id": run["bundle_id"],
        "created": utc_now(),
        "scenario": run.get("scenario"),
        "mode": run.get("mode_measured") or run.get("mode"),
        "driver": topology["driver"],
        "purpose": str(run.get("purpose") or "target"),
        "replay_of": topology.get("replay_of"),
        "complete": broken is None and bool(hosts) and all(h.state.get("done") for h in hosts),
        "interrupted": broken,
    }
    return manifest.build(stage, identity, collectors)


def _collector_rows(
    hosts: list[HostEvidence], stage: Path, conflicts: list[str]
) -> list[dict[str, Any]]:
    """Return one row for each collector of each host; rows that break their schema are noted."""
    broken = {
        name: found
        for name, shape in schemas.ROW_SCHEMAS.items()
        if (stage / name).is_file() and (found := schemas.check_rows(stage / name, shape))
    }
    rows: list[dict[str, Any]] = []
    for host in hosts:
        said = host.said.get("collectors") or []
        if not said:
            files = [p.relative_to(host.root / "evidence").as_posix()
                     for p in (host.root / "evidence").rglob("*") if p.is_file()]  # fmt: skip
            merged = [name for name in ROWS if name in files]
            rows.append(_row("collector", host, "partial" if merged else "failed", merged,
                             host.problem))  # fmt: skip
            continue
        rows.append(_row("collector", host, "partial" if host.problem else "ok", [], host.problem))
        for entry in said:
            row = {k: entry[k] for k in ("name", "status", "duration_s", "error", "files")}
            wrong = next((f"{n} {broken[n]}" for n in entry["files"] if n in broken), None)
            if wrong:
                row.update(status="partial", error=wrong)
            rows.append({**row, "host": host.host})
    if conflicts:
        rows.append({"name": "merge", "host": CONTROLLER, "status": "partial", "duration_s": None,
                     "files": [], "error": f"claimed by two hosts: {conflicts[0]}"})  # fmt: skip
    return rows


def _row(
    name: str, host: HostEvidence, status: str, files: list[str], error: str | None
) -> dict[str, Any]:
    return {"name": name, "host": host.host, "status": status, "error": error, "files": files,
            "duration_s": host.state.get("elapsed_s")}  # fmt: skip


def _move_in(stage: Path, bundle_dir: Path) -> None:
    """Move a finished bundle into place, its manifest last."""
    bundle_dir.mkdir(parents=True, exist_ok=True)
    children = sorted(stage.iterdir(), key=lambda p: (p.name == manifest.NAME, p.name))
    for child in children:
        target = bundle_dir / child.name
        # An earlier attempt may have been cut off in the middle of moving.
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        child.replace(target)


# --- runs that nobody finished --------------------------------------------------------------


def finalise_interrupted(pending_file: Path, reason: str) -> Path:
    """Make the bundle of a run whose controller is gone; return its directory.

    ``pending_file`` is the run's mark. Collectors on this machine are asked to stop and what they
    have is packed; those on other hosts are recorded as failed. A bundle that is finished already
    stays as it is. Raises InfraError when the mark can't be read, and what :func:`assemble` does.
    """
    pending = _inputs(pending_file, "mark of a run")
    try:
        bundle_dir = Path(pending["bundle_dir"])
        collectors = Path(pending["collector_dir"])
        run_file, topology_file = Path(pending["run_file"]), Path(pending["topology_file"])
    except (KeyError, TypeError) as exc:
        raise InfraError(f"{pending_file} lacks {exc}: remove it if the run is over") from exc
    if (bundle_dir / manifest.NAME).exists():
        return bundle_dir
    tars = {}
    for spec_file in sorted(collectors.glob("*/spec.json")):
        packed = _stop_and_pack(spec_file.parent, reason)
        if packed is not None:
            tars[str(_json(spec_file).get("host"))] = packed
    # The stack's role keeps the baseline's reference in the run's work directory.
    baseline = run_file.parent / "baseline.json"
    references = {"baseline": baseline} if baseline.is_file() else {}
    assemble(bundle_dir, tars, run_file, topology_file, references=references, interrupted=reason)
    return bundle_dir


def _stop_and_pack(out: Path, reason: str) -> Path | None:
    """Stop a collector on this machine and pack what it has; None when it has nothing."""

    def command(*args: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, str(out / "collector.py"), *args],
            capture_output=True, timeout=COMMAND_SECONDS, check=False, env=dict(os.environ),
        )  # fmt: skip

    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        done = command("poll", str(out))
        state = parse_object(done.stdout)
        if state is None:
            return None
        if state.get("done") or not state.get("alive"):
            break
        command("stop", str(out), "--reason", reason)
        time.sleep(0.5)
    target = out / "evidence.tar.gz"
    packed = command("pack", str(out), str(target))
    return target if packed.returncode == 0 else None
