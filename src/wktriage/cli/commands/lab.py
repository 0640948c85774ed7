"""``wktriage lab``: inject declared faults into runs on the user's own stack, and label them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from wktriage.bundle.layout import MANIFEST
from wktriage.cli.ansible import run_on_host, run_playbook
from wktriage.cli.commands.triage import INVENTORY, parse_extra_vars
from wktriage.cli.output import say
from wktriage.core.errors import InfraError, UsageError
from wktriage.core.paths import work_dir
from wktriage.core.tables import aligned
from wktriage.lab import faults, labelling, plan, tally
from wktriage.lab.actions import disk, dispatcher
from wktriage.lab.injector import Injector
from wktriage.request.request import new_bundle_id
from wktriage.run.record import RunPaths


@click.group()
def lab() -> None:
    """Inject declared faults into runs on your own stack, and label what happened."""


def register(group: click.Group) -> None:
    """Add the commands to the group."""
    group.add_command(lab)


@lab.command("list")
def list_faults() -> None:
    """List the faults."""
    rows = []
    for name in faults.names():
        fault = faults.load(name)
        parameters = "".join(f"  [{k}={v}]" for k, v in sorted(fault.parameters.items()))
        rows.append([name, fault.targets, fault.purpose + parameters])
    for line in aligned(rows):
        say(line)


@lab.command("effects")
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=work_dir() / "runs",
    help="Where the runs are.",
)
def effects(runs_dir: Path) -> None:
    """Say how often each fault took hold in the runs made so far, and was felt."""
    rows = tally.table(runs_dir)
    if not rows:
        raise UsageError(f"{runs_dir} holds no run of the lab yet")
    for line in aligned(rows, right=(1, 2, 3)):
        say(line)


@lab.command("draw")
@click.option("--seed", type=int, required=True)
@click.option("--count", type=int, default=20, show_default=True)
def draw(seed: int, count: int) -> None:
    """Draw runs over faults, nodes, strengths and scenarios by a seed; one command a line."""
    for command in plan.draw(seed, count):
        say(command)


@lab.command("run")
@click.argument("name", metavar="FAULT")
@click.option("-e", "--extra-vars", "extra", multiple=True, help="Extra vars of the run.")
@INVENTORY
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Fault parameters.")
@click.option("--node", help="The node to hit; default: drawn by the seed.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--id", "identity", help="Store the run as an incident under this id.")
@click.option(
    "--incidents",
    "store",
    type=click.Path(path_type=Path),
    default=work_dir() / "incidents",
    help="Where incidents are stored.",
)
@click.option("--baseline", help="The incident that is this one's recorded baseline.")
def run(
    name: str,
    extra: tuple[str, ...],
    inventory: str | None,
    settings: tuple[str, ...],
    node: str | None,
    seed: int,
    identity: str | None,
    store: Path,
    baseline: str | None,
) -> None:
    """Run one FAULT inside a triage window; say what happened and what the verdict was."""
    fault = faults.load(name, parse_extra_vars(settings))
    if inventory is None:
        # Of what is needed elsewhere the hosts tell themselves.
        dispatcher.require_tools([step.do for step in fault.inject])
    parameters = plan.run_parameters(fault.run, parse_extra_vars(extra))
    if inventory is None and fault.volume_mb is not None and "data_root" in parameters:
        mounted = Path(str(parameters["data_root"])).expanduser().parent
        if not os.path.ismount(mounted):
            raise UsageError(
                f"{name} gets a volume of its own for the data: leave data_root out (or name a "
                f"directory right below a volume that you mounted; {mounted} is none)"
            )
    parameters["lab_fault"] = name
    parameters["bundle_id"] = bundle_id = new_bundle_id(f"lab-{name}")
    paths = RunPaths(_runs_dir(parameters), bundle_id)
    hold_s = plan.hold_seconds(parameters)
    ask = None if inventory is None else partial(run_on_host, inventory)
    injector = Injector(fault, paths.topology_file, hold_s=hold_s, node=node, seed=seed, ask=ask)
    with contextlib.ExitStack() as undo:
        # On other machines it is theirs to have one: data_root names it.
        if fault.volume_mb is not None and "data_root" not in parameters:
            volume = disk.volume(_runs_dir(parameters) / ".lab", fault.volume_mb)
            parameters["data_root"] = str(undo.enter_context(volume) / "data")
        injector.start()
        undo.callback(injector.end)
        run_playbook("triage.yml", {**parameters, "fail_on": "never"}, inventory=inventory)
    if not (paths.bundle / MANIFEST).exists():
        raise InfraError(f"the run left no bundle in {paths.bundle}; its output says why")
    labelled = labelling.label_run(fault, injector.record, paths.bundle)
    say(json.dumps(labelled.summary(), sort_keys=True))
    tally.add(paths.runs_dir, labelled.summary())
    for line in aligned(tally.table(paths.runs_dir, name), right=(1, 2, 3)):
        say(line)
    labelled.usable_label()
    if identity is not None:
        say(f"stored as {labelled.store(identity, store, baseline)}")


def _runs_dir(parameters: Mapping[str, Any]) -> Path:
    return Path.cwd() / Path(str(parameters.get("runs_dir", work_dir() / "runs"))).expanduser()
