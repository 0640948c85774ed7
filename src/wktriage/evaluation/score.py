"""How often verdicts on labelled incidents are right, and how honest their confidence is."""

from __future__ import annotations

import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wktriage.bundle import archive
from wktriage.bundle.bundle import Bundle
from wktriage.core import categories
from wktriage.core.errors import UsageError
from wktriage.core.tables import aligned
from wktriage.evaluation import plain
from wktriage.incidents import labels
from wktriage.judging.verdict import judge

ABSTAIN = categories.ABSTAIN
BLAMES_SERVER = frozenset(
    {
        "online_churn",
        "cold_start",
        "delivery_path",
        "send_path",
        "distributed_lag",
        "server_hot_path",
    }
)
BINS = 10
RESAMPLES = 2000
SEED = 20261124
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Case:
    """A labelled bundle: an archive, or an unpacked directory."""

    name: str
    path: Path
    label: str
    also_ok: tuple[str, ...]
    nodes: tuple[str, ...]
    components: tuple[str, ...] = ()
    fault: str = ""

    @property
    def mechanism(self) -> str:
        """What was done to the run, without its strength and place: the first word of the fault."""
        return self.fault.split()[0] if self.fault else self.name

    def accepts(self, category: str) -> bool:
        """Tell whether a category is the label, or one that the label accepts too."""
        return category in (self.label, *self.also_ok)


@dataclass(frozen=True)
class Result:
    """What was said of a case."""

    case: Case
    category: str
    confidence: float
    nodes: tuple[str, ...]
    component: str = "none"
    plain: str = ""
    """What anyone would have said first (see plain.py), and of which nodes."""
    plain_nodes: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether the category is the label, or one that the label accepts too."""
        return self.case.accepts(self.category)

    @property
    def nodes_right(self) -> bool | None:
        """Whether exactly the nodes at fault are named; None where no node is at fault."""
        return set(self.nodes) == set(self.case.nodes) if self.case.nodes else None

    @property
    def component_right(self) -> bool | None:
        """Whether a component at fault is named; None where the label names none."""
        return self.component in self.case.components if self.case.components else None

    @property
    def grounded(self) -> bool:
        """Whether the category is right, and nodes and component too where there are any."""
        return self.right and self.nodes_right is not False and self.component_right is not False


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; ``value`` is None when nothing was counted."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "none to count"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def cases(directory: Path, label_file: Path | None = None) -> list[Case]:
    """Return the labelled cases of a directory with ``labels.jsonl``.

    Each row's ``bundle`` is ``<bundle>.tar.xz`` or a directory of that name. Raises UsageError
    when labels are missing or broken, or a bundle is not there.
    """
    file = label_file or directory / labels.LABELS
    if not file.is_file():
        raise UsageError(f"{file} is missing: name the labels with --labels")
    labelled = []
    for label in labels.read(file):
        name = label.bundle
        places = [directory / f"{name}.tar.xz", directory / name]
        path = next((p for p in places if p.exists()), None)
        if path is None:
            raise UsageError(f"{directory}: holds neither {name}.tar.xz nor {name}/")
        labelled.append(
            Case(name, path, label.label, label.also_ok, label.nodes, label.components, label.fault)
        )
    return labelled


@contextmanager
def opened(case: Case) -> Iterator[Path]:
    """Yield the case's bundle as a directory, unpacked for the time being if need be."""
    if case.path.is_dir():
        yield case.path
        return
    with tempfile.TemporaryDirectory(prefix="wktriage-score-") as temporary:
        yield archive.unpack_bundle(case.path, Path(temporary) / "bundle")


def run(chosen: Sequence[Case], progress: Callable[[Result], None] | None = None) -> list[Result]:
    """Judge every case. ``progress`` is called with each result as it comes."""
    results = []
    for case in chosen:
        with opened(case) as path:
            bundle = Bundle.open(path)
            verdict = judge(bundle)
            first_thought = plain.judge(bundle)
        result = Result(
            case,
            verdict["category"],
            float(verdict["confidence"]),
            tuple(verdict["nodes"]),
            verdict["component"],
            *first_thought,
        )
        results.append(result)
        if progress is not None:
            progress(result)
    return results


# -- figures --------------------------------------------------------------------------------------


def wilson(hits: int, total: int) -> Interval:
    """Return a proportion with its Wilson score interval (E. B. Wilson, JASA 1927)."""
    if total == 0:
        return Interval(None)
    p, z = hits / total, Z95
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return Interval(p, max(0.0, centre - spread), min(1.0, centre + spread))


def brier(answers: Sequence[tuple[float, bool]]) -> float:
    """Return the mean squared distance of confidence from outcome (0 best, 0.25 is guessing)."""
    return sum((c - right) ** 2 for c, right in answers) / len(answers)


