"""Plugins are documented, thin, and modules run on a host's Python alone."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from wktriage.core import plugin_docs, zipapps

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(p for p in ROOT.glob("plugins/*/*.py") if p.name != "__init__.py")
MODULES = [p for p in PLUGINS if p.parent.name in ("modules", "module_utils")]
#: What may run on hosts: files that are copied there.
ON_HOSTS = [
    *MODULES,
    *(path for name in zipapps.PROGRAMS for path in sorted(ROOT.glob(f"src/{name}/**/*.py"))),
]


def constants(path: Path) -> dict[str, str]:
    return {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", PLUGINS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_plugin_is_documented(path: Path) -> None:
    kind = path.parent.name
    if kind == "module_utils":
        pytest.skip("helpers of modules are documented where they are used")
    if kind == "doc_fragments":
        assert all(option["description"] for option in plugin_docs.of(path)["options"].values())
        return
    if kind == "filter":
        names = filter_names(path)
        assert names
        for name in names:
            sidecar = yaml.safe_load(path.with_name(f"{name}.yml").read_text(encoding="utf-8"))
            assert sidecar["DOCUMENTATION"]["name"] == name
            assert sidecar["DOCUMENTATION"]["short_description"]
        return
    own = constants(path)
    module = ROOT / "plugins" / "modules" / path.name
    if kind == "action" and "DOCUMENTATION" not in own and module.is_file():
        own = constants(module)
    doc = yaml.safe_load(own["DOCUMENTATION"])
    assert doc["short_description"]
    assert doc.get("module", doc.get("name")) == path.stem
    if kind in ("modules", "action"):
        assert yaml.safe_load(own["EXAMPLES"])
        assert "RETURN" in own


def filter_names(path: Path) -> list[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "filters":
            for inner in ast.walk(node):
                if isinstance(inner, ast.Dict):
                    return [ast.literal_eval(k) for k in inner.keys if k is not None]
    return []


@pytest.mark.parametrize("path", ON_HOSTS, ids=lambda p: p.name)
def test_what_runs_on_hosts_needs_only_the_standard_library(path: Path) -> None:
    allowed = sys.stdlib_module_names | {"ansible", path.relative_to(ROOT).parts[1]}
    assert {name for name in imports(path) if name.split(".")[0] not in allowed} == set()


def test_the_package_does_not_import_ansible() -> None:
    glue = {ROOT / "src/wktriage/cli" / name for name in ("ansible.py", "action_base.py")}
    offenders = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "src").rglob("*.py"))
        if path not in glue and any(n.split(".")[0].startswith("ansible") for n in imports(path))
    ]
    assert offenders == []


def test_collections_used_are_those_required() -> None:
    wanted = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))
    required = {c["name"] for c in wanted["collections"]}
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("roles", "playbooks", "molecule")
        for path in sorted(ROOT.glob(f"{folder}/**/*.yml"))
    )
    used = set(re.findall(r"^\s+(?:- )?([a-z_]+\.[a-z_]+)\.[a-z0-9_]+:", text, re.M))
    assert used - {"ansible.builtin"} == required
