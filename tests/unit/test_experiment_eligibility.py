from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.experiment_bundles import CATALOGUE, ref, registered, signals

from wktriage.core.errors import InfraError, UsageError
from wktriage.experiments import eligibility, regression
from wktriage.experiments.design import Side
from wktriage.experiments.effects import Outcome
from wktriage.experiments.eligibility import Tried
from wktriage.experiments.judge import JudgedRun, judge
from wktriage.experiments.outcomes import ExperimentOutcome
from wktriage.experiments.regression import Attempt, Ran, TestRun
from wktriage.experiments.verification import ScenarioRun, verify

COMMAND = "go test ./... -run TestDouble"
TEST = """package calc

import "testing"

func TestDouble(t *testing.T) {
	if got := Double(2); got != 4 {
		t.Fatalf("Double(2) is %d, want 4", got)
	}
}
"""
WRONG = "package calc\n\nfunc Double(n int) int { return n + 1 }\n"
RIGHT = "package calc\n\nfunc Double(n int) int { return 2 * n }\n"
FLAKY = """package calc

import (
	"os"
	"testing"
)

func TestDouble(t *testing.T) {
	f, _ := os.OpenFile(os.Getenv("GO_COUNT_FILE"), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	f.WriteString("x")
	info, _ := f.Stat()
	if info.Size()%5 == 3 {
		t.Fatalf("the fifth part of the time")
	}
}
"""


def git(root: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.org", *words],
        check=True, capture_output=True,
    )  # fmt: skip


def commit(root: Path, name: str, **files: str) -> None:
    """Commit files (name without .go) under a tag."""
    for stem, text in files.items():
        (root / f"{stem}.go").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-qm", name, "--allow-empty")
    git(root, "tag", name)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "go.mod").write_text("module example.org/calc\n\ngo 1.21\n")
    commit(root, "base", calc=WRONG)
    return root


def event(action: str, test: str | None = None, **more: str) -> str:
    return json.dumps(
        {"Action": action, "Package": "p", **({"Test": test} if test else {}), **more}
    )


def lines(*events: str) -> str:
    return "\n".join(events)


class TestCommand:
    def test_settings_of_go_may_stand_before_it(self) -> None:
        environment, words = regression.command_words("GOWORK=off go test ./pkg -run 'TestX$'")
        assert environment == {"GOWORK": "off"}
        assert words == ["go", "test", "-json", "-count=1", "./pkg", "-run", "TestX$"]

    @pytest.mark.parametrize(
        "command",
        ["", "make test", "go test ./...", "sh -c 'go test -run X'", "go vet -run X",
         "LD_PRELOAD=x go test -run X", "go test -run X -exec ./evil", "go test -run X -count=9",
         "go test -run 'X"],
    )  # fmt: skip
    def test_anything_but_one_focused_test_is_refused(self, command: str) -> None:
        with pytest.raises(UsageError, match="regression_test"):
            regression.command_words(command)


class TestEvents:
    def test_a_failed_subtest_speaks_for_its_parent(self) -> None:
        attempt = regression.read_events(lines(
            event("run", "TestA"), event("run", "TestA/sub"),
            event("output", "TestA/sub", Output="    x_test.go:3: got 1, want 2\n"),
            event("fail", "TestA/sub"), event("fail", "TestA"), event("fail"),
        ))  # fmt: skip
        assert attempt == Attempt(Ran.FAILED, ("p.TestA/sub",), "    x_test.go:3: got 1, want 2\n")

    def test_ok_without_a_test_is_no_pass(self) -> None:
        attempt = regression.read_events(lines(
            event("output", Output="testing: warning: no tests to run\n"), event("pass"),
        ))  # fmt: skip
        assert attempt.ran is Ran.NO_SUCH_TEST

    def test_a_skipped_test_is_no_pass(self) -> None:
        text = lines(event("run", "TestA"), event("skip", "TestA"), event("pass"))
        assert regression.read_events(text).ran is Ran.NO_SUCH_TEST

    @pytest.mark.parametrize(
        "text",
        [
            json.dumps({"Action": "build-fail", "ImportPath": "p"}),
            event("fail", FailedBuild="p"),
            "FAIL\tp [build failed]",
            "FAIL p [setup failed]",
        ],
    )
    def test_code_that_does_not_compile(self, text: str) -> None:
        assert regression.read_events(text).ran is Ran.DOES_NOT_COMPILE

    def test_a_crash_before_any_test(self) -> None:
        text = lines(event("output", Output="panic: no\n"), event("fail"))
        assert regression.read_events(text).ran is Ran.CRASHED

    def test_a_test_that_does_not_end(self) -> None:
        text = lines(event("output", "TestA", Output="panic: test timed out after 1s\n"),
                     event("fail", "TestA"), event("fail"))  # fmt: skip
        assert regression.read_events(text).ran is Ran.TIMED_OUT

    @pytest.mark.parametrize("text", ["", "\x00\xff", "{" * 50_000, '{"Action": 3}', "[]\nnull"])
    def test_rubbish_is_no_test(self, text: str) -> None:
        assert regression.read_events(text).ran is Ran.NO_SUCH_TEST

    def test_one_failure_in_five_is_flaky(self) -> None:
        good, bad = Attempt(Ran.PASSED, ("p.TestA",)), Attempt(Ran.FAILED, ("p.TestA",))
        ran, text = regression.together([good, good, bad, good, good])
        assert ran is Ran.FLAKY
        assert "of 5 runs of the same code 1 failed" in text

    def test_other_tests_failing_each_time_is_flaky(self) -> None:
        one, other = Attempt(Ran.FAILED, ("p.TestA",)), Attempt(Ran.FAILED, ("p.TestB",))
        assert regression.together([one, other])[0] is Ran.FLAKY


