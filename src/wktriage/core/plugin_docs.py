"""The documentation of the project's Ansible plugins, with the fragments that it extends."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import yaml

from wktriage.core.paths import PROJECT

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def module(name: str, root: Path = PROJECT) -> dict[str, Any]:
    """Return the documentation of ``plugins/modules/<name>.py``."""
    return of(root / "plugins" / "modules" / f"{name}.py")


def of(path: Path) -> dict[str, Any]:
    """Return the documentation of a plugin file; empty when it has none.

    Options of a fragment of ours stand in it as its own, as ansible-doc shows them.
    """
    document = _written(path)
    for fragment in document.pop("extends_documentation_fragment", ()):
        file = path.parents[1] / "doc_fragments" / f"{fragment}.py"
        shared = _written(file).get("options", {}) if file.is_file() else {}
        document["options"] = {**shared, **document.get("options", {})}
    return document


def _written(path: Path) -> dict[str, Any]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            return dict(yaml.load(ast.literal_eval(node.value), Loader=_LOADER))  # noqa: S506 (safe)
    return {}
