"""``wktriage incidents``: what was recorded, what really happened in it, and its evidence."""

from __future__ import annotations

import json
from pathlib import Path

import click

from wktriage.cli import console
from wktriage.cli.output import say
from wktriage.core.errors import InfraError
from wktriage.core.paths import INSTALLED, PROJECT, cache_dir
from wktriage.core.tables import aligned
from wktriage.incidents import library, packing
from wktriage.report import words

INCIDENTS = PROJECT / "incidents"
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="List them as JSON, one object a line."
)


def _ids(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    names = [incident.bundle for incident in library.list_incidents(INCIDENTS)]
    return [name for name in names if name.startswith(typed)]


_ID = click.argument("incident_id", metavar="ID", shell_complete=_ids)


def register(group: click.Group) -> None:
    """Add ``incidents`` to the group."""
    group.add_command(incidents_group)


@click.group("incidents", invoke_without_command=True)
@_JSON
@click.pass_context
def incidents_group(context: click.Context, *, as_json: bool) -> None:
    """List, show, unpack or verify recorded incidents."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@incidents_group.command("list")
@_JSON
def list_command(*, as_json: bool = False) -> None:
    """List the incidents: id, what happened, class, scenario, size."""
    known = library.list_incidents(INCIDENTS)
    if as_json:
        for incident in known:
            say(json.dumps(incident.as_label().as_dict(), ensure_ascii=False))
        return
    rows = []
    for incident in known:
        size = incident.archive.stat().st_size // 1024 if incident.archive.is_file() else 0
        mark = "*" if incident.bundle == library.DEFAULT else " "
        name = f"{mark} {incident.bundle}"
        rows.append([name, incident.label, incident.scenario, f"{size} KiB", incident.title])
    say("\n".join(aligned(rows, right=(3,))))
    say(
        f"{words.counted(len(known), 'incident')}; * is the default. "
        f"Play one: {console.program()} triage -i replay -e incident=ID"
    )
    if INSTALLED:
        say("More of them are in incidents/ of wktriage's source repository.")


@incidents_group.command("show")
@_ID
def show_command(incident_id: str) -> None:
    """Say what really happened in an incident and what its recording can answer for."""
    incident = library.find_incident(INCIDENTS, incident_id)
    recording = library.recorded(library.unpacked(incident, cache_dir() / "incidents"))
    workload = " ".join(f"{key}={value}" for key, value in recording.workload.items())
    rows = {
        "title": incident.title,
        "what happened": incident.fault,
        "checked": "; ".join(incident.checks) or "nothing",
        "class": " or ".join([incident.label, *incident.also_ok]),
        "nodes": ", ".join(incident.nodes) or "no single node",
        "recorded on": incident.recorded_on or "unknown",
        "baseline": incident.baseline or "none",
        "scenario": f"{recording.scenario} ({recording.mode}), window of {recording.duration_s} s",
        "workload": workload or "unknown",
        "node_env": json.dumps(recording.node_env) if recording.node_env else "none",
        "layout": "plain" if recording.plain else "full",
    }
    say("\n".join(aligned([[f"{label}:", text] for label, text in rows.items()])))


@incidents_group.command("unpack")
@_ID
@click.argument("target", type=click.Path(path_type=Path))
def unpack_command(incident_id: str, target: Path) -> None:
    """Unpack the bundle of an incident into the new directory TARGET."""
    library.unpack(library.find_incident(INCIDENTS, incident_id), target)
    say(str(target))


@incidents_group.command("verify")
def verify_command() -> None:
    """Check that labels and archives agree and every archive can be replayed."""
    problems = packing.verify(INCIDENTS)
    for problem in problems:
        say(problem)
    if problems:
        raise InfraError(f"the incidents have {words.counted(len(problems), 'problem')}")
    say(f"{words.counted(len(library.list_incidents(INCIDENTS)), 'incident')}, no problems")
