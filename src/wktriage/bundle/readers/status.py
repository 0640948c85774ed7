"""The simulator's status timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wktriage.bundle.files import EvidenceFiles
from wktriage.bundle.readers.jsonl import Row, number, rows


@dataclass(frozen=True)
class Sample:
    """One status sample; ``state`` None when the simulator did not answer."""

    row: Row
    time: float
    state: str | None
    run_id: str
    sent: float
    send_errors: float
    recv_errors: float
    active_users: float
    reconnected: float
    last_error: str
    config: dict[str, Any]

    @property
    def total(self) -> float:
        """Sum of the traffic counters: grows whenever they are published anew."""
        return self.sent + self.send_errors + self.recv_errors


def samples(bundle: EvidenceFiles, damaged: list[int] | None = None) -> list[Sample]:
    """Return the samples of status.jsonl that have a time, in time order."""
    found: list[Sample] = []
    for row in rows(bundle, "status.jsonl", damaged):
        if row.time is None:
            if damaged is not None:
                damaged.append(row.line)
            continue
        status = row.data.get("status")
        known = isinstance(status, dict) and isinstance(status.get("state"), str)
        body: dict[str, Any] = status if isinstance(status, dict) and known else {}
        config = body.get("config")
        found.append(
            Sample(
                row=row,
                time=row.time,
                state=body.get("state"),
                run_id=str(body.get("run_id", "")),
                sent=number(body.get("messages_sent")) or 0.0,
                send_errors=number(body.get("send_errors")) or 0.0,
                recv_errors=number(body.get("recv_errors")) or 0.0,
                active_users=number(body.get("active_users")) or 0.0,
                reconnected=number(body.get("reconnected_users")) or 0.0,
                last_error=str(body.get("last_error") or ""),
                config=config if isinstance(config, dict) else {},
            )
        )
    found.sort(key=lambda s: (s.time, s.row.line))
    return found


def effective_config(bundle: EvidenceFiles) -> dict[str, Any]:
    """Return the configuration that the simulator reports, {} when none was seen."""
    for row in rows(bundle, "status.jsonl"):
        status = row.data.get("status")
        config = status.get("config") if isinstance(status, dict) else None
        if isinstance(config, dict):
            return config
    return {}
