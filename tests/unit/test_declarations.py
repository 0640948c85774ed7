"""Every kind of data file: what is wrong in one is one error with file, place and suggestion."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, field

from wktriage.core import topology as topologies
from wktriage.core.declarations import Declared, convert
from wktriage.core.errors import InfraError, TriageError, UsageError
from wktriage.core.paths import PROJECT
from wktriage.incidents import labels
from wktriage.judging.project_data import check_project_data
from wktriage.lab import faults
from wktriage.request import knobs

Change = Callable[[Any], None]


def deleted(*path: str | int) -> Change:
    def change(document: Any) -> None:
        for token in path[:-1]:
            document = document[token]
        del document[path[-1]]

    return change


def renamed(new: str, *path: str | int) -> Change:
    def change(document: Any) -> None:
        for token in path[:-1]:
            document = document[token]
        document[new] = document.pop(path[-1])

    return change


def put(value: object, *path: str | int) -> Change:
    def change(document: Any) -> None:
        for token in path[:-1]:
            document = document[token]
        document[path[-1]] = value

    return change


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's data files."""
    for name in ("scenarios", "rules", "causes", "knobs"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    (tmp_path / "incidents").mkdir()
    shutil.copy(PROJECT / "incidents" / "labels.jsonl", tmp_path / "incidents")
    return tmp_path


def refused(error: type[TriageError], load: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        load()
    return str(caught.value)


@pytest.mark.parametrize(
    ("file", "change", "place", "told"),
    [
        ("scenarios/custom.yml", deleted("isolates"), "", "'isolates' is missing: add a list"),
        ("scenarios/custom.yml", deleted("workload", "users"), "/workload",
         "'users' is missing: add a whole number"),
        ("scenarios/custom.yml", renamed("usres", "workload", "users"), "/workload",
         "unknown key 'usres'; did you mean 'users'?"),
        ("scenarios/custom.yml", put("40", "workload", "users"), "/workload/users",
         "expected a whole number, got text"),
        ("scenarios/custom.yml", put("1", "workload", "rate"), "/workload/rate",
         "'1' is not a number a second, such as 0.25/s"),
        ("scenarios/custom.yml", put("sample", "workload", "verify_recv"), "/workload/verify_recv",
         "did you mean 'sampled'?"),
        ("scenarios/custom.yml", put("costum", "name"), "/name", "must be 'custom'"),
        ("scenarios/mixed-highrate.yml", put(["person-hotpaht"], "isolates"), "/isolates/0",
         "did you mean 'person-hotpath'?"),
        ("scenarios/custom.yml", put("send_eror", "success", "all", 2, "signal"),
         "/success/all/2/signal", "no signal 'send_eror' in the catalogue; did you mean"),
        ("rules/healthy.yml", deleted("rules", 0, "title"), "/rules/0",
         "'title' is missing: add text"),
        ("rules/healthy.yml", renamed("hypothesis", "rules", 0, "hypotheses"), "/rules/0",
         "unknown key 'hypothesis'; did you mean 'hypotheses'?"),
        ("rules/healthy.yml", put("transprot", "rules", 0, "component"), "/rules/0/component",
         "did you mean 'transport'?"),
        ("rules/healthy.yml", put(["send_erors"], "rules", 0, "needs"), "/rules/0/needs/0",
         "no signal 'send_erors'; did you mean 'send_errors'?"),
        ("rules/healthy.yml", put(["node_bakc"], "rules", 0, "hypotheses"),
         "/rules/0/hypotheses/0", "no hypothesis 'node_bakc'; did you mean 'node_back'?"),
        ("rules/healthy.yml", put({"fact": "faild"}, "rules", 0, "when"), "/rules/0/when/fact",
         "no fact 'faild'; did you mean 'failed'?"),
        ("rules/healthy.yml", put({"abnormal": "node_los"}, "rules", 0, "when"), "/rules/0/when",
         "no element 'node_los'; did you mean 'node_lost'?"),
        ("rules/healthy.yml", put("baseline_health", "category"), "/category", "must be healthy"),
        ("causes/quorum.yml", deleted("regression_test"), "",
         "a cause that has a category needs hypotheses and regression_test"),
        ("causes/quorum.yml", put("healthy", "category", "failed_sends"), "",
         "healthy cannot be a cause's category"),
        ("causes/quorum.yml", put("peer", "signs", 0, "against"), "/signs/0/against",
         "did you mean 'peers'?"),
        ("causes/quorum.yml", put(["folowers"], "holds_up", "stages"), "/holds_up/stages/0",
         "did you mean 'followers'?"),
        ("rules/facts.yml", renamed("scpoe", "facts", "failed", "scope"), "/facts/failed",
         "unknown key 'scpoe'; did you mean 'scope'?"),
        ("rules/facts.yml", put("nodes", "facts", "failed", "scope"), "/facts/failed/scope",
         "did you mean 'node'?"),
        ("rules/facts.yml", deleted("facts"), "", "'facts' is missing: add a mapping"),
        ("knobs/workload.yml", deleted("knobs", 0, "default"), "/knobs/0", "'default' is missing"),
        ("knobs/workload.yml", renamed("afects", "knobs", 0, "affects"), "/knobs/0",
         "unknown key 'afects'; did you mean 'affects'?"),
        ("knobs/workload.yml", put("many", "knobs", 0, "max"), "/knobs/0/max",
         "expected a number or nothing, got text"),
        ("knobs/workload.yml", put("usres", "knobs", 0, "name"), "/knobs/0/name",
         "the workload has no key 'usres'; did you mean 'users'?"),
        ("knobs/node.yml", put("intger", "knobs", 0, "type"), "/knobs/0/type",
         "did you mean 'integer'?"),
        ("knobs/node.yml", put(["gatway"], "knobs", 0, "components"), "/knobs/0/components/0",
         "did you mean 'gateway'?"),
        ("knobs/hypotheses.yml", put("rtae", "hypotheses", "replication_rpc", "experiment", "knob"),
         "/hypotheses/replication_rpc/experiment/knob", "no config knob 'rtae'"),
        ("knobs/hypotheses.yml", put("sate", "hypotheses", "longer_run", "experiment", "kind"),
         "/hypotheses/longer_run/experiment/kind", "did you mean 'state'?"),
        ("knobs/hypotheses.yml", deleted("hypotheses", "longer_run", "statement"),
         "/hypotheses/longer_run", "'statement' is missing: add text"),
        ("knobs/hypotheses.yml", put("6", "hypotheses", "longer_run", "experiment", "duration"),
         "/hypotheses/longer_run/experiment/duration", "expected a whole number or nothing"),
        ("knobs/hypotheses.yml",
         put("smoke-defualt", "hypotheses", "bring_up", "experiment", "scenario"),
         "/hypotheses/bring_up/experiment/scenario", "did you mean 'smoke-default'?"),
    ],
)  # fmt: skip
def test_project_data_is_checked_whole(
    project: Path, file: str, change: Change, place: str, told: str
) -> None:
    document = yaml.safe_load((project / file).read_text("utf-8"))
    change(document)
    (project / file).write_text(yaml.safe_dump(document))
    said = refused(UsageError, lambda: check_project_data(project))
    assert said.startswith(f"{project / file}: " + (f"at {place}: " if place else ""))
    assert told in said


@pytest.mark.parametrize(
    ("change", "place", "told"),
    [
        (deleted("label"), "", "'label' is missing: add one of baseline_health, "),
        (renamed("node", "nodes"), "", "unknown key 'node'; did you mean 'nodes'?"),
        (put("soon", "fault_at_s"), "/fault_at_s", "expected a number or nothing, got text"),
        (put("sned_path", "label"), "/label", "did you mean 'send_path'?"),
        (put(["sned_path"], "also_ok"), "/also_ok/0", "did you mean 'send_path'?"),
    ],
)
def test_labels_are_checked_row_by_row(
    project: Path, change: Change, place: str, told: str
) -> None:
    file = project / "incidents" / "labels.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    change(rows[2])
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = refused(UsageError, lambda: check_project_data(project))
    assert said.startswith(f"{file}:3: " + (f"at {place}: " if place else ""))
    assert told in said


def test_labels_survive_being_written_and_the_former_name_of_nodes_is_read(tmp_path: Path) -> None:
    source = PROJECT / "incidents" / "labels.jsonl"
    rows = labels.read(source)
    assert labels.text(reversed(rows)) == source.read_text("utf-8")
    former = tmp_path / "labels.jsonl"
    former.write_text(source.read_text("utf-8").replace('"nodes"', '"must_cite"'))
    assert labels.read(former) == rows


@pytest.mark.parametrize(
    ("change", "place", "told"),
    [
        (deleted("mechanism"), "", "'mechanism' is missing: add text"),
        (renamed("injekt", "inject"), "", "unknown key 'injekt'; did you mean 'inject'?"),
        (put("node:1", "targets"), "/targets", "did you mean 'nodes:1'?"),
        (put("freez", "inject", 0, "do"), "/inject/0/do", "is not one of those allowed"),
        (put("puase", "inject", 0, "verb"), "/inject/0/verb", "did you mean 'pause'?"),
        (renamed("vreb", "inject", 0, "verb"), "/inject/0", "unknown key 'vreb'; did you mean"),
        (put("later", "after_s"), "/after_s", "expected a whole number or a number, got text"),
        (put("$seconds", "after_s"), "/after_s", "no parameter 'seconds'"),
        (put("stat", "check", "do"), "/check/do", "did you mean 'state'?"),
        (put("sned_path", "labels", 0, "label"), "/labels/0/label", "did you mean 'send_path'?"),
        (put({"signal": "send_eror", "op": ">", "value": 0}, "labels", 0, "when"),
         "/labels/0/when/signal", "no signal 'send_eror' in the catalogue; did you mean"),
        (put({"usres": 5}, "run"), "/run", "unknown extra var 'usres'; did you mean 'users'?"),
        (put({"scenario": "costum"}, "run"), "/run/scenario", "did you mean 'custom'?"),
    ],
)  # fmt: skip
def test_faults_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change, place: str, told: str
) -> None:
    document = yaml.safe_load((PROJECT / "faults" / "pause-node.yml").read_text("utf-8"))
    change(document)
    monkeypatch.setattr(faults, "FAULTS", tmp_path)
    file = tmp_path / "pause-node.yml"
    file.write_text(yaml.safe_dump(document))
    said = refused(UsageError, faults.check_all)
    assert said.startswith(f"{file}: " + (f"at {place}: " if place else ""))
    assert told in said


@pytest.mark.parametrize(
    ("change", "place", "told"),
    [
        (deleted("nodes"), "", "'nodes' is missing: add a list"),
        (renamed("data_rot", "data_root"), "", "unknown key 'data_rot'; did you mean 'data_root'?"),
        (put("one", "nodes", 0, "id"), "/nodes/0/id", "expected a whole number, got text"),
        (put("containers", "nodes", 0, "handle", "kind"), "/nodes/0/handle/kind",
         "did you mean 'container'?"),
        (put("", "driver"), "/driver", "'' is not text like"),
    ],
)  # fmt: skip
def test_topologies_are_checked(tmp_path: Path, change: Change, place: str, told: str) -> None:
    handle = topologies.Handle(kind="container", id="x")
    node = topologies.Node("wk-node1", 1, "localhost", "http://127.0.0.1:1", handle, None, None)
    sim = topologies.Sim("wk-sim", "localhost", "http://127.0.0.1:2/status", handle)
    document = topologies.Topology("compose", "t", "/d", (node,), sim).as_dict()
    document["nodes"] = list(document["nodes"])
    change(document)
    file = tmp_path / "topology.json"
    file.write_text(json.dumps(document))
    said = refused(InfraError, lambda: topologies.load(file))
    assert said.startswith(f"{file}: " + (f"at {place}: " if place else ""))
    assert told in said


class Inner(Declared, frozen=True):
    size: Annotated[int, Meta(ge=1)]
    words: tuple[str, ...] = ()


class Outer(Declared, frozen=True):
    inner: Inner
    by_name: dict[str, Inner] = field(default_factory=dict)
    many: tuple[Inner, ...] = ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("sizewordn", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inner", "by_name", "many", "size", "words", "sise"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_a_file_holds_is_either_as_declared_or_one_error(document: object) -> None:
    told = "file.yml: "
    try:
        convert(document, Outer, "file.yml")
    except UsageError as exc:
        told = str(exc)
    assert told.startswith("file.yml: ")
    assert "`" not in told


@given(st.text("abcxyz-", min_size=1, max_size=6), st.integers(-3, 0))
def test_a_mistake_inside_a_mapping_names_its_key(name: str, size: int) -> None:
    good = {"size": 1}
    document = {"inner": good, "by_name": {"first": good, f"n{name}": {"size": size}}}
    with pytest.raises(UsageError, match=f"at /by_name/n{name}/size: expected a whole number >= 1"):
        convert(document, Outer, "file.yml")


def test_the_project_is_as_declared() -> None:
    check_project_data()
    faults.check_all()
    assert knobs.load()["rate"].env == "WK_SIM_RATE"
