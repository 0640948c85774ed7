"""Settings first: what differs from the shipped configuration, and whether it may be to blame."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from wktriage.judging.wording import clean
from wktriage.request import knobs, scenarios
from wktriage.request.workload import KEYS

LARGEST = 60
"""Characters shown of a value, which may come from evidence."""


@dataclass(frozen=True)
class Setting:
    """One setting that is not the shipped one, or not the scenario's own.

    ``shipped`` is that one, None where it is not known. ``kind`` is config (the nodes') or
    workload. ``components`` are what it acts on; empty when the catalogue does not know it.
    """

    name: str
    kind: str
    value: str
    shipped: str | None
    knob: str | None = None
    components: tuple[str, ...] = ()
    affects: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the setting as verdict.json has it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "value": self.value,
            "shipped": self.shipped,
            "affects": self.affects,
        }

    @property
    def text(self) -> str:
        """The setting in words: its value, and the one that it differs from."""
        other = "shipped" if self.kind == "config" else "the scenario's own"
        return f"{self.name} = {self.value} ({other}: {self.shipped or 'not known'})"


def differing(
    scenario: str, workload: Mapping[str, Any], node_env: Mapping[str, str]
) -> list[Setting]:
    """Return what differs from the shipped configuration: the nodes' settings, then the load's.

    A custom scenario has no load of its own to differ from.
    """
    by_env = {knob.env: knob for knob in knobs.load().values() if knob.kind == "config"}
    settings = []
    for name, value in sorted(node_env.items()):
        knob = by_env.get(name)
        shipped = None if knob is None else _text(knob.default)
        if shipped != value:
            settings.append(
                Setting(
                    clean(name, LARGEST), "config", clean(value, LARGEST), shipped,
                    knob.name if knob else None,
                    knob.components if knob else (), knob.affects if knob else "",
                )
            )  # fmt: skip
    if scenario in scenarios.names() and scenario != scenarios.CUSTOM:
        own = msgspec.structs.asdict(scenarios.load(scenario).workload)
        for key in KEYS:
            ran = workload.get(key)
            if ran is not None and str(ran) != str(own[key]):
                knob = knobs.load().get(key)
                settings.append(
                    Setting(
                        key, "workload", clean(ran, LARGEST), _text(own[key]), key,
                        knob.components if knob else (), knob.affects if knob else "",
                    )
                )  # fmt: skip
    return settings


def suspects(
    settings: Sequence[Setting], component: str, reach: Collection[str], *, by_load: bool = True
) -> list[Setting]:
    """Return the settings that have a path to the symptom, most suspect first.

    ``reach`` are the components from which there is one; ``by_load`` is whether load or contention
    is the cause, without which no workload is suspect. What acts on the component that the verdict
    names comes before others, and the load before the nodes; what the catalogue does not know may
    reach anything.
    """
    reaching = [
        setting
        for setting in settings
        if reach
        and (by_load or setting.kind == "config")
        and (not setting.components or not set(setting.components).isdisjoint(reach))
    ]
    reaching.sort(key=lambda s: (component not in s.components, s.kind == "config"))
    return reaching


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
