"""What the pages tell people and agents to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from wktriage.cli.main import group

ROOT = Path(__file__).resolve().parents[2]
SKILL = ROOT / "skills/wukongim-perf-triage/SKILL.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", SKILL, *sorted(ROOT.glob("docs/*.md"))]
#: The checkout's own file, not ours.
FOREIGN = "docs/development/"


def typed(text: str) -> list[str]:
    """Return what a page shows as code: lines of fenced blocks, and inline spans."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in fenced for line in block.splitlines()] + re.findall(
        r"`([^`\n]+)`", prose
    )


def check_command(words: list[str]) -> None:
    """Follow the words down the command tree, and look their options up."""
    command: click.Command = group
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"no {command.name} {words[0]}"
        command = found
        words = words[1:]
    known = {o for p in command.params for o in p.opts} | {"--help", "--version"}
    for word in words:
        if re.fullmatch(r"--?[a-z][a-z-]*", word):
            assert word in known, f"{command.name} has no {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for code in typed(text):
        if not re.match(r"(\.venv/bin/)?(wktriage|ansible-playbook|make) ", code):
            continue
        tool, *words = shlex.split(code, comments=True)
        if tool == "make":
            assert all(w in targets for w in words if re.fullmatch(r"[a-z-]+", w)), code
        elif tool.endswith("wktriage"):
            check_command(words)
        else:
            books = [w for w in words if w.endswith(".yml")]
            assert books, code
            assert all((ROOT / w).is_file() for w in books), code
    for named in re.findall(r"\bplaybooks/[a-z]+\.yml|`docs/[\w/.-]+\.md`", text):
        if FOREIGN not in named:
            assert (ROOT / named.strip("`")).is_file(), named


def test_a_wrong_command_is_seen() -> None:
    for wrong in (["experimnt"], ["lab", "break"], ["classify", "DIR", "--force"]):
        with pytest.raises(AssertionError):
            check_command(wrong)


def test_skill_has_front_matter_and_what_the_seed_asks_for() -> None:
    text = SKILL.read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert front["name"] == SKILL.parent.name
    assert front["description"].startswith("Use when investigating WuKongIM")
    for command in group.list_commands(click.Context(group)):
        named = f"wktriage {command}" in text
        assert named or command in ("collect", "score"), f"the skill omits {command}"
    for word in (
        "smoke-default",
        "sampled-correctness",
        "hypothesis",
        "send_errors",
        "recv_errors",
        "last_error",
        "accumulated",
        "isolated",
        "local-only",
        "Not done by this harness",
    ):
        assert word in text
    assert len(text.splitlines()) < 90
