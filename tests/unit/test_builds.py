"""A git ref becomes what a stack runs: in a worktree, in time, or it is one clear error."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit import test_experiment_conduct as conducted
from tests.unit.experiment_bundles import bundle

from wktriage.bundle import fingerprint
from wktriage.core.errors import UsageError
from wktriage.experiments import grounds, refusals
from wktriage.experiments.design import Side
from wktriage.experiments.grounds import RefusedError
from wktriage.experiments.registration import TamperedError
from wktriage.request import code as codes
from wktriage.request.code import Code
from wktriage.request.request import Request
from wktriage.stack import builds, drivers
from wktriage.stack.builds import BuildError
from wktriage.stack.compose import override
from wktriage.stack.replay.driver import PLAYED

lab = conducted.lab
REPLAY = drivers.named("replay")
PLAY = 'cp incident.txt "$WK_BUILD_DIRECTORY/incident"; echo "built $WK_BUILD_REF"'
BINARIES = (
    'for p in wukongim wkbench; do cp code.txt "$WK_BUILD_DIRECTORY/$p"; '
    'chmod +x "$WK_BUILD_DIRECTORY/$p"; done'
)


def git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.org", *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def commit(root: Path, tag: str, **files: str) -> str:
    """Commit text files (name without .txt) under a tag; return the commit."""
    for stem, text in files.items():
        (root / f"{stem}.txt").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-qm", tag, "--allow-empty")
    git(root, "tag", tag)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    commit(root, "old", incident="slow-disk", code="1")
    commit(root, "new", incident="slowvol-all", code="2")
    return root


def code_of(repository: Path, ref: str, command: str = PLAY) -> Code:
    asked = {"stack_build_command": command, "wukongim_checkout": str(repository)}
    code = codes.of(asked, repository.parent / "runs", ref)
    assert code is not None
    return code


class TestBuild:
    def test_the_command_is_told_what_to_make_and_the_checkout_stays(
        self, repository: Path
    ) -> None:
        code = code_of(repository, "old", f"{PLAY}; env | grep WK_BUILD; pwd; touch here")
        (repository / "incident.txt").write_text("changed by hand")
        build = builds.build(code, REPLAY)
        told = dict(
            line.split("=", 1) for line in build.output.decode().splitlines() if "WK_" in line
        )
        assert told["WK_BUILD_REF"] == "old"
        assert told["WK_BUILD_COMMIT"] == git(repository, "rev-parse", "old")
        assert told["WK_BUILD_IMAGE"] == code.image
        assert build.output.decode().splitlines()[-1] == told["WK_BUILD_WORKTREE"]
        assert (Path(code.directory) / PLAYED).read_text() == "slow-disk"
        assert not Path(told["WK_BUILD_WORKTREE"]).exists()
        assert git(repository, "worktree", "list").count("\n") == 0
        assert git(repository, "status", "--short") == "M incident.txt"

    def test_what_was_built_is_not_built_again(self, repository: Path, tmp_path: Path) -> None:
        code = code_of(repository, "old", f"{PLAY}; echo once >> {tmp_path}/count")
        first, second = (builds.build(code, REPLAY) for _ in range(2))
        assert (tmp_path / "count").read_text() == "once\n"
        assert first.output == second.output

    @pytest.mark.parametrize(
        ("command", "why"),
        [
            ("echo no such module; exit 2", "exit code 2. It said: no such module"),
            ("sleep 60", r"was not done after 0\.2 s, without a word"),
            ("true", r"there is no file incident in \$WK_BUILD_DIRECTORY"),
            ('echo nowhere > "$WK_BUILD_DIRECTORY/incident"', "no incident 'nowhere'"),
        ],
    )
    def test_a_build_that_fails_is_one_error(
        self, repository: Path, command: str, why: str
    ) -> None:
        code = code_of(repository, "new", command)
        with pytest.raises(BuildError, match=why) as raised:
            builds.build(code, REPLAY, seconds=0.2 if "sleep" in command else 60)
        kept = Path(f"{code.directory}.failed.txt")
        assert kept.read_bytes() == raised.value.output
        assert list(kept.parent.iterdir()) == [kept]
        assert git(repository, "worktree", "list").count("\n") == 0

    def test_what_it_started_ends_with_it(self, repository: Path, tmp_path: Path) -> None:
        mark = tmp_path / "pid"
        code = code_of(repository, "old", f"sleep 60 & echo $! > {mark}; {PLAY}")
        builds.build(code, REPLAY)
        state = Path(f"/proc/{mark.read_text().strip()}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"

    def test_output_without_end_is_stopped(
        self, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(builds, "PRINTED_BYTES", 1 << 20)
        monkeypatch.setattr(builds, "_LOOK_SECONDS", 0.05)
        with pytest.raises(BuildError, match="printed more than 1 MB") as raised:
            builds.build(code_of(repository, "old", "yes"), REPLAY, seconds=60)
        assert len(raised.value.output) == builds.KEPT_BYTES


class TestAsked:
    def test_without_a_command_nothing_says_how(self, repository: Path) -> None:
        with pytest.raises(UsageError, match=r"code=old needs stack_build_command.*WK_BUILD_IMAGE"):
            codes.of({"code": "old", "wukongim_checkout": str(repository)}, Path())
        with pytest.raises(UsageError, match="needs the repository"):
            codes.of({"code": "old", "stack_build_command": "make"}, Path())
        with pytest.raises(UsageError, match="has no commit 'nope'"):
            code_of(repository, "nope")

    def test_a_build_belongs_to_its_command(self, repository: Path) -> None:
        one, other = code_of(repository, "old"), code_of(repository, "old", "make")
        assert one.image != other.image
        inputs = one.inputs()
        assert codes.built(inputs) == one.commit
        assert codes.built({**inputs, "git_revision": "f" * 40}) is None
        turned = codes.turned(inputs, code_of(repository, "new").commit)
        assert turned == code_of(repository, "new").inputs()

    def test_an_image_takes_the_place_of_the_compose_files(self) -> None:
        made = override.build(
            nodes={"wk-node1": "/data"}, data_root=Path("/d"), sim_config_dir=Path("/s"),
            sim_data_dir=Path("/x"), node_env={}, sim_env={}, project="p", source=None,
            image="wktriage-build:x",
        )  # fmt: skip
        assert {s["image"] for s in made["services"].values()} == {"wktriage-build:x"}

    def test_binaries_of_a_build_are_run(self, repository: Path) -> None:
        code = code_of(repository, "new", BINARIES)
        driver = drivers.named("processes")
        assert driver.unbuilt(code) == "there is no executable wukongim in $WK_BUILD_DIRECTORY"
        builds.build(code, driver)
        assert driver.unbuilt(code) is None
        request = driver.check_request(processes(repository, code="new"))
        assert request.code == code
        assert request.own["programs"]["wukongim"]["file"] == f"{code.directory}/wukongim"


def processes(repository: Path, **given: Any) -> Any:
    from wktriage.request.request import Asked, StackHost

    host = StackHost(
        "localhost", "127.0.0.1", True, settings={"wk_benchmark_host": True, "wk_node_count": 3}
    )
    values = {
        "wukongim_checkout": str(repository), "stack_build_command": BINARIES,
        "runs_dir": str(repository.parent / "runs"),
        "data_root": str(repository.parent / "data"), **given,
    }  # fmt: skip
    return Asked(values, repository.parent, True, True, (host,))


class Built(conducted.StandIn):
    """A bench without a stack whose runs may be of a git ref."""

    def check(self, values: Any) -> Request:
        request = super().check(values)
        code = codes.of(values, self.root / "runs")
        return replace(request, code=code)


@pytest.fixture
def on_code(lab: conducted.Lab, repository: Path) -> conducted.Lab:
    """A lab whose control is a build of ``old``."""
    control = lab.root / "runs" / "control"
    for path in sorted(control.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    control.rmdir()
    inputs = {**conducted.CONTROL, **code_of(repository, "old", BINARIES).inputs()}
    made = bundle(lab.root / "runs", "control", inputs)
    (made.root / "verdict.json").write_text("{}")
    lab.bench = Built("processes", True, lab.root, lab.bench.hosts)
    lab.verdicts["control"] = {**conducted.VERDICT, "next_experiment": {}}
    return lab


def asks(repository: Path, **given: Any) -> dict[str, Any]:
    return {
        "variable": "code", "value": "new", "stack_build_command": BINARIES,
        "wukongim_checkout": str(repository), **given,
    }  # fmt: skip


class TestVariable:
    def test_the_two_sides_differ_in_the_code_alone(
        self, on_code: conducted.Lab, repository: Path
    ) -> None:
        under_way = on_code.open(**asks(repository))
        variable = under_way.registration.variable
        old, new = (git(repository, "rev-parse", ref) for ref in ("old", "new"))
        assert (variable.kind, variable.before, variable.after) == ("code", old, new)
        control = grounds.control_of("control", on_code.root / "runs").bundle
        sides = [grounds.side_inputs(control, variable, side) for side in Side]
        predicted = [
            on_code.bench.predict(
                on_code.bench.check(
                    grounds.run_values(on_code.bench, under_way.asked.stack, inputs, 60, 0)
                ),
                inputs,
            )
            for inputs in sides
        ]
        assert predicted == sides
        paths = fingerprint.compare({"inputs": sides[0]}, {"inputs": sides[1]})
        assert paths == ["git_revision", "image"]
        assert refusals.variables(paths, *sides) == ["code"]
        outputs = sorted(p.name for p in (under_way.case.directory / "evidence").glob("build-*"))
        assert outputs == sorted(f"build-{name[:12]}.txt" for name in (old, new))
        while on_code.run(under_way):
            pass
        assert under_way.conclude().outcome == "supported"

    def test_another_commit_is_no_run_of_it(self, on_code: conducted.Lab, repository: Path) -> None:
        under_way = on_code.open(**asks(repository), seed="1")
        third = commit(repository, "third", code="3")
        following = under_way.next()
        assert following is not None
        name = str(following.values["bundle_id"])
        on_code.values[name] = {"achieved_rate_ratio": 0.5}
        inputs = {**conducted.CONTROL, **code_of(repository, third, BINARIES).inputs()}
        bundle(on_code.root / "runs", name, inputs)
        with pytest.raises(TamperedError, match="is no run of this experiment"):
            under_way.record(name, 0, 1)

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"stack_build_command": ""}, "needs stack_build_command"),
            ({"stack_build_command": "make other"}, "built with another stack_build_command"),
            ({"value": ""}, "needs a git ref"),
            ({"value": "old"}, "nothing would change"),
            ({"value": "nope"}, "has no commit"),
            ({"code": "new"}, "code is the control's"),
        ],
    )
    def test_refused_before_anything_is_there(
        self, on_code: conducted.Lab, repository: Path, given: dict[str, str], says: str
    ) -> None:
        with pytest.raises(UsageError, match=says):
            on_code.open(**asks(repository, **given))
        assert not (on_code.root / "cases").exists()
        assert not (on_code.root / "runs" / codes.DIRECTORY).exists()

    def test_a_ref_that_does_not_build_registers_nothing(
        self, on_code: conducted.Lab, repository: Path
    ) -> None:
        git(repository, "rm", "-q", "code.txt")
        commit(repository, "broken")
        with pytest.raises(BuildError, match=r"broken.*is not built.*exit code 1"):
            on_code.open(**asks(repository, value="broken"))
        assert not (on_code.root / "cases").exists()

    def test_a_control_that_was_not_built_is_refused(
        self, lab: conducted.Lab, repository: Path
    ) -> None:
        with pytest.raises(RefusedError, match=r"no record says .*-e code=a{40}"):
            lab.open(**asks(repository))

    def test_code_comes_after_workload(self, on_code: conducted.Lab, repository: Path) -> None:
        on_code.verdicts["control"] = conducted.VERDICT
        with pytest.raises(RefusedError, match="workload before configuration before code"):
            on_code.open(**asks(repository))
        assert not (on_code.root / "runs" / codes.DIRECTORY).exists()

    def test_an_experiment_on_a_built_control_runs_that_build(
        self, on_code: conducted.Lab, repository: Path
    ) -> None:
        given = asks(repository, variable="concurrency", value="64")
        following = on_code.open(**given).next()
        assert following is not None
        assert following.values["code"] == git(repository, "rev-parse", "old")
