# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook to its end, from a process that has imported ansible-core already and forks for each run.

Importing it costs more processor time than all else that most runs do on the controller, and the tests in the lab make about a
thousand of them. Each has a process, an environment, streams and a temporary folder of its own, and imports of the collection for
itself. What ansible-core takes from the environment when it is imported is the same for all runs of one such process.

Started as a program it is that process: it gets a line of JSON for each run on the socket that is its standard input, and answers with
the run's pid, and its status in the end.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import typing as t

#: What differs from run to run; ansible-core does not read it when it is imported.
_OWN = ("PYTEST_CURRENT_TEST", "VIRTOPS_RECORD")
#: What nearly every run takes in besides.
_PLUGINS = ("connection.ssh", "strategy.linear", "callback.default", "shell.sh", "inventory.yaml", "action.normal")

_Kind = tuple[str, frozenset[tuple[str, str]]]
_idle: dict[_Kind, list[Parent]] = {}


def run(words: list[str], output: pathlib.Path, env: dict[str, str], cwd: pathlib.Path, timeout: float) -> int | None:
    """The status with which ``ansible-playbook WORDS`` ended, negative for a signal; None if it was killed after ``timeout`` s."""
    kind = (str(cwd), frozenset((name, value) for name, value in env.items() if name not in _OWN))
    waiting = _idle.setdefault(kind, [])
    parent = waiting.pop() if waiting else Parent(env, cwd)
    status = parent.run({"words": words, "output": str(output), "env": env}, timeout)
    waiting.append(parent)
    return status


class Parent:
    """A process that has imported ansible-core. It ends with the one that started it."""

    def __init__(self, env: dict[str, str], cwd: pathlib.Path) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=env,
                cwd=cwd,
                # A shell lets its background jobs ignore SIGINT, and they would hand that on.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        # Without a buffer, in which select would not see an answer.
        self._answers = self._socket.makefile("rb", buffering=0)

    def run(self, request: dict[str, t.Any], timeout: float) -> int | None:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        pid = self._answer()
        ended = select.select([self._socket], [], [], timeout)[0]
        if not ended:
            os.kill(pid, signal.SIGKILL)
        status = self._answer()
        return status if ended else None

    def _answer(self) -> int:
        line = self._answers.readline()
        assert line, f"what starts ansible-playbook ended with status {self._process.wait()}"
        return int(line)


def _serve() -> None:
    """Answer until nobody can ask any more, and end. Returns in the process of each run, which is all prepared."""
    link = socket.socket(fileno=os.dup(0))
    lines = link.makefile("r", encoding="utf-8")
    for line in lines:
        child = os.fork()
        if child == 0:
            lines.close()
            link.close()
            _become(**json.loads(line))
            return
        link.sendall(b"%d\n" % child)
        link.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    sys.exit(0)


def _become(words: list[str], output: str, env: dict[str, str]) -> None:
    from ansible import constants

    os.environ.clear()
    os.environ.update(env)
    folder = pathlib.Path(sys.executable).parent
    sys.argv, sys.path[0] = [str(folder / "ansible-playbook"), *words], str(folder)
    for path, flags, numbers in ((os.devnull, os.O_RDONLY, (0,)), (output, os.O_WRONLY | os.O_CREAT, (1, 2))):
        stream = os.open(path, flags, 0o666)
        for number in numbers:
            os.dup2(stream, number)
        os.close(stream)
    # A folder that is made, for one run, when this is imported.
    own = constants.config.get_config_value("DEFAULT_LOCAL_TMP", variables=vars(constants))
    vars(constants)["DEFAULT_LOCAL_TMP"] = own


if __name__ == "__main__":
    sys.path[0] = str(pathlib.Path(sys.executable).parent)
    from ansible.cli.playbook import main

    for _name in _PLUGINS:
        importlib.import_module(f"ansible.plugins.{_name}")
    # What is here to stay need not be looked at, and so copied, in each run.
    gc.collect()
    gc.freeze()
    _serve()
    sys.exit(main())
