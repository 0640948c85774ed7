"""The built wheel, installed as people install it: away from any checkout, from any directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from wktriage.incidents import library

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def build(target: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = target.glob("*.whl")
    return wheel


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and a user with an empty home and directory."""

    bin: Path
    package: Path
    home: Path
    cwd: Path

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [str(self.bin / "wktriage"), *args],
            cwd=self.cwd, env=env, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def files(self) -> dict[str, int]:
        """Return what lies in the package; compiled code apart, which Python adds anywhere."""
        return {
            str(path.relative_to(self.package)): path.stat().st_mtime_ns
            for path in self.package.rglob("*")
            if "__pycache__" not in path.parts and path.is_file()
        }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    base = tmp_path_factory.mktemp("installed")
    venv.create(base / "venv", with_pip=False)
    python = base / "venv" / "bin" / "python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
            *("--disable-pip-version-check", "--no-index", "--no-deps", wheel),
        ],
        check=True,
    )
    packages = next((base / "venv" / "lib").glob("python*/site-packages"))
    # The dependencies are those of the tests: a path in a .pth file comes last, and the editable
    # install there is a .pth file of its own, which is not followed.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # What an installer makes of ansible-core's entry point.
    command = python.with_name("ansible-playbook")
    command.write_text(f"#!{python}\nfrom ansible.cli.playbook import main\nmain()\n")
    command.chmod(0o755)
    for name in ("home", "empty"):
        (base / name).mkdir()
    return Installed(python.parent, packages / "wktriage", base / "home", base / "empty")


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = library.find_incident(ROOT / "incidents", library.DEFAULT)
    return library.unpack(found, tmp_path_factory.mktemp("incident") / "bundle")


def test_two_builds_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_the_checkout_is_out_of_sight(installed: Installed) -> None:
    asked = "import sys, wktriage; print(wktriage.__file__); print(*sys.path, sep='\\n')"
    done = subprocess.run(
        [installed.bin / "python", "-c", asked],
        cwd=installed.cwd, check=True, capture_output=True, text=True,
    )  # fmt: skip
    where, *path = done.stdout.splitlines()
    assert Path(where) == installed.package / "__init__.py"
    assert str(ROOT / "src") not in path


def test_a_bundle_is_classified(installed: Installed, incident: Path) -> None:
    done = installed.run("classify", str(incident), "--out", "verdict")
    assert "send_path" in done.stdout, done.stdout + done.stderr
    verdict = json.loads((installed.cwd / "verdict" / "verdict.json").read_text())
    assert (verdict["category"], verdict["nodes"]) == ("send_path", ["wk-node2"])


def test_the_incidents_inside_are_listed(installed: Installed) -> None:
    done = installed.run("incidents")
    assert done.returncode == 0, done.stderr
    marked = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("*")]
    assert marked == [library.DEFAULT]
    assert "More of them are in incidents/ of wktriage's source repository." in done.stdout
    assert installed.run("incidents", "verify").returncode == 0


def test_the_default_incident_is_played_and_nothing_is_written_inside(installed: Installed) -> None:
    before = installed.files()
    # Shorter than it was recorded, but with the publication that counts the first failed sends.
    shorter = ("-e", "duration=25", "-e", "profile_seconds=0")
    done = installed.run("triage", "-i", "replay", "-e", "stack_project=e2e-wheel", *shorter)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"REPLAY of {library.DEFAULT}" in done.stdout
    (bundle,) = (p for p in (installed.cwd / "runs").iterdir() if not p.name.startswith("."))
    verdict = json.loads((bundle / "verdict.json").read_text())
    assert (verdict["category"], verdict["nodes"]) == ("send_path", ["wk-node2"])
    assert (bundle / "report.html").is_file()
    assert list((installed.home / ".cache" / "wktriage" / "incidents").iterdir())
    assert installed.files() == before


def test_a_checkout_is_asked_for_by_its_name(installed: Installed) -> None:
    done = installed.run("triage", "-e", "scenario=smoke-default", "-e", "wukongim_checkout=nope")
    assert done.returncode == 2
    assert f"wukongim_checkout {installed.cwd / 'nope'} is not a directory" in done.stdout
