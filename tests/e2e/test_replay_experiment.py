"""An investigation on replayed recordings, with its experiment: run, judged, recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wktriage.experiments.case import Case
from wktriage.experiments.investigation import journal

ROOT = Path(__file__).parents[2]
FLUSH = "WK_CLUSTER_COMMIT_COORDINATOR_FLUSH_WINDOW"
pytestmark = pytest.mark.slow


def _ansible(playbook: str, *extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i", "inventory/replay", playbook,
            *(word for item in extra for word in ("-e", item)),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
        env={**os.environ, "WKTRIAGE_PLAIN": "1"},
    )  # fmt: skip


def test_a_setting_is_found_guilty_by_taking_it_away(tmp_path: Path) -> None:
    """From a recorded failure to the experiment on its setting, by itself, judged and recorded.

    Two runs a side can decide nothing, which the outcome has to say.
    """
    where = (
        f"runs_dir={tmp_path / 'runs'}", f"cases_dir={tmp_path / 'cases'}",
        "stack_project=e2e-experiment", "profile_seconds=0", "duration=12",
    )  # fmt: skip
    asked = ("repeats=2", "seed=1", "foreign_load=0.6", "budget=40m", *where)
    done = _ansible("playbooks/investigate.yml", "incident=commitwin", *asked)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "run 1 of 4, about" in done.stdout
    assert "VERDICT" not in done.stdout
    (name,) = (p.name for p in (tmp_path / "cases").iterdir() if not p.name.startswith("."))
    case = Case.load(tmp_path / "cases", name)
    story = journal.load(case)
    assert story is not None
    assert [step.kind for step in story.steps] == ["triage", "recur", "experiment"]
    assert story.steps[1].came_of == "send path again: it recurs"
    assert f"{FLUSH} = 400ms taken away" in story.steps[2].what
    assert story.ended is not None
    assert story.ended.how == "nothing_left"
    assert any(f"-e extend={name}" in text for text in story.ended.next)

    assert len(case.experiment().runs) == 4
    outcome = case.experiment().outcomes[-1]
    assert (outcome.outcome, outcome.more_pairs) == ("inconclusive", 2)
    assert (outcome.expected.yes, outcome.expected_in_control.yes) == (2, 0)
    page = (tmp_path / "cases" / name / "case.html").read_text()
    assert "it held in 2 of 2 treatment runs and in 0 of 2 control runs" in page
    control = tmp_path / "runs" / str(story.steps[0].bundle)

    # It goes on where it ended, and does no run again.
    again = _ansible("playbooks/investigate.yml", f"case={name}", *asked)
    assert again.returncode == 0, again.stdout[-4000:]
    assert "OUTCOME outcome    nothing left to try" in again.stdout
    assert len(Case.load(tmp_path / "cases", name).experiment().runs) == 4

    refused = _ansible(
        "playbooks/experiment.yml", *where, f"control={control}", "variable=gateway_workers",
        "value=512", "expect=achieved_rate_ratio >= 0.95", "min_effect=10%",
    )  # fmt: skip
    assert refused.returncode != 0
    assert "not recorded: no incident of scenario smoke-default" in " ".join(refused.stdout.split())
    assert len(Case.load(tmp_path / "cases", name).document.experiments) == 1

    checkout = tmp_path / "checkout"
    (checkout / "docs" / "development").mkdir(parents=True)
    words = (f"case={name}", f"wukongim_checkout={checkout}", where[1])
    recorded = _ansible("playbooks/record.yml", *words)
    assert recorded.returncode == 0, recorded.stdout[-4000:]
    text = (checkout / "docs" / "development" / "WKSIM_STRESS_FINDINGS.md").read_text()
    assert text.count(f"`{name}`") == 1
    assert "inconclusive" in text
