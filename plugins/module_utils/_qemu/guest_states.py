# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""From the state a guest process is in to the one that is asked for: the steps, or one sentence why there is no safe way. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.lifecycle import Step

RUNNING, PAUSED, INCOMING, STOPPED = STATES = ("running", "paused", "incoming", "stopped")
START, START_PAUSED, WAIT = "start", "start paused", "wait for a migration"
RESUME, PAUSE, WAKE_UP = "resume", "pause", "wake up"
SHUT_DOWN, END, END_HARD = "shut down", "end", "end hard"
STARTS = {RUNNING: START, PAUSED: START_PAUSED, INCOMING: WAIT}
#: Of a process whose monitor does not answer.
UNKNOWN = "unknown"
#: QEMU's own word for a state -> the user's. Those without one are told as they are.
_SHOWN = {"inmigrate": INCOMING, "prelaunch": PAUSED}
#: Why nothing but an end may follow.
_OVER = {
    "postmigrate": "its state has been handed over to another host, so it must not go on here",
    UNKNOWN: "its monitor does not answer, so nothing is known of it and it hears nothing",
    "internal-error": "QEMU met an error from which it cannot go on",
    "guest-panicked": "its kernel has panicked",
    "shutdown": "it has shut itself down, and its process is kept",
}


def shown(run_state: str | None) -> str:
    """A state in the user's words; None is no process."""
    return STOPPED if run_state is None else _SHOWN.get(run_state, run_state)


def steps_to(name: str, run_state: str | None, state: str, *, migrating: bool, hard: bool) -> list[Step]:
    """The steps from ``run_state`` (QEMU's word; None: no process) to ``state``. Raises KvmError STATE_IMPOSSIBLE.

    ``migrating`` says that a migration is under way, ``hard`` that the user gave up what a hard end loses.
    """
    now = shown(run_state)
    if run_state is None:
        return [] if state == STOPPED else [Step(STARTS[state], STOPPED, state)]
    if now == state:
        return []
    if migrating:
        raise impossible(name, now, state, "a migration of it is under way; let it end, or cancel it")
    if state == INCOMING:
        raise impossible(name, now, state, "only a new process can wait for a migration; have it stopped first")
    if run_state == "inmigrate":
        if state == STOPPED:
            return [Step(END, now, STOPPED)]
        raise impossible(name, now, state, "it waits for a migration, and has no memory of its own to run with")
    if run_state in _OVER:
        return _over(name, run_state, state, hard)
    if state == STOPPED:
        return _stop(run_state, now)
    return _switch(name, run_state, now, state)


def _over(name: str, run_state: str, state: str, hard: bool) -> list[Step]:
    if state == STOPPED and run_state == "shutdown":
        return [Step(END, run_state, STOPPED)]
    if state == STOPPED and hard:
        return [Step(END_HARD, run_state, STOPPED)]
    cure = "; shutdown_action=destroy ends it" if state == STOPPED else ""
    raise impossible(name, run_state, state, _OVER[run_state] + cure)


def _stop(run_state: str, now: str) -> list[Step]:
    if run_state == "prelaunch":
        # It has not run an instruction yet, so there is nobody to ask and nothing to lose.
        return [Step(END, now, STOPPED)]
    if run_state == "running":
        return [Step(SHUT_DOWN, now, STOPPED)]
    return [Step(WAKE_UP if run_state == "suspended" else RESUME, now, RUNNING), Step(SHUT_DOWN, RUNNING, STOPPED)]


def _switch(name: str, run_state: str, now: str, state: str) -> list[Step]:
    if state == RUNNING:
        return [Step(WAKE_UP if run_state == "suspended" else RESUME, now, RUNNING)]
    if run_state == "running":
        return [Step(PAUSE, now, PAUSED)]
    raise impossible(name, now, state, f"it is {now} by itself; have it running first")


def impossible(name: str, now: str, state: str, reason: str) -> KvmError:
    """The error for a state that cannot be reached."""
    return KvmError(
        "STATE_IMPOSSIBLE",
        f"The guest process '{name}' is {now} and cannot become {state}: {reason}.",
        guest=name,
        state=now,
        wanted=state,
    )


def restarted(steps_down: t.Sequence[Step], state: str) -> list[Step]:
    """Down by ``steps_down``, and up again."""
    return [*steps_down, Step(STARTS[state], STOPPED, state)]
