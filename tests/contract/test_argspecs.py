"""Every role is whole, and its defaults are those that its argument specs promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, meta

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


#: What Ansible itself gives to a task.
GIVEN = {"hostvars", "inventory_hostname", "item", "lookup", "now", "omit", "role_path"}
BARE = {"when", "that", "failed_when", "changed_when", "until"}


def expressions(node: Any, key: str = "") -> Iterator[str]:
    """Yield every template of a task file; conditions are templates without braces."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from expressions(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value, key)
    elif isinstance(node, str):
        yield f"{{{{ {node} }}}}" if key in BARE else node


def made(node: Any) -> Iterator[str]:
    """Yield the variables that tasks make: registered, set as facts, or of a loop."""
    if isinstance(node, list):
        for value in node:
            yield from made(value)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name in ("register", "loop_var"):
                yield value
            elif name == "ansible.builtin.set_fact":
                yield from value
            else:
                yield from made(value)


class AnyFilter(dict[str, Any]):
    """Knows every filter and test: Ansible's own are not at hand, and none is called."""

    def get(self, key: str, default: Any = None) -> Any:
        return str


def variables(text: str) -> set[str]:
    environment = Environment()
    environment.filters = AnyFilter()
    environment.tests = AnyFilter()
    return meta.find_undeclared_variables(environment.parse(text))


def test_role_reads_only_variables_it_declares(role: Path) -> None:
    declared = {n for s in specs(role).values() for n in (s.get("options") or {})}
    read: set[str] = set()
    for path in sorted(role.glob("tasks/**/*.yml")):
        tasks = load(path)
        declared |= set(made(tasks))
        for text in expressions(tasks):
            read |= variables(text)
    assert {n for n in read - declared - GIVEN if not n.startswith("ansible_")} == set()
