"""Start the program: ``python wkreplay.pyz COMMAND`` or ``python -m wkreplay COMMAND``."""

from __future__ import annotations

import sys

from wkreplay import command


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    return command.run(argv)


if __name__ == "__main__":
    sys.exit(main())
