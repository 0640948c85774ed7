# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Copies the binaries that a host lacks: each in one transfer, next to where it goes."""

from __future__ import annotations

import posixpath
import shlex
from typing import Any

from ansible.errors import AnsibleActionFail

from wktriage.cli.action_base import TriageAction


class ActionModule(TriageAction):
    _requires_connection = True

    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        lacking = [copy for copy in arguments["copies"] if copy["to"] in arguments["missing"]]
        if not self._task.check_mode:
            for copy in lacking:
                self._copy(str(copy["file"]), str(copy["to"]))
        return {"changed": bool(lacking)}

    def _copy(self, file: str, to: str) -> None:
        # What was cut off is no binary yet. Whether it is the right one is seen before it starts.
        part = f"{to}.part"
        if self._connection.become is not None:
            # Only the user who logs in receives files.
            folder = self._make_tmp_path()
            part = self._connection._shell.join_path(folder, posixpath.basename(to))
        self._transfer_file(file, part)
        moved = shlex.join(["mv", "-f", part, to])
        done = self._low_level_execute_command(f"chmod 755 {shlex.quote(part)} && {moved}")
        if done["rc"] != 0:
            raise AnsibleActionFail(f"{to}: {done['stderr'].strip() or 'no message'}")
