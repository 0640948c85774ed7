"""What all action plugins share: arguments checked against their documentation, errors of ours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from wktriage.cli import extra_texts
from wktriage.cli.ansible import report_failure, tell
from wktriage.core import plugin_docs
from wktriage.core.errors import TriageError
from wktriage.core.paths import work_dir
from wktriage.request.request import HOST_SETTINGS, KNOWN, TEXTS, StackHost, check_names

if TYPE_CHECKING:
    from wktriage.experiments.grounds import Bench

_SPEC_KEYS = frozenset({"type", "required", "default", "choices", "elements"})


@cache
def argument_spec(plugin: str) -> dict[str, dict[str, Any]]:
    """Return the arguments that a plugin's documentation promises, in Ansible's form."""
    return {
        name: {key: value for key, value in option.items() if key in _SPEC_KEYS}
        for name, option in plugin_docs.module(plugin).get("options", {}).items()
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

    def asked(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """Return the extra vars of a request: those handed over, else what was typed.

        Raises UsageError for a name that nobody knows.
        """
        handed_over: dict[str, Any] = arguments["extra_vars"]
        if handed_over:
            return handed_over
        typed = typed_variables(self._loader)
        check_names(typed)
        return known_variables(self._templar, task_vars, typed)

    def bench(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Bench:
        """Return where runs happen, as the options of the fragment wk_bench say it."""
        from wktriage.experiments.grounds import Bench

        return Bench(
            driver=arguments["driver"],
            benchmark_host=arguments["benchmark_host"] is True,
            root=work_dir(),
            hosts=tuple(stack_hosts(arguments["hosts"], task_vars)),
        )

    def shown(self, result: dict[str, Any]) -> dict[str, Any]:
        """Show what a step has to say, hand on what it has to tell; return the rest of it."""
        for line in result.pop("say", ()):
            self._display.display(f"        {line}")
        tell(**result.pop("tell", {}))
        return result

    def _name(self) -> str:
        # Ansible loads it as ansible.plugins.action.<name>.
        return type(self).__module__.rpartition(".")[2]


def typed_variables(loader: Any, texts: Collection[str] = TEXTS) -> dict[str, Any]:
    """Return the extra vars as they were typed: those of ``texts`` whole, spaces and all."""
    raw = context.CLIARGS.get("extra_vars") or ()
    return extra_texts.repaired(load_extra_vars(loader), raw, texts)


def known_variables(
    templar: Any, task_vars: Mapping[str, Any], typed: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the extra vars of a request, as the play's variables and what was typed have them."""
    held = {name: templar.template(task_vars[name]) for name in KNOWN if name in task_vars}
    return {**held, **{name: typed[name] for name in TEXTS if name in typed}}


def stack_hosts(names: Iterable[str], task_vars: Mapping[str, Any]) -> list[StackHost]:
    """Return the stack's hosts of the inventory, in its order."""
    return [_stack_host(name, task_vars["hostvars"][name]) for name in names]


def _stack_host(name: str, variables: Mapping[str, Any]) -> StackHost:
    local = variables.get("ansible_connection") == "local"
    address = variables.get("wk_address") or variables.get("ansible_host")
    return StackHost(
        name=name,
        address=str(address or ("127.0.0.1" if local else name)),
        local=local,
        groups=frozenset(variables.get("group_names") or ()),
        settings={key: variables[key] for key in HOST_SETTINGS if key in variables},
    )
