#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: qemu_guest
short_description: Run, pause, or stop a guest process, or have one wait for a migration
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Makes a QEMU process without libvirt be in the state that is asked for, from a typed description or from a list of arguments.
  - The process runs in a systemd unit of its own, as an unprivileged user, with two QMP sockets and a pidfile in a folder that goes
    with it. The unit file is the guest's definition.
  - What is compared are the arguments that the process really has. Where they differ from what is asked for, RV(restart_needed) and
    RV(differences) tell so, and the guest is restarted only with O(may_restart=true).
  - What a description leaves open stays as it is. This goes for the UUID, and for the version behind a machine type such as V(q35).
  - A guest whose name, UUID or disk another QEMU process or a libvirt domain of this host has is not started, nor one whose image is
    locked by a process of another host.
  - A guest that M(virtops.kvm.qemu_migration) has moved to another host is not started here, now or with the host, until it has come
    back by a move; see O(accept).
  - Never deletes a disk, never changes an image that is there, and ends a guest hard only with O(shutdown_action=destroy).
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows state, autostart and arguments before and after, one option a line.
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the guest, which is also that of its unit, escaped as C(systemd-escape) does it, after C(virtops-kvm-guest-).
    type: str
    required: true
  state:
    description:
      - V(running) is started, resumed or woken up.
      - V(paused) has its processors stopped; a guest that is off is started that way.
      - V(incoming) is a new process that waits for a migration (C(-S -incoming defer)). It never starts by itself, and not with the host.
      - V(stopped) has no process. A guest that runs is asked to shut down; see O(shutdown_timeout). A persistent definition stays, and a
        transient one goes.
    type: str
    choices: [running, paused, incoming, stopped]
    default: running
  uuid:
    description:
      - Its UUID. By default the one that it has, and for a new guest one that follows from its name and the host.
    type: str
  memory:
    description:
      - Its memory, such as V(512M) or V(4G). With it begins a typed description.
    type: str
  machine:
    description:
      - The machine type. A new guest gets the newest version of V(q35) or V(pc), and keeps that.
    type: str
    default: q35
  accelerator:
    description:
      - V(auto) lets QEMU try KVM, and emulate where that is not to be had.
    type: str
    choices: [auto, kvm, tcg]
    default: auto
  cpu:
    description:
      - The CPU as QEMU writes it, such as V(Haswell-v4) or V(host,+vmx). QEMU's own default without it.
    type: str
  vcpus:
    description:
      - Number of virtual CPUs.
    type: int
    default: 1
  firmware:
    description:
      - UEFI instead of a BIOS.
    type: dict
    suboptions:
      code:
        description: The image of the firmware.
        type: path
        required: true
      vars:
        description: The image of this guest's own variables.
        type: path
      template:
        description: What O(firmware.vars) is a copy of where there is none yet.
        type: path
  disks:
    description:
      - Disks and CD drives, in their order. The block nodes are called C(disk0), C(disk1) and so on.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The image, or a block device.
        type: path
        required: true
      format:
        description: Its format; that of a CD is V(raw).
        type: str
        choices: [raw, qcow2]
        default: qcow2
      size:
        description: Its size, such as V(10G). An image that is missing is made with it, and one that is there must have it.
        type: str
      device:
        description: What the guest sees.
        type: str
        choices: [disk, cdrom]
        default: disk
      bus:
        description: How the guest sees a disk. V(ide) is SATA on the machine type V(q35).
        type: str
        choices: [virtio, ide]
        default: virtio
      cache:
        description: The cache mode, in libvirt's words.
        type: str
        choices: [none, writeback, writethrough, directsync, unsafe]
        default: none
      readonly:
        description: Whether the guest may only read it.
        type: bool
        default: false
  nics:
    description:
      - Network cards, in their order.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description:
          - V(bridge) makes a tap device on a bridge, which goes when the guest ends. V(tap) uses one that is there. V(user) needs
            nothing of the host, and lets nobody in.
        type: str
        choices: [user, tap, bridge]
        required: true
      bridge:
        description: The bridge.
        type: str
      tap:
        description: The tap device; it must belong to O(user).
        type: str
      mac:
        description: The MAC address. By default it follows from the UUID.
        type: str
      model:
        description: The card that the guest sees.
        type: str
        default: virtio-net-pci
  serial:
    description:
      - Where the first serial port goes.
    type: dict
    suboptions:
      type:
        description: V(file) appends to a file, V(socket) listens on a UNIX socket.
        type: str
        choices: [file, socket]
        required: true
      path:
        description: The file or the socket. Its folder must be one where O(user) may write.
        type: path
        required: true
  vnc:
    description:
      - The VNC display, such as V(127.0.0.1:5). Without it the guest has no screen.
    type: str
  extra_arguments:
    description:
      - Further arguments for QEMU, for what the options cannot say.
    type: list
    elements: str
    default: []
  arguments:
    description:
      - The whole list of arguments instead of a description, without the program. A name, a UUID, the monitors and the pidfile are added.
      - Arguments are no place for secrets, as every user of the host can read those of a process.
      - Images that are named here are not looked at before, but for who else on this host has them.
    type: list
    elements: str
  emulator:
    description:
      - The program. C(qemu-system-x86_64) by default, or C(/usr/libexec/qemu-kvm).
    type: path
  user:
    description:
      - Who runs it. By default the user that the distribution has for QEMU, V(libvirt-qemu) or V(qemu), and V(root) where there is none.
    type: str
  persistent:
    description:
      - Whether the unit file survives a start of the host. It stays as it is when not given, and that of a new guest does not.
      - V(false) with O(state=stopped) removes the definition.
    type: bool
  autostart:
    description:
      - Whether the guest starts with the host, which needs O(persistent=true). Left as it is when not given.
    type: bool
  may_restart:
    description:
      - Whether the guest may be shut down and started again where it has other arguments than those that are asked for.
    type: bool
    default: false
  shutdown_timeout:
    description: How long a guest may take to shut down, in seconds.
    type: float
    default: 300
  shutdown_action:
    description:
      - What to do when the guest has not shut down in time. V(fail) fails, and the guest runs on.
      - V(destroy) ends it as if its power cord were pulled, also one that has crashed, whose monitor does not answer, or that has been
        handed over to another host.
    type: str
    choices: [fail, destroy]
    default: fail
  accept:
    description:
      - What shall not keep the guest from being started. V(GUEST_MOVED_AWAY) says that the guest, or the one whose disk it has, moved from
        this host to another, and that it is certain that it does not run there and will not. From then on it is this host's again.
    type: list
    elements: str
    choices: [GUEST_MOVED_AWAY]
    default: []
