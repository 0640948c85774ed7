from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wktriage.core.errors import UsageError
from wktriage.experiments import finding
from wktriage.experiments.finding import Entry

LIST = """# WKSIM Stress Findings

## 2026-08-15 local lifecycle durable commit collection window

- The repaired three-node lifecycle completed all operations but
  failed the unchanged hot p99 gate.

## 2026-06-09 channelwrite best-effort post-commit

- Scenario: `bench --qps 5000`.
- Finding: nothing.
"""


def entry(**changes: str) -> Entry:
    parts = {"case_id": "20261126-why", "date": "2026-11-26", "title": "client concurrency"}
    return Entry(
        **{**parts, **changes},
        bullets=(
            ("Scenario", "`custom`, 1000 users, clean, 60 s."),
            ("Finding", "The simulator's limit on messages in flight capped the rate. " * 2),
        ),
    )


def checkout(root: Path, text: str | None = LIST) -> Path:
    if text is not None:
        path = root / finding.PATH
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return root


class TestPlace:
    def test_newest_first_in_the_files_own_style(self) -> None:
        made = finding.record(LIST, entry())
        assert made.after.startswith(
            "# WKSIM Stress Findings\n\n## 2026-11-26 client concurrency\n\n- Scenario: `custom`"
        )
        assert made.after.endswith(LIST.split("\n\n", 1)[1])
        assert all(len(line) <= 80 for line in made.section.splitlines())
        assert "\n\n## 2026-08-15" in made.after

    def test_an_older_one_goes_to_its_place(self) -> None:
        made = finding.record(LIST, entry(date="2026-07-01"))
        order = [line for line in made.after.splitlines() if line.startswith("## ")]
        assert [h[3:13] for h in order] == ["2026-08-15", "2026-07-01", "2026-06-09"]

    def test_the_oldest_goes_to_the_end(self) -> None:
        made = finding.record(LIST, entry(date="2020-01-01"))
        assert made.after.rstrip().endswith("- Case: `20261126-why`")

    def test_an_empty_list_gets_its_title(self) -> None:
        made = finding.record("", entry())
        assert made.after.startswith("# WKSIM Stress Findings\n\n## 2026-11-26")

    def test_windows_line_ends_stay(self) -> None:
        made = finding.record(LIST.replace("\n", "\r\n"), entry())
        assert made.after.count("\n") == made.after.count("\r\n")


class TestOnce:
    @given(st.integers(1, 5))
    def test_however_often_it_runs(self, times: int) -> None:
        text = LIST
        for _ in range(times):
            text = finding.record(text, entry()).after
        assert text == finding.record(LIST, entry()).after
        assert text.count("20261126-why") == 1

    def test_what_a_person_made_of_it_stays(self) -> None:
        first = finding.record(LIST, entry())
        edited = first.after.replace("client concurrency", "client concurrency, see also #9")
        again = finding.record(edited, entry())
        assert not again.changed
        assert again.diff() == ""
        assert "see also #9" in again.heading

    def test_two_cases_are_two_findings(self) -> None:
        text = finding.record(LIST, entry()).after
        text = finding.record(text, entry(case_id="20261126-why-else")).after
        assert text.count("## 2026-11-26") == 2

    def test_one_case_that_mentions_another_is_not_it(self) -> None:
        text = LIST.replace("- Finding: nothing.", "- Finding: see `20261126-why`.")
        assert finding.record(text, entry()).changed


class TestHostileText:
    @given(st.text(max_size=200), st.text(max_size=200))
    def test_evidence_opens_no_section_and_no_tag(self, title: str, text: str) -> None:
        made = Entry("c1", "2026-11-26", f"x {title}", (("Finding", f"y {text}"),))
        section = finding.section_of(made)
        assert section.count("\n## ") == 0
        assert "<" not in section
        lines = section.splitlines()
        assert lines[0].startswith("## 2026-11-26 x")
        assert all(line.startswith(("- ", "  ")) for line in lines[2:])

    @pytest.mark.parametrize("word", ["#", "##", "-", "*", ">", "```", "12.", "1)", "==="])
    def test_no_word_begins_a_block_by_its_place_alone(self, word: str) -> None:
        made = Entry("c1", "2026-11-26", "x", (("Finding", f"{'y' * 69} {word} z"),))
        line = finding.section_of(made).splitlines()[3]
        assert line.startswith("  ")
        assert "\\" in line
        assert line.replace("\\", "").split() == [word, "z"]

    def test_a_long_line_is_cut(self) -> None:
        assert len(finding.plain("x" * 10_000_000)) < 1000

    @pytest.mark.parametrize("date", ["yesterday", "2026-1-1", "2026-11-26\n# x"])
    def test_no_date(self, date: str) -> None:
        with pytest.raises(UsageError, match="is no date"):
            finding.section_of(entry(date=date))

    def test_nothing_to_say(self) -> None:
        with pytest.raises(UsageError, match="at least one bullet"):
            finding.section_of(Entry("c1", "2026-11-26", "title", ()))


class TestFile:
    def test_writes_once_and_keeps_the_mode(self, tmp_path: Path) -> None:
        root = checkout(tmp_path)
        (root / finding.PATH).chmod(0o664)
        made = finding.record(finding.read(root), entry())
        assert finding.write(root, made) is True
        assert stat.S_IMODE((root / finding.PATH).stat().st_mode) == 0o664
        again = finding.record(finding.read(root), entry())
        assert finding.write(root, again) is False
        assert [p.name for p in (root / finding.PATH).parent.iterdir()] == [finding.PATH.name]

    def test_a_list_that_is_not_there_yet(self, tmp_path: Path) -> None:
        made = finding.record(finding.read(tmp_path), entry())
        assert finding.write(tmp_path, made) is True
        assert (tmp_path / finding.PATH).read_text() == made.after

    def test_diff_shows_it_first(self, tmp_path: Path) -> None:
        root = checkout(tmp_path)
        made = finding.record(finding.read(root), entry())
        assert "+## 2026-11-26 client concurrency\n" in made.diff()
        assert not any(
            line.startswith("-") and not line.startswith("---") for line in made.diff().splitlines()
        )
        assert (root / finding.PATH).read_text() == LIST

    def test_changed_meanwhile(self, tmp_path: Path) -> None:
        root = checkout(tmp_path)
        made = finding.record(finding.read(root), entry())
        (root / finding.PATH).write_text(LIST + "\nsomebody else\n")
        with pytest.raises(UsageError, match="record it again"):
            finding.write(root, made)

    def test_a_link_is_refused(self, tmp_path: Path) -> None:
        root = checkout(tmp_path / "a")
        (tmp_path / "b/docs").mkdir(parents=True)
        (tmp_path / "b/docs/development").symlink_to(root / "docs/development")
        with pytest.raises(UsageError, match="is a link"):
            finding.read(tmp_path / "b")

    def test_no_checkout(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is no checkout"):
            finding.read(tmp_path / "nowhere")

    def test_the_case_keeps_where_it_stands(self) -> None:
        made = finding.record(LIST, entry())
        held = made.finding()
        assert held == finding.record(made.after, entry()).finding()
        assert held.heading == "## 2026-11-26 client concurrency"
