"""The one variable of an experiment: what a person or a verdict calls it, and what it changes."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from wktriage.core.durations import parse_duration, parse_rate
from wktriage.core.errors import UsageError
from wktriage.core.suggestions import did_you_mean
from wktriage.experiments.registration import Kind, Setting, Variable
from wktriage.request import code as codes
from wktriage.request import knobs, scenarios
from wktriage.request.request import NODE_ENV
from wktriage.request.workload import KEYS

NOT_SET = "not set"
"""The value that takes a setting of the nodes away, so that the shipped one holds."""

CONNECT_RATE = "connect_rate"
_AWAY = frozenset({"", NOT_SET, "shipped", "default", "none", "unset"})


def variable_of(name: str, value: Any, inputs: Mapping[str, Any]) -> Variable:
    """Return the variable ``name`` from what the control's ``inputs`` have to ``value``.

    ``name`` is a knob of the catalogue or a variable of the nodes' environment; the value of
    ``code`` is a commit. Raises UsageError for an unknown name, a value outside the knob's range,
    and one that changes nothing.
    """
    knob = _knob(name)
    if knob is None and name == CONNECT_RATE:
        before = inputs.get(CONNECT_RATE)
        after: Setting = _integer(name, value, 1, 100_000)
        return _made(name, "stack", CONNECT_RATE, before, after)
    if knob is None and NODE_ENV.match(name) and not name.startswith(("WK_SIM_", "WK_BENCH_")):
        return _setting(name, name, None if _away(value) else str(value), inputs)
    if knob is None:
        hint = did_you_mean(name, [*knobs.load(), CONNECT_RATE])
        raise UsageError(
            f"variable {name!r} is no knob of the catalogue (docs/reference lists them), nor a "
            f"setting of the nodes (WK_…, GOMEMLIMIT, …){hint}"
        )
    if knob.kind == "config":
        return _setting(
            knob.name, knob.env, None if _away(value) else _checked(knob, value), inputs
        )
    if knob.kind == "code":
        return _made(knob.name, "code", "code", codes.built(inputs), str(value))
    workload = inputs.get("workload") or {}
    after = _checked(knob, value)
    if knob.type == "integer":
        after = int(str(after))
    return _made(knob.name, "workload", f"workload.{knob.name}", workload.get(knob.name), after)


def shipped(variable: Variable) -> Setting:
    """Return what the shipped configuration has for a setting of the nodes; None when unknown."""
    knob = _knob(variable.knob)
    return str(knob.default) if knob is not None and knob.kind == "config" else None


def applied(inputs: Mapping[str, Any], variable: Variable) -> dict[str, Any]:
    """Return fingerprint inputs with the variable turned; all others stay as they are."""
    changed: dict[str, Any] = copy.deepcopy(dict(inputs))
    if variable.kind == "workload":
        changed["workload"] = {**(changed.get("workload") or {}), variable.knob: variable.after}
        changed["scenario"] = scenario_of(changed)
    elif variable.kind == "config":
        environment = dict(changed.get("node_env") or {})
        name = variable.fingerprint_input.removeprefix("node_env.")
        environment.pop(name, None)
        if variable.after is not None:
            environment[name] = str(variable.after)
        changed["node_env"] = environment
    elif variable.kind == "code":
        changed |= codes.turned(changed, str(variable.after))
    else:
        changed[variable.fingerprint_input] = variable.after
    return changed


def scenario_of(inputs: Mapping[str, Any]) -> str:
    """Return the scenario that runs these inputs: their own, or ``custom`` for another workload."""
    name = str(inputs.get("scenario"))
    if name == scenarios.CUSTOM or name not in scenarios.names():
        return scenarios.CUSTOM
    own = msgspec.structs.asdict(scenarios.load(name).workload)
    workload = inputs.get("workload") or {}
    same = all(str(workload.get(key)) == str(own[key]) for key in KEYS)
    return name if same else scenarios.CUSTOM


def asked_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request that runs these inputs, as extra vars."""
    name = scenario_of(inputs)
    workload = inputs.get("workload") or {}
    asked: dict[str, Any] = {"scenario": name, "mode": inputs.get("mode")}
    if name == scenarios.CUSTOM:
        asked |= {key: workload[key] for key in KEYS if workload.get(key) is not None}
    if inputs.get("node_env"):
        asked["node_env"] = dict(inputs["node_env"])
    if inputs.get(CONNECT_RATE) is not None:
        asked[CONNECT_RATE] = inputs[CONNECT_RATE]
    if (commit := codes.built(inputs)) is not None:
        asked[codes.CODE] = commit
    return asked


def _knob(name: str) -> knobs.Knob | None:
    known = knobs.load()
    by_env = {knob.env: knob for knob in known.values()}
    return known.get(name) or by_env.get(name)


def _setting(knob: str, env: str, after: Setting, inputs: Mapping[str, Any]) -> Variable:
    return _made(knob, "config", f"node_env.{env}", (inputs.get("node_env") or {}).get(env), after)


def _made(knob: str, kind: Kind, path: str, before: Setting, after: Setting) -> Variable:
    try:
        return Variable(knob, kind, path, before, after)
    except ValueError as exc:
        raise UsageError(f"in the control {exc}: name another value") from exc


def _away(value: Any) -> bool:
    return value is None or str(value).strip().lower() in _AWAY


def _checked(knob: knobs.Knob, value: Any) -> Setting:
    text = str(value).strip()
    text = text.lower() if knob.type == "boolean" else text
    allowed = [str(a).lower() if isinstance(a, bool) else str(a) for a in knob.allowed]
    # What may not be set to win may still be asked for: the refusal says why and how.
    if allowed and text not in allowed and knob.type != "boolean":
        raise UsageError(f"{knob.name}={text}: must be one of {', '.join(allowed)}")
    if knob.type == "integer":
        low, high = int(knob.minimum or 0), int(knob.maximum or 2**31)
        return str(_integer(knob.name, text, low, high))
    if knob.type in ("rate", "duration"):
        number = parse_rate(text) if knob.type == "rate" else parse_duration(text)
        if number is None:
            example = "0.25/s" if knob.type == "rate" else "500us, 1ms or 10s"
            raise UsageError(f"{knob.name}={text}: must be a {knob.type} such as {example}")
        _in_range(knob, number, text)
    return text


def _in_range(knob: knobs.Knob, number: float, text: str) -> None:
    low, high = knob.minimum, knob.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise UsageError(f"{knob.name}={text}: outside of its range, {low:g} to {high:g}")


def _integer(name: str, value: Any, low: int, high: int) -> int:
    text = str(value).strip()
    if not re.fullmatch(r"-?\d{1,12}", text) or not low <= int(text) <= high:
        raise UsageError(f"{name}={text}: must be a whole number from {low} to {high}")
    return int(text)
