"""Events and configuration that a replay serves in place of the recorded stack."""

from __future__ import annotations

from wkcollect.http import NOT_RECORDED, get_url
from wkcollect.limits import SERVED_FILE_TIMEOUT
from wkcollect.run import Run

FILES = (
    "env.txt",
    "git.txt",
    "compose-config.yml",
    "config/workload.json",
    "config/dev-sim.yaml",
    "fingerprint.json",
)


def collect(run: Run) -> None:
    """Fetch what the handles of the targets say is served; nothing outside a replay."""
    handles = [target.handle for target in run.targets()]
    events_url = next((h["events_url"] for h in handles if h.get("events_url")), None)
    if events_url and not _fetch(run, "events", "events.jsonl", events_url):
        run.evidence.tally("events").settle("skipped", NOT_RECORDED)
    bundle_url = next((h["bundle_url"] for h in handles if h.get("bundle_url")), None)
    if bundle_url:
        for name in (*FILES, *(f"config/node{n['id']}.toml" for n in run.nodes)):
            if _fetch(run, "recorded", name, f"{bundle_url.rstrip('/')}/{name}") is None:
                break  # who does not answer is not asked again


def _fetch(run: Run, collector: str, name: str, url: str) -> bool | None:
    """Store what is served; say whether it was there, None when nobody answered."""
    code, body = get_url(url, SERVED_FILE_TIMEOUT, run.file_bytes)
    if code == 200:
        run.evidence.store(collector, name, lambda: body)
    return code == 200 if code else None
