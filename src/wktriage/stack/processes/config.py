"""The configuration of nodes and simulator: one template each, for any number of nodes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from wktriage.stack.processes.placement import Layout, NodePlace, endpoint

SHIPPED_REPLICAS = 3
"""Copies of a slot where the cluster is large enough, as the server's own configuration has it."""

SHIPPED_CONNECT_RATE = 10  # users/s


def node_config(layout: Layout, node: NodePlace, data_root: str) -> str:
    """Return the TOML of a node."""
    return _render(
        "node.toml.j2",
        layout=layout,
        node=node,
        data_dir=f"{data_root}/{node.data}",
        replicas=SHIPPED_REPLICAS,
    )


def sim_config(layout: Layout, connect_rate: int | None) -> str:
    """Return the YAML of the simulator; ``connect_rate`` is in users a second."""
    return _render(
        "dev-sim.yaml.j2",
        layout=layout,
        gateways=[endpoint(node.address, node.gateway_port) for node in layout.nodes],
        connect_rate=connect_rate or SHIPPED_CONNECT_RATE,
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (no HTML: every value is quoted as TOML and YAML quote it)
    )
    # A string or list of strings in JSON means the same in TOML and in YAML.
    environment.filters["quoted"] = json.dumps
    environment.globals["endpoint"] = endpoint
    return environment


def _render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(**values)
