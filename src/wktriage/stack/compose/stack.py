"""The compose driver: brings the checkout's own stack up under the harness's project name.

States, in order: ``identified`` (the image is there, and what it is is known), ``created``
(everything exists, nothing runs, the mode is measured, topology.json is written), ``started``
(nodes), ``loaded`` (simulator too), and ``absent``. Each state implies the ones before it were
reached; reaching one again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from wktriage.core.errors import InfraError, UsageError
from wktriage.core.git import GitState, git_state
from wktriage.core.topology import Handle, Node, Sim, Topology, container_verbs
from wktriage.request.code import Code
from wktriage.request.request import Request
from wktriage.stack import data_root, snapshots
from wktriage.stack.compose import engine, override
from wktriage.stack.compose.engine import Engine
from wktriage.stack.compose.node_config import (
    NodeConfig,
    config_sha256,
    mounted_from,
    port_of,
    read_node_config,
)
from wktriage.stack.driver import Site

PROFILE = "dev-sim"
COMPOSE_FILE = "docker-compose.yml"
DEFAULT_SIM_PORT = 19091
STOP_SECONDS = 10
BUILD_SECONDS = 1800
UP_SECONDS = 120


@dataclass(frozen=True)
class Spec:
    """What is asked of the stack. ``work_dir`` is the harness's own folder for this run."""

    project: str
    checkout: Path
    work_dir: Path
    data_root: Path
    mode: str = "clean"
    snapshot: str | None = None
    build: str = "auto"
    node_env: Mapping[str, str] = field(default_factory=dict)
    sim_env: Mapping[str, str] = field(default_factory=dict)
    connect_rate: int | None = None
    host: str = "localhost"
    code: Code | None = None

    @classmethod
    def of(cls, request: Request, site: Site) -> Spec:
        """Return what a checked request asks of the stack. Raises UsageError without checkout."""
        if request.checkout is None:
            raise UsageError("the compose driver needs -e wukongim_checkout=/path/to/WuKongIM")
        return cls(
            project=request.project,
            checkout=Path(request.checkout),
            work_dir=site.work_dir,
            data_root=Path(request.data_root),
            mode=request.mode,
            snapshot=request.data_snapshot,
            build=request.stack_build,
            node_env=request.node_env,
            sim_env=site.sim_env,
            connect_rate=request.connect_rate,
            host=site.hosts[0],
            code=request.code,
        )


