"""A bundle directory, read for replaying."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from wkreplay.errors import ReplayError
from wkreplay.failures import CLOSED, HANG, UNKNOWN, UP, classify_error
from wkreplay.files import Row, read_env, read_object, read_rows
from wkreplay.timeline import Event, Timeline, events_of
from wkreplay.times import format_time, parse_time

LEAD_S = 5.0
"""The simulator's connect phase is skipped: a replay begins this long before it was `running`."""

STALE_S = 15.0
"""How long a scrape that answered says that its node lives, where nothing else tells (a scrape
interval of 10 s and a half)."""


class Recording:
    """A bundle directory, read for replaying. Plain bundles (no manifest) have less in them."""

    def __init__(self, root: Path) -> None:
        """Read the bundle. Raises ReplayError when there is no status timeline to replay."""
        self.root = root
        self.window_file = read_object(root / "window.json")
        self.topology = read_object(root / "topology.json")
        self.status = Timeline(events_of(read_rows(root / "status.jsonl")))
        if not self.status.events:
            raise ReplayError(f"nothing to replay: {root.name} has no readable status.jsonl")
        self.plain = not (root / "manifest.json").is_file()
        self.sim_name = str((self.topology.get("sim") or {}).get("name") or "wk-sim")
        self.node_names = self._node_names()
        health = read_rows(root / "health.jsonl")
        self.health_end = max((event.at for event in events_of(health)), default=0)
        self.window = self._window()
        self.begin = self._begin()
        self.end = max(self.status.events[-1].at, self.health_end, self.window[1])
        self.health: dict[tuple[str, str], Timeline] = {}
        for node in self.node_names:
            for probe in ("healthz", "readyz", "goroutines"):
                rows = [r for r in health if r.get("node") == node and r.get("probe") == probe]
                self.health[node, probe] = Timeline(events_of(rows))
        self.cluster = self._by_name(read_rows(root / "cluster.jsonl"), "node")
        self.resources = self._by_name(read_rows(root / "resources.jsonl"), "name")
        self.docker_stats = self._docker_stats()
        self.host = self._by_name(read_rows(root / "host.jsonl"), "host")
        self.events = Timeline(events_of(read_rows(root / "events.jsonl"), "time"))
        self.metrics = {node: self._metrics(node) for node in self.node_names}
        self.reach = {node: self._reach(node) for node in self.node_names}

    # -- what it holds

    def _node_names(self) -> list[str]:
        nodes = self.topology.get("nodes")
        if isinstance(nodes, list) and nodes:
            return [str(node.get("name")) for node in nodes if isinstance(node, dict)]
        numbers = set()
        for pattern in ("metrics/node*", "logs/*/wk-node*.log", "pprof/node*"):
            for path in self.root.glob(pattern):
                match = re.match(r"(?:wk-)?node(\d+)", path.name)
                if match:
                    numbers.add(int(match[1]))
        return [f"wk-node{number}" for number in sorted(numbers)]

    def node_number(self, node: str) -> str:
        """Return the number under which files of a node are kept ("2" of "wk-node2")."""
        for entry in self.topology.get("nodes") or []:
            if isinstance(entry, dict) and entry.get("name") == node and entry.get("id"):
                return str(entry["id"])
        return re.sub(r"\D", "", node)

    def _window(self) -> tuple[int, int]:
        """Return the measured window. Plain: from the first counted message, as long as asked."""
        with contextlib.suppress(ValueError):
            return (
                parse_time(str(self.window_file.get("start"))),
                parse_time(str(self.window_file.get("end"))),
            )
        last = self.status.events[-1].at
        moved = [
            e.at for e in self.status.events if (e.row.get("status") or {}).get("messages_sent")
        ]
        env = read_env(self.root / "env.txt")
        try:
            seconds = float(self.window_file.get("asked_seconds") or env.get("DURATION", ""))
            if not 0 <= seconds < 10**9:
                raise ValueError("no length of a window")
        except (TypeError, ValueError):
            seconds = (last - moved[0]) / 1e9 if moved else 0.0
        if moved:
            return moved[0], min(moved[0] + int(seconds * 1e9), last)
        return max(self.status.events[0].at, last - int(seconds * 1e9)), last

    def _begin(self) -> int:
        """Return where to begin: shortly before the simulator was running, else at the start."""
        first = self.status.events[0].at
        for event in self.status.events:
            status = event.row.get("status") or {}
            if status.get("state") == "running":
                with contextlib.suppress(ValueError):
                    running = parse_time(str(status.get("last_transition_at")))
                    return max(first, min(running, event.at) - int(LEAD_S * 1e9))
                return max(first, event.at - int(LEAD_S * 1e9))
        return first

    @staticmethod
    def _by_name(rows: list[Row], key: str) -> dict[str, Timeline]:
        names = {str(row.get(key)) for row in rows}
        return {n: Timeline(events_of([r for r in rows if str(r.get(key)) == n])) for n in names}

    def _docker_stats(self) -> dict[str, Timeline]:
        """Return the rows of `docker stats` by the service's name ("wk-wk-node2-1": wk-node2)."""
        rows = read_rows(self.root / "docker-stats.jsonl")
        by_name: dict[str, Timeline] = {}
        for name in [*self.node_names, self.sim_name]:
            pattern = re.compile(rf"(?:^|[-_]){re.escape(name)}(?:[-_]\d+)?$")
            mine = [row for row in rows if pattern.search(str(row.get("Name")))]
            by_name[name] = Timeline(events_of(mine))
        return by_name

    def _metrics(self, node: str) -> Timeline:
        number = self.node_number(node)
        events = []

        def add(at: int, path: Path) -> None:
            if path.is_file():
                events.append(Event(at, {"path": path}))
            error = path.with_name(path.name + ".err")
            if error.is_file():
                text = error.read_text("utf-8", "replace")[:200]
                events.append(Event(at, {"error": text}))

        add(self.window[0], self.root / "metrics" / f"node{number}-before.prom")
        add(self.window[1], self.root / "metrics" / f"node{number}.prom")
        series = self.root / "metrics" / "series" / f"node{number}"
        taken = {re.match(r"\d+", path.name) for path in series.glob("*.prom.gz*")}
        for stamp in {match[0] for match in taken if match}:
            add(int(stamp) * 10**6, series / f"{stamp}.prom.gz")
        return Timeline(events)

    def _reach(self, node: str) -> Timeline:
        """Return how the node answered over time: rows {"state": up|unknown|refused|...}."""
        probes = self.health[node, "healthz"].events
        if probes:
            return Timeline([Event(e.at, {"state": self._probe_state(e.row)}) for e in probes])
        # Plain: only the scrapes tell. What lies between two of them was not recorded, unless
        # `docker stats` shows when the container stood still.
        scrapes = self.metrics[node].events
        if not scrapes:
            return Timeline([Event(0, {"state": UNKNOWN})])
        states = [Event(0, {"state": self._scrape_state(scrapes[0])})]
        for index in range(1, len(scrapes)):
            before, scrape = scrapes[index - 1], scrapes[index]
            was, state = self._scrape_state(before), self._scrape_state(scrape)
            at = scrape.at
            if state == HANG:
                at = max(self._frozen_since(node, scrape.at) or at, before.at + 1)
            stale = before.at + int(STALE_S * 1e9)
            if was == UP and stale < at:
                states.append(Event(stale, {"state": UNKNOWN}))
            states.append(Event(at, {"state": state}))
        return Timeline(states)

    @staticmethod
    def _probe_state(row: Row) -> str:
        if row.get("http_status") or row.get("ok"):
            return UP
        state = classify_error(row.get("error"))
        # It did not answer, for a reason in words that are not known here.
        return CLOSED if state == UNKNOWN else state

    @staticmethod
    def _scrape_state(event: Event) -> str:
        return UP if "path" in event.row else classify_error(event.row["error"])

    def _frozen_since(self, node: str, moment: int) -> int | None:
        """Return since when the container used no CPU at all, without a break until the moment."""
        since = None
        for event in reversed(self.docker_stats[node].until(moment)):
            if str(event.row.get("CPUPerc")).strip() != "0.00%":
                break
            since = event.at
        return since

    def describe(self) -> Row:
        """Return what a caller needs to know to run this recording again."""
        return {
            "nodes": self.node_names,
            "sim": self.sim_name,
            "plain": self.plain,
            "begin": format_time(self.begin, 3) + "Z",
            "end": format_time(self.end, 3) + "Z",
            "window_start": format_time(self.window[0], 3) + "Z",
            "window_end": format_time(self.window[1], 3) + "Z",
            "window_seconds": round((self.window[1] - self.window[0]) / 1e9, 3),
        }
