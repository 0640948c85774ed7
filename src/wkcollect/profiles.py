"""What only pprof tells: CPU profiles under load, heap and goroutines of every node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wkcollect import limits
from wkcollect.http import Unanswered, get_body
from wkcollect.run import Run
from wkcollect.samplers.status import load_problem

ERROR_EXCERPT = 100
_DUMPS = (
    ("pprof-heap", "heap.pb.gz", "/debug/pprof/heap"),
    ("goroutine", "goroutine.txt", "/debug/pprof/goroutine?debug=2"),
    ("goroutine", "goroutine-summary.json", "/debug/goroutines/summary"),
)


_ONSET = (
    ("block.pb.gz", "/debug/pprof/block"),
    ("mutex.pb.gz", "/debug/pprof/mutex"),
    ("goroutine.txt", "/debug/pprof/goroutine?debug=2"),
)


class Profiles:
    """Takes the profiles, once; ``fence`` says whether the load ran all the while."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seconds = float(run.spec.get("profile_seconds", 10))
        self.fence: dict[str, Any] = {
            "start": None,
            "end": None,
            "fenced": False,
            "fence_reason": None,
        }

    def at_onset(self, reason: str, longest: float) -> None:
        """Take all profiles now, inside the window: CPU profiles of ``longest`` seconds at most."""
        run, seconds = self._run, max(1, round(min(self._seconds, longest)))
        if self._seconds <= 0:
            return
        self.fence["onset"] = {"at": run.clock.iso(), "reason": reason, "seconds": seconds}
        self._fenced(self._onset, seconds)

    def _onset(self, node: dict[str, Any], seconds: int) -> None:
        # What is blocked now is gone when the CPU profile is over.
        for name, path in reversed(_ONSET):
            timeout = self._run.patience(node, limits.PPROF_TIMEOUT)
            self._store("pprof-onset", node, "onset-" + name, path, timeout)
        self._cpu(node, seconds)

    def cpu(self) -> None:
        """Take CPU profiles of all nodes at once, under load, unless they were taken at onset."""
        if "onset" in self.fence:
            return
        run = self._run
        tally = run.evidence.tally("pprof-cpu")
        if self._seconds <= 0:
            tally.settle("skipped", "profile_seconds is 0")
            self.fence["fence_reason"] = "no profile was asked for"
            return
        if run.stop_reason is not None:
            reason = "interrupted: " + run.stop_reason
            tally.settle("skipped", reason)
            self.fence["fence_reason"] = reason
            return
        run.enter("profile")
        self._fenced(self._cpu, max(1, round(self._seconds)))

    def _fenced(self, take: Callable[[dict[str, Any], int], None], seconds: int) -> None:
        run = self._run
        before = load_problem(run)
        self.fence["start"] = run.clock.iso()
        run.for_nodes(take, seconds)
        self.fence["end"] = run.clock.iso()
        after = load_problem(run)
        problem = "before: " + before if before else "after: " + after if after else None
        self.fence["fenced"] = problem is None
        self.fence["fence_reason"] = problem

    def _cpu(self, node: dict[str, Any], seconds: int) -> None:
        timeout = self._run.patience(node, seconds + limits.PROFILE_SLACK)
        path = f"/debug/pprof/profile?seconds={seconds}"
        self._store("pprof-cpu", node, "cpu.pb.gz", path, timeout)

    def dumps(self) -> None:
        """Fetch heap and goroutines of all nodes at once."""
        self._run.for_nodes(self._dumps)

    def _dumps(self, node: dict[str, Any]) -> None:
        given_up = False
        for collector, name, path in _DUMPS:
            if given_up:
                self._run.evidence.store(collector, _file(node, name), _do_not_ask)
                continue
            timeout = self._run.patience(node, limits.PPROF_TIMEOUT)
            fetched = self._store(collector, node, name, path, timeout)
            given_up = not fetched and self._run.is_silent(node)

    def _store(
        self, collector: str, node: dict[str, Any], name: str, path: str, timeout: float
    ) -> bool:
        run = self._run
        client = run.client(node["api_url"])
        return run.evidence.store(
            collector,
            _file(node, name),
            lambda: get_body(client, path, timeout, run.file_bytes, ERROR_EXCERPT),
        )


def _file(node: dict[str, Any], name: str) -> str:
    return f"pprof/node{node['id']}-{name}"


def _do_not_ask() -> bytes:
    raise Unanswered("not asked: the node did not answer before")
