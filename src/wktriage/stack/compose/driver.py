"""The compose driver: the checkout's own compose file, under the harness's project name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from wktriage.core.errors import UsageError
from wktriage.request.code import Code
from wktriage.request.request import Asked, Request
from wktriage.stack import data_root, snapshots
from wktriage.stack.compose import engine, override, preflight
from wktriage.stack.compose.engine import DockerCli, Engine
from wktriage.stack.compose.stack import COMPOSE_FILE, ComposeStack, Spec, data_name, remove
from wktriage.stack.driver import Findings, Site

PROJECT = "wktriage"


class ComposeDriver:
    """Runs the stack in containers on the controller's engine."""

    name = "compose"
    cannot_tell: tuple[str, ...] = ()
    runs_baselines = True
    keeps_snapshots = True

    def __init__(self, docker: Engine | None = None) -> None:
        """Take the engine to talk to; the ``docker`` on PATH by default."""
        self.docker = docker or DockerCli()

    def check_request(self, asked: Asked) -> Request:
        """Return the checked request; it needs a checkout and a data root of ours."""
        request = asked.live(driver=self.name, project=PROJECT, checkout=None)
        if not asked.needs_stack:
            return request
        data_root.check(Path(request.data_root), wipe=request.mode == "clean")
        return replace(request, checkout=str(_checkout(asked)))

    def ports(self, request: Request) -> list[int]:
        """Return the host ports that the compose file publishes."""
        if request.checkout is None:
            return []
        services = override.read_services(Path(request.checkout) / COMPOSE_FILE)
        return sorted(preflight.host_ports(services))

    def preflight(
        self, request: Request, probes: Mapping[str, Mapping[str, Any]], findings: Findings
    ) -> None:
        """Check engine, image, stale stack and ports."""
        if request.checkout is not None:
            preflight.check_compose(
                self.docker,
                checkout=Path(request.checkout),
                project=request.project,
                build=request.stack_build,
                code=request.code,
                findings=findings,
            )
        for probe in probes.values():
            preflight.check_ports(
                probe["taken"], self.docker, project=request.project, findings=findings
            )

    def identify(self, request: Request, site: Site) -> dict[str, Any]:
        """Have the image, built when needed, and return what the stack is."""
        return self._stack(request, site).identified()

    def place(self, request: Request, site: Site) -> dict[str, Any]:
        """Return nothing: the engine is asked from the controller."""
        return {}

    def create(self, request: Request, site: Site) -> dict[str, Any]:
        """Create all containers on the data that the mode asks for."""
        return self._stack(request, site).created()

    def start(self, request: Request, site: Site) -> bool:
        """Start all node containers at once."""
        return self._stack(request, site).started()

    def load(self, request: Request, site: Site) -> bool:
        """Start the simulator's container."""
        return self._stack(request, site).loaded()

    def remove(self, project: str, runs_dir: Path) -> bool:
        """Take the project down; data stays."""
        return remove(self.docker, project)

    def own_baseline(self, request: Request) -> Path | None:
        """Return None: a live stack is vouched for by a run of its own."""
        return None

    def snapshot(self, request: Request, name: str) -> dict[str, Any]:
        """Keep the data of all nodes under a name, while none of them runs."""
        if engine.containers(self.docker, project=request.project, running_only=True):
            raise UsageError(
                f"the stack {request.project} runs, and its data changes: take it down first "
                "(wktriage teardown)"
            )
        services = override.read_services(Path(str(request.checkout)) / COMPOSE_FILE)
        nodes = [data_name(service) for service in override.node_services(services)]
        return snapshots.take(Path(request.data_root), nodes, name)

    def unbuilt(self, code: Code) -> str | None:
        """Ask for the image."""
        if engine.image_digest(self.docker, code.image) is not None:
            return None
        return f"image {code.image} ($WK_BUILD_IMAGE) is not there"

    def recall(self, inputs: Mapping[str, Any], turn: int) -> dict[str, Any]:
        """Return nothing: a live stack is what its inputs say."""
        return {}

    def _stack(self, request: Request, site: Site) -> ComposeStack:
        return ComposeStack(Spec.of(request, site), self.docker)


def _checkout(asked: Asked) -> Path:
    if "wukongim_checkout" not in asked.values:
        raise UsageError(
            "no WuKongIM checkout: add -e wukongim_checkout=/path/to/WuKongIM "
            "(or show a recorded incident with -i inventory/replay)"
        )
    path = asked.path("wukongim_checkout", Path()).resolve()
    if not path.is_dir():
        raise UsageError(f"wukongim_checkout {path} is not a directory")
    compose_file = path / COMPOSE_FILE
    if not compose_file.is_file():
        raise UsageError(f"wukongim_checkout {path} has no {COMPOSE_FILE}: is it a checkout?")
    override.read_services(compose_file)
    return path


DRIVER = ComposeDriver()
