# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting ansible-playbook against lab hosts, as a person would, and reading back what every task returned."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import typing as t

from tests.integration import packed, preloaded

ROOT = pathlib.Path(__file__).resolve().parents[2]
CALLBACKS = pathlib.Path(__file__).resolve().parent / "callback_plugins"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished ansible-playbook: exit status, printed text, and the recorded task results in order."""

    status: int
    output: str
    records: list[dict[str, t.Any]]

    def results(self, action: str, host: str | None = None) -> list[dict[str, t.Any]]:
        """The results of all tasks whose module is ``action`` (with or without virtops.kvm.), optionally of one host."""
        return [
            {**record["result"], "failed": record["status"] == "failed"}
            for record in self.records
            if record.get("action", "").rpartition(".")[2] == action.rpartition(".")[2]
            and record["status"] in ("ok", "failed")
            and host in (None, record["host"])
        ]

    def result(self, action: str, host: str | None = None) -> dict[str, t.Any]:
        """The one result of ``action``; fails with the printed text when there is not exactly one."""
        found = self.results(action, host)
        assert len(found) == 1, f"{len(found)} results of {action}:\n{self.output}"
        return found[0]

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """PLAY RECAP: host -> ok, changed, failures, unreachable, skipped, rescued."""
        for record in reversed(self.records):
            if record["status"] == "stats":
                return record["result"]
        raise AssertionError(f"no recap:\n{self.output}")

    @property
    def changed(self) -> int:
        """How many tasks changed something, over all hosts."""
        return sum(host["changed"] for host in self.recap.values())


@dataclasses.dataclass(frozen=True)
class Started:
    """A running ansible-playbook."""

    process: subprocess.Popen[bytes]
    output_path: pathlib.Path
    record_path: pathlib.Path

    def output(self) -> str:
        """What it has printed so far."""
        return _text(self.output_path)

    def finish(self, timeout: float = 900) -> Run:
        """Wait for its end (generous limit, then it is killed and the test fails)."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"ansible-playbook did not end within {timeout} s:\n{self.output()}") from None
        return _ended(status, self.output_path, self.record_path)


def _ended(status: int, output: pathlib.Path, record: pathlib.Path) -> Run:
    packed.compile_new()
    lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return Run(status, _text(output), [json.loads(line) for line in lines])


def _text(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def environment(record: pathlib.Path | None = None) -> dict[str, str]:
    """The environment of a controller in these tests: no colour, no host key prompts of the user's own, our recorder."""
    values = dict(os.environ, ANSIBLE_NOCOLOR="1", ANSIBLE_FORCE_COLOR="0", ANSIBLE_HOST_KEY_CHECKING="True")
    values.pop("ANSIBLE_CONFIG", None)
    values.setdefault("ANSIBLE_PIPELINING", "1")
    if record is not None:
        values.update(
            ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS),
            ANSIBLE_CALLBACKS_ENABLED="virtops_recorder",
            VIRTOPS_RECORD=str(record),
        )
    # Not for a benchmark: a person's run packs them itself.
    if record is not None and "PYTEST_CURRENT_TEST" in os.environ:
        values["VIRTOPS_PACKED"] = str(packed.FOLDER)
    return values


def start_playbook(
    inventory: str | os.PathLike[str],
    playbook: str | os.PathLike[str] | list[dict[str, t.Any]],
    *arguments: str,
    extra_vars: dict[str, t.Any] | None = None,
    prefix: t.Sequence[str] = (),
) -> Started:
    """Start ansible-playbook; ``playbook`` is a path, an FQCN, or plays as data. Further words go to the command line, and
    ``prefix`` goes before it, such as nsenter into the network of the lab."""
    words, record, output = _line(inventory, playbook, arguments, extra_vars)
    with open(output, "wb") as stream:
        process = subprocess.Popen(
            [*prefix, "ansible-playbook", *words],
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment(record),
            cwd=ROOT,
            # A shell lets its background jobs ignore SIGINT, and they would hand that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    return Started(process, output, record)


def run_playbook(
    inventory: str | os.PathLike[str],
    playbook: str | os.PathLike[str] | list[dict[str, t.Any]],
    *arguments: str,
    extra_vars: dict[str, t.Any] | None = None,
    timeout: float = 900,
    prefix: t.Sequence[str] = (),
) -> Run:
    """Run ansible-playbook to its end. Tests, which run it a thousand times, have it ``preloaded``."""
    if prefix or "PYTEST_CURRENT_TEST" not in os.environ:
        return start_playbook(inventory, playbook, *arguments, extra_vars=extra_vars, prefix=prefix).finish(timeout)
    words, record, output = _line(inventory, playbook, arguments, extra_vars)
    status = preloaded.run(words, output, environment(record), ROOT, timeout)
    assert status is not None, f"ansible-playbook did not end within {timeout} s:\n{_text(output)}"
    return _ended(status, output, record)


def _line(
    inventory: str | os.PathLike[str],
    playbook: str | os.PathLike[str] | list[dict[str, t.Any]],
    arguments: t.Sequence[str],
    extra_vars: dict[str, t.Any] | None,
) -> tuple[list[str], pathlib.Path, pathlib.Path]:
    """The words behind ansible-playbook, and where its run leaves its results and what it prints."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="virtops-run-"))
    if isinstance(playbook, list):
        path = folder / "play.yml"
        path.write_text(json.dumps(playbook), encoding="utf-8")
        playbook = path
    words = ["-i", str(inventory), str(playbook), *arguments]
    if extra_vars:
        words += ["-e", json.dumps(extra_vars)]
    return words, folder / "records.jsonl", folder / "output.txt"


def module_play(host: str, module: str, options: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """A playbook of one task: ``virtops.kvm.<module>`` with ``options`` on ``host``."""
    return [
        {
            "name": f"Run {module}",
            "hosts": host,
            "gather_facts": False,
            "tasks": [{"name": module, f"virtops.kvm.{module}": options}],
        }
    ]


def run_module(
    inventory: str | os.PathLike[str],
    host: str,
    module: str,
    options: dict[str, t.Any],
    *arguments: str,
    timeout: float = 900,
) -> dict[str, t.Any]:
    """Run one module on one host and return its result (failed ones too: look at ``failed``, ``error_code``)."""
    run = run_playbook(inventory, module_play(host, module, options), *arguments, timeout=timeout)
    return run.result(module)


def run_tasks_of(
    inventory: str | os.PathLike[str],
    host: str,
    role: str,
    tasks: str,
    *arguments: str,
    extra_vars: dict[str, t.Any] | None = None,
) -> Run:
    """Run one file of a role's tasks on one host; its handlers, where it has some, are those of the role."""
    include = {"name": f"virtops.kvm.{role}", "tasks_from": tasks}
    if (ROOT / "roles" / role / "handlers").is_dir():
        include["handlers_from"] = "main"
    play = {
        "name": tasks,
        "hosts": host,
        "gather_subset": ["!all", "!min", "distribution"],
        "tasks": [{"name": tasks, "ansible.builtin.include_role": include}],
    }
    return run_playbook(inventory, [play], *arguments, extra_vars=extra_vars)
