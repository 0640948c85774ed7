#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Create, start and remove the stack's processes on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_processes
short_description: The stack's processes on one host
description:
  - Keeps the nodes and the simulator that a host runs, each in a directory of its own. Where
    systemd runs and the user may ask it, each is a transient unit with its own control group;
    elsewhere a supervisor process starts it again when it ends by itself.
  - Data directories are emptied only below the harness's own marker file. A process of somebody
    else on a port of the stack is named, never ended.
options:
  state:
    description:
      - C(identified), the sha256 of C(programs) is told, and nothing is changed.
      - C(created), directories, configuration and data as asked, and nothing runs. What was left of
        an earlier stack is stopped and removed first.
      - C(started), the named processes run. C(absent), stopped and removed, data kept.
    type: str
    required: true
    choices: [identified, created, started, absent]
  directory:
    description: The stack's own directory on the host.
    type: path
    required: true
  plan:
    description: What the host has to run, as C(wk_stack) places it. Needed for C(created).
    type: dict
    suboptions:
      project:
        description: Name of the stack.
        type: str
        required: true
      data_root:
        description: Where data directories lie.
        type: path
        required: true
      mode:
        description: C(clean) empties the data root, C(accumulated) keeps what is there.
        type: str
        choices: [clean, accumulated]
        required: true
      benchmark_host:
        description: Whether the inventory declares this host a benchmark host.
        type: bool
        required: true
      processes:
        description:
          - For each process its C(name), C(program) (file and sha256), C(argv), C(env), C(files),
            C(ports), and C(data) where it keeps any.
        type: list
        elements: dict
        required: true
  programs:
    description: Binaries that lie on the host already.
    type: list
    elements: path
    default: []
  forget_binaries:
    description: Whether binaries that were copied to the host go, too (C(absent)).
    type: bool
    default: false
  names:
    description: Names of the processes to start. Needed for C(started).
    type: list
    elements: str
    default: []
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing and says what would change.
    support: full
"""

EXAMPLES = r"""
- name: Start the nodes of this host, all at once
  wk_processes:
    state: started
    directory: /srv/runs/.processes/wktriage
    names: [wk-node1]
"""

RETURN = r"""
report:
  description: What the host tells of its part of the stack; C(refused) is why it has none.
  type: dict
  returned: state is identified or created, or it failed
  sample:
    data_bytes_at_start: 0
    missing: [/srv/runs/.processes/.binaries/0e5b.../wukongim]
    programs: {/opt/wukongim: 0e5b...}
    program: /srv/runs/.processes/wktriage/wk_supervisor.py
    python: /usr/bin/python3
    restarted_by: systemd
"""

import hashlib
import json
import os
import shutil
import sys
from typing import Any

from ansible.module_utils import wk_data_root, wk_limits, wk_ports, wk_supervisor
from ansible.module_utils.basic import AnsibleModule

Process = wk_supervisor.Process
BINARIES = ".binaries"


class RefusedError(Exception):
    """What was asked can't be done; the text says why and what to do."""


def sha256(path: str) -> str | None:
    """Return the hash of a file, None when it can't be read."""
    total = hashlib.sha256()
    try:
        with open(path, "rb") as source:
            for block in iter(lambda: source.read(1 << 20), b""):
                total.update(block)
    except OSError:
        return None
    return total.hexdigest()


def check_program(name: str, program: dict[str, Any]) -> None:
    """Raise RefusedError unless a program is here, may be run, and is the one asked for."""
    path = str(program["file"])
    if not os.path.isfile(path):
        raise RefusedError("%s: there is no file %s on this host" % (name, path))
    if not os.access(path, os.X_OK):
        raise RefusedError("%s: %s may not be executed: chmod +x it" % (name, path))
    expected = program.get("sha256")
    if expected and sha256(path) != expected:
        raise RefusedError(
            "%s: %s has another sha256 than the file on the controller: was it replaced meanwhile?"
            % (name, path)
        )


