"""The oldest Python of this machine that host programs have to run under."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys

OLDEST = (3, 8)


@functools.cache
def oldest_python() -> str:
    """Return the oldest interpreter on PATH from 3.8 on, else the one that runs the tests."""
    for minor in range(OLDEST[1], sys.version_info.minor):
        path = shutil.which(f"python{OLDEST[0]}.{minor}")
        # A name on PATH may be a shim without an interpreter behind it.
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return path
    return sys.executable
