"""What a lab run is called afterwards: by what was measured, never by what was intended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import status
from wktriage.core import times
from wktriage.core.errors import UsageError
from wktriage.core.model import SignalSet, Tri
from wktriage.incidents import library, packing
from wktriage.judging import predicates, signals
from wktriage.judging.verdict import judge
from wktriage.lab import faults
from wktriage.lab.faults import Fault, Label
from wktriage.lab.injector import Record

SLOWNESS = ("distributed_lag", "local_capacity", "server_hot_path")
"""Categories that are defined by slowness without errors."""


@dataclass(frozen=True)
class LabelledRun:
    """A run under a fault: what was done, what it is called, and what the verdict says.

    ``label`` is None when nothing measured fits one.
    """

    fault: Fault
    record: Record
    bundle: Bundle
    label: Label | None
    verdict: dict[str, Any]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes at fault, where the label is about its targets."""
        names_target = self.label is not None and self.label.names_target
        return tuple(sorted(self.record.targets)) if names_target else ()

    def summary(self) -> dict[str, Any]:
        """Return the run as a JSON object: the injection, its label and the verdict."""
        return {
            "fault": self.record.fault,
            "parameters": self.record.parameters,
            "targets": self.record.targets,
            "injected_at": self.record.injected_at,
            "took_hold": self.record.took_hold,
            "problems": self.record.problems,
            "label": self.label.label if self.label else None,
            "also_ok": list(self.label.also_ok) if self.label else [],
            "label_nodes": list(self.nodes),
            "label_components": list(self.label.components) if self.label else [],
            "verdict": self.verdict["category"],
            "confidence": self.verdict["confidence"],
            "nodes": self.verdict["nodes"],
            "component": self.verdict["component"],
            "bundle": self.bundle.root.name,
        }

    def usable_label(self) -> Label:
        """Return the label. Raises UsageError when the fault did not take hold or none fits."""
        if self.record.took_hold is not True or self.label is None:
            why = "; ".join(self.record.problems) or "nothing measured fits one of its labels"
            raise UsageError(f"no incident: {why}. The bundle stays in {self.bundle.root}")
        return self.label

    def store(self, identity: str, directory: Path, baseline: str | None) -> Path:
        """Store the run as the incident ``identity`` and return its archive.

        Raises UsageError when it is no incident, or cannot be replayed.
        """
        label = self.usable_label()
        return packing.pack(
            self.bundle.root,
            library.Incident(
                bundle=identity,
                label=label.label,
                fault=self._what_happened(),
                scenario=self.bundle.scenario or "custom",
                title=self._title(label),
                also_ok=label.also_ok,
                nodes=self.nodes,
                fault_at_s=self._injected_after(),
                archive=directory / f"{identity}.tar.xz",
                baseline=baseline,
                recorded_on=str((self.bundle.manifest or {}).get("created", ""))[:10] or None,
                checks=tuple(self._checks()),
                element=self.fault.element if label.components else None,
                components=label.components,
            ),
        )

    def _title(self, label: Label) -> str:
        """Say what happened: a fault that nobody noticed, and no fault, are healthy runs."""
        purpose = self.fault.purpose
        if label.label != "healthy":
            return purpose
        if not self.fault.inject and not self.fault.run:
            return "Nothing was injected, and the run was healthy"
        return f"Healthy all the same: {purpose[0].lower()}{purpose[1:]}"

    def _what_happened(self) -> str:
        parameters = sorted(self.record.parameters.items())
        words = [self.fault.name, *(f"{k}={v}" for k, v in parameters)]
        if self.record.targets:
            words.append("on " + ", ".join(self.record.targets))
        return " ".join(words)

    def _checks(self) -> list[str]:
        check = self.fault.check
        if check is None:
            return []
        arguments = " ".join(f"{k}={v}" for k, v in sorted(check.arguments.items()))
        targets = ", ".join(self.record.targets) or "host"
        return [f"{check.do} {arguments}".strip() + f" on {targets}"]

    def _injected_after(self) -> float | None:
        """Return seconds from the first status sample to the injection; None when unknown."""
        samples = status.samples(self.bundle)
        injected = times.parse_time(self.record.injected_at)
        return round(injected - samples[0].time, 1) if samples and injected is not None else None


def label_run(fault: Fault, record: Record, directory: Path) -> LabelledRun:
    """Label the run whose bundle lies in ``directory`` by what was measured, and judge it."""
    bundle = Bundle.open(directory)
    label = measured_label(fault, signals.compute(bundle))
    return LabelledRun(fault, record, bundle, label, judge(bundle))


def measured_label(fault: Fault, measured: SignalSet) -> Label | None:
    """Return the first label whose condition holds for what was measured.

    What none of the fault's own labels fit is labelled like a run without a fault. The faults call
    failed sends a failure from a thousandth on; below, a slow run with one of them is both, for the
    categories of slowness are those without errors.
    """
    labels = [
        (
            fault.name,
            msgspec.structs.replace(label, components=label.components or fault.components),
        )
        for label in fault.labels
    ]
    labels += [("healthy", label) for label in faults.load("healthy").labels]
    for name, label in labels:
        where = f"faults/{name}.yml, label {label.label}"
        condition = predicates.parse(label.when, where, signals.catalogue())
        if condition.evaluate(measured).tri is not Tri.YES:
            continue
        failed = measured.get("send_errors")
        if label.label in SLOWNESS and failed is not None and failed.value:
            return msgspec.structs.replace(label, also_ok=(*label.also_ok, "send_path"))
        return label
    return None
