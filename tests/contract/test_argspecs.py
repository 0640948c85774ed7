"""Every role is whole, and its defaults are those that its argument specs promise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(p.parent for p in ROOT.glob("roles/*/tasks"))
FILES = (
    "defaults/main.yml",
    "meta/main.yml",
    "meta/argument_specs.yml",
    "tasks/main.yml",
    "README.md",
)

pytestmark = pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def specs(role: Path) -> dict[str, Any]:
    return dict(load(role / "meta" / "argument_specs.yml")["argument_specs"])


def test_role_is_whole(role: Path) -> None:
    assert [f for f in FILES if not (role / f).is_file()] == []
    assert load(role / "meta" / "main.yml")["galaxy_info"]["role_name"] == role.name


def test_entry_points_exist(role: Path) -> None:
    for entry, spec in specs(role).items():
        assert (role / "tasks" / f"{entry}.yml").is_file(), entry
        assert spec["short_description"]


def test_options_are_described_and_prefixed(role: Path) -> None:
    for spec in specs(role).values():
        for name, option in (spec.get("options") or {}).items():
            assert name.startswith(f"{role.name}_"), name
            assert option.get("description"), name
            assert option.get("type"), name


def test_defaults_agree_with_specs(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml") or {}
    promised: dict[str, Any] = {}
    required = set()
    for spec in specs(role).values():
        for name, option in (spec.get("options") or {}).items():
            if option.get("required"):
                required.add(name)
            elif "default" in option:
                assert promised.setdefault(name, option["default"]) == option["default"], name
    public = {k: v for k, v in defaults.items() if not k.startswith("_")}
    assert public == promised
    assert not required & set(defaults), "a required variable has a default"


def test_role_reads_only_variables_it_declares(role: Path) -> None:
    declared = {n for s in specs(role).values() for n in (s.get("options") or {})}
    text = "\n".join(p.read_text(encoding="utf-8") for p in sorted(role.glob("tasks/*.yml")))
    own = set(re.findall(rf"(?<![.\w]){role.name}_\w+", text))
    made = set(re.findall(rf"register: ({role.name}_\w+)", text))
    made |= set(re.findall(rf"^\s+({role.name}_\w+):", text, re.M))
    # Passed on in a call of its own entry points or by a loop.
    made |= set(re.findall(rf"loop_var: ({role.name}_\w+)", text))
    assert own - made <= declared
