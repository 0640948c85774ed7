"""A run that its user ends: noted in the run's mark, and what to say of its evidence."""

from __future__ import annotations

from wktriage.run import record

BY_USER = "interrupted by the user"
CONTROLLER_GONE = "the controller ended before the run did"


def noted(paths: record.RunPaths | None) -> list[str]:
    """Note that the user ended a run; return what becomes of its evidence.

    ``paths`` is the run that was opened last, None when none was.
    """
    if paths is None or not (paths.pending_file.exists() or paths.bundle.exists()):
        return ["Interrupted before the run began: there is nothing to keep."]
    if not record.note_interruption(paths, BY_USER):
        return [f"Interrupted after the run: its evidence is complete in {paths.bundle}"]
    if not paths.topology_file.exists():
        return ["Interrupted before the stack was created: there is nothing to keep."]
    return [
        "Interrupted: the evidence collected so far is being finished, which takes some seconds.",
        f"The bundle will be in {paths.bundle}",
    ]
