"""``wktriage lab``: inject declared faults into runs on the user's own stack, and label them."""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import status
from wktriage.cli.ansible import run_playbook
from wktriage.cli.commands.triage import parse_extra_vars
from wktriage.core import times
from wktriage.core.errors import InfraError, UsageError
from wktriage.core.model import SignalSet, Tri
from wktriage.core.paths import PROJECT
from wktriage.incidents import library
from wktriage.judging import predicates, signals
from wktriage.judging.verdict import judge
from wktriage.lab import actions, faults
from wktriage.lab.injector import Injector, Record
from wktriage.request.request import new_bundle_id
from wktriage.request.workload import KEYS
from wktriage.run.record import RunPaths

# 200 users at 50 msg/s leave room on a small host, so that the fault is the only thing wrong.
DEFAULT_RUN: dict[str, Any] = {
    "scenario": "custom",
    "users": 200,
    "person_channels": 100,
    "group_channels": 100,
    "group_members": 10,
    "rate": "0.25/s",
    "concurrency": 128,
    "connect_rate": 100,
    "duration": 45,
    "profile_seconds": 5,
}
HEAL_MARGIN_S = 4.0
DRAWN_SCENARIOS = (
    "custom", "smoke-default", "sampled-correctness", "person-hotpath", "group-fanout"
)  # fmt: skip
"""What runs healthily on a small host; a fault that is a workload of its own keeps that."""
SLOWNESS = ("distributed_lag", "local_capacity", "server_hot_path")
"""Categories that are defined by slowness without errors."""
STRENGTH_SPREAD = 1.5
"""Drawn strengths lie between a parameter's default divided by this and times this."""


@click.group()
def lab() -> None:
    """Inject declared faults into runs on your own stack, and label what happened."""


def register(group: click.Group) -> None:
    """Add the commands to the group."""
    group.add_command(lab)


@lab.command("list")
def list_faults() -> None:
    """List the faults."""
    for name in faults.names():
        fault = faults.load(name)
        given = "".join(f"  [{k}={v}]" for k, v in sorted(fault.parameters.items()))
        click.echo(f"{name:20} {fault.targets:8} {fault.purpose}{given}")


@lab.command("draw")
@click.option("--seed", type=int, required=True)
@click.option("--count", type=int, default=20, show_default=True)
def draw(seed: int, count: int) -> None:
    """Draw runs over faults, nodes, strengths and scenarios by a seed; one command a line."""
    chosen = random.Random(seed)  # noqa: S311 (a draw that can be repeated, no secret)
    names = faults.names()
    for number in range(1, count + 1):
        fault = faults.load(chosen.choice(names))
        words = [f"wktriage lab run {fault.name}", f"--seed {chosen.randrange(1 << 16)}"]
        for key, value in sorted(fault.parameters.items()):
            factor = STRENGTH_SPREAD ** chosen.uniform(-1, 1)
            words.append(f"--set {key}={_scaled(value, factor)}")
        scenario = chosen.choice(DRAWN_SCENARIOS)
        if not fault.run:
            words.append(f"-e scenario={scenario}")
        words.append(f"--id s{seed}-{number:02d}")
        click.echo(" ".join(words))


def _scaled(value: float | str, factor: float) -> str:
    """Multiply the number that a parameter is, or begins with (``6/s``); whole ones stay whole."""
    found = re.match(r"(\d+(?:\.\d+)?)(.*)", str(value))
    if found is None:
        return str(value)
    number, unit = found.groups()
    drawn = float(number) * factor
    return (f"{drawn:.3g}" if "." in number else str(max(1, round(drawn)))) + unit


@lab.command("run")
@click.argument("name", metavar="FAULT")
@click.option("-e", "--extra-vars", "extra", multiple=True, help="Extra vars of the run.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Fault parameters.")
@click.option("--node", help="The node to hit; default: drawn by the seed.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--id", "identity", help="Store the run as an incident under this id.")
@click.option(
    "--incidents",
    "store",
    type=click.Path(path_type=Path),
    default=PROJECT / "incidents",
    help="Where incidents are stored.",
)
@click.option("--baseline", help="The incident that is this one's recorded baseline.")
def run(
    name: str,
    extra: tuple[str, ...],
    settings: tuple[str, ...],
    node: str | None,
    seed: int,
    identity: str | None,
    store: Path,
    baseline: str | None,
) -> None:
    """Run one FAULT inside a triage window; say what happened and what the verdict was."""
    fault = faults.load(name, parse_extra_vars(settings))
    actions.require_tools([step.do for step in fault.inject])
    given = _given(fault.run, parse_extra_vars(extra))
    given["lab_fault"] = name
    given["bundle_id"] = bundle_id = new_bundle_id(f"lab-{name}")
    paths = RunPaths(_runs_dir(given), bundle_id)
    hold = float(given["duration"]) + float(given["profile_seconds"]) + HEAL_MARGIN_S
    injector = Injector(fault, paths.topology_file, hold_s=hold, node=node, seed=seed)
    with contextlib.ExitStack() as undo:
        if fault.volume_mb is not None:
            own = actions.volume(_runs_dir(given) / ".lab", fault.volume_mb)
            given["data_root"] = str(undo.enter_context(own) / "data")
        injector.start()
        undo.callback(injector.end)
        run_playbook("triage.yml", {**given, "fail_on": "never"})
    if not (paths.bundle / "manifest.json").exists():
        raise InfraError(f"the run left no bundle in {paths.bundle}; its output says why")
    report(fault, injector.record, paths.bundle, identity, store, baseline)


