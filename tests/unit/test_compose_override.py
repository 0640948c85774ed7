"""What the override reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.stackfakes import make_checkout

from wktriage.core.errors import UsageError
from wktriage.stack.compose import override


def test_nodes_are_ordered_by_number_not_by_text() -> None:
    services = {f"wk-node{n}": {} for n in (10, 2, 1)} | {"wk-nodes": {}, "wk-sim": {}}
    assert override.node_services(services) == ["wk-node1", "wk-node2", "wk-node10"]


@pytest.mark.parametrize("text", ["- a\n", "services: 3\n", "services: {web: {}}\n", "a: [\n"])
def test_a_file_without_the_services_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"checkout|compose file"):
        override.read_services(file)


def test_a_checkout_without_simulator_is_refused(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path, sim=False)
    with pytest.raises(UsageError, match="wk-sim"):
        override.read_services(checkout / "docker-compose.yml")


def test_dump_has_no_anchors() -> None:
    shared = {"a": "1"}
    text = override.dump({"services": {"x": {"labels": shared}, "y": {"labels": shared}}})
    assert "&" not in text
    assert text.count("a: '1'") == 2


def test_sim_config_is_untouched_when_nothing_was_asked() -> None:
    assert override.sim_config("# text\n", connect_rate=None) == "# text\n"
