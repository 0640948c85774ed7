"""The stack that the collector watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.unit.collectstack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with ExitStack() as exits:
        watched = Stack(tmp_path, exits)
        yield watched
        if watched.collector is not None:
            watched.collector.run.stop("test is over")
            watched.collector.run.sampling_over.set()
