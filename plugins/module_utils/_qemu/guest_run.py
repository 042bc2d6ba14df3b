# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One guest process from what it is to what is asked for: first the whole plan, which changes nothing; then its steps."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError, TimeoutExpired
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import commandline, guest_states
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.conflicts import (
    MOVED_AWAY,
    Claim,
    refuse_departed,
    refuse_rivals,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.description import (
    BRIDGE,
    TAP,
    Description,
    Disk,
    own_tap,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_plan import (
    NewFile,
    Plan,
    Present,
    Wanted,
    decide,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_process import GuestGateway
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import Tap, Unit, render

#: A guest that still boots misses the button; so it is pressed again.
_ASK_AGAIN = 10.0
_ONCE = {guest_states.START_PAUSED: commandline.STANDING, guest_states.WAIT: commandline.WAITING}


@dataclasses.dataclass(frozen=True)
class Request:
    """What the options ask for. ``description`` or ``arguments`` say what the guest is; neither asks for a state alone."""

    name: str
    state: str
    uuid: t.Optional[str] = None
    description: t.Optional[t.Callable[[str], Description]] = None
    arguments: t.Optional[tuple[str, ...]] = None
    emulator: t.Optional[str] = None
    user: t.Optional[str] = None
    persistent: t.Optional[bool] = None
    autostart: t.Optional[bool] = None
    may_restart: bool = False
    shutdown_timeout: float = 300.0
    shutdown_action: str = "fail"
    accept: tuple[str, ...] = ()

    @property
    def hard(self) -> bool:
        """Whether a guest may be ended as if its power cord were pulled."""
        return self.shutdown_action == "destroy"


def make_plan(gateway: GuestGateway, request: Request) -> Plan:
    """What has to be done, with every check that can be made before. Raises KvmError; changes nothing."""
    present = gateway.look(request.name)
    unit, description = _unit(gateway, request, present)
    persistent = present.persistent if request.persistent is None else request.persistent
    wanted = Wanted(
        name=request.name,
        state=request.state,
        unit=unit,
        text=render(unit, gateway.ip(), persistent=persistent) if unit else None,
        persistent=request.persistent,
        autostart=request.autostart,
        may_restart=request.may_restart,
        hard=request.hard,
    )
    files = [] if description is None else missing_files(gateway, description)
    plan = decide(present, wanted, files)
    if plan.unit is not None and MOVED_AWAY not in request.accept:
        _check_home(gateway, plan, plan.unit)
    if plan.restarts and plan.unit is not None:
        _check_start(gateway, plan, plan.unit, description)
    return plan


def _unit(gateway: GuestGateway, request: Request, present: Present) -> tuple[Unit | None, Description | None]:
    """The unit that is asked for; what the options leave open is as it is now."""
    if request.description is None and request.arguments is None:
        return None, None
    uuid = request.uuid
    if uuid is None:
        uuid = present.unit.uuid if present.unit else gateway.default_uuid(request.name)
    user = gateway.user(request.user)
    emulator = gateway.emulator(request.emulator)
    if request.description is None:
        words = commandline.from_arguments(request.arguments or (), request.name, uuid, emulator)
        return Unit(request.name, uuid, user, tuple(words)), None
    description = request.description(uuid)
    before = commandline.machine_in(present.unit.arguments) if present.unit else None
    kept = commandline.same_family(description.machine, before)
    machine = str(before) if kept else gateway.machine(emulator, description.machine)
    words = commandline.from_description(description, emulator, machine)
    taps = tuple(
        Tap(own_tap(uuid, index), str(nic.host_side))
        for index, nic in enumerate(description.nics)
        if nic.type == BRIDGE
    )
    return Unit(request.name, uuid, user, tuple(words), taps), description


def missing_files(gateway: GuestGateway, description: Description) -> list[NewFile]:
    """The images and variables that the description wants made, and that are not there."""
    found = [
        NewFile(disk.path, disk.format, disk.size)
        for disk in description.disks
        if disk.size is not None and not gateway.exists(disk.path)
    ]
    firmware = description.firmware
    if firmware is not None and firmware.vars and firmware.template and not gateway.exists(firmware.vars):
        found.append(NewFile(firmware.vars, template=firmware.template))
    return found


def _check_home(gateway: GuestGateway, plan: Plan, unit: Unit) -> None:
    """Raises GUEST_MOVED_AWAY where a guest would be started, now or with the host, that a move has taken away from here.

    One that waits for a migration is how it comes back, and one that has a process is here.
    """
    starts = plan.restarts and plan.state != guest_states.INCOMING
    starts_later = plan.switches_autostart and plan.autostart
    if plan.present.run_state is None and (starts or starts_later):
        refuse_departed(_claim(gateway, unit), gateway.departures())


def _claim(gateway: GuestGateway, unit: Unit) -> Claim:
    # The unit runs in the root directory, from where it finds a path that is relative.
    images = {
        gateway.real(os.path.join("/", path)): writes for path, writes in commandline.images_in(unit.arguments).items()
    }
    return Claim(unit.name, unit.uuid, images)


def _check_start(gateway: GuestGateway, plan: Plan, unit: Unit, description: Description | None) -> None:
    """Raises KvmError for what would keep the guest from starting, or would make it a second copy."""
    refuse_rivals(_claim(gateway, unit), gateway.rivals(plan.present.pid))
    if description is None:
        return
    new = {file.path for file in plan.files}
    own = plan.present.pid is not None
    for disk in description.disks:
        if disk.path in new:
            _check_folder(gateway, unit.user, disk.path)
        else:
            _check_disk(gateway, unit, disk, plan.state, own)
    if description.firmware is not None:
        firmware = description.firmware
        for path, write in ((firmware.code, False), (firmware.vars, True), (firmware.template, False)):
            if path and path not in new and (path != firmware.template or firmware.vars in new):
                user = "root" if path == firmware.template else unit.user
                _check_access(gateway, user, path, write=write)
    for nic in description.nics:
        if nic.type == BRIDGE and gateway.interface(str(nic.host_side)) != "bridge":
            raise KvmError(
                "BRIDGE_MISSING", f"This host has no bridge '{nic.host_side}'; make it first.", bridge=nic.host_side
            )
        if nic.type == TAP and gateway.interface(str(nic.host_side)) is None:
            raise KvmError(
                "TAP_MISSING",
                f"This host has no tap device '{nic.host_side}'; make it first, or name a bridge, for which one is made.",
                tap=nic.host_side,
            )


def _check_folder(gateway: GuestGateway, user: str, path: str) -> None:
    folder = os.path.dirname(path)
    if not gateway.exists(folder):
        raise KvmError(
            "FOLDER_MISSING",
            f"The folder {folder} for the image {path} does not exist on this host; make it first.",
            path=path,
        )
    if not gateway.may_enter(user, folder):
        raise _no_access(user, folder)


def _check_disk(gateway: GuestGateway, unit: Unit, disk: Disk, state: str, own: bool) -> None:
    _check_access(gateway, unit.user, disk.path, write=disk.writable)
    image = gateway.image(disk.path, disk.format)
    # A guest that comes over shared storage has its image open on its source until it is here.
    if image.locked and not own and state != guest_states.INCOMING and disk.writable:
        raise KvmError(
            "DISK_IN_USE",
            f"The image {disk.path} is locked by a process that writes to it, on this host or on another that shares it; find and stop "
            "that one first.",
            path=disk.path,
        )
    for what, found, asked in (("format", image.format, disk.format), ("size", image.size, disk.size)):
        if asked is not None and found != asked:
            raise KvmError(
                "DISK_DIFFERS",
                f"The image {disk.path} has the {what} {found}, and {asked} is asked for; describe it as it is, or change it by qemu-img.",
                path=disk.path,
                found=found,
                asked=asked,
            )


def _check_access(gateway: GuestGateway, user: str, path: str, *, write: bool) -> None:
    if not gateway.exists(path):
        raise KvmError(
            "DISK_MISSING",
            f"There is no {path} on this host; put it there, or give the size of a disk that shall be made.",
            path=path,
        )
    if not gateway.may_use(user, path, write=write):
        raise _no_access(user, path)


def _no_access(user: str, path: str) -> KvmError:
    return KvmError(
        "ACCESS_DENIED",
        f"The user {user}, as whom the guest runs, may not use {path}; change its owner and mode, or those of the folders above it.",
        path=path,
        user=user,
    )


# ---- carrying out ----


def carry_out(gateway: GuestGateway, request: Request, plan: Plan) -> Present:
    """Do what ``plan`` says, and give the guest as it is then. What was made goes again when the guest does not start."""
    made: list[str] = []
    started = False
    down = [step for step in plan.steps if step.action not in _STARTING]
    up = [step for step in plan.steps if step.action in _STARTING]
    uuid = _running_uuid(plan)
    try:
        for new in plan.files:
            gateway.make(new, str(plan.unit.user if plan.unit else "root"))
            made.append(new.path)
        for step in down:
            take(gateway, request, plan.name, uuid, step.action)
        if plan.defines and plan.text is not None:
            gateway.define(plan.name, plan.text, persistent=plan.persistent)
        if plan.switches_autostart:
            gateway.set_autostart(plan.name, on=plan.autostart)
        for step in up:
            extra = _ONCE.get(step.action)
            unit = t.cast("Unit", plan.unit)
            gateway.start(plan.name, unit.uuid, [*unit.arguments, *extra] if extra else None)
        started = True
    finally:
        if not started:
            _undo(gateway, plan, made)
    if plan.removes:
        gateway.remove(plan.name)
    if _is_home(plan):
        gateway.came_back(plan.name, uuid)
    return gateway.look(plan.name)


def _is_home(plan: Plan) -> bool:
    """Whether the guest is this host's: it was started here, or it had come by a migration for which its process had waited."""
    if plan.restarts:
        return plan.state != guest_states.INCOMING
    present = plan.present
    return "-incoming" in present.arguments and present.run_state in ("running", "paused") and not present.migrating


_STARTING = frozenset(guest_states.STARTS.values())


def _running_uuid(plan: Plan) -> str:
    """The UUID of the process that there is, by which its monitor is found."""
    return str(commandline.uuid_in(plan.present.arguments) or (plan.unit.uuid if plan.unit else ""))


def _undo(gateway: GuestGateway, plan: Plan, made: t.Sequence[str]) -> None:
    """Take back what this run made, and put back the definition that there was."""
    if gateway.runs(plan.name):
        return
    for path in made:
        gateway.unmake(path)
    if not plan.defines:
        return
    if plan.present.text is None:
        gateway.remove(plan.name)
    else:
        gateway.define(plan.name, plan.present.text, persistent=plan.present.persistent)
        if plan.switches_autostart:
            gateway.set_autostart(plan.name, on=plan.present.autostart)


def take(gateway: GuestGateway, request: Request, name: str, uuid: str, action: str) -> None:
    """One step of a process that there is."""
    if action == guest_states.RESUME:
        gateway.resume(uuid)
    elif action == guest_states.PAUSE:
        gateway.pause(uuid)
    elif action == guest_states.WAKE_UP:
        gateway.wake_up(uuid)
    elif action == guest_states.SHUT_DOWN:
        shut_down(gateway, request, name, uuid)
    else:
        gateway.end(name, uuid)


def shut_down(gateway: GuestGateway, request: Request, name: str, uuid: str) -> None:
    """Shut the guest down, and wait until its process has ended. Raises KvmError SHUTDOWN_TIMEOUT, unless a hard end is permitted."""
    asked = gateway.clock.monotonic()
    gateway.press_power_button(uuid)

    def look() -> bool:
        nonlocal asked
        runs = gateway.runs(name)
        if runs and gateway.clock.monotonic() - asked >= _ASK_AGAIN:
            asked = gateway.clock.monotonic()
            gateway.press_power_button(uuid)
        return runs

    try:
        wait_until(
            gateway.clock, look, lambda runs: not runs, what="the guest to shut down", timeout=request.shutdown_timeout
        )
    except TimeoutExpired as exc:
        if request.hard:
            gateway.end(name, uuid)
            return
        raise KvmError(
            "SHUTDOWN_TIMEOUT",
            f"The guest process '{name}' on this host did not shut down within {request.shutdown_timeout:g} s, and runs on: look at its "
            "console for what holds it, give it longer by shutdown_timeout, or have it ended hard, at the risk of its unwritten data, by "
            "shutdown_action=destroy.",
            guest=name,
            seconds=request.shutdown_timeout,
        ) from exc
