"""What runs on hosts starts on a bare Python 3.8, and goes on when its file is gone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import vermin

from wktriage.core import zipapps

SRC = Path(__file__).resolve().parents[2] / "src"
MODULES = sorted(p for name in zipapps.PROGRAMS for p in (SRC / name).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(SRC))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_needs_at_most_python_3_8(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 8))
    config = vermin.Config()
    # They are strings under `from __future__ import annotations`, which 3.8 never looks at.
    config.set_eval_annotations(False)
    visitor = vermin.visit(source, config)
    _python2, python3 = visitor.minimum_versions()
    assert python3 is None or python3 <= (3, 8), visitor.output_text()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_imports_the_standard_library_and_its_own_package(path: Path) -> None:
    package = path.relative_to(SRC).parts[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0] for node in ast.walk(tree) for name in names_imported_by(node, package)
    }
    assert imported <= {*sys.stdlib_module_names, package}


def names_imported_by(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [package if node.level else node.module or ""]
    return []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_imports_its_package_before_anything_runs(path: Path) -> None:
    # A detached process may outlive its zipapp, and could not import from it then.
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(SRC).parts[0]
    at_the_top = {id(node) for node in tree.body}
    late = [
        node.lineno
        for node in ast.walk(tree)
        if package in {name.split(".")[0] for name in names_imported_by(node, package)}
        and id(node) not in at_the_top
    ]
    assert late == []
