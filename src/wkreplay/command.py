"""The commands of the program."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from wkreplay import daemon, place
from wkreplay.archive import unpack
from wkreplay.errors import ReplayError
from wkreplay.recording import Recording
from wkreplay.serving import serve


def run(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 2, and one line on stderr, when it cannot be done.

    ``argv`` are its arguments; None: those of this process.
    """
    options = _parser().parse_args(argv)
    try:
        options.run(options)
    except (ReplayError, OSError) as error:
        # A full disk is told in one line, too.
        print(f"replay: {error}", file=sys.stderr)
        return 2
    return 0


def _begin(options: argparse.Namespace) -> None:
    daemon.begin(Path(options.pidfile), options.start_at)


def _stop(options: argparse.Namespace) -> None:
    print("stopped" if daemon.stop(Path(options.pidfile)) else "not running")


def _create(options: argparse.Namespace) -> None:
    place.create(Path(options.dir))
    print("created")


def _remove(options: argparse.Namespace) -> None:
    print("removed" if place.remove(Path(options.dir)) else "nothing there")


def _info(options: argparse.Namespace) -> None:
    print(json.dumps(Recording(Path(options.bundle)).describe()))


def _unpack(options: argparse.Namespace) -> None:
    unpack(Path(options.archive), Path(options.target))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wkreplay", description="Serve a recorded incident again."
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    command = commands.add_parser("serve", help="serve stand-in processes")
    command.add_argument("--bundle", required=True, help="unpacked bundle directory")
    command.add_argument("--incident", required=True, help="its name, said in every answer")
    command.add_argument("--listen", action="append", required=True, metavar="NAME=ADDRESS:PORT")
    command.add_argument("--control", metavar="ADDRESS:PORT", help="serve /_replay/NAME/... here")
    command.add_argument(
        "--start-at", type=float, help="epoch seconds at which it begins; default now"
    )
    command.add_argument("--pidfile")
    command.add_argument("--daemon", action="store_true")
    command.add_argument("--log-dir", help="write app.log, error.log, ... here as they come")
    command.add_argument(
        "--log-stdout", action="store_true", help="write the console log to stdout"
    )
    command.add_argument(
        "--any-port", action="store_true", help="take a free port where the named one is taken"
    )
    command.add_argument(
        "--hold", action="store_true", help="hold the ports, serve when `begin` says so"
    )
    command.add_argument(
        "--lease", type=float, metavar="SECONDS", help="end when nobody asked anything for so long"
    )
    command.set_defaults(run=serve)
    command = commands.add_parser("begin", help="let a held replay serve")
    command.add_argument("--pidfile", required=True)
    command.add_argument("--start-at", type=float, required=True, help="epoch seconds")
    command.set_defaults(run=_begin)
    command = commands.add_parser("stop", help="stop a replay")
    command.add_argument("--pidfile", required=True)
    command.set_defaults(run=_stop)
    for name, function in (("create", _create), ("remove", _remove)):
        command = commands.add_parser(name, help=f"{name} the directory of a replay")
        command.add_argument("--dir", required=True)
        command.set_defaults(run=function)
    command = commands.add_parser("info", help="say what a recording holds")
    command.add_argument("--bundle", required=True)
    command.set_defaults(run=_info)
    command = commands.add_parser("unpack", help="unpack an incident")
    command.add_argument("archive")
    command.add_argument("target")
    command.set_defaults(run=_unpack)
    return parser
