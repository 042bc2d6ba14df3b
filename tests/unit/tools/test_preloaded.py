# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preloaded ansible-playbook does what the command does: same words, same status, same results, nothing of another run."""

from __future__ import annotations

import json
import re
import signal
import typing as t

import pytest

from tests.integration import preloaded
from tests.integration.ansible_runs import CALLBACKS, ROOT, Run, environment, run_playbook, start_playbook

if t.TYPE_CHECKING:
    import pathlib

HERE = {"hosts": "localhost", "connection": "local", "gather_facts": False}
LOOK = "cat /proc/self/status | grep -E '^(Sig[^Q]|Shd)'; pwd; umask; env | sort; ls -l /proc/self/fd | wc -l"


def play(*tasks: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    return [{**HERE, "name": "here", "tasks": [{"name": "task", **task} for task in tasks]}]


def steady(text: str) -> str:
    """What is printed, without what each run has of its own."""
    return re.sub(
        r"virtops-run-\w+|\d+-\d+-\d+ [\d:.]+|\d+:\d+:[\d.]+|ansible-local-\w+|ansible-tmp-[\d.-]+|_AnsiballZ\S+",
        "*",
        text,
    )


def shape(run: Run) -> tuple[int, str, list[tuple[str, str]]]:
    return run.status, steady(run.output), [(one["task"], one["status"]) for one in run.records]


@pytest.mark.parametrize(
    ("tasks", "arguments"),
    [
        ([{"ansible.builtin.shell": LOOK}, {"ansible.builtin.debug": {"var": "asked"}}], ["-e", "asked=1", "-v"]),
        ([{"ansible.builtin.command": "false"}], []),
        ([{"ansible.builtin.command": "true", "register": "one"}, {"ansible.builtin.assert": {"that": "one is failed"}}], ["--check"]),
        ([{"no.such.thing": {}}], []),
        ([{"ansible.builtin.debug": {"msg": "{{ ansible_playbook_python }} {{ playbook_dir | length }}"}}], []),
        ([], ["--no-such-option"]),
    ],
)  # fmt: skip
def test_it_does_what_the_command_does(tasks: list[dict[str, t.Any]], arguments: list[str]) -> None:
    real = shape(start_playbook("localhost,", play(*tasks), *arguments).finish())
    for _again in range(2):
        assert shape(run_playbook("localhost,", play(*tasks), *arguments)) == real


def test_each_run_has_a_folder_a_process_and_chance_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path))
    message = "{{ lookup('pipe', 'echo $PPID; ls -t $ANSIBLE_HOME/tmp | grep local | head -n 1') }} {{ range(10 ** 12) | random }}"
    runs = [run_playbook("localhost,", play({"ansible.builtin.debug": {"msg": message}})) for _turn in range(3)]
    columns = zip(*(run.results("debug")[0]["msg"].split() for run in runs), strict=True)
    assert [len(set(column)) for column in columns] == [3, 3, 3]
    assert list((tmp_path / "tmp").glob("ansible-local-*")) == []


def test_what_takes_too_long_is_killed_and_told() -> None:
    with pytest.raises(AssertionError, match=r"did not end within 1\.5 s"):
        run_playbook("localhost,", play({"ansible.builtin.command": "sleep 3"}), timeout=1.5)
    assert run_playbook("localhost,", play({"ansible.builtin.command": "true"})).status == 0


def test_a_run_that_kills_itself_is_told_as_one_that_was_killed(tmp_path: pathlib.Path) -> None:
    """The status is what subprocess would say."""
    folder = tmp_path / "callbacks"
    folder.mkdir()
    (folder / "ends.py").write_text(
        "import os, signal\n"
        "from ansible.plugins.callback import CallbackBase\n"
        "class CallbackModule(CallbackBase):\n"
        "    CALLBACK_NAME = 'ends'\n"
        "    def v2_playbook_on_start(self, playbook):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    env = {**environment(tmp_path / "record"), "ANSIBLE_CALLBACK_PLUGINS": f"{folder}:{CALLBACKS}"}
    (tmp_path / "play.yml").write_text(json.dumps(play({"ansible.builtin.command": "true"})))
    status = preloaded.run(["-i", "localhost,", str(tmp_path / "play.yml")], tmp_path / "output", env, ROOT, 60)
    assert status == -signal.SIGTERM
