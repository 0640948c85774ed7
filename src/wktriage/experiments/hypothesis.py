"""What a new experiment is about: as a person asked it, or as the verdict proposes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.experiments import builds, variables
from wktriage.experiments.asking import Asked
from wktriage.experiments.effects import MinEffect
from wktriage.experiments.registration import Variable, of_proposal
from wktriage.judging.next_experiment import SHIPPED
from wktriage.request import knobs
from wktriage.request.code import CODE

MIN_EFFECT = "10%"
"""What a verdict's own proposal takes for the smallest effect that matters."""


def terms(asked: Asked, verdict: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a registration that say what is tried and what would be seen.

    The keys are those of :func:`wktriage.experiments.registration.register`. Raises UsageError for
    a proposal that the harness cannot run itself, and for a variable that is none.
    """
    proposal: Mapping[str, Any] = verdict.get("next_experiment") or {}
    hypothesis: Mapping[str, Any] = verdict.get("hypothesis") or {}
    if asked.proposal is not None:
        variable = _proposed(proposal, inputs)
        predicates = of_proposal(proposal)
        cause = str(hypothesis.get("id") or variable.knob)
        statement = str(hypothesis.get("statement") or "")
    else:
        value = builds.commit_of(asked, inputs) if asked.variable == CODE else asked.value
        variable = variables.variable_of(str(asked.variable), value, inputs)
        predicates = {}
        cause = _cause(variable, hypothesis, proposal)
        own = cause == hypothesis.get("id")
        statement = str(hypothesis.get("statement")) if own else _statement(variable)
    for name, predicate in (
        ("expected", asked.expect),
        ("falsified_if", asked.falsified_if),
        ("stop_if", asked.stop_if),
    ):
        if predicate is not None:
            predicates[name] = predicate
    return {
        "variable": variable,
        "cause": asked.cause or cause,
        "statement": asked.statement or statement,
        "question": asked.question or _question(verdict),
        "min_effect": asked.min_effect or MinEffect.parse(MIN_EFFECT),
        **predicates,
    }


def _proposed(proposal: Mapping[str, Any], inputs: Mapping[str, Any]) -> Variable:
    """Return the variable of a proposal. Raises UsageError when the harness cannot turn it."""
    name = proposal.get("knob")
    if not isinstance(name, str):
        own = "-e variable=… -e value=… -e expect=… -e min_effect=…"
        if proposal.get("kind", "none") == "none":
            raise UsageError(f"the verdict proposes no experiment; name your own with {own}")
        command = proposal.get("command")
        how = f"do it with {command}" if command else f"it is done by hand ({proposal.get('to')})"
        raise UsageError(
            f"the verdict proposes {proposal.get('variable')!r}, which is not one setting that "
            f"could be compared: {how}, or name a variable with {own}"
        )
    value = proposal.get("to")
    return variables.variable_of(name, None if value == variables.NOT_SET else value, inputs)


def _cause(variable: Variable, hypothesis: Mapping[str, Any], proposal: Mapping[str, Any]) -> str:
    """Return the id of the hypothesis that blames this variable, the knob's own name without."""
    names = (variable.knob, variable.fingerprint_input.removeprefix("node_env."))
    away = hypothesis.get("id") == SHIPPED and variable.after is not None
    if hypothesis.get("id") and proposal.get("knob") in names and not away:
        return str(hypothesis["id"])
    return cause_of(variable.knob)


def cause_of(knob: str) -> str:
    """Return the hypothesis of the catalogue that blames a knob; the knob itself when none does."""
    known = knobs.hypotheses()
    blaming = [name for name, h in known.items() if getattr(h.experiment, "knob", None) == knob]
    return blaming[0] if len(blaming) == 1 else knob


def _statement(variable: Variable) -> str:
    known = knobs.load().get(variable.knob)
    affects = f" ({known.affects})" if known is not None else ""
    return f"{variable.knob}{affects} causes what was seen."


def _question(verdict: Mapping[str, Any]) -> str:
    category = str(verdict.get("category")).replace("_", " ")
    scenario = (verdict.get("scenario") or {}).get("name")
    return f"Why did {scenario} come out as {category}?"
