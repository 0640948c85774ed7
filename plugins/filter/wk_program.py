# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Filter over the names of the programs that run on hosts; they are packed by wktriage."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from wktriage.core import zipapps


def wk_program(name: str) -> str:
    try:
        return str(zipapps.build(name))
    except ValueError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"wk_program": wk_program}
