"""May code be changed? Five conditions, each of which must be there as a file, not as a hope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wktriage.core.categories import SERVERS
from wktriage.judging.wording import join

SURE_ENOUGH = 0.6
FAULT_COMPONENTS = frozenset({"node_process", "transport", "host"})
"""Components whose trouble is first of all one of machine, network or operation."""

_TESTS = {
    "gateway": "a gateway test that fills the send queue and asserts bounded dispatch wait",
    "channel_append": "a channel runtime test that appends under this load and asserts no timeout",
    "storage_commit": "a commit coordinator test that asserts request latency with a slow device",
    "replication": "a replication test that delays one follower and asserts that commits go on",
    "slot_raft": "a slot test that forces an election and asserts that sends find the new leader",
    "controller": "a controller test that saturates the step queue and asserts bounded wait",
    "delivery": "a delivery test with recipients on two nodes that asserts every push and receive",
    "presence": "a presence test that drops a session and asserts that its routes expire",
    "connections": "a gateway test that resets connections and asserts session repair",
    "transport": "a transport test that drops packets to one peer and asserts bounded retries",
    "node_process": "a cluster test that stops one node of three and asserts that sends recover",
}


def assess(
    category: str,
    component: str,
    confidence: float,
    nodes: Sequence[str],
    case: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the ``fix_eligibility`` part of a verdict.

    ``case`` says for the conditions that one bundle cannot meet ("experiments", "regression_test",
    "semantics", "verification") whether files prove them: True, False, or absent for unknown.
    """
    case = case or {}
    where = f" on {join(nodes)}" if nodes else ""
    named = category in SERVERS and component != "none" and confidence >= SURE_ENOUGH
    conditions = [
        {
            "id": "named_failure_mode",
            "met": "yes" if named else "no",
            "text": _named(category, component, where) if named else _unnamed(category, confidence),
        },
        _from_case(
            case,
            "experiments",
            "Workload and configuration experiments cannot explain it.",
            "No workload or configuration experiment has been run for this finding.",
        ),
        _from_case(
            case,
            "regression_test",
            "A focused regression test was run and fails before the fix.",
            "No regression test has been run and seen to fail.",
        ),
        _from_case(
            case,
            "semantics",
            "The fix keeps cluster semantics and adds no local-only branch.",
            "There is no fix yet whose semantics could be checked.",
        ),
        _from_case(
            case,
            "verification",
            "The target scenario, smoke-default and sampled-correctness are planned to verify it.",
            "No run of the target scenario, smoke-default and sampled-correctness is planned.",
        ),
    ]
    unmet = next((c for c in conditions if c["met"] != "yes"), None)
    return {
        "eligible": unmet is None,
        "code_change_needed": "yes" if unmet is None else "no",
        "reason": "All five conditions are met." if unmet is None else unmet["text"],
        "first_unmet": None if unmet is None else unmet["id"],
        "conditions": conditions,
        "required_regression_test": _test(category, component, nodes),
    }


def _named(category: str, component: str, where: str) -> str:
    return f"The evidence names {component}{where} as what fails ({category})."


def _unnamed(category: str, confidence: float) -> str:
    if category not in SERVERS:
        return "Nothing here points to a defect in the server's code."
    return (
        f"No server subsystem is named surely enough: the confidence is {confidence:.2f}, and "
        f"{SURE_ENOUGH:.2f} is needed."
    )


def _from_case(case: Mapping[str, Any], key: str, met: str, unmet: str) -> dict[str, str]:
    value = case.get(key)
    state = "unknown" if value is None else "yes" if value is True else "no"
    return {"id": key, "met": state, "text": met if state == "yes" else unmet}


def _test(category: str, component: str, nodes: Sequence[str]) -> str:
    if category not in SERVERS:
        return "none: this category gives no reason to change server code"
    text = _TESTS.get(component, "a focused test of the failing path")
    if component in FAULT_COMPONENTS:
        # A dead machine or network is no defect; how the rest of the cluster takes it may be one.
        text += "; only if the cluster reacts wrongly once the fault itself is ruled out"
    single = " (a single node is a one-node cluster on the same path)" if not nodes else ""
    return text + single