def expected_calibration_error(answers: Sequence[tuple[float, bool]]) -> float:
    """Return the mean gap of confidence and hit rate over ten equal bins, weighted by size."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for c, right in answers:
        bins.setdefault(min(int(c * BINS), BINS - 1), []).append((c, right))
    total = 0.0
    for members in bins.values():
        gap = sum(c for c, _ in members) / len(members) - sum(r for _, r in members) / len(members)
        total += abs(gap) * len(members)
    return total / len(answers)


def bootstrap(
    answers: Sequence[tuple[float, bool]], figure: Callable[[Sequence[tuple[float, bool]]], float]
) -> Interval:
    """Return a figure with its percentile bootstrap interval (seeded, so repeatable)."""
    if not answers:
        return Interval(None)
    source = random.Random(SEED)  # noqa: S311 (resampling, no secret)
    values = sorted(figure(source.choices(answers, k=len(answers))) for _ in range(RESAMPLES))
    return Interval(
        figure(answers), values[int(0.025 * RESAMPLES)], values[int(0.975 * RESAMPLES) - 1]
    )


def summary(results: Sequence[Result]) -> dict[str, Interval]:
    """Return every figure by name, in the order in which they are shown."""
    failing = [r for r in results if r.case.label not in ("healthy", ABSTAIN)]
    healthy = [r for r in results if r.case.label == "healthy"]
    client = [r for r in results if r.case.label == "client_bottleneck"]
    with_nodes = [r for r in results if r.case.nodes]
    with_component = [r for r in results if r.case.components]
    abstained = [r for r in results if r.category == ABSTAIN and not r.right]
    answered = [(r.confidence, r.right) for r in results if r not in abstained]
    return {
        "category is the label": wilson(
            sum(r.category == r.case.label for r in results), len(results)
        ),
        "category accepted": wilson(sum(r.right for r in results), len(results)),
        "nodes right": wilson(sum(bool(r.nodes_right) for r in with_nodes), len(with_nodes)),
        "component right": wilson(
            sum(bool(r.component_right) for r in with_component), len(with_component)
        ),
        "category, nodes and component right": wilson(
            sum(r.grounded for r in results), len(results)
        ),
        "healthy runs called healthy": wilson(
            sum(r.category == "healthy" for r in healthy), len(healthy)
        ),
        "plain baseline: category accepted": wilson(
            sum(r.case.accepts(r.plain) for r in results), len(results)
        ),
        "plain baseline: nodes right": wilson(
            sum(set(r.plain_nodes) == set(r.case.nodes) for r in with_nodes), len(with_nodes)
        ),
        "failing called healthy": wilson(
            sum(r.category == "healthy" for r in failing), len(failing)
        ),
        "healthy called failing": wilson(
            sum(r.category not in ("healthy", ABSTAIN) for r in healthy), len(healthy)
        ),
        "client limit blamed on the server": wilson(
            sum(r.category in BLAMES_SERVER for r in client), len(client)
        ),
        "abstentions": wilson(len(abstained), len(results)),
        "expected calibration error": bootstrap(answered, expected_calibration_error),
        "Brier score": bootstrap(answered, brier),
        "Brier score of the best constant": Interval(constant(answered)),
    }


def constant(answers: Sequence[tuple[float, bool]]) -> float | None:
    """Return the Brier score of the constant that fits best afterwards: the share of right ones."""
    if not answers:
        return None
    share = sum(right for _, right in answers) / len(answers)
    return share * (1 - share)


def confusion(results: Sequence[Result]) -> dict[str, Counter[str]]:
    """Return how often each label was called what."""
    table: dict[str, Counter[str]] = {}
    for result in results:
        table.setdefault(result.case.label, Counter())[result.category] += 1
    return table


def report(results: Sequence[Result], beside: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Return all of it as text. ``beside`` holds what other tools said: name -> bundle -> class."""
    others = beside or {}
    head = ["bundle", "label", "said", "conf.", "nodes", "component", "", "plain", *others]
    rows = [
        [
            r.case.name,
            r.case.label,
            r.category,
            f"{r.confidence:.2f}",
            ",".join(r.nodes) or "-",
            r.component,
            "right" if r.grounded else "WRONG",
            r.plain or "-",
            *(classes.get(r.case.name, "-") for classes in others.values()),
        ]
        for r in results
    ]
    lines = aligned([head, *rows])
    names = sorted({r.case.label for r in results})
    said_names = sorted({r.category for r in results})
    counts = confusion(results)
    matrix = [["label \\ said", *said_names]]
    matrix += [
        [n, *(str(counts[n][s]) if counts[n][s] else "." for s in said_names)] for n in names
    ]
    lines += ["", *aligned(matrix), ""]
    lines += [f"{name:36}{interval}" for name, interval in summary(results).items()]
    return "\n".join(lines) + "\n"
