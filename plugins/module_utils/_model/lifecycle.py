# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""From the state a domain is in to the state that is asked for: the steps, or one sentence why not. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import ACTIVE_STATES

STATES = ("defined", "running", "shutoff", "paused", "saved", "absent")
SAVED = "saved"


@dataclasses.dataclass(frozen=True)
class Present:
    """A domain as it is. ``nvram`` is the path of variables that exist, ``tpm`` whether there is a state of its TPM."""

    name: str
    uuid: str
    state: str
    persistent: bool = True
    autostart: bool = False
    managed_save: bool = False
    snapshots: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    nvram: t.Optional[str] = None
    tpm: bool = False

    @property
    def active(self) -> bool:
        """Whether it has a process."""
        return self.state in (*ACTIVE_STATES, "crashed")

    @property
    def shown_state(self) -> str:
        """Its state in the words of the option: a domain that is off with a saved state is ``saved``."""
        if self.managed_save and not self.active:
            return SAVED
        return "running" if self.state == "blocked" else self.state


@dataclasses.dataclass(frozen=True)
class Leftovers:
    """What may go with a domain that becomes absent: each is refuse, delete, or (nvram, tpm) keep."""

    nvram: str = "refuse"
    tpm: str = "refuse"
    managed_save: str = "refuse"
    snapshots: str = "refuse"
    checkpoints: str = "refuse"


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to do: ``action`` names it, ``before`` and ``after`` are states as the user knows them."""

    action: str
    before: t.Any = None
    after: t.Any = None


def steps_to(
    present: Present, state: str, leftovers: Leftovers, *, may_stop: bool = False, hard_stop: bool = False
) -> list[Step]:
    """The steps that bring ``present`` to ``state``. Raises KvmError with one sentence where there is no safe way.

    ``may_stop`` lets an active domain become absent; ``hard_stop`` says that one that does not shut down may be killed.
    """
    if present.state == "crashed" and state in ("shutoff", "absent") and not hard_stop:
        raise _impossible(
            present, state, "it has crashed and keeps its memory for a look; shutdown_action=destroy gives that up"
        )
    if state == "absent":
        return _to_absent(present, leftovers, may_stop=may_stop)
    if state == "defined":
        return []
    if present.state == "crashed" and state != "shutoff":
        raise _impossible(
            present,
            state,
            "it has crashed and keeps its memory for a look; end it by state=shutoff with shutdown_action=destroy first",
        )
    if present.state == "shutdown" and state != "shutoff":
        raise _impossible(present, state, "it is shutting down; run again when it is off")
    return {"running": _to_running, "paused": _to_paused, "saved": _to_saved, "shutoff": _to_shutoff}[state](
        present, leftovers
    )


def _to_running(present: Present, unused_leftovers: Leftovers) -> list[Step]:
    now = present.shown_state
    if now in ("running", "nostate"):
        return []
    if now == "paused":
        return [Step("resume", "paused", "running")]
    if now == "pmsuspended":
        return [Step("wake up", "pmsuspended", "running")]
    return [Step("start", now, "running")]


def _to_paused(present: Present, unused_leftovers: Leftovers) -> list[Step]:
    now = present.shown_state
    if now == "paused":
        return []
    if now == "pmsuspended":
        raise _impossible(present, "paused", "its guest has suspended itself; bring it to state=running first")
    if now in ("running", "nostate"):
        return [Step("pause", "running", "paused")]
    return [Step("start paused", now, "paused")]


def _to_saved(present: Present, unused_leftovers: Leftovers) -> list[Step]:
    now = present.shown_state
    if now == SAVED:
        return []
    if now == "shutoff":
        raise _impossible(present, SAVED, "it is shut off and has no running state to save; start it first")
    if now == "pmsuspended":
        raise _impossible(present, SAVED, "its guest has suspended itself; bring it to state=running first")
    if not present.persistent:
        raise _impossible(present, SAVED, "it is transient, and libvirt keeps a saved state for a defined domain only")
    return [Step("save", now, SAVED)]


def _to_shutoff(present: Present, leftovers: Leftovers) -> list[Step]:
    steps: list[Step] = []
    now = present.shown_state
    if now in ("paused", "pmsuspended"):
        # Only a guest whose processors run can shut down.
        steps.append(Step("resume" if now == "paused" else "wake up", now, "running"))
        now = "running"
    if present.active:
        steps.append(Step("shut down", now, "shutoff"))
    elif present.managed_save and leftovers.managed_save == "delete":
        steps.append(Step("delete the saved state", SAVED, "shutoff"))
    return steps


def _to_absent(present: Present, leftovers: Leftovers, *, may_stop: bool) -> list[Step]:
    if present.active and not may_stop:
        raise KvmError(
            "DOMAIN_ACTIVE",
            f"The domain '{present.name}' is {present.shown_state}, and nothing is stopped unasked: "
            "allow it with may_stop=true, or bring it to state=shutoff first.",
            domain=present.name,
            state=present.state,
        )
    kept = [sentence for sentence in _kept(present, leftovers) if sentence]
    if kept:
        raise KvmError(
            "DOMAIN_HAS_MORE",
            f"The domain '{present.name}' is not removed, because it still has {'; and '.join(kept)}.",
            domain=present.name,
        )
    steps = _to_shutoff(present, Leftovers()) if present.active else []
    if present.persistent:
        steps.append(Step("undefine", "defined", "absent"))
    return steps


def _kept(present: Present, leftovers: Leftovers) -> t.Iterator[str]:
    """What would be lost or left behind without a word of the user."""
    if present.nvram and leftovers.nvram == "refuse":
        yield f"firmware variables in {present.nvram} (nvram=delete deletes them, nvram=keep leaves them)"
    if present.tpm and leftovers.tpm == "refuse":
        yield "a TPM with a state of its own (tpm=delete deletes it, tpm=keep leaves it)"
    if present.managed_save and leftovers.managed_save == "refuse":
        yield "a saved state (managed_save=delete deletes it)"
    for word, names, choice in (
        ("snapshot", present.snapshots, leftovers.snapshots),
        ("checkpoint", present.checkpoints, leftovers.checkpoints),
    ):
        if names and choice == "refuse":
            some = "s" if len(names) > 1 else ""
            yield (
                f"{len(names)} {word}{some} ({', '.join(names[:5])}{' ...' if len(names) > 5 else ''}; "
                f"{word}s=delete deletes what libvirt knows of them, and no image)"
            )


def _impossible(present: Present, state: str, why: str) -> KvmError:
    return KvmError(
        "STATE_IMPOSSIBLE",
        f"The domain '{present.name}' cannot become {state}: {why}.",
        domain=present.name,
        state=present.state,
        wanted=state,
    )
