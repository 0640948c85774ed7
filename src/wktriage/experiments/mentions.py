"""The cases in which a bundle takes part, looked up when its report is written.

A bundle and its verdict never change: what links to a case is its report, and only that which
lies in the bundle itself, below this installation's directory of runs. Cases lie beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

from wktriage.bundle.bundle import Bundle
from wktriage.core import json_files, private_files
from wktriage.core.errors import TriageError
from wktriage.experiments import case as cases
from wktriage.experiments.case import Case
from wktriage.judging import verdict_files
from wktriage.judging.verdict import judge
from wktriage.report import CaseLink, write_all

DIRECTORY = "cases"


def of(bundle: Path, runs_dir: Path, cases_dir: Path | None = None) -> list[CaseLink]:
    """Return the cases of a bundle, newest first; none of one outside of ``runs_dir``.

    ``cases_dir`` is ``cases`` beside ``runs_dir`` without. A case that cannot be read is left out:
    it says so itself when it is opened.
    """
    if not verdict_files.is_ours(bundle, runs_dir):
        return []
    directory = cases_dir or runs_dir.resolve().parent / DIRECTORY
    links = []
    for path in directory.glob(f"*/{cases.NAME}"):
        try:
            case = Case.load(directory, path.parent.name)
            if bundle.name in _bundles(case):
                links.append((case.document.created_at, _link(case, bundle)))
        except TriageError:
            continue
    return [link for _, link in sorted(links, key=lambda item: item[0], reverse=True)]


def link(case: Case, bundle: Path, runs_dir: Path) -> None:
    """Write the reports of a bundle of ours again, with the link to its case.

    Those of a verdict that another version wrote stay as they are: this one could not draw them.
    """
    if not verdict_files.is_ours(bundle, runs_dir) or not (bundle / "report.html").is_file():
        return
    opened = Bundle.open(bundle)
    verdict = judge(opened)
    if private_files.read(bundle / verdict_files.NAME, json_files.CAP) == verdict_files.dump(
        verdict
    ):
        write_all(opened, verdict, bundle, of(bundle, runs_dir, case.directory.parent))


def _bundles(case: Case) -> set[str]:
    names = set()
    for experiment in case.document.experiments:
        names.add(case.registration(experiment.number).control.bundle_id)
        names |= {run.bundle.bundle_id for run in experiment.runs}
    return names


def _link(case: Case, bundle: Path) -> CaseLink:
    page = os.path.relpath(case.directory.resolve() / "case.html", bundle.resolve())
    document = case.document
    return CaseLink(document.id, page, cases.standing(document), document.question)
