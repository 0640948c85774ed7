"""What the controller itself adds to a bundle: request, configuration, topology, references."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.bundle.clocks import document, moved
from wktriage.bundle.layout import COMPOSE_CONFIG, CONTROLLER
from wktriage.core import schemas
from wktriage.core.declarations import convert
from wktriage.core.errors import UsageError
from wktriage.core.json_files import object_text
from wktriage.request import workload as workloads


class ControllerFiles:
    """Writes the controller's files into ``stage`` and notes how each of them went.

    A file that is there already came with the evidence, as a replay's own does, and stays.
    """

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self._rows: dict[str, dict[str, Any]] = {}
        self._succeeded: set[str] = set()

    def add_run(
        self, run: Mapping[str, Any], topology: Mapping[str, Any], references: Mapping[str, Path]
    ) -> None:
        """Add all that is known of a run. Raises UsageError for a bad name of a reference."""
        self.text("env", "env.txt", _env_text(run))
        self.text("git", "git.txt", _git_text(run))
        workload = _workload(run)
        convert(workload, workloads.Document, "config/workload.json")
        self.text("config", "config/workload.json", object_text(workload))
        if COMPOSE_CONFIG not in (run.get("cannot_tell") or ()):
            self.copy("config", COMPOSE_CONFIG, run.get("compose_config"))
        configs = run.get("node_configs") or {}
        for node in topology["nodes"]:
            self.copy("config", f"config/node{node['id']}.toml", configs.get(node["name"]))
        self.copy("config", "config/dev-sim.yaml", run.get("sim_config"))
        self._write("topology", topology)
        for name, source in sorted(references.items()):
            if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
                raise UsageError(
                    f"{name!r} cannot name a reference: use lower-case letters, digits and -"
                )
            self.copy("references", f"references/{name}.json", source)

    def document(self, name: str, document: Mapping[str, Any]) -> None:
        """Write the document ``name``.json, checked against the schema of that name."""
        schemas.validate(name, document)
        self._write(name, document)

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        file = f"{name}.json"
        (self._stage / file).write_text(object_text(document), encoding="utf-8")
        self._note(name, file)

    def clocks(self, folder: Path) -> None:
        """Write clocks.json when ``folder`` has readings; one that was set is a partial one."""
        clocks = document(folder)
        if clocks is not None:
            self.document("clocks", clocks)
            if text := moved(clocks):
                self._note("clocks", None, text)

    def text(self, collector: str, name: str, text: str) -> None:
        """Write a text file."""
        path = self._stage / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="replace")
        self._note(collector, name)

    def copy(self, collector: str, name: str, source: str | Path | None) -> None:
        """Copy a file of the stack's work directory; ``<name>.err`` says why it could not be."""
        target = self._stage / name
        if target.exists():
            self._note(collector, name)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if source is None:
                raise OSError("no such file is known")
            shutil.copyfile(source, target)
            self._note(collector, name)
        except OSError as exc:
            error = f"{name}: {exc.strerror or exc}"
            target.with_name(target.name + ".err").write_text(error + "\n", encoding="utf-8")
            self._note(collector, name + ".err", error)

    def rows(self) -> list[dict[str, Any]]:
        """Return the manifest's row of each kind of file, with the names of its files."""
        return list(self._rows.values())

    def _note(self, collector: str, file: str | None, error: str | None = None) -> None:
        row = self._rows.setdefault(
            collector, {"name": collector, "host": CONTROLLER, "status": "ok", "duration_s": None,
                        "files": [], "error": None},
        )  # fmt: skip
        if file is not None:
            row["files"].append(file)
        if error is None:
            self._succeeded.add(collector)
        else:
            row["error"] = row["error"] or error
        if row["error"]:
            row["status"] = "partial" if collector in self._succeeded else "failed"


def _workload(run: Mapping[str, Any]) -> dict[str, Any]:
    workload = {
        "scenario": run.get("scenario"),
        **dict(run.get("workload") or {}),
        "connect_rate": run.get("connect_rate"),
    }
    env = run.get("env")
    if isinstance(env, Mapping):
        # What the simulator was really given: in a replay, the recording's own users.
        workload["uid_prefix"] = env.get("WK_SIM_UID_PREFIX")
    return workload


def _env_text(run: Mapping[str, Any]) -> str:
    lines = [
        f"{key}={run.get(name) if run.get(name) is not None else 'unknown'}"
        for key, name in (
            ("SCENARIO", "scenario"), ("MODE", "mode"), ("DRIVER", "driver"),
            ("DURATION", "duration"), ("PROFILE_SECONDS", "profile_seconds"),
        )
    ]  # fmt: skip
    env = run.get("env")
    if not isinstance(env, Mapping):
        try:
            env = workloads.environment(run["workload"])
        except (KeyError, TypeError):
            env = {}
    variables = {**dict(run.get("node_env") or {}), **dict(env)}
    lines += [f"{key}={' '.join(str(variables[key]).splitlines())}" for key in sorted(variables)]
    return "\n".join(lines) + "\n"


def _git_text(run: Mapping[str, Any]) -> str:
    """Return git.txt: branch, revision, and the changed files as git lists them."""
    git = run.get("git") or {}
    branch, revision = git.get("branch"), git.get("revision") or run.get("git_revision")
    return f"{branch or 'unknown'}\n{revision or 'unknown'}\n{git.get('status') or ''}"
