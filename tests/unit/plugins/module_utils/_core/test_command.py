# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs run without a shell, end when they must, and a missing one is named with its packages."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

PYTHON = sys.executable


def test_words_reach_the_program_as_they_are() -> None:
    words = ["a b", "$HOME", "'\"", "-n", "ü\n"]
    done = command.run([PYTHON, "-c", "import sys; print(sys.argv[1:])", *words])
    assert (done.status, done.stdout.strip()) == (0, str(words))


@pytest.mark.parametrize("text", ["größe", b"gr\xc3\xb6\xc3\x9fe"])
def test_input_and_environment(text: str | bytes) -> None:
    program = "import os, sys; print(sys.stdin.read(), os.environ['SPEAK'], os.environ['LC_ALL'])"
    assert command.run([PYTHON, "-c", program], input=text, env={"SPEAK": "up"}).stdout == "größe up C.UTF-8\n"


def test_without_input_there_is_none() -> None:
    assert command.run([PYTHON, "-c", "import sys; print(repr(sys.stdin.read()))"]).stdout == "''\n"


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [("", "it ended with status 3"), ("one\nno space\n\n", "no space"), ("\udcff", "it ended with status 3")],
)
def test_reason_is_the_last_line(stderr: str, reason: str) -> None:
    assert command.Done(3, "", stderr if stderr != "\udcff" else " ").reason == reason


def test_a_missing_program_is_named_with_its_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(command, "_PLACES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KvmError) as caught:
        command.run(["qemu-nbd", "--version"])
    assert caught.value.error_code == "PROGRAM_MISSING"
    assert "qemu-utils" in caught.value.message
    assert caught.value.details == {"program": "qemu-nbd", "packages": {"debian": "qemu-utils", "redhat": "qemu-img"}}


def test_an_unknown_program_has_no_packages() -> None:
    with pytest.raises(KvmError, match="is not installed on kvm2") as caught:
        raise command.missing("/opt/frobnicate", "kvm2")
    assert caught.value.details == {"program": "frobnicate", "packages": {}}


def test_too_slow_is_ended() -> None:
    with pytest.raises(KvmError) as caught:
        command.run([PYTHON, "-c", "import time; time.sleep(600)"], timeout=0.2)
    assert caught.value.error_code == "PROGRAM_TIMEOUT"


def test_check_turns_a_failure_into_an_error() -> None:
    with pytest.raises(KvmError, match="Breaking it failed: because") as caught:
        command.check(
            [PYTHON, "-c", "import sys; print('because', file=sys.stderr); sys.exit(7)"], "BROKEN", "Breaking it"
        )
    assert caught.value.error_code == "BROKEN"
    assert command.check([PYTHON, "-c", "print(1)"], "BROKEN", "Breaking it").stdout == "1\n"


def test_a_process_ends_with_its_block() -> None:
    with command.Process(
        [PYTHON, "-c", "print('up', flush=True); import time; time.sleep(600)"], stdout=subprocess.PIPE
    ) as one:
        assert one.stdout.readline() == b"up\n"
        assert (one.poll(), one.wait(0.05)) == (None, None)
    assert one.poll() == -signal.SIGTERM


def test_a_stubborn_process_is_killed() -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    with command.Process([PYTHON, "-c", stubborn], stdout=subprocess.PIPE) as one:
        one.stdout.readline()
        assert one.end(patience=0.2) == -signal.SIGKILL


def test_last_words_of_a_process() -> None:
    with command.Process([PYTHON, "-c", "import sys; print('alas', file=sys.stderr)"]) as one:
        one.wait()
        assert one.last_words() == "alas"


def test_a_process_does_not_survive_its_parent(tmp_path: pathlib.Path) -> None:
    """Not even when the parent has no time to clean up."""
    parent = (
        "import subprocess, sys, os, signal\n"
        "from ansible_collections.virtops.kvm.plugins.module_utils._core.command import Process\n"
        f"one = Process([{PYTHON!r}, '-c', 'print(1, flush=True); import time; time.sleep(600)'], stdout=subprocess.PIPE)\n"
        "one.stdout.readline()\n"
        "print(one.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = command.run([PYTHON, "-c", parent], env={"PYTHONPATH": path})
    assert done.status == -signal.SIGKILL, done.stderr
    end = pathlib.Path(f"/proc/{done.stdout.strip()}/stat")
    for _try in range(1000):
        if not end.exists() or end.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            return
        command.run([PYTHON, "-c", "import time; time.sleep(0.01)"])
    raise AssertionError("the process outlived its parent")