notes:
  - C(systemctl stop) ends a guest as if its power cord were pulled. So does a host that shuts down; stop its guests before.
  - While the module talks to a guest, it holds the first of RV(monitors); use the second one for anything else.
seealso:
  - module: virtops.kvm.qemu_guest_info
  - module: virtops.kvm.qemu_migration
  - module: virtops.kvm.domain
"""

EXAMPLES = r"""
- name: Have a guest run, now and after every start of the host
  virtops.kvm.qemu_guest:
    name: web01
    memory: 2G
    vcpus: 2
    disks:
      - path: /srv/guests/web01.qcow2
        size: 20G
    nics:
      - type: bridge
        bridge: br0
    vnc: 127.0.0.1:1
    persistent: true
    autostart: true

- name: Install a guest with UEFI from a CD
  virtops.kvm.qemu_guest:
    name: db01
    memory: 4G
    firmware:
      code: /usr/share/OVMF/OVMF_CODE_4M.fd
      vars: /srv/guests/db01_VARS.fd
      template: /usr/share/OVMF/OVMF_VARS_4M.fd
    disks:
      - path: /srv/guests/db01.raw
        format: raw
        size: 40G
      - path: /srv/iso/debian-13.iso
        device: cdrom

- name: Run a list of arguments that a script had
  virtops.kvm.qemu_guest:
    name: old01
    arguments: [-machine, pc, -m, 512M, -hda, /srv/guests/old01.img]

- name: Have a process wait for a guest that comes from another host
  virtops.kvm.qemu_guest:
    name: web01
    uuid: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
    state: incoming
    machine: pc-q35-7.2
    memory: 2G
    disks:
      - path: /srv/guests/web01.qcow2
        size: 20G

- name: Shut a guest down, and keep its definition if that is persistent
  virtops.kvm.qemu_guest:
    name: web01
    state: stopped
    shutdown_timeout: 60
"""

RETURN = r"""
name:
  description: The name of the guest.
  returned: success
  type: str
  sample: web01
uuid:
  description: Its UUID; null for a guest that is not there.
  returned: success
  type: str
  sample: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
state:
  description: Its state, in check mode the one that it would have.
  returned: success
  type: str
  sample: running
pid:
  description: Its process; null where it has none, and in check mode where a new one would be started.
  returned: success
  type: int
  sample: 4711
unit:
  description: Its systemd unit.
  returned: success
  type: str
  sample: virtops-kvm-guest-web01.service
