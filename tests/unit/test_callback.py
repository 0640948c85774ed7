"""The stdout callback, run by ansible-playbook as a person would."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wktriage.run import interruption
from wktriage.run.record import RunPaths

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
- name: Trial of the screen
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Fail with a cause
      ansible.builtin.command:
        argv: [sh, -c, "printf 'first\\\\n\\\\033[31mlast' >&2; exit 7"]
      ignore_errors: true
    - name: Fail in a loop
      ansible.builtin.fail:
        msg: "item {{ item }} is wrong"
      loop: [one, two]
      ignore_errors: true
    - name: Say a word
      ansible.builtin.debug:
        msg: a word
    - name: Judge
      wk_fake_verdict:
    - name: Quiet task
      ansible.builtin.set_fact:
        quiet: true
    - name: Use what is not there
      ansible.builtin.debug:
        msg: "{{ never_set.x }}"
"""
ACTION = """
from ansible.plugins.action import ActionBase
class ActionModule(ActionBase):
    _requires_connection = False
    def run(self, tmp=None, task_vars=None):
        return {"verdict_file": "VERDICT", "report_file": "/there/report.html"}
"""


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    (tmp_path / "verdict.json").write_text(
        json.dumps({"category": "send_path", "confidence": 0.8, "nodes": ["wk-node2"]})
    )
    actions = tmp_path / "action_plugins"
    actions.mkdir()
    source = ACTION.replace("VERDICT", str(tmp_path / "verdict.json"))
    (actions / "wk_fake_verdict.py").write_text(source)
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "ansible.cfg").write_text("")
    return tmp_path / "play.yml"


def environment(playbook: Path, **extra: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR", "WKTRIAGE_PLAIN")}
    return env | {
        "ANSIBLE_CONFIG": str(playbook.with_name("ansible.cfg")),
        "ANSIBLE_STDOUT_CALLBACK": "wktriage",
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "plugins" / "callback"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "TERM": "xterm",
        **extra,
    }


def command(playbook: Path) -> list[str]:
    interpreter = f"ansible_python_interpreter={sys.executable}"
    tool = str(Path(sys.executable).with_name("ansible-playbook"))
    return [tool, str(playbook), "-i", "localhost,", "-c", "local", "-e", interpreter]


def test_plain_lines_tell_every_cause_and_the_verdict(playbook: Path) -> None:
    done = subprocess.run(
        command(playbook),
        env=environment(playbook),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    out = done.stdout
    assert done.returncode == 2, out + done.stderr
    assert "\x1b" not in out
    assert "failed, ignored: Fail with a cause [localhost]" in out
    assert "rc: 7" in out
    assert "\\x1b[31mlast" in out
    assert "item one is wrong" in out
    assert "item two is wrong" in out
    assert "a word" in out
    assert "Quiet task" not in out
    assert "'never_set' is undefined" in out
    assert f"at {playbook}:" in out
    assert "VERDICT category   send_path" in out
    assert "/there/report.html" in out
    assert out.rstrip().endswith("failed on localhost")


def test_a_terminal_shows_the_running_task_and_a_box(playbook: Path) -> None:
    main, side = pty.openpty()
    env = environment(playbook, COLUMNS="90", ANSIBLE_NOCOLOR="1")
    with subprocess.Popen(command(playbook), env=env, stdin=side, stdout=side, stderr=side) as run:
        os.close(side)
        chunks = []
        try:
            while chunk := os.read(main, 65536):
                chunks.append(chunk)
        except OSError:  # Linux says EIO when the last writer is gone
            pass
        run.wait(timeout=60)
    os.close(main)
    out = b"".join(chunks).decode()
    assert "Quiet task ..." in out
    assert "╭─ verdict" in out
    assert "send_path" in out


def test_verbose_shows_what_the_default_callback_shows(playbook: Path) -> None:
    done = subprocess.run(
        [*command(playbook), "-v"],
        env=environment(playbook),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "TASK [Quiet task]" in done.stdout
    assert "PLAY RECAP" in done.stdout
    assert "'never_set' is undefined" in done.stdout


def run(playbook: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(playbook),
        env=environment(playbook, **extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_stack_without_hosts_is_an_error_that_says_what_to_do(
    playbook: Path, tmp_path: Path
) -> None:
    playbook.write_text(PLAY.replace("hosts: localhost", "hosts: wk_stack"))
    result = tmp_path / "result.json"
    done = run(playbook, WKTRIAGE_RESULT_FILE=str(result))
    assert done.returncode == 2
    assert "no host of group wk_stack in localhost," in done.stdout
    assert "inventory/replay" in done.stdout
    assert "done" not in done.stdout
    assert json.loads(result.read_text())["exit_code"] == 2


def test_another_play_without_hosts_ends_as_ansible_ends_it(playbook: Path) -> None:
    playbook.write_text(PLAY.replace("hosts: localhost", "hosts: elsewhere"))
    done = run(playbook)
    assert done.returncode == 0
    assert "wk_stack" not in done.stdout


OPENING = """
from ansible.plugins.action import ActionBase
class ActionModule(ActionBase):
    _requires_connection = False
    def run(self, tmp=None, task_vars=None):
        return {"paths": {"bundle": "BUNDLE"}}
"""
LONG_PLAY = """
- name: Trial of an interruption
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Open
      wk_fake_run:
    - name: Wait
      ansible.builtin.command:
        argv: [sh, -c, "echo waiting > FIFO; sleep 60"]
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_where_the_bundle_will_be_and_is_noted(
    playbook: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    paths = RunPaths(tmp_path / "runs", "one")
    for file in (paths.pending_file, paths.topology_file):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    source = OPENING.replace("BUNDLE", str(paths.bundle))
    (tmp_path / "action_plugins" / "wk_fake_run.py").write_text(source)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    playbook.write_text(LONG_PLAY.replace("FIFO", str(fifo)))
    with subprocess.Popen(
        command(playbook),
        env=environment(playbook),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert fifo.read_text() == "waiting\n"
        process.send_signal(signum)
        after, _ = process.communicate(timeout=60)
    assert process.returncode == (99 if signum is signal.SIGINT else -signum)
    assert f"The bundle will be in {paths.bundle}" in after
    assert json.loads(paths.pending_file.read_text())["interrupted"] == interruption.BY_USER


def test_an_interruption_tells_what_there_is_to_keep(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "runs", "one")
    assert "before the run began" in interruption.noted(None)[0]
    assert "before the run began" in interruption.noted(paths)[0]
    paths.bundle.mkdir(parents=True)
    assert interruption.noted(paths) == [
        f"Interrupted after the run: its evidence is complete in {paths.bundle}"
    ]
    paths.pending_file.parent.mkdir()
    paths.pending_file.write_text("{}")
    assert "before the stack was created" in interruption.noted(paths)[0]
