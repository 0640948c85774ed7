"""The course of a run: wait for the load, sit out the window, collect what comes after it."""

from __future__ import annotations

import os
import threading
import time
import traceback
from typing import Any

from wkcollect import logs, metrics, recorded
from wkcollect.files import write_atomic
from wkcollect.onset import Onset
from wkcollect.profiles import Profiles
from wkcollect.run import Run
from wkcollect.samplers import schedule
from wkcollect.state import State
from wkcollect.values import SCHEMA_VERSION, describe, indented_json, one_line

#: Names of threads that get a tally only when they die; their work is tallied under other names.
_HELPERS = ("nodes", "logs")


class Collector:
    """Collects on one host, from the first sample to collectors.json."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.run = Run(spec)
        self.state = State(self.run)
        self._profiles = Profiles(self.run)
        self._onset = Onset(self.run, self._profiles)

    def collect(self) -> None:
        """Collect from beginning to end; files are complete whatever happens."""
        run = self.run
        run.enter("starting", run.launched)
        run.reserve.keep()
        self.state.publish()
        threading.Thread(target=self.state.publish_until_over, daemon=True).start()
        try:
            schedule.start(run)
            run.enter("waiting")
            self._wait_for_load()
            if run.window.opened:
                self._measure()
            self._collect_after()
        except Exception as error:
            traceback.print_exc()
            run.window.invalidate("collector error: " + describe(error))
        finally:
            self._finish()

    def _wait_for_load(self) -> None:
        """Wait until the load runs and its counters move; opens the window, or gives up."""
        run, window = self.run, self.run.window
        ready = run.launched + float(run.spec.get("ready_timeout", 300))
        settle = float(run.spec.get("settle", 40))
        with window.changed:
            while not window.opened:
                now = time.monotonic()
                if run.stop_reason is not None:
                    window.interrupted = run.stop_reason
                    window.invalidate("interrupted before the window: " + run.stop_reason)
                    return
                if window.base is not None and now > window.base.since + settle:
                    window.open_unmoved(window.base, settle)
                    return
                if window.base is None and now > ready:
                    window.invalidate(self._not_running(now - run.launched))
                    return
                window.changed.wait(0.25)

    def _not_running(self, waited: float) -> str:
        status = self.run.window.latest or {}
        state = one_line(status.get("state")) or "unknown: /status unanswered"
        if status.get("last_error"):
            state += f", last_error: {one_line(status['last_error'])}"
        return f"the simulator was not running within {waited:.0f} s (state {state})"

    def _measure(self) -> None:
        """Sit out the window, and judge the samples in it."""
        run, window = self.run, self.run.window
        start = window.start or 0.0
        run.enter("before-scrape", start)
        # Beside the window, not before it: a node that hangs must not hold the window up.
        before = run.spawn("metrics-before", metrics.scrape_all, run, "metrics-before", "-before")
        before.join(1.0)
        window.phases[-1]["end"] = run.clock.iso()
        run.enter("window", start)
        self._onset.watch()
        end = start + window.seconds
        with window.changed:
            while time.monotonic() < end and run.stop_reason is None:
                window.changed.wait(min(0.5, max(0.01, end - time.monotonic())))
            if run.stop_reason is not None:
                window.interrupted = run.stop_reason
                end = time.monotonic()
                if end < start + window.seconds - run.interval:
                    window.invalidate(
                        f"interrupted after {end - start:.1f} of {window.seconds:g} s: "
                        f"{run.stop_reason}"
                    )
            window.end = end
            self._await_last_sample(end)
            window.judge_samples()

    def _await_last_sample(self, end: float) -> None:
        # The sample that is due at the very end closes the last counter interval.
        run, window = self.run, self.run.window
        patience = time.monotonic() + run.interval + 0.5
        while time.monotonic() < patience and (window.latest_at or 0) < end - 0.001:
            if run.stop_reason is not None:
                return
            window.changed.wait(0.1)

    def _collect_after(self) -> None:
        """Collect what belongs after the window: metrics, profiles, logs."""
        run = self.run
        run.enter("after-scrape", run.window.end)
        # Keeps status rows out of memory and file; fences ask on their own.
        run.sampling_over.set()
        metrics.scrape_all(run, "metrics", "")
        self._onset.finish()
        self._profiles.cpu()
        run.enter("heap")
        self._profiles.dumps()
        run.enter("logs")
        logs.collect(run)
        recorded.collect(run)

    def _finish(self) -> None:
        """Write window.json and collectors.json, say done."""
        run, window = self.run, self.run.window
        run.sampling_over.set()
        if run.stop_reason is not None and window.interrupted is None:
            window.interrupted = run.stop_reason
        run.enter("done")
        window.phases[-1]["end"] = window.phases[-1]["start"]
        run.over.set()
        cost = {
            "host": run.host,
            "cpu_seconds": round(time.process_time(), 3),
            "wall_seconds": round(time.monotonic() - run.launched, 3),
        }
        document = window.document(cost, self._profiles.fence)
        self._write(run.evidence.path("window.json"), document)
        self._write(os.path.join(run.out, "collectors.json"), self._collectors())
        run.close()
        self.state.done = True
        run.reserve.use(self.state.publish)

    def _write(self, path: str, document: dict[str, Any]) -> None:
        self.run.reserve.use(lambda: write_atomic(path, indented_json(document)))

    def _collectors(self) -> dict[str, Any]:
        run = self.run
        return {
            "schema_version": SCHEMA_VERSION,
            "host": run.host,
            "lead": run.lead,
            "facts": run.proc.facts(),
            "collectors": [
                tally.as_dict(run.host)
                for tally in run.evidence.tallies()
                if tally.name not in _HELPERS and (run.lead or tally.name != "status")
            ],
        }