persistent:
  description: Whether the unit file survives a start of the host.
  returned: success
  type: bool
autostart:
  description: Whether the guest starts with the host.
  returned: success
  type: bool
monitors:
  description: Its QMP sockets while it has a process, the first for the modules of this collection, the second for others.
  returned: success
  type: list
  elements: str
log:
  description: The file with what QEMU said.
  returned: success
  type: str
  sample: /var/log/virtops-kvm/virtops-kvm-guest-web01.log
restart_needed:
  description: Whether the process goes on with other arguments than those that are asked for.
  returned: success
  type: bool
  sample: false
differences:
  description: How the arguments of the process differ from those that are asked for, one line each.
  returned: success
  type: list
  elements: str
  sample: ["-m: '512M' -> '1024M'"]
msg:
  description: What the user should know; only where there is something.
  returned: sometimes
  type: str
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: What is changed.
      type: str
      sample: guest process web01
    action:
      description:
        - V(create) for files; V(define), V(redefine) or V(remove) for the definition; V(set) for autostart; V(start), V(start paused),
          V(wait for a migration), V(resume), V(pause), V(wake up), V(shut down), V(end) or V(end hard).
      type: str
      sample: start
    before:
      description: The state or value before.
      type: raw
    after:
      description: The state or value after; for a definition a list of how it differs, one line each.
      type: raw
error_code:
  description:
    - A stable code for the failure. V(INVALID_OPTION), V(GUEST_NOT_FOUND), V(STATE_IMPOSSIBLE), V(NAME_CONFLICT), V(UUID_CONFLICT),
      V(GUEST_MOVED_AWAY), V(DISK_IN_USE), V(DISK_MISSING), V(DISK_DIFFERS), V(IMAGE_INVALID), V(FOLDER_MISSING), V(ACCESS_DENIED),
      V(BRIDGE_MISSING), V(TAP_MISSING) and V(PROGRAM_MISSING) before anything is changed.
    - V(IMAGE_NOT_CREATED) and V(START_FAILED) when all that was made is gone again; V(SHUTDOWN_TIMEOUT) for a guest that runs on.
  returned: failure
  type: str
  sample: DISK_IN_USE
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import typing as t

