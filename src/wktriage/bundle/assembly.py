"""Makes a bundle out of what the collectors packed and what the controller knows of the run.

Everything is put together in a directory beside the bundle, redacted there, and moved in at the
end, the manifest last: a bundle with a manifest is whole, and no secret was ever in it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wktriage.bundle import fingerprint, host_evidence, layout, manifest, redaction
from wktriage.bundle.controller_files import ControllerFiles
from wktriage.bundle.host_evidence import HostEvidence
from wktriage.bundle.merge import WINDOW, merge, merged_window
from wktriage.core import schemas
from wktriage.core import topology as topologies
from wktriage.core.errors import InfraError, UsageError
from wktriage.core.json_files import read_object, write_object
from wktriage.core.private_files import directory
from wktriage.core.times import utc_now


def assemble(
    bundle_dir: Path,
    tars: Mapping[str, Path],
    run_file: Path,
    topology_file: Path,
    *,
    references: Mapping[str, Path] | None = None,
    clocks: Path | None = None,
    secrets: Iterable[str] = (),
    interrupted: str | None = None,
) -> dict[str, Any]:
    """Write the bundle of a run and return its manifest.

    ``tars`` maps host to what ``collector.pyz pack`` made there; a host without one is recorded as
    failed. ``run_file`` is run.json, ``references`` name -> file to carry in ``references/``
    besides those that run.json names, ``clocks`` the folder with the readings of the hosts' clocks
    and with what was wrong with a host, ``secrets`` values to hide besides those that the
    configuration gives away. ``interrupted`` says why the run did not end by itself.

    Raises UsageError when the bundle is written already, InfraError when run or topology can't be
    read, SchemaError when a document comes out wrong.
    """
    if (bundle_dir / layout.MANIFEST).exists():
        raise UsageError(f"{bundle_dir} is a finished bundle: a bundle is written once")
    run = _input(run_file, "run")
    topology = _input(topology_file, "topology")
    topologies.check(topology, topology_file.name)
    known_secrets = [*secrets, *(str(s) for s in run.get("secrets") or [])]
    recorded = {name: Path(path) for name, path in (run.get("references") or {}).items()}
    references = {**recorded, **(references or {})}
    bundle_dir.parent.mkdir(parents=True, exist_ok=True)
    prefix = scratch_prefix(bundle_dir)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=bundle_dir.parent))
    try:
        hosts = _hosts(
            scratch / "hosts", tars, run, topology, lambda host: _why(host, clocks, known_secrets)
        )
        stage = scratch / "bundle"
        stage.mkdir()
        document = _fill(
            stage, hosts, run, topology, references, clocks, known_secrets, interrupted
        )
        manifest.write(stage, document)
        _move_in(stage, bundle_dir)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return document


def scratch_prefix(bundle_dir: Path) -> str:
    """Return how the name of a folder beside a bundle begins in which it is put together."""
    return f".assemble-{bundle_dir.name}-"


def _input(path: Path, what: str) -> dict[str, Any]:
    document = read_object(path)
    if not document:
        raise InfraError(f"{path} holds no {what}: the run was not opened, start it again")
    return document


def _hosts(
    inbox: Path,
    tars: Mapping[str, Path],
    run: Mapping[str, Any],
    topology: Mapping[str, Any],
    why: Callable[[str], str | None],
) -> list[HostEvidence]:
    """Unpack every host's evidence below ``inbox``; the one that watched the simulator is first."""
    if run.get("refused"):
        return []
    names = {str(host) for host in tars}
    names |= {str(part["host"]) for part in (*topology["nodes"], topology["sim"])}
    hosts = [
        host_evidence.read(name, tars.get(name), inbox / f"host-{number}", why(name))
        for number, name in enumerate(sorted(names))
    ]
    return sorted(hosts, key=lambda h: not h.lead)


def _why(host: str, folder: Path | None, secrets: Sequence[str]) -> str | None:
    """Return what is known of a host that handed in nothing, without secrets."""
    problem = host_evidence.known_problem(host, folder)
    return None if problem is None else redaction.redact_text(problem, secrets)


