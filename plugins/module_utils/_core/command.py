# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Running a command: a list of words, never a shell; a time limit always."""

from __future__ import annotations

import os
import subprocess
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError


class Completed(t.NamedTuple):
    """What a finished command left: its exit status and its two outputs as text."""

    status: int
    stdout: str
    stderr: str


def run(words: t.Sequence[str], *, timeout: float = 60.0, check: bool = True, stdin: str | None = None) -> Completed:
    """Run ``words`` in the C locale. With ``check``, a non-zero exit raises KvmError COMMAND_FAILED.

    A missing program raises COMMAND_MISSING, a run longer than ``timeout`` seconds COMMAND_TIMEOUT (the child is killed).
    """
    environment = dict(os.environ, LC_ALL="C", LANGUAGE="C")
    try:
        done = subprocess.run(
            list(words), input=stdin, capture_output=True, text=True, timeout=timeout, env=environment, check=False
        )
    except FileNotFoundError as exc:
        raise KvmError(
            "COMMAND_MISSING", f"The program '{words[0]}' is not installed; install it and run again.", program=words[0]
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise KvmError(
            "COMMAND_TIMEOUT", f"'{words[0]}' did not end within {timeout:g} s and was stopped.", program=words[0]
        ) from exc
    result = Completed(done.returncode, done.stdout, done.stderr)
    if check and result.status != 0:
        last = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
        raise KvmError(
            "COMMAND_FAILED", f"'{words[0]}' failed with status {result.status}: {last}.", command=list(words), stderr=result.stderr
        )
    return result