@pytest.mark.go
class TestGo:
    def test_fails_before_and_passes_after(self, checkout: Path) -> None:
        commit(checkout, "fix", calc=RIGHT, calc_test=TEST)
        before = regression.run(checkout, "base", COMMAND, tests_from="fix")
        after = regression.run(checkout, "fix", COMMAND)
        assert before.ran is Ran.FAILED
        assert before.tests == ("example.org/calc.TestDouble",)
        assert "Double(2) is 3, want 4" in before.output
        assert before.added_files == ("calc_test.go",)
        assert after.ran is Ran.PASSED
        assert eligibility.fixed(before, after) is None
        assert eligibility.fixed(before, after, "want 4") is None
        problem = eligibility.fixed(before, after, "want 5")
        assert problem is not None
        assert "not with 'want 5'" in problem

    def test_the_checkout_stays_as_it_is(self, checkout: Path) -> None:
        (checkout / "calc_test.go").write_text(TEST)
        run = regression.run(checkout, "base", COMMAND, attempts=1)
        assert run.ran is Ran.FAILED
        assert run.added_files == ("calc_test.go",)
        shown = subprocess.run(
            ["git", "-C", str(checkout), "status", "--short"], capture_output=True, text=True
        ).stdout
        assert shown == "?? calc_test.go\n"
        held = subprocess.run(
            ["git", "-C", str(checkout), "worktree", "list"], capture_output=True, text=True
        ).stdout
        assert len(held.splitlines()) == 1

    def test_passes_before(self, checkout: Path) -> None:
        commit(checkout, "good", calc=RIGHT, calc_test=TEST)
        run = regression.run(checkout, "good", COMMAND, attempts=1)
        problem = eligibility.fails_for_its_reason(run)
        assert problem is not None
        assert "passes on good already" in problem

    def test_fails_after(self, checkout: Path) -> None:
        commit(checkout, "fix", calc=WRONG, calc_test=TEST)
        before = regression.run(checkout, "base", COMMAND, tests_from="fix", attempts=1)
        after = regression.run(checkout, "fix", COMMAND, attempts=1)
        problem = eligibility.fixed(before, after)
        assert problem is not None
        assert "still fails on fix" in problem

    def test_does_not_compile(self, checkout: Path) -> None:
        commit(checkout, "fix", calc_test=TEST.replace("Double(2)", "Twice(2)"))
        run = regression.run(checkout, "fix", COMMAND, attempts=2)
        assert run.ran is Ran.DOES_NOT_COMPILE
        assert "undefined: Twice" in run.output
        problem = eligibility.fails_for_its_reason(run)
        assert problem is not None
        assert "does not compile" in problem

    def test_no_such_test(self, checkout: Path) -> None:
        commit(checkout, "fix", calc_test=TEST)
        run = regression.run(checkout, "fix", "go test ./... -run TestNoSuch", attempts=1)
        problem = eligibility.fails_for_its_reason(run)
        assert problem is not None
        assert "No test ran" in problem

    def test_flaky(self, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GO_COUNT_FILE", str(tmp_path / "count"))
        commit(checkout, "fix", calc_test=FLAKY)
        run = regression.run(checkout, "fix", COMMAND)
        problem = eligibility.fails_for_its_reason(run)
        assert problem is not None
        assert "flaky" in problem
        assert "of 5 runs of the same code 1 failed" in problem

    def test_does_not_end(self, checkout: Path) -> None:
        text = TEST.replace("if got", "select {}\n\tif got")
        commit(checkout, "fix", calc_test=text)
        run = regression.run(
            checkout, "fix", "go test -vet=off ./... -run TestDouble -timeout 1s", attempts=1
        )
        assert run.ran is Ran.TIMED_OUT
        problem = eligibility.fails_for_its_reason(run)
        assert problem is not None
        assert "did not end in time" in problem

    def test_a_ref_that_is_none(self, checkout: Path) -> None:
        for name in ("nope", "--upload-pack=x", ""):
            with pytest.raises(UsageError, match=r"nope|no git ref"):
                regression.run(checkout, name, COMMAND)


def test_without_go(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regression.shutil, "which", lambda _name: None)
    with pytest.raises(InfraError, match="install Go"):
        regression.run(checkout, "base", COMMAND)


def made_run(ran: Ran = Ran.FAILED, **changes: Any) -> TestRun:
    parts: dict[str, Any] = {
        "command": COMMAND,
        "ref": "base",
        "commit": "a" * 40,
        "attempts": 5,
        "ran": ran,
        "text": f"It {ran}.",
        "tests": ("p.TestDouble",),
        "output": "    x_test.go:3: got 3, want 4\n",
    }
    return TestRun(**{**parts, **changes})


TRIED = (
    Tried(1, "concurrency", "workload", Outcome.REFUTED),
    Tried(2, "flush_window", "config", Outcome.REFUTED),
)
VERDICT = {"category": "send_path", "component": "channel_append", "confidence": 0.8}


def files(root: Path, **changes: bytes | None) -> Path:
    """Write the evidence that meets every condition, some of it changed or left out."""
    held: dict[str, bytes | None] = {
        "verdict": json.dumps(VERDICT).encode(),
        "base": msgspec.json.encode(made_run()),
        "semantics": b"Quorum is untouched; one node takes the same path.",
        "plan": eligibility.plan_of("person-hotpath"),
        **changes,
    }
    names = {"verdict": eligibility.VERDICT, "base": eligibility.BASE_TEST,
             "semantics": eligibility.SEMANTICS, "plan": eligibility.PLAN}  # fmt: skip
    (root / "evidence").mkdir()
    for key, data in held.items():
        if data is not None:
            (root / names[key]).write_bytes(data)
    return root


class TestConditions:
    def test_all_met(self, tmp_path: Path) -> None:
        said = eligibility.assess(files(tmp_path), "person-hotpath", TRIED)
        assert said.code_change_needed == "yes"
        assert said.first_unmet is None
        assert len(said.conditions) == 5
        assert all((tmp_path / str(c.file)).is_file() for c in said.conditions if c.file
                   and c.file.startswith("evidence"))  # fmt: skip

    @pytest.mark.parametrize(
        ("changes", "first"),
        [
            ({"verdict": None}, "named_failure_mode"),
            ({"verdict": json.dumps({**VERDICT, "confidence": 0.4}).encode()},
             "named_failure_mode"),
            ({"verdict": json.dumps({**VERDICT, "category": "client_bottleneck"}).encode()},
             "named_failure_mode"),
            ({"base": None}, "regression_test"),
            ({"base": msgspec.json.encode(made_run(Ran.PASSED))}, "regression_test"),
            ({"base": msgspec.json.encode(made_run(Ran.FLAKY))}, "regression_test"),
            ({"base": msgspec.json.encode(made_run(Ran.DOES_NOT_COMPILE))}, "regression_test"),
            ({"base": msgspec.json.encode(made_run(output="--- FAIL: TestDouble\nFAIL\n"))},
             "regression_test"),
            ({"semantics": None}, "semantics"),
            ({"semantics": b"ok\n"}, "semantics"),
            ({"plan": None}, "verification"),
            ({"plan": b'{"scenarios": ["smoke-default"]}'}, "verification"),
        ],
    )  # fmt: skip
    def test_first_unmet(self, tmp_path: Path, changes: Any, first: str) -> None:
        said = eligibility.assess(files(tmp_path, **changes), "person-hotpath", TRIED)
        assert (said.code_change_needed, said.first_unmet) == ("no", first)
        assert said.reason == next(c.text for c in said.conditions if c.met == "no")

    @pytest.mark.parametrize(
        ("tried", "why"),
        [
            ((), "No workload experiment has been refuted"),
            (TRIED[:1], "No configuration experiment has been refuted"),
            ((TRIED[0], Tried(2, "flush_window", "config", Outcome.SUPPORTED)),
             "Change that instead"),
            ((TRIED[1], Tried(1, "concurrency", "workload", Outcome.INCONCLUSIVE)),
             "workload may still explain it"),
        ],
    )  # fmt: skip
    def test_experiments_come_first(self, tmp_path: Path, tried: Any, why: str) -> None:
        said = eligibility.assess(files(tmp_path), "person-hotpath", tried)
        assert said.first_unmet == "experiments"
        assert why in said.reason

    def test_damaged_evidence_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            eligibility.assess(files(tmp_path, base=b"{"), "person-hotpath", TRIED)


class TestFix:
    def test_another_test_does_not_show_it(self) -> None:
        after = made_run(Ran.PASSED, ref="fix")
        assert eligibility.fixed(made_run(), after) is None
        other = made_run(Ran.PASSED, ref="fix", command="go test . -run Other")
        assert "not the one" in str(eligibility.fixed(made_run(), other))
        renamed = made_run(Ran.PASSED, ref="fix", tests=("p.TestElse",))
        assert "did not run on fix" in str(eligibility.fixed(made_run(), renamed))

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("if cfg.SingleNode {", "local-only"),
            ("if len(nodes) == 1 {", "local-only"),
            ("opts.Sync = pebble.NoSync", "durability"),
        ],
    )
    def test_semantics(self, line: str, why: str) -> None:
        diff = f"--- a/x.go\n+++ b/x.go\n@@ -1 +1 @@\n+{line}\n"
        assert why in eligibility.semantics_problems(diff)[0]
        assert eligibility.semantics_problems(diff.replace("x.go", "x_test.go")) == []
        assert eligibility.semantics_problems(diff.replace(f"+{line}", f"-{line}")) == []


