#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Wait for this host's nodes to be ready for writes."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_ready
short_description: Wait for the nodes of a host to be ready for writes
description:
  - Asks each node's C(/readyz) until it answers 200 or time is up. Never fails, since a node that
    does not come up is evidence.
  - A node opens its API only after it can write, so a refused connection means "not yet".
options:
  topology_file:
    description: The stack's topology, on the controller; the nodes of this host are taken from it.
    type: path
  nodes:
    description: Nodes with C(name) and C(api_url), instead of a topology.
    type: list
    elements: dict
    default: []
  timeout:
    description: Seconds to wait for all of them.
    type: float
    default: 60
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Does not wait.
    support: full
"""

EXAMPLES = r"""
- name: Wait for the nodes
  wk_ready:
    topology_file: /srv/runs/.work/x/topology.json
    timeout: 60
"""

RETURN = r"""
waiting:
  description: Nodes that were not ready in time, each with the last answer.
  type: dict
  returned: success
seconds:
  description: How long it took.
  type: float
  returned: success
"""

import threading
import time
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule

PAUSE = 0.25
# /readyz does a write probe on every slot and may take 5 s.
ANSWER_SECONDS = 6
SILENT = "no answer in time"


def ask(url: str) -> str | None:
    """Return None when the node is ready, else the reason it gave."""
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=ANSWER_SECONDS):
            return None
    except urllib.error.HTTPError as exc:
        reason: str = exc.read(300).decode("utf-8", "replace")
        return reason or "HTTP %d" % exc.code
    except (OSError, ValueError) as exc:
        return str(exc)[:300]


def ask_all(urls: dict[str, str], seconds: float = ANSWER_SECONDS + 1) -> dict[str, str | None]:
    """Ask all nodes at once; return what `ask` does of each.

    The timeout of a request is for each piece of the answer: one that sends its head byte by byte
    is not waited for.
    """
    answers: dict[str, str | None] = {}

    def note(name: str, url: str) -> None:
        answers[name] = ask(url)

    end = time.monotonic() + seconds
    threads = [threading.Thread(target=note, args=item, daemon=True) for item in urls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {name: answers.get(name, SILENT) for name in urls}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "topology_file": {"type": "path"},
            "nodes": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    start = time.monotonic()
    waiting = {node["name"]: "not asked" for node in module.params["nodes"]}
    urls = {node["name"]: node["api_url"] for node in module.params["nodes"]}
    while waiting and not module.check_mode:
        answers = ask_all({name: urls[name] for name in waiting})
        waiting = {name: why for name, why in answers.items() if why is not None}
        if not waiting or time.monotonic() - start > module.params["timeout"]:
            break
        time.sleep(PAUSE)
    module.exit_json(changed=False, waiting=waiting, seconds=round(time.monotonic() - start, 2))


if __name__ == "__main__":
    main()
