"""What the pages tell people and agents to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wktriage.cli import group

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "skills/wukongim-perf-triage/SKILL.md", ROOT / "docs/how-to.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\bwktriage ([a-z][a-z-]+)(?= |`|$)", text, re.MULTILINE):
        assert name in group.commands, f"{page.name} names wktriage {name}"
    for playbook in re.findall(r"\bplaybooks/[a-z]+\.yml", text):
        assert (ROOT / playbook).is_file()
    for linked in re.findall(r"`(docs/[\w/.-]+\.md)`", text):
        if "WKSIM" not in linked:  # the checkout's own file
            assert (ROOT / linked).is_file(), linked


def test_skill_says_what_the_seed_asks_for() -> None:
    text = (ROOT / "skills/wukongim-perf-triage/SKILL.md").read_text(encoding="utf-8")
    for word in (
        "smoke-default",
        "hypothesis",
        "send_errors",
        "accumulated",
        "isolated",
        "local-only",
    ):
        assert word in text
    assert len(text.splitlines()) < 90
