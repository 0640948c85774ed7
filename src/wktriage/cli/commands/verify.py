"""``wktriage verify|verify-citations``: is a bundle what it says, and its verdict what it shows?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from wktriage.bundle.archive import opened
from wktriage.bundle.bundle import Bundle
from wktriage.bundle.citations import verify_citation
from wktriage.bundle.signature import signer
from wktriage.cli.commands.judge import PATH
from wktriage.cli.output import say
from wktriage.core import schemas
from wktriage.core.errors import UsageError
from wktriage.core.json_files import read_object
from wktriage.core.model import Citation
from wktriage.judging.verdict import judge
from wktriage.judging.verdict_files import NAME
from wktriage.judging.wording import clean
from wktriage.report import words

WRONG = 3
SHOWN = 200
CLAIMS = ("bundle", "category", "component", "nodes", "since")
"""What a verdict claims above all."""


@click.command("verify-citations")
@click.argument("bundle", type=PATH)
def verify_citations(bundle: Path) -> int:
    """Check the citations of BUNDLE's verdict.

    Each is looked up in the files as they are now, and category, component and nodes are compared
    with what the evidence says. Takes the verdict.json in the bundle; without one, judges the
    bundle first. Exit codes: 0 all hold, 3 not.
    """
    with opened(bundle) as directory:
        evidence = Bundle.open(directory)
        written = _written(directory)
        fresh = judge(evidence)
        verdict = written or fresh
        cited, wrong = _checked(evidence, verdict)
        wrong += _differences(verdict, fresh, CLAIMS)
    _say_all(wrong)
    say(f"{words.counted(cited, 'citation')}, {len(wrong)} wrong")
    return WRONG if wrong else 0


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--signature", type=PATH, help="SSH signature of the manifest: who vouches for it?")
@click.option(
    "--allowed-signers",
    type=PATH,
    default=Path("~/.ssh/allowed_signers"),
    show_default=True,
    help="Who may sign, in the form of ssh-keygen.",
)
def verify(bundle: Path, signature: Path | None, allowed_signers: Path) -> int:
    """Check BUNDLE: its files, its citations and its verdict.

    The files are compared with the manifest, the citations with the files, and verdict.json with
    what the evidence says now. With --signature, the manifest must be signed by somebody that the
    file of allowed signers names. Exit codes: 0 all agrees, 3 not.
    """
    with opened(bundle) as directory:
        signed = None
        if signature is not None:
            signed = signer(directory, signature, allowed_signers.expanduser())
        evidence = Bundle.open(directory)
        written = _written(directory)
        fresh = judge(evidence)
        amiss = [*evidence.mismatches, *evidence.budget.statements()]
        cited, wrong = _checked(evidence, written or fresh)
        differences = _differences(written or fresh, fresh, sorted(fresh))
    if signed is not None and signed[0] is None:
        amiss.append(f"the signature does not hold: {signed[1]}")
    _say_all([*amiss, *wrong, *differences])
    say(f"Bundle: {clean(words.identity(fresh), 200)}")
    covered = len(evidence.files) - evidence.exists("manifest.json")
    if evidence.manifest is None:
        say(f"Files: {covered}, and no manifest that they could be compared with")
    else:
        say(f"Files: {covered} compared with the manifest, {len(evidence.mismatches)} disagree")
    if signed is not None:
        by = "does not hold" if signed[0] is None else f"good, by {clean(signed[0], 200)}"
        say(f"Signature: {by}")
    say(f"Citations: {cited}, {len(wrong)} wrong")
    if written is None:
        say(f"Verdict: no {NAME} in the bundle; the evidence says {words.headline(fresh)}")
    else:
        agrees = "differs from" if differences else "is"
        say(f"Verdict: {NAME} {agrees} what the evidence says: {words.headline(fresh)}")
    return WRONG if amiss or wrong or differences else 0


def _say_all(wrong: list[str]) -> None:
    for why in wrong[:SHOWN]:
        say(clean(why, 400), err=True)
    if more := len(wrong[SHOWN:]):
        say(f"and {more} more", err=True)


def _written(directory: Path) -> dict[str, Any] | None:
    """Return the verdict that lies in a bundle, None without one. Raises UsageError."""
    file = directory / NAME
    if not file.is_file():
        return None
    verdict = read_object(file)
    problem = "it is no JSON object" if verdict is None else schemas.problem("verdict", verdict)
    if problem is not None:
        raise UsageError(f"{file} is no verdict ({problem}): delete it or classify again")
    return verdict


def _checked(evidence: Bundle, verdict: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Return how many citations a verdict has, and what is wrong with them."""
    checked: dict[Citation, str | None] = {}
    for citation in citations(verdict):
        if citation not in checked:
            checked[citation] = verify_citation(evidence, citation)
    wrong = sorted({why for why in checked.values() if why is not None})
    bare = [f"{r['rule']}: a reason without a citation" for r in verdict["reasons"]
            if not r["citations"]]  # fmt: skip
    return len(checked), wrong + bare


def _differences(verdict: Mapping[str, Any], fresh: Mapping[str, Any], keys: Any) -> list[str]:
    """Return in what a verdict is not what the evidence says."""
    return [
        f"{NAME}: {key} is {_told(verdict[key])}, but the evidence says {_told(fresh[key])}"
        for key in keys
        # One that an earlier release wrote may lack a key.
        if key in verdict and verdict[key] != fresh[key]
    ]


def _told(value: Any) -> str:
    if isinstance(value, (dict, list)) and len(str(value)) > 80:
        return "something else" if not value else f"{str(value)[:80]}…"
    return "none" if value in (None, []) else str(value)


def citations(value: Any) -> Iterator[Citation]:
    """Yield every citation anywhere in a verdict."""
    keys = set(Citation("", "").as_dict())
    if isinstance(value, Mapping):
        if set(value) == keys:
            yield Citation(**value)
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from citations(item)


def register(group: click.Group) -> None:
    """Add the verifying commands to ``wktriage``."""
    for command in (verify, verify_citations):
        group.add_command(command)
