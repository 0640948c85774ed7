"""``wktriage incidents``: what was recorded, what really happened in it, and its evidence."""

from __future__ import annotations

import json
from pathlib import Path

import click

from wktriage.core.errors import InfraError
from wktriage.core.paths import INSTALLED, PROJECT, cache_dir
from wktriage.incidents import library

INCIDENTS = PROJECT / "incidents"


def register(group: click.Group) -> None:
    """Add ``incidents`` to the group."""
    group.add_command(incidents_group)


@click.group("incidents", invoke_without_command=True)
@click.pass_context
def incidents_group(context: click.Context) -> None:
    """Recorded incidents: list (default), show, unpack, verify."""
    if context.invoked_subcommand is None:
        context.invoke(list_command)


@incidents_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_command(*, as_json: bool = False) -> None:
    """List the incidents: id, what it is, scenario, size."""
    known = library.list_incidents(INCIDENTS)
    if as_json:
        for incident in known:
            click.echo(json.dumps(incident.row(), ensure_ascii=False))
        return
    for incident in known:
        size = incident.archive.stat().st_size // 1024 if incident.archive.is_file() else 0
        mark = "*" if incident.bundle == library.DEFAULT else " "
        click.echo(
            f"{mark} {incident.bundle:<24} {incident.label:<22} {incident.scenario:<20} "
            f"{size:>5} KiB  {incident.title}"
        )
    play = "wktriage triage -i replay -e incident=ID" if INSTALLED else "make triage INCIDENT=ID"
    click.echo(f"{len(known)} incidents; * is played by default. Play one: {play}")
    if INSTALLED:
        click.echo("More of them are in incidents/ of wktriage's source repository.")


@incidents_group.command("show")
@click.argument("incident_id", metavar="ID")
def show_command(incident_id: str) -> None:
    """Say what really happened in an incident and what its recording can answer for."""
    incident = library.find_incident(INCIDENTS, incident_id)
    held = library.recorded(library.unpacked(incident, cache_dir() / "incidents"))
    workload = " ".join(f"{key}={value}" for key, value in held.workload.items())
    rows = {
        "title": incident.title,
        "what happened": incident.fault,
        "checked": "; ".join(incident.checks) or "no check recorded",
        "label": ", or ".join([incident.label, *incident.also_ok]),
        "nodes": ", ".join(incident.must_cite) or "none in particular",
        "recorded on": incident.recorded_on or "unknown",
        "baseline": incident.baseline or "none",
        "scenario": f"{held.scenario} ({held.mode}), window of {held.duration_s} s",
        "workload": workload or "unknown",
        "node_env": json.dumps(held.node_env) if held.node_env else "none",
        "layout": "plain" if held.plain else "full",
    }
    for label, text in rows.items():
        click.echo(f"{label + ':':<15}{text}")


@incidents_group.command("unpack")
@click.argument("incident_id", metavar="ID")
@click.argument("target", type=click.Path(path_type=Path))
def unpack_command(incident_id: str, target: Path) -> None:
    """Unpack the bundle of an incident into the new directory TARGET."""
    library.unpack(library.find_incident(INCIDENTS, incident_id), target)
    click.echo(str(target))


@incidents_group.command("verify")
def verify_command() -> None:
    """Check that labels and archives agree and every archive can be replayed."""
    problems = library.verify(INCIDENTS)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise InfraError(f"{len(problems)} problems with the incidents")
    click.echo(f"{len(library.list_incidents(INCIDENTS))} incidents are sound")