def improvement(after: list[float], errors: int = 0) -> ExperimentOutcome:
    runs = [JudgedRun(Side.CONTROL, signals(achieved_rate_ratio=v)) for v in
            (0.20, 0.21, 0.19, 0.205)]  # fmt: skip
    runs += [JudgedRun(Side.TREATMENT, signals(achieved_rate_ratio=v, send_errors=errors))
             for v in after]  # fmt: skip
    return judge(registered(), runs, catalogue=CATALOGUE)


class TestVerification:
    FIX = "f" * 40
    FAST = (0.97, 0.98, 0.99, 0.975)

    def runs(self, **changes: str) -> list[ScenarioRun]:
        return [
            ScenarioRun(name, ref(name), changes.get("category", "healthy"),
                        changes.get("revision", self.FIX))
            for name in ("person-hotpath", "smoke-default", "sampled-correctness")
        ]  # fmt: skip

    def verify(self, **changes: Any) -> Any:
        parts: dict[str, Any] = {
            "target": "person-hotpath",
            "before": made_run(),
            "after": made_run(Ran.PASSED, ref="fix", commit=self.FIX),
            "runs": self.runs(),
            "improvement": improvement(list(self.FAST)),
            "diff": "",
        }
        return verify(**{**parts, **changes})

    def test_verified(self) -> None:
        assert self.verify().verified == "yes"

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"after": made_run(Ran.FAILED, ref="fix", commit=FIX)}, "still fails"),
            ({"runs": []}, "person-hotpath has not been run"),
            ({"improvement": None}, "has not been compared"),
            ({"improvement": improvement([0.2, 0.21, 0.19, 0.205])}, "did not improve"),
            ({"improvement": improvement(list(FAST), 3)}, "send_errors"),
            ({"diff": "+++ b/x.go\n+if standalone {\n"}, "local-only"),
        ],
    )
    def test_not_verified(self, changes: dict[str, Any], why: str) -> None:
        said = self.verify(**changes)
        assert said.verified == "no"
        assert why in said.reason

    def test_scenarios_must_be_healthy_and_of_the_fix(self) -> None:
        assert "not healthy" in self.verify(runs=self.runs(category="send_path")).reason
        assert "not on the fix" in self.verify(runs=self.runs(revision="e" * 40)).reason
        assert "sampled-correctness" in self.verify(runs=self.runs()[:2]).reason
