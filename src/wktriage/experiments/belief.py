"""How likely each cause is, as a case's experiments come in. A bundle's verdict never changes.

Bayes' rule in odds. An experiment that its hypothesis deserves is *supported* with the power it was
planned for (0.8) where the blamed cause is the true one and with at most alpha where it is not;
the same the other way round for *refuted*. An inconclusive one moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from wktriage.core.errors import UsageError
from wktriage.experiments.effects import Outcome

POWER = 0.8
OTHER = "something else"
LEAST = 0.001


def start(causes: Mapping[str, float]) -> dict[str, float]:
    """Return beliefs from the shares that a verdict gives its causes; what is left is OTHER.

    Raises UsageError for shares that are none.
    """
    if any(not 0 <= share <= 1 for share in causes.values()):
        raise UsageError("the shares of causes must lie between 0 and 1")
    total = sum(causes.values())
    shares = {c: s / total if total > 1 else s for c, s in causes.items()}
    shares[OTHER] = shares.get(OTHER, 0.0) + max(0.0, 1 - total)
    return _normal(shares)


def update(
    belief: Mapping[str, float], cause: str, outcome: Outcome, alpha: float = 0.05
) -> dict[str, float]:
    """Return the beliefs after an experiment about ``cause``; a new cause starts at 0.5."""
    shares = dict(belief) if cause in belief else {**{c: s / 2 for c, s in belief.items()}}
    shares.setdefault(cause, 0.5)
    ratio = {Outcome.SUPPORTED: POWER / alpha, Outcome.REFUTED: alpha / POWER}.get(outcome, 1.0)
    shares[cause] *= ratio
    return _normal(shares)


def _normal(shares: Mapping[str, float]) -> dict[str, float]:
    # Nothing is ever certain: a cause at zero could not come back.
    held = {cause: max(share, LEAST) for cause, share in shares.items()}
    total = sum(held.values())
    return {cause: round(share / total, 6) for cause, share in sorted(held.items())}