class ComposeStack:
    """One compose project of the harness."""

    def __init__(self, spec: Spec, docker: Engine) -> None:
        self.spec = spec
        self.docker = docker
        self.compose_file = spec.checkout / COMPOSE_FILE
        self.override_file = spec.work_dir / "override.yml"
        self._services = override.read_services(self.compose_file)
        self.nodes = override.node_services(self._services)
        self.configs = {name: self._node_config(name) for name in self.nodes}

    # -- what is asked of docker -----------------------------------------------------------

    def compose_args(self, *args: str) -> list[str]:
        """Return the arguments of a ``docker compose`` command on this stack."""
        files = ["--file", str(self.compose_file), "--file", str(self.override_file)]
        return ["compose", "--project-name", self.spec.project, *files, "--profile", PROFILE, *args]

    def image(self) -> str:
        """Return the image of the nodes: a build of ours, else what the compose file names."""
        if self.spec.code is not None:
            return self.spec.code.image
        names = {str(self._services[n].get("image", "")) for n in self.nodes}
        if len(names) != 1 or "" in names:
            raise UsageError(f"{self.compose_file}: its nodes do not name one common image")
        return names.pop()

    # -- states ----------------------------------------------------------------------------

    def identified(self) -> dict[str, Any]:
        """Have the image (built when ``build`` says so) and return what the stack is.

        Raises UsageError when the image is missing and may not be built.
        """
        source = git_state(self.spec.checkout)
        self._write_inputs(source)
        image = self.image()
        built = self._must_build(image, source)
        if built:
            target = self.nodes[0]
            self.docker.run(self.compose_args("build", target), timeout=BUILD_SECONDS)
        digest = engine.image_digest(self.docker, image)
        if digest is None:
            raise UsageError(
                f"image {image} is not present and stack_build={self.spec.build}: "
                "build it, or use stack_build=auto"
                if self.spec.code is None
                else f"image {image} of {self.spec.code.name} is not built"
            )
        paths = {n: c.path for n, c in self.configs.items()}
        return {
            "driver": "compose",
            "project": self.spec.project,
            "hosts": [self.spec.host],
            "image": image,
            "image_digest": digest,
            "image_built": built,
            "image_source": engine.image_label(self.docker, image, override.SOURCE_LABEL),
            "git_revision": source.revision,
            "git_diff_sha256": source.diff_sha256,
            **(self.spec.code.inputs() if self.spec.code is not None else {}),
            "node_env": dict(self.spec.node_env),
            "node_config_sha256": config_sha256(paths),
            "node_configs": {n: None if p is None else str(p) for n, p in paths.items()},
            "sim_config": str(self._sim_dir() / override.SIM_CONFIG_NAME),
            "compose_files": [str(self.compose_file), str(self.override_file)],
        }

    def created(self) -> dict[str, Any]:
        """Create all containers on the data that the mode asks for; return what is known then.

        Writes topology.json. A stale stack of the harness is taken over.
        """
        remove(self.docker, self.spec.project)
        facts = self.identified()
        names = [data_name(n) for n in self.nodes]
        as_root = self._removed_by(facts["image"])
        if self.spec.mode == "clean":
            data_root.wipe(self.spec.data_root, as_root=as_root)
        elif self.spec.snapshot is not None:
            facts["data_snapshot"] = snapshots.restore(
                self.spec.data_root, names, self.spec.snapshot, as_root=as_root
            )
        else:
            data_root.check(self.spec.data_root, wipe=False)
        bytes_at_start = data_root.data_bytes(self.spec.data_root, names)
        data_root.prepare(self.spec.data_root, names, project=self.spec.project)
        self.docker.run(
            self.compose_args(
                "up", "--no-start", "--no-build", "--pull", "never", *self.nodes, "wk-sim"
            ),
            timeout=UP_SECONDS,
        )
        self.topology().write(self.spec.work_dir / "topology.json")
        return {
            **facts,
            "compose_config": str(self._write_config()),
            "data_bytes_at_start": bytes_at_start,
            "mode_measured": data_root.measured_mode(bytes_at_start),
        }

    def started(self) -> bool:
        """Start all nodes at once (alone, a node gives up after 30 s); tell if any was not up."""
        return self._start(self.nodes)

    def loaded(self) -> bool:
        """Start the simulator; tell whether it was not running."""
        return self._start([override.SIM_SERVICE])

    def topology(self) -> Topology:
        """Return the stack as it was created. Raises InfraError when a container is missing."""
        by_service = self._containers()
        services = self._rendered()["services"]
        nodes = []
        for name in self.nodes:
            config = self.configs[name]
            data_dir = self.spec.data_root / data_name(name)
            container = by_service[name]
            nodes.append(
                Node(
                    name=name,
                    id=override.node_number(name),
                    host=self.spec.host,
                    api_url=_url(services[name], config.api_port),
                    handle=_handle(container),
                    data_dir=str(data_dir),
                    log_dir=_below(config.log_dir, config.data_dir, data_dir),
                    verbs=container_verbs(str(container["Id"])),
                )
            )
        sim = by_service[override.SIM_SERVICE]
        return Topology(
            driver="compose",
            project=self.spec.project,
            data_root=str(self.spec.data_root),
            nodes=tuple(nodes),
            sim=Sim(
                name=override.SIM_SERVICE,
                host=self.spec.host,
                status_url=_url(services[override.SIM_SERVICE], self._sim_port()) + "/status",
                handle=_handle(sim),
                verbs=container_verbs(str(sim["Id"])),
            ),
        )

    # -- details ---------------------------------------------------------------------------

    def _start(self, services: Sequence[str]) -> bool:
        by_service = self._containers()
        idle = [str(by_service[s]["Id"]) for s in services if not _running(by_service[s])]
        if idle:
            self.docker.run(["start", *idle], timeout=UP_SECONDS)
        return bool(idle)

    def _removed_by(self, image: str) -> data_root.RemoveAsRoot:
        """Return what removes files of root: ``rm`` of the image, in a container."""

        def remove_as_root(folder: Path, names: list[str]) -> None:
            mount = f"type=bind,source={folder},target=/wktriage-data"
            args = ["run", "--rm", "--network", "none", "--user", "0", "--mount", mount]
            targets = [f"/wktriage-data/{name}" for name in names]
            self.docker.run(
                [*args, "--entrypoint", "/bin/rm", image, "-rf", "--", *targets], timeout=300
            )

        return remove_as_root

    def _rendered(self) -> dict[str, Any]:
        document = json.loads(self.docker.run(self.compose_args("config", "--format", "json")))
        return {str(key): value for key, value in document.items()}

    def _write_config(self) -> Path:
        """Keep the effective configuration for the bundle, which takes the secrets out of it."""
        path = self.spec.work_dir / "compose-config.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(self._rendered(), sort_keys=False))
        return path

    def _containers(self) -> dict[str, dict[str, Any]]:
        by_service = {
            engine.label(c, engine.SERVICE_LABEL): c
            for c in engine.containers(self.docker, project=self.spec.project)
        }
        missing = [s for s in (*self.nodes, override.SIM_SERVICE) if s not in by_service]
        if missing:
            raise InfraError(
                f"project {self.spec.project} has no container for {', '.join(missing)}: "
                "did something else remove it?"
            )
        return by_service

    def _must_build(self, image: str, source: GitState) -> bool:
        if self.spec.code is None and self.spec.build == "always":
            return True
        if self.spec.code is not None or self.spec.build == "never":
            return False
        if engine.image_digest(self.docker, image) is None:
            return True
        # An image that we built is rebuilt when the checkout moved on. One from elsewhere is
        # the user's own, and only they know what is in it.
        built_from = engine.image_label(self.docker, image, override.SOURCE_LABEL)
        return built_from is not None and built_from != source.mark

    def _write_inputs(self, source: GitState) -> None:
        sim_dir = self._sim_dir()
        for folder in (sim_dir, self.spec.work_dir / "sim-data"):
            folder.mkdir(parents=True, exist_ok=True)
        origin = mounted_from(
            self._services[override.SIM_SERVICE],
            override.SIM_CONFIG_TARGET,
            base=self.spec.checkout,
        )
        if origin is not None and (origin / override.SIM_CONFIG_NAME).is_file():
            text = (origin / override.SIM_CONFIG_NAME).read_text(encoding="utf-8")
            changed = override.sim_config(text, connect_rate=self.spec.connect_rate)
            (sim_dir / override.SIM_CONFIG_NAME).write_text(changed)
        elif self.spec.connect_rate is not None:
            raise UsageError(
                f"connect_rate needs {override.SIM_CONFIG_NAME} of the checkout, and its "
                f"{override.SIM_SERVICE} mounts none at {override.SIM_CONFIG_TARGET}"
            )
        document = override.build(
            nodes={n: c.data_dir for n, c in self.configs.items()},
            data_root=self.spec.data_root,
            sim_config_dir=sim_dir,
            sim_data_dir=self.spec.work_dir / "sim-data",
            node_env=self.spec.node_env,
            sim_env=self.spec.sim_env,
            project=self.spec.project,
            source=source.mark,
            image=None if self.spec.code is None else self.spec.code.image,
        )
        self.override_file.write_text(override.dump(document))

    def _node_config(self, service: str) -> NodeConfig:
        path = mounted_from(
            self._services[service], override.NODE_CONFIG_TARGET, base=self.spec.checkout
        )
        return read_node_config(path)

    def _sim_dir(self) -> Path:
        return self.spec.work_dir / "sim"

    def _sim_port(self) -> int:
        path = self._sim_dir() / override.SIM_CONFIG_NAME
        if not path.exists():
            return DEFAULT_SIM_PORT
        doc = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return port_of((doc.get("status") or {}).get("listen"), DEFAULT_SIM_PORT)


