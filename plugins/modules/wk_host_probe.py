#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Look at a host before a run: clock, boot, disk, and who holds the ports."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_host_probe
short_description: Look at a stack host before a run
description:
  - Reports clock, boot id, kernel, disk under a path, and which of some TCP ports are taken.
  - Reads only. What the host cannot tell (no C(/proc)) is C(null).
options:
  path:
    description: Directory whose disk is asked about. It need not exist yet.
    type: path
    required: true
  wipe:
    description: Whether that directory is to be emptied.
    type: bool
    default: false
  ports:
    description: TCP ports that the stack will listen on.
    type: list
    elements: int
    default: []
  own_directory:
    description:
      - Directory of the harness's own processes on the host. Ports that these hold do not count as
        taken.
    type: path
    default: ''
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Reads only.
    support: full
"""

EXAMPLES = r"""
- name: Look at the host
  wk_host_probe:
    path: /srv/wktriage
    ports: [15001, 19091]
"""

RETURN = r"""
probe:
  description: What was found.
  type: dict
  returned: success
  sample:
    answered_at: 1760000000.4
    asked_at: 1760000000.0
    data_root_problem: null
    boot_id: 3f2b0d3e-9d0c-4b8e-9a57-3f6ad1d4f1b0
    disk: {free_bytes: 80000000000, total_bytes: 250000000000, filesystem: ext4}
    epoch: 1760000000.123
    kernel: 6.1.0
    python: 3.11.2
    taken: {"15001": "pid 812 (nginx)"}
"""

import os
import platform
import socket
import subprocess
import time
from typing import Any

from ansible.module_utils import wk_data_root
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wk_ports import own_processes, taken


def read(path: str) -> str | None:
    """Return a small text file, stripped, or None."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(65536).strip()
    except OSError:
        return None


def boot_id() -> str | None:
    """Return what names this boot of the host, or None."""
    boot = read("/proc/sys/kernel/random/boot_id")
    if boot is None and platform.system() == "Darwin":
        try:
            answer = subprocess.run(
                ["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, check=False
            )
            boot = answer.stdout.decode("ascii", "replace").strip() or None
        except OSError:
            return None
    return boot


def data_root_problem(path: str, wipe: bool) -> str | None:
    """Return why the harness must not use a data root; None when it may."""
    try:
        wk_data_root.check(path, wipe)
    except (wk_data_root.DataRootError, OSError) as exc:
        return str(exc)
    return None


def disk(path: str) -> dict[str, Any]:
    """Return free and total bytes and the filesystem type of the nearest existing parent."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    stats = os.statvfs(path)
    return {
        "free_bytes": stats.f_bavail * stats.f_frsize,
        "total_bytes": stats.f_blocks * stats.f_frsize,
        "filesystem": filesystem(path),
        "writable": os.access(path, os.W_OK),
        "inspected": path,
    }


def filesystem(path: str) -> str | None:
    """Return the filesystem type of the mount that holds path, or None."""
    mounts = read_mounts()
    best: tuple[str, str | None] = ("", None)
    real = os.path.realpath(path)
    for where, kind in mounts:
        if (real + "/").startswith(where.rstrip("/") + "/") and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1]


def read_mounts() -> list[tuple[str, str]]:
    """Return (mount point, type) pairs, empty where the host has no /proc."""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as handle:
            rows = [line.split() for line in handle]
    except OSError:
        return []
    return [(row[1].replace("\\040", " "), row[2]) for row in rows if len(row) > 2]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "wipe": {"type": "bool", "default": False},
            "ports": {"type": "list", "elements": "int", "default": []},
            "own_directory": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    own = own_processes(module.params["own_directory"])
    holders = {str(port): taken(port, own) for port in module.params["ports"]}
    module.exit_json(
        changed=False,
        probe={
            "boot_id": boot_id(),
            "data_root_problem": data_root_problem(module.params["path"], module.params["wipe"]),
            "disk": disk(module.params["path"]),
            "epoch": time.time(),
            "hostname": socket.gethostname(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "taken": {port: who for port, who in holders.items() if who is not None},
        },
    )


if __name__ == "__main__":
    main()