def create(top: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Have everything of this host's part exist and nothing run; return what is to be told."""
    if not plan["benchmark_host"]:
        raise RefusedError(
            "the inventory does not declare this host a benchmark host, so nothing is loaded or "
            "emptied here: set wk_benchmark_host: true there if it is one"
        )
    data_root, mode = str(plan["data_root"]), str(plan["mode"])
    nodes = [str(p["data"]) for p in plan["processes"] if p.get("data")]
    if nodes:
        wk_data_root.check(data_root, wipe=mode == "clean")
    wk_supervisor.remove(top)
    for entry in plan["processes"]:
        for port in entry["ports"]:
            who = wk_ports.taken(int(port))
            if who is not None:
                raise RefusedError(
                    "port %s of %s is held by %s: end it" % (port, entry["name"], who)
                )
    measured = 0
    if nodes:
        if mode == "clean":
            wk_data_root.wipe(data_root)
        measured = wk_data_root.data_bytes(data_root, nodes)
        wk_data_root.prepare(data_root, nodes, str(plan["project"]))
    missing = absent_copies(top, plan)
    make(top, plan)
    return {
        "missing": missing,
        "data_bytes_at_start": measured,
        "program": os.path.join(top, wk_supervisor.PROGRAM),
        "python": sys.executable,
        "restarted_by": "systemd" if wk_supervisor.has_systemd() else "supervisor",
    }


def absent_copies(top: str, plan: dict[str, Any]) -> list[str]:
    """Return the binaries that the controller has to copy here; their directory is made.

    They lie below a directory of their own, by their sha256, and stay there for the next run.
    """
    cache = binaries_of(top)
    hashes = {
        str(entry["program"]["file"]): entry["program"]["sha256"]
        for entry in plan["processes"]
        if str(entry["program"]["file"]).startswith(cache + "/")
    }
    missing = sorted(path for path, known in hashes.items() if sha256(path) != known)
    if missing and not os.path.lexists(cache):
        wk_supervisor.make_directory(cache)
    if missing:
        wk_supervisor.check_ours(cache)
    for path in missing:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    return missing


def binaries_of(top: str) -> str:
    """Return where copied binaries lie: beside the stacks of all projects."""
    return os.path.join(os.path.dirname(os.path.abspath(top)), BINARIES)


def forget(top: str) -> bool:
    """Remove the binaries that were copied here; tell whether there were any."""
    cache = binaries_of(top)
    there = os.path.lexists(cache)
    if there:
        wk_supervisor.remove_directory(cache)
    return there


def make(top: str, plan: dict[str, Any]) -> None:
    """Make the stack's directory, the program that verbs name, and one directory a process."""
    wk_supervisor.make_directory(top)
    for program in (wk_supervisor, wk_limits):
        name = program.__name__.rpartition(".")[2]
        source = program.__loader__.get_source(program.__name__)
        wk_supervisor.write(os.path.join(top, name + ".py"), source)
    systemd = wk_supervisor.has_systemd()
    for entry in plan["processes"]:
        process = Process(os.path.join(top, str(entry["name"])))
        os.mkdir(process.directory)
        for name, text in entry["files"].items():
            # It may hold secrets, as the environment may.
            wk_supervisor.write(process.path(os.path.basename(name)), text, 0o600)
        unit = "wktriage-%s-%s.service" % (plan["project"], process.name)
        spec = {
            "argv": entry["argv"],
            "env": entry["env"],
            "program": entry["program"],
            "stop_seconds": entry["stop_seconds"],
            "unit": unit if systemd else None,
        }
        wk_supervisor.write(process.path("process.json"), json.dumps(spec), 0o600)


def start(top: str, names: list[str], check_mode: bool) -> bool:
    """Start processes, all at once; tell whether any did not run."""
    asked = [Process(os.path.join(top, name)) for name in names]
    idle = [process for process in asked if not process.kept()]
    if check_mode:
        return bool(idle)
    for process in idle:
        check_program(process.name, process.spec()["program"])
    for process in idle:
        process.launch()
    for process in idle:
        process.wait_for_start()
    return bool(idle)


def absent(top: str, forget_binaries: bool, check_mode: bool) -> bool:
    """Stop and remove the stack, and with it, if asked, binaries; tell whether there was any."""
    if check_mode:
        places = [top, binaries_of(top)] if forget_binaries else [top]
        return any(os.path.lexists(place) for place in places)
    removed = wk_supervisor.remove(top)
    return (forget(top) if forget_binaries else False) or removed


def main() -> None:
    """Run the module."""
    text, path = {"type": "str", "required": True}, {"type": "path", "required": True}
    plan = {
        "project": text,
        "data_root": path,
        "mode": dict(text, choices=["clean", "accumulated"]),
        "benchmark_host": {"type": "bool", "required": True},
        "processes": {"type": "list", "elements": "dict", "required": True},
    }
    states = ["identified", "created", "started", "absent"]
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": states},
            "directory": {"type": "path", "required": True},
            "plan": {"type": "dict", "options": plan},
            "programs": {"type": "list", "elements": "path", "default": []},
            "forget_binaries": {"type": "bool", "default": False},
            "names": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    state, top = module.params["state"], module.params["directory"]
    report: dict[str, Any] = {"programs": {f: sha256(f) for f in module.params["programs"]}}
    try:
        if state == "started":
            module.exit_json(changed=start(top, module.params["names"], module.check_mode))
        elif state == "absent":
            module.exit_json(
                changed=absent(top, module.params["forget_binaries"], module.check_mode)
            )
        elif state == "identified" or module.check_mode:
            module.exit_json(changed=state == "created", report=report)
        else:
            report.update(create(top, module.params["plan"]))
            module.exit_json(changed=True, report=report)
    except (RefusedError, wk_data_root.DataRootError, wk_supervisor.ProcessError) as exc:
        module.fail_json(msg=str(exc), report={"refused": str(exc)})
    except (OSError, shutil.Error) as exc:
        refused = "%s: %s" % (top, exc)
        module.fail_json(msg=refused, report={"refused": refused})


if __name__ == "__main__":
    main()
