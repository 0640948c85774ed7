# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Brings a stack into a state, through the driver that the request names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.core.json_files import write_object
from wktriage.request.request import Request, from_dict
from wktriage.stack import drivers
from wktriage.stack.driver import Driver, Site


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        request = from_dict(arguments["request"])
        driver = drivers.named(request.driver)
        state = arguments["state"]
        site = Site(
            work_dir=Path(arguments["work_dir"]),
            hosts=tuple(arguments["hosts"]),
            sim_env=arguments["sim_env"],
            address=arguments["address"],
            held_ports=arguments["held_ports"],
            reports=arguments["reports"],
        )
        if state == "placed":
            return {"changed": False, "placement": driver.place(request, site)}
        if self._task.check_mode:
            return {"changed": state not in {"absent", "identified"}}
        if state == "absent":
            return {"changed": driver.remove(request.project, Path(request.runs_dir))}
        site.work_dir.mkdir(parents=True, exist_ok=True)
        if state == "started":
            return {"changed": driver.start(request, site)}
        if state == "loaded":
            return {"changed": driver.load(request, site)}
        return self._known(driver, request, site, create=state == "created")

    def _known(
        self, driver: Driver, request: Request, site: Site, *, create: bool
    ) -> dict[str, Any]:
        stack = driver.create(request, site) if create else driver.identify(request, site)
        stack["cannot_tell"] = list(driver.cannot_tell)
        write_object(site.work_dir / "stack.json", stack)
        measured = stack.get("mode_measured")
        if create and measured not in {None, request.mode}:
            self._display.warning(
                f"mode={request.mode} was asked, but the data on disk makes this run {measured}: "
                "that is what the bundle says"
            )
        return {"changed": create or bool(stack.get("image_built")), "stack": stack}
