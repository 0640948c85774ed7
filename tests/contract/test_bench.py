"""The scripts in bench/ start: each lies beside the others on the import path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCH = sorted((Path(__file__).resolve().parents[2] / "bench").glob("*.py"))


@pytest.mark.parametrize("script", BENCH, ids=lambda path: path.name)
def test_no_script_hides_a_module_of_the_standard_library(script: Path) -> None:
    assert script.stem not in sys.stdlib_module_names
