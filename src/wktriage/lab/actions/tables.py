"""The form of actions and checks in the tables that name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from wktriage.lab.actions.commands import Target

Action = Callable[..., None]
"""Takes the fault's targets and the step's arguments. Raises InfraError when it can't be done."""

Check = Callable[..., list[str]]
"""Takes the same as an action; returns what did not take hold ([] = all of it did)."""

ActionTable = Mapping[str, Action]
CheckTable = Mapping[str, Check]


def for_each(action: Callable[..., None]) -> Action:
    """Make an action on one target an action on all targets of a fault."""

    def on_all(targets: Sequence[Target], **arguments: object) -> None:
        for target in targets:
            action(target, **arguments)

    return on_all


def on_host(action: Callable[..., None]) -> Action:
    """Make an action on this host one that passes over the fault's targets."""

    def once(_targets: Sequence[Target], **arguments: object) -> None:
        action(**arguments)

    return once


def check_each(check: Callable[..., str | None]) -> Check:
    """Make a check of one target, which returns its problem, a check of all of them."""

    def on_all(targets: Sequence[Target], **arguments: object) -> list[str]:
        problems = [check(target, **arguments) for target in targets]
        return [problem for problem in problems if problem]

    return on_all


def check_host(check: Callable[..., str | None]) -> Check:
    """Make a check of this host, which returns its problem, one that passes over the targets."""

    def once(_targets: Sequence[Target], **arguments: object) -> list[str]:
        problem = check(**arguments)
        return [problem] if problem else []

    return once
