"""The simulator's status timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wktriage.bundle.files import EvidenceFiles
from wktriage.bundle.readers.jsonl import Row, number, rows

COUNTERS = ("messages_sent", "send_errors", "recv_errors")
"""What the simulator counts of its traffic."""


@dataclass(frozen=True)
class Sample:
    """One status sample; ``state`` None when the simulator did not answer.

    ``active_users`` and ``reconnected`` are None where the simulator did not tell them.
    """

    row: Row
    time: float
    state: str | None
    run_id: str
    sent: float
    send_errors: float
    recv_errors: float
    active_users: float | None
    reconnected: float | None
    last_error: str
    config: dict[str, Any]

    @property
    def answered(self) -> float:
        """When the answer was there (epoch, s); ``time`` is when it was asked for."""
        return self.time + max(0.0, number(self.row.data.get("took_ms")) or 0.0) / 1000

    @property
    def total(self) -> float:
        """Sum of the traffic counters: grows whenever they are published anew."""
        return self.sent + self.send_errors + self.recv_errors


def samples(bundle: EvidenceFiles) -> list[Sample]:
    """Return the samples of status.jsonl that have a time, in time order.

    An answer without the three traffic counters, or with anything but finite numbers in them, is
    damaged: what was sent and what failed is unknown then, not zero.
    """
    return bundle.once("status", lambda: _read(bundle))[0]


def damaged(bundle: EvidenceFiles) -> list[int]:
    """Return the lines of status.jsonl that are no sample."""
    return bundle.once("status", lambda: _read(bundle))[1]


def _read(bundle: EvidenceFiles) -> tuple[list[Sample], list[int]]:
    samples: list[Sample] = []
    unusable: list[int] = []
    for row in rows(bundle, "status.jsonl", unusable):
        if row.time is None:
            unusable.append(row.line)
            continue
        status = row.data.get("status")
        known = isinstance(status, dict) and isinstance(status.get("state"), str)
        body: dict[str, Any] = status if isinstance(status, dict) and known else {}
        config = body.get("config")
        counters = [number(body.get(name)) for name in COUNTERS] if known else [0.0, 0.0, 0.0]
        sent, send_errors, recv_errors = counters
        if sent is None or send_errors is None or recv_errors is None:
            unusable.append(row.line)
            continue
        samples.append(
            Sample(
                row=row,
                time=row.time,
                state=body.get("state"),
                run_id=str(body.get("run_id", "")),
                sent=sent,
                send_errors=send_errors,
                recv_errors=recv_errors,
                active_users=number(body.get("active_users")),
                reconnected=number(body.get("reconnected_users")),
                last_error=str(body.get("last_error") or ""),
                config=config if isinstance(config, dict) else {},
            )
        )
    samples.sort(key=lambda s: (s.time, s.row.line))
    return samples, unusable


def effective_config(bundle: EvidenceFiles) -> dict[str, Any]:
    """Return the configuration that the simulator reports, {} when none was seen."""
    for row in rows(bundle, "status.jsonl"):
        status = row.data.get("status")
        config = status.get("config") if isinstance(status, dict) else None
        if isinstance(config, dict):
            return config
    return {}
