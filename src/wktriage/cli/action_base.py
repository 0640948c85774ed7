"""What all action plugins share: arguments checked against their documentation, errors of ours."""

from __future__ import annotations

import ast
from abc import abstractmethod
from functools import cache
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage.cli.ansible import report_failure
from wktriage.core.errors import TriageError
from wktriage.core.paths import PROJECT

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SPEC_KEYS = frozenset({"type", "required", "default", "choices", "elements"})


@cache
def argument_spec(plugin: str) -> dict[str, dict[str, Any]]:
    """Return the arguments that a plugin's documentation promises, in Ansible's form."""
    path = PROJECT / "plugins" / "modules" / f"{plugin}.py"
    text = next(
        ast.literal_eval(node.value)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION"
    )
    options = yaml.load(text, Loader=_LOADER).get("options") or {}  # noqa: S506 (safe)
    return {
        name: {key: value for key, value in option.items() if key in _SPEC_KEYS}
        for name, option in options.items()
    }


class TriageAction(ActionBase):  # type: ignore[misc]
    """Base of the action plugins; a plugin says what it does in :meth:`act`."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Check the arguments and act; an error of ours fails the task with its text alone."""
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(argument_spec(self._name()))
        try:
            return self.act(arguments, dict(task_vars or {}))
        except TriageError as exc:
            report_failure(exc)
            raise AnsibleActionFail(str(exc)) from None

    @abstractmethod
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do it and return the task's result. In check mode, change nothing."""

    def _name(self) -> str:
        # Ansible loads it as ansible.plugins.action.<name>.
        return type(self).__module__.rpartition(".")[2]
