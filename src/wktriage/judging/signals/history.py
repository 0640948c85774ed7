"""What the run stood on: accumulated data, the clean twin, the baseline."""

from __future__ import annotations

from typing import Any

from wktriage.bundle.readers.jsonl import number
from wktriage.judging.signals.context import Context

NO_TWIN = (
    "run the same command with mode=clean and a data_root of its own (clean empties it), then "
    "this one again"
)
"""How to get a clean twin, in words: what else was asked for is not in a bundle as it was typed."""


def compute(ctx: Context) -> None:
    """State the signals of the run's history."""
    fingerprint = ctx.bundle.read_json("fingerprint.json") or {}
    observed, inputs = fingerprint.get("observed"), fingerprint.get("inputs")
    size = number(observed.get("data_bytes_at_start")) if isinstance(observed, dict) else None
    mode = inputs.get("mode") if isinstance(inputs, dict) else None
    size_cites = (
        [ctx.bundle.cite("fingerprint.json", pointer="/observed/data_bytes_at_start", value=size)]
        if size is not None
        else []
    )
    ctx.put("data_bytes_at_start", size, size_cites, why="it is not recorded")
    if size is not None:
        # Measured before the nodes start: `clean` leaves nothing at all.
        ctx.put("mode_accumulated", size > 0, size_cites)
    elif mode in ("clean", "accumulated"):
        cite = ctx.bundle.cite("fingerprint.json", pointer="/inputs/mode", value=mode)
        ctx.put("mode_accumulated", mode == "accumulated", [cite])
    elif ctx.bundle.env.get("MODE") in ("clean", "accumulated"):
        ctx.put(
            "mode_accumulated",
            ctx.bundle.env["MODE"] == "accumulated",
            [ctx.bundle.cite("env.txt")],
        )
    else:
        ctx.put("mode_accumulated", None, why="neither data size nor mode is recorded")
    for name, rel, remedy in (
        ("clean_twin_passed", "references/clean-twin.json", f": {NO_TWIN}"),
        ("baseline_passed", "references/baseline.json", ""),
    ):
        passed, pointer, value = _passed(ctx.bundle.read_json(rel))
        ctx.put(
            name,
            passed,
            [ctx.bundle.cite(rel, pointer=pointer, value=value)] if passed is not None else [],
            why=f"no usable {rel}{remedy}",
        )
    purpose = (ctx.bundle.manifest or {}).get("purpose")
    ctx.put(
        "is_baseline",
        purpose == "baseline" if isinstance(purpose, str) else None,
        [ctx.bundle.cite("manifest.json", pointer="/purpose", value=purpose)]
        if isinstance(purpose, str)
        else [],
        why="no manifest, or it names no purpose",
    )


def _passed(reference: dict[str, Any] | None) -> tuple[bool | None, str, Any]:
    """Return (passed, pointer, value) of a reference: a verdict in short, or its category."""
    if reference is None:
        return None, "", None
    for key in ("passed", "healthy"):
        if isinstance(reference.get(key), bool):
            return reference[key], f"/{key}", reference[key]
    category = reference.get("category")
    if isinstance(category, str) and category:
        if category == "insufficient_evidence":
            return None, "", None
        return category == "healthy", "/category", category
    return None, "", None
