#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: qemu_guest_info
short_description: Read the guests that run as plain QEMU processes, without libvirt
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Finds every QEMU process of the host that libvirt does not manage, whoever started it and however.
  - Reads its command line, user, control group, systemd unit, parent, namespaces and open files from the kernel. Machine type, CPU,
    memory, disks, interfaces, devices plugged in later, jobs and what blocks a migration come from its monitor, be it QMP or
    the human monitor.
  - Guests of M(virtops.kvm.qemu_guest) that are off and have a unit that lasts are told apart from these, in RV(stopped).
  - A monitor that somebody else uses, that hangs or that there is not, is told as a fact. The module waits for O(timeout) at most.
  - A process is libvirt's if libvirt has a pid file for it, if it runs in a control group of libvirt's, or if its monitor lies in libvirt's
    own directory. A name alone, or a command line copied from libvirt's, does not make it so.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
options:
  guests:
    description:
      - Names, UUIDs or pids of the guests to return; all when empty.
      - A guest that is not there is an error. Two guests with one name are both returned.
    type: list
    elements: str
    default: []
  select:
    description:
      - A JMESPath expression over the list of guests, as RV(guests) describes them.
      - An answer that is no list becomes a list of one; null becomes an empty list.
    type: str
  timeout:
    description:
      - So many seconds a monitor has for its greeting, and for each answer.
      - All guests are asked at the same time, so that many monitors that hang take no longer than one.
    type: float
    default: 5.0
requirements:
  - jmespath (C(python3-jmespath)) on the host, for O(select)
notes:
  - QEMU serves one client of a monitor at a time. While the module asks, another client of the same monitor has to wait.
  - The module does not connect to a monitor for whose first client QEMU still waits before it starts the guest (C(server=on) without
    C(wait=off)), since that would start it.
  - Without root, the processes of other users show less.
seealso:
  - module: virtops.kvm.domain_info
"""

EXAMPLES = r"""
- name: Find all guests that libvirt does not know
  virtops.kvm.qemu_guest_info:
  register: found

- name: Read one guest by its name, and one by its pid
  virtops.kvm.qemu_guest_info:
    guests: [web01, "4711"]

- name: Get the names of the guests that cannot be migrated live as they are
  virtops.kvm.qemu_guest_info:
    select: "[?told_by == 'argv' || blockers].name"
  register: stuck
