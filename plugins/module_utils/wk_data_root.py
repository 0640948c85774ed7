# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""The guard of data directories on a host: what ``wktriage.stack.data_root`` is on the controller.

Standard library only, Python 3.8. A test holds the two to the same answers.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from typing import Any

MARKER = ".wktriage-data-root"


class DataRootError(Exception):
    """The harness must not use this directory; the text says why and what to do."""


def check(data_root: str, wipe: bool) -> None:
    """Raise DataRootError when the harness must not use (``wipe``: must not empty) it.

    A directory is ours when it is absent, empty, or holds the marker file.
    """
    if os.path.islink(data_root):
        raise DataRootError(
            "data_root %s is a symbolic link, and the harness follows none: "
            "name the directory itself" % data_root
        )
    resolved = os.path.realpath(data_root)
    if resolved in ("/", os.path.realpath(os.path.expanduser("~"))):
        raise DataRootError(
            "data_root %s cannot be / or a home directory: name a new one" % data_root
        )
    if not os.path.exists(data_root):
        return
    if not os.path.isdir(data_root):
        raise DataRootError("data_root %s is not a directory" % data_root)
    if wipe and not has_marker(data_root) and os.listdir(data_root):
        raise DataRootError(
            "data_root %s holds files but no %s, so mode=clean will not empty it: name an empty "
            "directory, or use mode=accumulated if it is the data you mean" % (data_root, MARKER)
        )


def has_marker(data_root: str) -> bool:
    """Tell whether the marker is there as a regular file (a link to one does not count)."""
    try:
        return stat.S_ISREG(os.lstat(os.path.join(data_root, MARKER)).st_mode)
    except OSError:
        return False


def prepare(data_root: str, nodes: list[str], project: str) -> None:
    """Create the data root with its marker (when it was empty) and a directory for each node."""
    os.makedirs(data_root, exist_ok=True)
    if not has_marker(data_root) and not os.listdir(data_root):
        marker = {"what": "data of the WuKongIM triage harness", "project": project}
        with open(os.path.join(data_root, MARKER), "w") as out:
            out.write(json.dumps(marker) + "\n")
    for node in nodes:
        os.makedirs(os.path.join(data_root, node), exist_ok=True)


def data_bytes(data_root: str, nodes: list[str]) -> int | None:
    """Return the bytes of node data on disk, logs left out; None when they cannot be read."""
    total = 0

    def give_up(exc: OSError) -> Any:
        raise exc

    try:
        for node in nodes:
            top = os.path.join(data_root, node)
            if not os.path.exists(top):
                continue
            for folder, names, files in os.walk(top, onerror=give_up, followlinks=False):
                if folder == top and "logs" in names:
                    names.remove("logs")
                total += sum(os.lstat(os.path.join(folder, f)).st_size for f in files)
    except OSError:
        return None
    return total


def wipe(data_root: str) -> bool:
    """Empty the data root but for its marker; tell whether anything was removed.

    Raises DataRootError without a marker, or for what belongs to another user.
    """
    check(data_root, wipe=True)
    if not os.path.exists(data_root):
        return False
    entries = sorted(name for name in os.listdir(data_root) if name != MARKER)
    for name in entries:
        path = os.path.join(data_root, name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
        except PermissionError:
            raise DataRootError(
                "files in %s belong to another user; remove it yourself: sudo rm -rf %s/node*"
                % (data_root, data_root)
            ) from None
    return bool(entries)