def _given(of_fault: Mapping[str, Any], of_caller: Mapping[str, Any]) -> dict[str, Any]:
    """Merge defaults, fault and caller. A named scenario takes no workload but its own."""
    given = {**DEFAULT_RUN, **of_fault, **of_caller}
    if given["scenario"] != "custom":
        for key in KEYS:
            given.pop(key, None)
    return given


def _runs_dir(given: Mapping[str, Any]) -> Path:
    path = Path(str(given.get("runs_dir", "runs"))).expanduser()
    return path if path.is_absolute() else PROJECT / path


def report(
    fault: faults.Fault,
    record: Record,
    directory: Path,
    identity: str | None,
    store: Path,
    baseline: str | None,
) -> None:
    """Label the run by what was measured, compare with the verdict, and store it when asked.

    Raises UsageError when the fault did not take hold or no label fits: that is no incident.
    """
    bundle = Bundle.open(directory)
    measured = signals.compute(bundle)
    verdict = judge(bundle)
    label = _label(fault, measured)
    outcome = {
        "fault": record.fault,
        "parameters": record.parameters,
        "targets": record.targets,
        "injected_at": record.injected_at,
        "took_hold": record.took_hold,
        "problems": record.problems,
        "label": label.label if label else None,
        "also_ok": list(label.also_ok) if label else [],
        "label_nodes": sorted(record.targets) if label and label.names_target else [],
        "verdict": verdict["category"],
        "confidence": verdict["confidence"],
        "nodes": verdict["nodes"],
        "bundle": directory.name,
    }
    click.echo(json.dumps(outcome, sort_keys=True))
    if record.took_hold is not True or label is None:
        why = "; ".join(record.problems) or "nothing measured fits one of its labels"
        raise UsageError(f"no incident: {why}. The bundle stays in {directory}")
    if identity is not None:
        archive = library.pack(
            directory,
            library.Incident(
                bundle=identity,
                label=label.label,
                fault=_what_happened(fault, record),
                scenario=bundle.scenario or "custom",
                title=fault.purpose,
                also_ok=label.also_ok,
                nodes=tuple(outcome["label_nodes"]),
                fault_at_s=_offset(bundle, record.injected_at),
                archive=store / f"{identity}.tar.xz",
                baseline=baseline,
                recorded_on=str((bundle.manifest or {}).get("created", ""))[:10] or None,
                checks=tuple(_checks(fault, record)),
            ),
        )
        click.echo(f"stored as {archive}")


def _label(fault: faults.Fault, measured: SignalSet) -> faults.Label | None:
    """Return the first label whose condition holds for what was measured.

    What none of the fault's own labels fit is labelled like a run without a fault. The faults call
    failed sends a failure from a thousandth on; below, a slow run with one of them is both, for the
    categories of slowness are those without errors.
    """
    own = [(fault.name, label) for label in fault.labels]
    for name, label in own + [("healthy", label) for label in faults.load("healthy").labels]:
        where = f"faults/{name}.yml, label {label.label}"
        condition = predicates.parse(label.when, where, signals.catalogue())
        if condition.evaluate(measured).tri is not Tri.YES:
            continue
        failed = measured.get("send_errors")
        if label.label in SLOWNESS and failed is not None and failed.value:
            return msgspec.structs.replace(label, also_ok=(*label.also_ok, "send_path"))
        return label
    return None


def _what_happened(fault: faults.Fault, record: Record) -> str:
    words = [fault.name, *(f"{k}={v}" for k, v in sorted(record.parameters.items()))]
    if record.targets:
        words.append("on " + ", ".join(record.targets))
    return " ".join(words)


def _checks(fault: faults.Fault, record: Record) -> list[str]:
    if fault.check is None:
        return []
    arguments = " ".join(f"{k}={v}" for k, v in sorted(fault.check.arguments.items()))
    where = ", ".join(record.targets) or "host"
    return [f"{fault.check.do} {arguments}".strip() + f" on {where}"]


def _offset(bundle: Bundle, at: str | None) -> float | None:
    """Return seconds from the first status sample to the injection; None when nothing was."""
    samples = status.samples(bundle)
    moment = times.parse_time(at)
    return round(moment - samples[0].time, 1) if samples and moment is not None else None