"""

RETURN = r"""
guests:
  description: The guests in the order of their pids, or the answer of O(select). Sizes are bytes.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name; empty where it was given none.
      type: str
    uuid:
      description: Its UUID; empty where it was given none.
      type: str
    told_by:
      description:
        - Who told what follows. V(qmp) or V(hmp) for a monitor of that kind, V(argv) where no monitor answered, and everything is what the
          command line says.
      type: str
    status:
      description: Its run state as QEMU calls it; null where no monitor answered.
      type: str
      sample: running
    qemu_version:
      description: The version of the QEMU that runs.
      type: str
      sample: 10.0.2
    machine:
      description: Machine type with its version; empty where only an alias is known and no monitor answered.
      type: str
      sample: pc-i440fx-10.0
    machine_asked:
      description: Machine type as the command line has it; empty for the choice of QEMU.
      type: str
      sample: pc
    accelerator:
      description: V(kvm), V(tcg) or another one that the command line asks for.
      type: str
    cpu:
      description: CPU model as the command line has it, with its features; else the model that QEMU chose.
      type: str
      sample: Nehalem,+aes
    memory:
      description: Memory.
      type: int
    hugepages:
      description: Whether its memory, or a part of it, is in huge pages (C(-mem-path), C(memory-backend-file), C(memory-backend-memfd)).
      type: bool
    hugepage_kib:
      description: Size of these pages in KiB; null for the default size of the host.
      type: int
    vcpus:
      description: vCPUs.
      type: int
    incoming:
      description: What C(-incoming) has; null for a guest that was started as usual.
      type: str
      sample: defer
    pidfile:
      description: What C(-pidfile) has.
      type: str
    vnc:
      description: What C(-vnc) has.
      type: str
    disks:
      description: Disks and drives.
      type: list
      elements: dict
      contains:
        device:
          description: The id of the device, or its QOM path where it has none.
          type: str
        drive:
          description: The name of the drive; empty with C(-blockdev).
          type: str
        node:
          description: The node of the image.
          type: str
        source:
          description: The image; null for an empty drive.
          type: str
        format:
          description: Its format.
          type: str
        virtual_size:
          description: Its size as the guest sees it; null where no monitor told.
          type: int
        allocated:
          description: What the top image takes on disk; null where that is unknown.
          type: int
        readonly:
          description: Whether the guest can only read.
          type: bool
        removable:
          description: Whether it is a drive whose medium can be changed.
          type: bool
        backing_chain:
          description: The images below, from the top down.
          type: list
          elements: dict
          contains:
            path:
              description: The image.
              type: str
            format:
              description: Its format.
              type: str
            type:
              description: Always V(file).
              type: str
            allocated:
              description: What it takes on disk; null where that is unknown.
              type: int
        style:
          description:
            - The option that made it. V(drive), V(blockdev), V(device), V(hda) and so on, V(cdrom), or V(default) for a drive that
              the machine has by itself.
          type: str
        hot_plugged:
          description: Whether it was plugged in after the start.
          type: bool
        shared:
          description: Whether its storage is shared between hosts by its nature, as NFS is; null where that cannot be told.
          type: bool
        filesystem:
          description: The storage, by a name that another host has for the same; null where that cannot be told.
          type: str
          sample: nfs:192.0.2.5:/export
    nics:
      description: Network interfaces.
      type: list
      elements: dict
      contains:
        device:
          description: The id of the device, or the name that QEMU gave it.
          type: str
        model:
          description: Its model.
          type: str
        mac:
          description: Its MAC address.
          type: str
        netdev:
          description: The name of what is behind it.
          type: str
        backend:
          description: The kind of that, such as V(tap), V(user), V(bridge).
          type: str
        interface:
          description: The tap device on the host.
          type: str
        hot_plugged:
          description: Whether it was plugged in after the start.
          type: bool
    hot_plugged:
      description: The devices that were plugged in after the start, which the command line does not have.
      type: list
      elements: dict
      contains:
        device:
          description: The id of the device, or its QOM path where it has none.
          type: str
        driver:
          description: Its type.
          type: str
    unplugged:
      description: The ids of devices of the command line that are there no more.
      type: list
      elements: str
    jobs:
      description: Block jobs and other long work.
      type: list
      elements: dict
      contains:
        id:
          description: Its id.
          type: str
        type:
          description: What it does.
          type: str
          sample: mirror
        status:
          description: Its state.
          type: str
        done:
          description: How much is done.
          type: int
        total:
          description: How much there is to do.
          type: int
        error:
          description: Why it failed.
          type: str
    migration:
      description: State of the last migration; empty for none.
      type: str
    blockers:
      description: Why QEMU would refuse to migrate it, a sentence each.
      type: list
      elements: str
    monitors:
      description: Its monitors, QMP first.
      type: list
      elements: dict
      contains:
        kind:
          description: V(qmp) or V(hmp).
          type: str
        address:
          description: Where it listens.
          type: str
          sample: unix:/run/web01.sock
        state:
          description:
            - V(answers); V(busy) where somebody else speaks with it; V(silent) where it does not answer in time; V(gone) where
              nobody listens; V(unreachable) where it cannot be asked, for RV(guests[].monitors[].reason).
          type: str
        reason:
          description: Why it is in that state.
          type: str
    unknown:
      description: What could not be read, a sentence each.
      type: list
      elements: str
    process:
      description: The process.
      type: dict
      contains:
        pid:
          description: Its pid.
          type: int
        program:
          description: The program that runs.
          type: str
        words:
          description: Its command line. Passwords and the data of secrets are stars.
          type: list
          elements: str
        state:
          description: Its state as the kernel calls it; V(T) is stopped by a signal.
          type: str
        started:
          description: When it started, in seconds since the epoch.
          type: float
        user:
          description: The user that it runs as.
          type: str
        group:
          description: The group that it runs as.
          type: str
        directory:
          description: Its working directory.
          type: str
        cgroup:
          description: Its control group.
          type: str
        unit:
          description: The systemd service or scope that it runs in; empty for none.
          type: str
        parent_pid:
          description: The process that started it, or V(1) where that has ended.
          type: int
        parent:
          description: The name of that process.
          type: str
        namespaces:
          description: The kinds of namespaces in which it is apart from the module.
          type: list
          elements: str
        files:
          description: The files and block devices that it has open.
          type: list
          elements: str
        taps:
          description: The tap devices that it has open.
          type: list
          elements: str
stopped:
  description:
    - The guests that have no process, and for which M(virtops.kvm.qemu_guest) has a unit that lasts, in the order of their names. They have
      the same keys as RV(guests), with the C(status) V(stopped), the C(process.pid) 0, and in C(process.unit) the unit. O(select) does not
      concern them.
    - A guest that has left the host by M(virtops.kvm.qemu_migration) is not among them.
  returned: success
  type: list
  elements: dict
error_code:
  description:
    - A stable code for the failure. V(GUEST_UNKNOWN), V(INVALID_OPTION), and V(STATE_UNREADABLE) where nobody can tell whether a guest that
      is off has left the host.
  returned: failure
  type: str
  sample: GUEST_UNKNOWN
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core import query
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import OFF, Guest
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.offguests import read_off
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.survey import chosen, for_people, read_guests


class Gateway:
    """The guest processes of this host."""

    def read(self, timeout: float) -> list[Guest]:
        """Read all that have a process."""
        return read_guests(timeout)

    def off(self, running: t.Sequence[Guest]) -> list[Guest]:
        """Read all that have none; ``running`` are the others."""
        return read_off(running)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "guests": {"type": "list", "elements": "str", "default": []},
        "select": {"type": "str"},
        "timeout": {"type": "float", "default": 5.0},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Read the guests, and put the expression to them."""
    expression = params["select"]
    if expression:
        # An expression that cannot be used shows before anything is read.
        query.search(expression, [])
    if params["timeout"] <= 0:
        raise InputError("timeout", f"'timeout' is {params['timeout']:g}; give a number of seconds above 0.")
    running = gateway.read(params["timeout"])
    found = [for_people(guest) for guest in chosen([*running, *gateway.off(running)], params["guests"])]
    guests = [guest for guest in found if guest.status != OFF]
    return Result(
        values={
            "guests": query.selected(expression, to_data(guests)) if expression else guests,
            "stopped": [guest for guest in found if guest.status == OFF],
        }
    )


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, info=True)


if __name__ == "__main__":
    main()