def _fill(
    stage: Path, hosts: Sequence[HostEvidence], run: Mapping[str, Any],
    topology: Mapping[str, Any], references: Mapping[str, Path], clocks: Path | None,
    secrets: Sequence[str],
    interrupted: str | None,
) -> dict[str, Any]:  # fmt: skip
    """Fill the directory ``stage`` with everything but the manifest, which is returned."""
    conflicts = merge(hosts, stage)
    window = merged_window(stage, hosts, _why_no_window(run, hosts))
    write_object(stage / WINDOW, window)
    recorded = read_object(stage / "fingerprint.json")
    own = ControllerFiles(stage)
    own.add_run(run, topology, references)
    if clocks is not None:
        own.clocks(clocks)
    facts = {h.host: h.report["facts"] for h in hosts if h.report.get("facts")}
    own.document("fingerprint", fingerprint.build(run, topology, stage, facts, recorded))
    own.document("redaction", redaction.redact_tree(stage, secrets))
    broken = {
        name: problem
        for name, schema in schemas.ROW_SCHEMAS.items()
        if (stage / name).is_file() and (problem := schemas.check_rows(stage / name, schema))
    }
    collectors = [row for host in hosts for row in host_evidence.collector_rows(host, broken)]
    collectors += [*_conflict_rows(conflicts), *own.rows()]
    interruption = _interruption(interrupted, window, run, secrets)
    identity = {
        "bundle_id": run["bundle_id"],
        "created": utc_now(),
        "scenario": run.get("scenario"),
        "mode": run.get("mode_measured") or run.get("mode"),
        "driver": topology["driver"],
        "purpose": str(run.get("purpose") or "target"),
        "replay_of": topology.get("replay_of"),
        "complete": interruption is None
        and bool(hosts)
        and all(h.state.get("done") for h in hosts),
        "interrupted": interruption,
    }
    return manifest.build(stage, identity, collectors)


def _why_no_window(run: Mapping[str, Any], hosts: Sequence[HostEvidence]) -> str | None:
    if run.get("refused"):
        return _refusal(run)
    if any(h.lead for h in hosts):
        return None
    return "the collector beside the simulator left nothing"


def _refusal(run: Mapping[str, Any]) -> str:
    return f"not started: refused by {run['refused']}"


def _interruption(
    interrupted: str | None,
    window: Mapping[str, Any],
    run: Mapping[str, Any],
    secrets: Sequence[str],
) -> str | None:
    """Return every reason why the run did not end by itself, in one line; None for none."""
    failed = run.get("failed")
    reasons = [interrupted, window.get("interrupted")]
    if isinstance(failed, Mapping):
        reasons.insert(0, failure_text(failed))
    if run.get("refused"):
        reasons = [_refusal(run)]
    texts = [" ".join(redaction.redact_text(str(r), secrets).split()) for r in reasons if r]
    return "; ".join(dict.fromkeys(texts))[:500] or None


def failure_text(failed: Mapping[str, Any]) -> str:
    """Return in words what a run noted of the task that failed."""
    return f"task {failed.get('task')!r} failed: {failed.get('message')}"


def _conflict_rows(conflicts: Sequence[str]) -> list[dict[str, Any]]:
    if not conflicts:
        return []
    return [{"name": "merge", "host": layout.CONTROLLER, "status": "partial", "duration_s": None,
             "files": [], "error": f"claimed by two hosts: {conflicts[0]}"}]  # fmt: skip


def _move_in(stage: Path, bundle_dir: Path) -> None:
    """Move a finished bundle into place, its manifest last."""
    directory(bundle_dir)
    children = sorted(stage.iterdir(), key=lambda p: (p.name == layout.MANIFEST, p.name))
    for child in children:
        target = bundle_dir / child.name
        # An earlier attempt may have been cut off in the middle of moving.
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        child.replace(target)
