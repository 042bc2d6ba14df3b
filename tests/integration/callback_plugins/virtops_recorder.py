# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback that writes every task result as one JSON line to the file that VIRTOPS_RECORD names.

Where VIRTOPS_PACKED names a folder, this run finds there the modules that runs before it have packed, and leaves its own; see
tests/integration/packed.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: virtops_recorder
type: aggregate
short_description: Write every task result as a JSON line
description:
  - For the integration tests, which compare what tasks returned.
"""


class CallbackModule(CallbackBase):
    """One line per result: host, task, action, status (ok, failed, unreachable, skipped), result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "virtops_recorder"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        packed = os.environ.get("VIRTOPS_PACKED")
        if packed:
            os.makedirs(packed, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.symlink(packed, os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache"))

    def _write(self, record: dict[str, t.Any]) -> None:
        with open(os.environ["VIRTOPS_RECORD"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, default=str) + "\n")

    def _record(self, status: str, result: t.Any) -> None:
        task = result._task
        self._write(
            {
                "host": result._host.get_name(),
                "task": task.get_name(),
                "action": task.action,
                "status": status,
                "result": result._result,
            }
        )

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._record("ok", result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._record("failed", result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._record("unreachable", result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._record("skipped", result)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        hosts = sorted(stats.processed)
        self._write(
            {"task": "PLAY RECAP", "status": "stats", "result": {host: stats.summarize(host) for host in hosts}}
        )
