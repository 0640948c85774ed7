"""The code as the variable of an experiment: both sides are builds of a git ref, by one command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.experiments.asking import Asked
from wktriage.experiments.grounds import Bench, RefusedError
from wktriage.experiments.registration import Variable
from wktriage.request import code as codes
from wktriage.stack import builds, drivers
from wktriage.stack.builds import Build


def commit_of(asked: Asked, inputs: Mapping[str, Any]) -> str:
    """Return the commit that ``-e variable=code -e value=<ref>`` names.

    Raises RefusedError when the control was not built from a ref in the same way: what it ran
    could not be compared with what the command makes of another ref.
    """
    code = codes.of(asked.stack, Path(), asked.value)
    if code is None:
        raise UsageError("variable=code needs a git ref: add -e value=<ref>")
    before = codes.built(inputs)
    again = (
        "Run it again on its own commit with the same command, and take that run as the control: "
        f"add -e code={before or inputs.get('git_revision') or '<ref>'} "
        f"-e {codes.COMMAND}='…' to its command."
    )
    if before is None:
        raise RefusedError(
            f"refused: The control ran on {inputs.get('image') or 'an unknown image'}, and no "
            f"record says of which commit that was built, and how. {again}"
        )
    if codes.turned(inputs, code.commit)["image"] != code.image:
        raise RefusedError(
            f"refused: The control was built with another {codes.COMMAND}, so that more than the "
            f"code would differ. {again}"
        )
    return code.commit


def made(asked: Asked, bench: Bench, variable: Variable, runs_dir: Path) -> dict[str, bytes]:
    """Have both sides of an experiment on code built; return the files of evidence for its case.

    Empty for any other variable. Raises BuildError for a ref that cannot be built.
    """
    if variable.kind != "code":
        return {}
    kept = {}
    for ref in (variable.before, asked.value or variable.after):
        build = of_ref(asked, bench, str(ref), runs_dir)
        kept[name_of(build.code)] = build.output
    return kept


def of_ref(asked: Asked, bench: Bench, ref: str, runs_dir: Path) -> Build:
    """Have a ref built for a bench. Raises BuildError, UsageError for what cannot be asked."""
    code = codes.of(asked.stack, runs_dir, ref)
    if code is None:
        raise UsageError("no git ref was named")
    return builds.build(code, drivers.named(bench.driver))


def name_of(code: codes.Code) -> str:
    """Return the name of the file of evidence that keeps a build's output."""
    return f"build-{code.commit[:12]}.txt"
