# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a playbook as a person would: its output goes straight to the terminal, its counts are read from a record."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORDER = ROOT / "tests" / "integration" / "callback_plugins"


class Terminated(KeyboardInterrupt):
    """We were asked to end by a signal that our children did not get."""


class Played(t.NamedTuple):
    """A finished run: exit status, how many tasks changed something, and what set_stats handed over."""

    status: int
    changed: int
    result: dict[str, t.Any]


def play(inventory: pathlib.Path, playbook: str, values: dict[str, t.Any]) -> Played:
    """Run ``playbook`` of this collection, and print the command line first."""
    words = ["ansible-playbook", "-i", str(inventory), f"playbooks/{playbook}.yml"]
    words += [word for name, value in values.items() for word in ("-e", f"{name}={value}")]
    print(f"\n$ {' '.join(words)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="virtops-demo-") as folder:
        record = pathlib.Path(folder) / "records.jsonl"
        with subprocess.Popen(words, cwd=ROOT, env=_environment(record), stdin=subprocess.DEVNULL) as process:
            status = _wait(process)
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return _played(status, [json.loads(line) for line in lines])


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Its exit status. When we are interrupted, it is given the time to undo what it began (Ctrl-C reaches it by itself)."""
    try:
        return process.wait()
    except KeyboardInterrupt as reason:
        if isinstance(reason, Terminated):
            process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _environment(record: pathlib.Path) -> dict[str, str]:
    values = {
        "ANSIBLE_CALLBACK_PLUGINS": str(RECORDER),
        "ANSIBLE_CALLBACKS_ENABLED": "virtops_recorder",
        "ANSIBLE_FORCE_COLOR": "1" if sys.stdout.isatty() else "0",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "PWD": str(ROOT),
        "VIRTOPS_RECORD": str(record),
    }
    values = {**os.environ, **values}
    values.pop("ANSIBLE_CONFIG", None)
    return values


def _played(status: int, records: list[dict[str, t.Any]]) -> Played:
    changed, result = 0, {}
    for record in records:
        if record["status"] == "stats":
            changed = sum(host["changed"] for host in record["result"].values())
        elif record["task"].endswith("Hand the result to a workflow"):
            result = record["result"]["ansible_stats"]["data"]["evacuate_result"]
    return Played(status, changed, result)