from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.commandline import monitors, uuid_in
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.conflicts import MOVED_AWAY
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.description import (
    CACHES,
    checked_name,
    checked_path,
    checked_uuid,
    describe,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_plan import Plan, Present
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_process import GuestGateway
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_run import Request, carry_out, make_plan
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_states import STATES, STOPPED, shown
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import log_file, unit_name

Params = dict[str, t.Any]
#: Parts of a description, which begins with its memory.
_PARTS = ("cpu", "firmware", "disks", "nics", "serial", "vnc", "extra_arguments")


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    disk = {
        "path": {"type": "path", "required": True},
        "format": {"type": "str", "choices": ["raw", "qcow2"], "default": "qcow2"},
        "size": {"type": "str"},
        "device": {"type": "str", "choices": ["disk", "cdrom"], "default": "disk"},
        "bus": {"type": "str", "choices": ["virtio", "ide"], "default": "virtio"},
        "cache": {"type": "str", "choices": list(CACHES), "default": "none"},
        "readonly": {"type": "bool", "default": False},
    }
    nic = {
        "type": {"type": "str", "choices": ["user", "tap", "bridge"], "required": True},
        "bridge": {"type": "str"},
        "tap": {"type": "str"},
        "mac": {"type": "str"},
        "model": {"type": "str", "default": "virtio-net-pci"},
    }
    firmware = {
        "code": {"type": "path", "required": True},
        "vars": {"type": "path"},
        "template": {"type": "path"},
    }
    serial = {
        "type": {"type": "str", "choices": ["file", "socket"], "required": True},
        "path": {"type": "path", "required": True},
    }
    return {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": "running"},
        "uuid": {"type": "str"},
        "memory": {"type": "str"},
        "machine": {"type": "str", "default": "q35"},
        "accelerator": {"type": "str", "choices": ["auto", "kvm", "tcg"], "default": "auto"},
        "cpu": {"type": "str"},
        "vcpus": {"type": "int", "default": 1},
        "firmware": {"type": "dict", "options": firmware},
        "disks": {"type": "list", "elements": "dict", "options": disk, "default": []},
        "nics": {"type": "list", "elements": "dict", "options": nic, "default": []},
        "serial": {"type": "dict", "options": serial},
        "vnc": {"type": "str"},
        "extra_arguments": {"type": "list", "elements": "str", "default": []},
        "arguments": {"type": "list", "elements": "str"},
        "emulator": {"type": "path"},
        "user": {"type": "str"},
        "persistent": {"type": "bool"},
        "autostart": {"type": "bool"},
        "may_restart": {"type": "bool", "default": False},
        "shutdown_timeout": {"type": "float", "default": 300},
        "shutdown_action": {"type": "str", "choices": ["fail", "destroy"], "default": "fail"},
        "accept": {"type": "list", "elements": "str", "choices": [MOVED_AWAY], "default": []},
    }


def request_of(params: Params) -> Request:
    """What the options ask for. Raises InputError."""
    name = checked_name(params["name"])
    uuid = checked_uuid(params["uuid"]) if params["uuid"] is not None else None
    if params["shutdown_timeout"] < 0:
        raise InputError(
            "shutdown_timeout", f"shutdown_timeout must not be negative, as {params['shutdown_timeout']:g} is."
        )
    given = [option for option in _PARTS if params[option]]
    if given and params["memory"] is None:
        other = "arguments" if params["arguments"] is not None else "memory"
        cure = "which say everything themselves; leave it out" if other == "arguments" else "so give that, too"
        verb = "cannot go with" if other == "arguments" else "is part of a description, which begins with"
        raise InputError(given[0], f"The option '{given[0]}' {verb} the option '{other}', {cure}.")
    said = uuid_in(params["arguments"] or ())
    if said is not None:
        if uuid not in (None, checked_uuid(said)):
            raise InputError("uuid", "The arguments give another UUID than the option uuid; leave one of them out.")
        uuid = said
    if params["emulator"] is not None:
        checked_path("emulator", params["emulator"])
    description = None
    if params["memory"] is not None:
        values = {
            **params,
            "memory": bytes_of("memory", params["memory"]),
            "disks": [{**disk, "size": bytes_of("disks", disk["size"])} for disk in params["disks"]],
        }
        # Once without the UUID that may still be unknown, so that what is wrong is told before anything is asked.
        describe(values, name, uuid or "")

        def description(found: str) -> t.Any:
            return describe(values, name, found)

    return Request(
        name=name,
        state=params["state"],
        uuid=uuid,
        description=description,
        arguments=tuple(params["arguments"]) if params["arguments"] is not None else None,
        emulator=params["emulator"],
        user=params["user"],
        persistent=params["persistent"],
        autostart=params["autostart"],
        may_restart=params["may_restart"],
        shutdown_timeout=params["shutdown_timeout"],
        shutdown_action=params["shutdown_action"],
        accept=tuple(params["accept"]),
    )


def bytes_of(option: str, text: str | None) -> int | None:
    """The bytes that ``text`` means. Raises InputError."""
    if text is None:
        return None
    try:
        return int(human_to_bytes(text.replace("iB", "B")))
    except (TypeError, ValueError) as exc:
        raise InputError(option, f"'{text}' is no size; give bytes, or a number with a unit such as 20G.") from exc


def run(params: Params, check_mode: bool, gateway: GuestGateway) -> Result:
    """Plan, and unless in check mode carry out."""
    request = request_of(params)
    plan = make_plan(gateway, request)
    if check_mode or not plan.changes:
        return result(plan, plan.present, plan.state, None if plan.restarts else plan.present.pid)
    present = carry_out(gateway, request, plan)
    return result(plan, present, shown(present.run_state), present.pid)


def result(plan: Plan, present: Present, state: str, pid: int | None) -> Result:
    """What the module hands back."""
    uuid = plan.unit.uuid if plan.unit else uuid_in(present.arguments)
    msg = None
    if plan.restart_needed:
        msg = (
            f"The guest process '{plan.name}' goes on with its old arguments; the new ones take effect when it is stopped and started, "
            "or with may_restart=true."
        )
    return Result(
        values={
            "name": plan.name,
            "uuid": uuid,
            "state": state,
            "pid": None if state == STOPPED else pid,
            "unit": unit_name(plan.name),
            "persistent": plan.persistent and not plan.removes,
            "autostart": plan.autostart and not plan.removes,
            "monitors": list(monitors(uuid)) if uuid and state != STOPPED else [],
            "log": log_file(plan.name),
            "restart_needed": plan.restart_needed,
            "differences": list(plan.differences) if plan.restart_needed else [],
        },
        changes=plan.changes,
        diff=dict(plan.diff()),
        msg=msg,
    )


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, GuestGateway, mutually_exclusive=[("memory", "arguments")])


if __name__ == "__main__":
    main()
