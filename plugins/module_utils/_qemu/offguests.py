# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Guests of this host that have no process: a unit of qemu_guest that lasts describes them. Told by their arguments and their images."""

from __future__ import annotations

import dataclasses
import glob
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import list_setting, read_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import read_image
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import read_mounts
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import OFF, Guest, GuestDisk, GuestProcess
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import argv, argvread, departed, unit
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.survey import DECLARED, placed, told_by_argv


def read_off(running: t.Sequence[Guest], folder: str = unit.PERSISTENT, state: str = departed.STATE_DIR) -> list[Guest]:
    """The guests that are off, by name; ``running`` are those that have a process.

    One that left this host by a move is not its guest any more, whatever its old unit says. Raises STATE_UNREADABLE where nobody
    can tell that.
    """
    called = {word for guest in running for word in (guest.name, guest.uuid) if word}
    units = [one for one in _units(folder) if one.name not in called and one.uuid.lower() not in called]
    away = departed.departures(state) if units else []
    here = [one for one in units if not any(left.is_of(one.name, one.uuid) for left in away)]
    mounts = read_mounts() if here else []
    declared = list_setting(read_settings(DECLARED), "shared_filesystems") if here else []
    guests = []
    for one in sorted(here, key=lambda one: one.name):
        guest = _guest(one)
        disks = tuple(placed(guest.process, _sized(disk), mounts, declared) for disk in guest.disks)
        guests.append(dataclasses.replace(guest, disks=disks))
    return guests


def _units(folder: str) -> t.Iterator[unit.Unit]:
    for path in glob.glob(os.path.join(glob.escape(folder), f"{unit.PREFIX}*.service")):
        try:
            with open(path, encoding="utf-8") as stream:
                found = unit.parse(stream.read())
        except (OSError, UnicodeDecodeError):
            continue
        if found is not None and found.arguments:
            yield found


def _guest(one: unit.Unit) -> Guest:
    process = GuestProcess(
        0, one.arguments[0], tuple(one.arguments), user=one.user, directory="/", unit=unit.unit_name(one.name)
    )
    line = argv.parse(process.words)
    told = told_by_argv(process, line)
    # One that may do without KVM starts where there is none.
    accelerator = "tcg" if "tcg" in argvread.accelerators_of(line) else told.accelerator
    return dataclasses.replace(told, name=one.name, uuid=one.uuid.lower(), status=OFF, accelerator=accelerator)


def _sized(disk: GuestDisk) -> GuestDisk:
    """With the size that its image says, where it can be read."""
    try:
        facts = read_image(disk.source, disk.format or "raw") if disk.source else None
    except OSError:
        facts = None
    return disk if facts is None else dataclasses.replace(disk, virtual_size=facts.virtual_size)
