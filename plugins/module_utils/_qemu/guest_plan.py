# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What has to be done for one guest process: facts and wishes in, a plan out. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.lifecycle import Step
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import commandline
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_states import (
    INCOMING,
    STARTS,
    STOPPED,
    restarted,
    shown,
    steps_to,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import Unit


@dataclasses.dataclass(frozen=True)
class Present:
    """A guest as it is. ``text`` is that of its unit file, ``arguments`` are those that its process really has."""

    unit: t.Optional[Unit] = None
    text: t.Optional[str] = None
    persistent: bool = False
    autostart: bool = False
    pid: t.Optional[int] = None
    arguments: tuple[str, ...] = ()
    run_state: t.Optional[str] = None
    migrating: bool = False


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked for. ``unit`` and its ``text`` are None where only a state is asked for; None leaves an option as it is."""

    name: str
    state: str
    unit: t.Optional[Unit] = None
    text: t.Optional[str] = None
    persistent: t.Optional[bool] = None
    autostart: t.Optional[bool] = None
    may_restart: bool = False
    hard: bool = False


@dataclasses.dataclass(frozen=True)
class NewFile:
    """A file that is made: an image of ``size`` bytes, or a copy of ``template``."""

    path: str
    format: str = "raw"
    size: t.Optional[int] = None
    template: t.Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done, in this order: files, definition, autostart, steps, removal."""

    name: str
    present: Present
    state: str
    unit: t.Optional[Unit] = None
    text: t.Optional[str] = None
    persistent: bool = False
    autostart: bool = False
    files: tuple[NewFile, ...] = ()
    defines: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    removes: bool = False
    differences: tuple[str, ...] = ()

    @property
    def restarts(self) -> bool:
        """Whether a new process is started."""
        return any(step.action in STARTS.values() for step in self.steps)

    @property
    def restart_needed(self) -> bool:
        """Whether the process goes on with other arguments than those that are asked for."""
        goes_on = self.present.run_state is not None and self.state != STOPPED
        return bool(self.differences) and goes_on and not self.restarts

    @property
    def switches_autostart(self) -> bool:
        """Whether the unit's start with the host is switched."""
        return not self.removes and self.autostart != self.present.autostart

    @property
    def changes(self) -> tuple[Change, ...]:
        """Everything that changes, in its order."""
        what = f"guest process {self.name}"
        found = [
            Change(
                f"file {new.path}", "create", None, new.size if new.template is None else f"a copy of {new.template}"
            )
            for new in self.files
        ]
        if self.defines:
            action = "define" if self.present.unit is None else "redefine"
            found.append(Change(f"definition of {what}", action, None, list(self.defines)))
        if self.switches_autostart:
            found.append(Change(f"autostart of {what}", "set", self.present.autostart, self.autostart))
        found += [Change(what, step.action, step.before, step.after) for step in self.steps]
        if self.removes:
            found.append(Change(f"definition of {what}", "remove", "transient", None))
        return tuple(found)

    def diff(self) -> dict[str, str]:
        """Before and after for diff mode: state, autostart, and the arguments, one option a line."""
        present = self.present
        before = self.unit_lines(present.unit, shown(present.run_state), present.autostart, present.arguments)
        gone = self.removes or self.unit is None
        after = self.unit_lines(None if gone else self.unit, self.state, self.autostart, ())
        return {"before_header": self.name, "after_header": self.name, "before": before, "after": after}

    def unit_lines(self, unit: Unit | None, state: str, autostart: bool, running: t.Sequence[str]) -> str:
        """A guest as text. Where a process has other arguments than its unit, those of the process are shown."""
        lines = [f"state: {state}", f"autostart: {str(autostart).lower()}"]
        words = commandline.without_start(running) if running else list(unit.arguments) if unit else []
        lines += [f"user: {unit.user}"] if unit else []
        lines += commandline.shown(words) if words else []
        return "".join(f"{line}\n" for line in lines)


def decide(present: Present, wanted: Wanted, files: t.Sequence[NewFile] = ()) -> Plan:
    """The plan. Raises KvmError where what is asked for cannot be, or is not safe."""
    _refuse_contradictions(present, wanted)
    state = wanted.state
    unit, text = wanted.unit or present.unit, wanted.text if wanted.unit else present.text
    persistent = present.persistent if wanted.persistent is None else wanted.persistent
    if unit is None:
        if state == STOPPED:
            return Plan(wanted.name, present, STOPPED)
        raise KvmError(
            "GUEST_NOT_FOUND",
            f"This host has no definition of a guest process '{wanted.name}'; give its memory and disks, or its arguments.",
            guest=wanted.name,
        )
    steps = steps_to(wanted.name, present.run_state, state, migrating=present.migrating, hard=wanted.hard)
    differences: tuple[str, ...] = ()
    if present.run_state is not None:
        differences = commandline.differences(commandline.without_start(present.arguments), unit.arguments)
        if differences and wanted.may_restart and state != STOPPED:
            down = steps_to(wanted.name, present.run_state, STOPPED, migrating=present.migrating, hard=wanted.hard)
            steps = restarted(down, state)
    # What waits for a migration must not be started by a host that starts anew: its guest runs elsewhere.
    autostart = False if state == INCOMING else present.autostart if wanted.autostart is None else wanted.autostart
    ends_transient = state == STOPPED and not persistent
    return Plan(
        name=wanted.name,
        present=present,
        state=state,
        unit=unit,
        text=text,
        persistent=persistent,
        autostart=autostart and persistent,
        files=tuple(files) if any(step.action in STARTS.values() for step in steps) else (),
        defines=() if ends_transient else _defines(present, wanted, persistent),
        steps=tuple(steps),
        removes=ends_transient and present.unit is not None,
        differences=differences,
    )


def _refuse_contradictions(present: Present, wanted: Wanted) -> None:
    persistent = present.persistent if wanted.persistent is None else wanted.persistent
    if wanted.autostart and not persistent:
        raise InputError("autostart", "Only a persistent unit starts with its host; say persistent=true, too.")
    if wanted.autostart and wanted.state == INCOMING:
        raise InputError(
            "autostart",
            "A guest that waits for a migration must not start with the host, since it runs elsewhere; set autostart when it has come.",
        )
    if present.unit is not None and wanted.unit is not None and present.unit.uuid != wanted.unit.uuid:
        raise KvmError(
            "UUID_CONFLICT",
            f"The guest process '{wanted.name}' of this host has the UUID {present.unit.uuid}, and {wanted.unit.uuid} is asked for: "
            "leave the UUID out, or have the guest stopped and its unit removed first.",
            guest=wanted.name,
            uuid=present.unit.uuid,
        )


def _defines(present: Present, wanted: Wanted, persistent: bool) -> tuple[str, ...]:
    """How the definition changes, one line each."""
    if wanted.unit is None:
        if present.persistent == persistent:
            return ()
        return (_place(persistent),)
    if present.unit is None:
        return (f"a {'persistent' if persistent else 'transient'} unit, run by {wanted.unit.user}",)
    lines = list(commandline.differences(present.unit.arguments, wanted.unit.arguments))
    if present.unit.user != wanted.unit.user:
        lines.append(f"user: '{present.unit.user}' -> '{wanted.unit.user}'")
    if present.unit.taps != wanted.unit.taps:
        lines.append("tap devices and their bridges")
    if present.persistent != persistent:
        lines.append(_place(persistent))
    if not lines and present.text != wanted.text:
        lines.append("the text of the unit file")
    return tuple(lines)


def _place(persistent: bool) -> str:
    return "the unit is persistent" if persistent else "the unit is transient"
