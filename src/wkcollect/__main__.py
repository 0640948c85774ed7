"""Collect a run's evidence on this host.

collector.pyz start SPEC.json              begin; returns when the detached process runs
collector.pyz poll OUTDIR                  one small JSON on where it stands
collector.pyz stop OUTDIR [--reason TEXT]  finish early with what there is
collector.pyz pack OUTDIR TARFILE          the evidence as one tar.gz, when done, dead, or --stop
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from wkcollect import command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 1 did not start, 2 wrong use, 3 still running."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "start":
            answer = command.start(args.spec)
        elif args.command == "poll":
            answer = command.poll(args.out)
        elif args.command == "stop":
            answer = command.stop(args.out, args.reason)
        else:
            answer = command.pack(args.out, args.tarfile, args.stop)
    except command.CommandError as error:
        sys.stderr.write(f"collector: {error}\n")
        return error.code
    except OSError as error:
        # A full disk is told in one line, too.
        sys.stderr.write(f"collector: {error}\n")
        return command.WRONG
    sys.stdout.write(answer + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="collector.pyz", description="Collect a run's evidence on this host."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="begin; returns when the detached process runs")
    start.add_argument("spec", help="JSON file that says what to collect")
    poll = commands.add_parser("poll", help="print where the collector stands, as JSON")
    poll.add_argument("out")
    stop = commands.add_parser("stop", help="finish early with what there is")
    stop.add_argument("out")
    stop.add_argument("--reason", default="asked to stop")
    pack = commands.add_parser("pack", help="pack the evidence, when done or dead")
    pack.add_argument("out")
    pack.add_argument("tarfile")
    pack.add_argument("--stop", metavar="REASON", help="ask one that still runs to finish first")
    return parser


if __name__ == "__main__":
    sys.exit(main())
