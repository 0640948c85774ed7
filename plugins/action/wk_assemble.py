# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Makes the bundle of a run from what its hosts have packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.bundle import assembly, layout
from wktriage.cli.action_base import TriageAction
from wktriage.run import interrupted, recovery


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": True, "skipped": True}
        bundle = Path(arguments["bundle_dir"])
        run_file, topology_file = Path(arguments["run_file"]), Path(arguments["topology_file"])
        secrets = arguments["secrets_file"]
        folder = Path(arguments["tars_dir"])
        references = {str(k): Path(v) for k, v in arguments["references"].items()}
        document = assembly.assemble(
            bundle,
            interrupted.handed_in(folder),
            run_file,
            topology_file,
            references=references | recovery.refer_twin(bundle.parent, run_file, topology_file),
            clocks=folder,
            secrets=Path(secrets).read_text("utf-8").splitlines() if secrets else (),
            interrupted=arguments["interrupted"] or None,
        )
        return {
            "changed": True,
            "manifest_file": str(bundle / layout.MANIFEST),
            "complete": document["complete"],
        }
