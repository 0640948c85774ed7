"""Nothing of the evidence drives a terminal."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import wktriage
from wktriage.core.terminal import blanked, json_visible, visible
from wktriage.judging.wording import clean

#: C0, C1 (CSI as one byte), DEL, bidirectional marks, embeddings and isolates, separators.
DRIVING = (
    "\x1b[2J\x07\x08\x7f\x80\x84\x9b2J\x9d0;t\x9c\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028\u2029"
    "\ufeff\u200b\U000e0041"
)


def safe(text: str) -> bool:
    return all(
        c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text
    )


def test_controls_are_shown() -> None:
    assert visible("a\x9b2Jb\x7fc\u202ed\n") == "a\\x9b2Jb\\x7fc\\u202ed\n"
    assert safe(visible(DRIVING))
    assert visible("早上好 ü \U0001f600") == "早上好 ü \U0001f600"


def test_json_means_the_same() -> None:
    document = {DRIVING: [DRIVING, "早上好 ü \U0001f600"]}
    text = json_visible(json.dumps(document, ensure_ascii=False))
    assert safe(text)
    assert json.loads(text) == document
    assert "早上好" in text


@given(st.text(st.characters(codec=None) | st.sampled_from(DRIVING), max_size=60))
def test_no_text_drives_the_terminal(text: str) -> None:
    assert safe(visible(text))
    assert safe(blanked(text).replace("\n", "").replace("\t", ""))
    assert safe(clean(text))
    shown = json_visible(json.dumps([text], ensure_ascii=False))
    assert safe(shown)
    assert json.loads(shown) == json.loads(json.dumps([text]))


def test_there_is_one_way_to_print() -> None:
    rooms = Path(wktriage.__file__).parent
    printing = {
        file.relative_to(rooms).as_posix()
        for file in rooms.rglob("*.py")
        if re.search(r"\bclick\.(?:echo|secho)\(|(?<![\w.])print\(\w", file.read_text("utf-8"))
    }
    # A program for another Python, as text, prints there.
    assert printing - {"run/clocks.py"} == {"cli/output.py"}