def data_name(service: str) -> str:
    """Return the name of a node's directory in the data root."""
    return service.removeprefix("wk-")


def remove(docker: Engine, project: str) -> bool:
    """Stop and remove the harness's project; data stays. Tell whether there was anything.

    Needs no checkout and no override file. Raises InfraError when containers of that project
    name are not the harness's.
    """
    containers = engine.containers(docker, project=project)
    foreign = [engine.name_of(c) for c in containers if not engine.label(c, engine.OWNER_LABEL)]
    if foreign:
        raise InfraError(
            f"compose project {project} has containers that the harness did not make "
            f"({', '.join(foreign)}): choose another name with -e stack_project=NAME"
        )
    if not containers:
        return False
    # A paused container can't be stopped in time; it is ours, so wake it up first.
    paused = [str(c["Id"]) for c in containers if (c.get("State") or {}).get("Paused")]
    if paused:
        docker.run(["unpause", *paused])
    down = ["compose", "--project-name", project, "down", "--remove-orphans"]
    docker.run([*down, "--timeout", str(STOP_SECONDS)], timeout=UP_SECONDS)
    return True


def _running(container: Mapping[str, Any]) -> bool:
    return bool((container.get("State") or {}).get("Running"))


def _handle(container: Mapping[str, Any]) -> Handle:
    return Handle(kind="container", id=container["Id"], name=engine.name_of(container))


def _url(service: Mapping[str, Any], port: int) -> str:
    for entry in service.get("ports") or []:
        if int(entry.get("target", 0)) == port and entry.get("published"):
            ip = entry.get("host_ip") or "0.0.0.0"  # noqa: S104  (read, never bound)
            reach = "127.0.0.1" if ip in {"0.0.0.0", "::"} else ip  # noqa: S104
            return f"http://{reach}:{entry['published']}"
    raise UsageError(f"the compose file publishes no host port for container port {port}")


def _below(path: str | None, base: str, mounted: Path) -> str | None:
    """Map a path inside the container to the host when it lies in the data mount."""
    if path is None:
        return None
    try:
        return str(mounted / Path(path).relative_to(base))
    except ValueError:
        return None
