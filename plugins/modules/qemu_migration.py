#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: qemu_migration
short_description: Ensure that a guest process is on another host
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Moves a bare QEMU process, one that libvirt does not manage, from the host that the task runs on to O(destination), while it runs or
    with a stop.
    Run it on the source, usually with C(delegate_to). It does not matter who started the process, as long as it has a monitor on a socket.
  - One call does all of it. It derives the command line of the destination from that of the source and from what was plugged since,
    creates images of exactly the same size, starts QEMU there (as a transient systemd unit) so that it waits, and compares what the
    guest sees on both, machine, processors, memory and every device, because QEMU itself does not. It mirrors the disks, sends the memory,
    hands over while the guest stands still, lets it run on the destination, proves that it does, and only then ends the source.
  - Each stage is written to a record on both hosts before it begins. A move that fails before the handover leaves the guest running on the
    source and removes from the destination what it made there, and nothing else. After the handover the source is started again only
    when the process on the destination is proven to have ended; where the destination does not answer, the guest stays paused on the
    source and the message says so. Another run finishes or undoes what an interrupted one left.
  - On the destination a backing chain of a disk becomes one flat image unless O(base=shared).
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._moving
attributes:
  check_mode:
    support: full
    details:
      - Asks both hosts everything that can be asked without starting QEMU on the destination. So what the guest would see there is not
        compared, and neither is storage proven to be shared. It waits for no slot.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A guest that is on the destination already is left alone.
options:
  name:
    description:
      - Name (C(-name)) or UUID (C(-uuid)) of the guest, as its command line has it.
    type: str
    required: true
  monitor:
    description:
      - The monitor of the guest on the source, as V(unix:/PATH) or V(tcp:HOST:PORT). Without it, the first QMP monitor of its command line,
        else the first human one. A human monitor will do for V(offline) and V(live_shared), and with O(legacy_block) for V(live_block);
        the copy of a disk by a mirror can fail without a word of it there, so that is refused.
    type: str
  destination:
    description:
      - The other host, as a name for ssh (V(root@kvm2)) or a URI with ssh (V(ssh://root@kvm2), V(qemu+ssh://root@kvm2/system), whose
        C(keyfile), C(no_verify) and C(known_hosts) count). Root of this host must reach root there without a prompt.
    type: str
    required: true
  destination_label:
    description:
      - What the destination is called in messages and results. By default its name in O(destination).
    type: str
  source_label:
    description:
      - What the source is called. By default its host name.
    type: str
  libvirt_uri:
    description:
      - The libvirt of the destination, where moves of domains and of guest processes count together for O(destination_slots). By default
        C(qemu+ssh) to O(destination), or O(destination) itself where it is a URI of libvirt.
    type: str
  migration_address:
    description:
      - Address or name of the destination in the network for memory and disks. By default the address that ssh reached.
    type: str
  method:
    description:
      - V(live_block) copies every disk that the guest may write to. V(live_shared) copies none; they must be on storage that both hosts
        share, which is proven by a file that is made for a moment beside each of them.
      - V(offline) lets the guest shut down, copies the disks that are not on storage that both share, proves the copies block by block, and
        starts it on the destination. It needs O(may_stop=true). Where that fails, the guest is started on the source again. Once the guest
        is off, another run finishes a move that was interrupted. A guest without a process moves so, too, where
        M(virtops.kvm.qemu_guest) has a unit for it that lasts. The unit goes to the destination, and the guest stays off.
    type: str
    choices: [live_block, live_shared, offline]
    default: live_block
  base:
    description:
      - What becomes of backing files of disks that are copied. V(copy) copies the content of the whole chain. V(shared) copies the
        top layer only, as C(migrate -b -i) of old did; the backing file must be on the destination already, and is proven to be the
        same.
    type: str
    choices: [copy, shared]
    default: copy
  target:
    description:
      - What the guest is on the destination. V(libvirt) makes it a domain of the system's libvirt there, persistent and not started with
        the host. What of the guest no domain can have is a finding, and nothing is left out. A tap device that is in a bridge here becomes
        a network card on that bridge there (O(mapping) of bridges).
      - With O(method=offline) the domain may have its devices in other places than the guest had them. With a live method the guest runs
        on, so its machine is kept as it is, every device in its place; libvirt restores the domain from the stream of memory that the
        guest's QEMU sends, and needs to be 11.2 or newer there. What libvirt would make of it is started as a process that only waits,
        and compared with the guest's machine before anything is sent, and the domain itself once more before it runs. A difference ends
        the move, and the guest goes on where it is.
      - With O(method=live_block) that process takes the disks in, as libvirt takes none from a process. It is proven to have written all
        of them, and to be gone, before libvirt's QEMU has the guest.
      - O(postcopy), O(parallel_connections), O(compression), O(legacy_block) and O(destination_arguments) are refused for a live method,
        as the memory comes in one plain stream to a QEMU that libvirt starts; O(destination_arguments) also for V(offline).
    type: str
    choices: [process, libvirt]
    default: process
  mapping:
    description:
      - What differs on the destination. Keys are V(disks) (id of the drive, as C(info block) shows it, to path), V(paths) (path prefix to
        path prefix, for all files, sockets and pidfiles), V(bridges), V(taps) (name to name), V(ports) (port to port, of VNC, monitors,
        serial lines and forwards), V(addresses) (of what listens) and V(emulator) (the path of QEMU).
    type: dict
    default: {}
  destination_arguments:
    description:
      - The arguments of QEMU on the destination, without the program, instead of those derived from the source. Nothing is mapped in them.
        C(-S), C(-incoming) and a monitor of ours are added. A machine that the guest would tell from its own is refused all the same, but
        for O(method=offline).
    type: list
    elements: str
    default: []
  user:
    description:
      - The user that QEMU runs as on the destination. By default the one of the same name as on the source.
    type: str
  media:
    description:
      - What to do about a medium (CD-ROM) that the destination lacks. V(refuse) to move, V(copy) its file, or V(eject) it from the guest.
    type: str
    choices: [refuse, copy, eject]
    default: refuse
  max_downtime:
    description: The longest pause of the guest that is aimed at, in milliseconds.
    type: int
    default: 300
  timeout:
    description:
      - Seconds that the copy of the disks, and then that of the memory, may take. V(0) for 800 seconds for each GiB of memory and copied
        disk, of at least 2 GiB.
    type: float
    default: 0
  timeout_action:
    description:
      - What to do then. V(abort) leaves the guest on the source. V(postcopy) switches to post-copy and needs O(postcopy=true).
        V(suspend) pauses the guest so that the move can end, and lets it run again on the destination.
      - Disks that are still being copied then abort the move, and so does a second time limit for memory. A guest that V(suspend) paused
        runs again wherever it is then, also when another run takes the move back.
    type: str
    choices: [abort, postcopy, suspend]
    default: abort
  postcopy:
    description:
      - Permit post-copy. When the network breaks during post-copy the guest stops, neither side may be ended, and another run ends
        the move once the network is back and the rest of its memory has followed.
    type: bool
    default: false
  legacy_block:
    description:
      - Let C(migrate -b) of QEMU before 9.1 copy the disks with the memory instead of mirrors, or C(migrate -i) with O(base=shared).
    type: bool
    default: false
  tls:
    description:
      - Encrypt what a live method sends, memory and disks alike, by certificates by which both sides prove who they are. The certificate of
        the destination must have the name or address in O(migration_address), or else that in O(destination). The copies of V(offline) are
        always encrypted.
    type: bool
    default: false
  tls_dir:
    description:
      - The folder of the certificates for O(tls=true), the same on both hosts, in the form that QEMU and libvirt use; C(ca-cert.pem),
        C(client-cert.pem) and C(client-key.pem) on the source, C(server-cert.pem) and C(server-key.pem) on the destination.
    type: str
    default: /etc/pki/qemu
  source_disks:
    description:
      - What becomes of the copied images on the source once the guest runs on the destination. V(keep) leaves them, V(rename) appends
        C(.migrated), V(delete) deletes them. Block devices always stay.
    type: str
    choices: [keep, rename, delete]
    default: keep
  may_stop:
    description:
      - Permit O(method=offline) to stop a guest that runs. Without it such a move is refused.
    type: bool
    default: false
  shutdown_timeout:
    description: Seconds that a guest may take to shut down, for O(method=offline).
    type: float
    default: 300
  shutdown_action:
    description:
      - What to do then. V(fail) ends the move; the guest may still shut down later, as it was asked to. V(destroy) ends its process without
        asking it any more, which is like pulling its power cord.
    type: str
    choices: [fail, destroy]
    default: fail
  accept:
    description:
      - Codes of findings that shall not stop the move, out of V(IMAGE_EXISTS) (an image that is in the way on the destination, and that no
        process has open, is deleted; a block device, which nobody uses, is overwritten), V(DISK_SPACE_SHORT), V(MEMORY_SHORT) and
        V(HUGEPAGES_SHORT). What is
        in the way because both hosts share the storage is the disk itself, and is never deleted (V(IMAGE_SHARED)).
      - A block device is not made by a move. It has to be there, of exactly the size of the disk; for O(method=offline) it may be larger.
      - The image that the guest left on the destination when it moved away from there is out of date, and makes way by itself where
        nobody has written to it since.
    type: list
    elements: str
    default: []
requirements:
  - QEMU 6.2 or newer on both hosts, and Python 3.9 on the destination
  - libvirt-python (C(python3-libvirt)) and lxml (C(python3-lxml)) on the source where the destination has libvirt, for
    O(destination_slots); without them a warning says that moves of domains do not count
  - C(python3-libnbd) and C(qemu-nbd) for O(media=copy), O(base=shared) and O(method=offline)
seealso:
  - module: virtops.kvm.domain_migration
  - module: virtops.kvm.disk_copy
"""

EXAMPLES = r"""
- name: Move a guest that a script started, with its disks
  virtops.kvm.qemu_migration:
    name: web01
    destination: root@kvm2.example.com
  delegate_to: kvm1

- name: The same, to other places, over the storage network
  virtops.kvm.qemu_migration:
    name: db01
    destination: root@kvm2.example.com
    migration_address: 10.20.0.2
    bandwidth: 200
    mapping:
      paths:
        /srv/images: /data/images
      taps:
        tap7: tap12
      ports:
        5901: 5907
  delegate_to: kvm1

- name: Move a guest that may be shut down for it to a host with another CPU
  virtops.kvm.qemu_migration:
    name: batch03
    destination: root@kvm3.example.com
    method: offline
    may_stop: true
  delegate_to: kvm1

- name: Let libvirt have a guest that a script started, while it runs, with its disks
  virtops.kvm.qemu_migration:
    name: old06
    destination: root@kvm2.example.com
    target: libvirt
  delegate_to: kvm1

- name: The same with disks on storage that both hosts share
  virtops.kvm.qemu_migration:
    name: old08
    destination: root@kvm2.example.com
    method: live_shared
    target: libvirt
  delegate_to: kvm1

- name: Let libvirt have one whose machine it would not make alike, with a stop
  virtops.kvm.qemu_migration:
    name: old07
    destination: root@kvm2.example.com
    method: offline
    may_stop: true
    target: libvirt
  delegate_to: kvm1
"""

RETURN = r"""
outcome:
  description:
    - V(moved), V(already_there), or V(finished) when an interrupted move was brought to its end.
    - V(undone) with O(settle_only) when the guest stays on the source; nothing changed when there was nothing to take back.
  returned: success
  type: str
  sample: moved
findings:
  description: What the checks found; see M(virtops.kvm.migration_check_info) for their form.
  returned: success
  type: list
  elements: dict
destination_argv:
  description: The command line of QEMU on the destination, without how it waited, to start the guest there another time.
  returned: when it was or would be moved
  type: list
  elements: str
move:
  description: The move.
  returned: success
  type: dict
  contains:
    guest:
      description: Name of the guest.
      type: str
    method:
      description: The method that was used.
      type: str
    source_host:
      description: Where it was.
      type: str
    destination_host:
      description: Where it is.
      type: str
    started:
      description: When the move began, in seconds since the epoch; null where there was none.
      type: float
    seconds:
      description: How long the whole call took.
      type: float
    downtime_ms:
      description:
        - How long the guest paused, as measured by QEMU, and from its pause on where O(timeout_action=suspend) paused it; null where that
          is not known.
      type: int
    stopped_seconds:
      description:
        - For how long a guest did not run that was stopped for its move, from when it was asked to shut down to when it ran again; null for
          a live move, for a guest that was off, and for a move that an earlier run began.
      type: float
    disk_bytes:
      description: Bytes of disks that were copied, holes included (but for V(offline)); null where none were.
      type: int
    memory_bytes:
      description: Bytes of memory that were sent.
      type: int
    stages:
      description: Seconds for each stage.
      type: dict
    source_disks_kept:
      description: Copied images that are still on the source.
      type: list
      elements: str
    monitor:
      description: Path of the QMP monitor of ours on the destination; empty for a domain.
      type: str
    unit:
      description: The systemd unit that it runs in there; empty for a domain.
      type: str
service:
  description: What the controller saw of the service that O(service) names.
  returned: when O(service) is given
  type: dict
  contains:
    service:
      description: The service.
      type: str
      sample: tcp 192.0.2.7:80
    asked:
      description: How often it was asked.
      type: int
    answered:
      description: How often it answered.
      type: int
    pause_ms:
      description: The longest time between two answers in milliseconds; null where there were not two.
      type: int
      sample: 240
    interval_ms:
      description: The time between two questions; the pause is too long by that at most.
      type: int
    back:
      description: Whether it answered after the move.
      type: bool
error_code:
  description:
    - A stable code for the failure. V(MOVE_ABORTED), V(MOVE_TIMEOUT), V(MOVE_STALLED), V(MOVE_FAILED), V(MIGRATION_FAILED),
      V(MIRROR_FAILED), V(DESTINATION_FAILED), V(PORT_TAKEN), V(PORT_BLOCKED), V(IMAGE_EXISTS), V(HARDWARE_DIFFERS), V(SHUTDOWN_TIMEOUT),
      V(ADOPTION_FAILED) and V(TLS_UNAVAILABLE) mean that the guest is on the source as before, started again where an offline move had
      shut it down.
      V(OWNERSHIP_UNPROVEN), V(TWO_RUNNING_COPIES), V(MOVE_ABORTING_UNKNOWN), V(POSTCOPY_FAILED), V(GUEST_EXISTS), V(GUEST_MOVED_AWAY),
      V(NAME_CONFLICT), V(UUID_CONFLICT), V(SAME_HOST) and V(MONITOR_UNUSABLE) mean that nothing was touched because it would not have been
      safe. V(GUEST_DIED) means that the source ended by itself. V(PREFLIGHT_FAILED), or the code of the only finding, means that nothing
      was changed.
  returned: failure
  type: str
  sample: MIRROR_FAILED
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import contextlib
import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import moving_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sshtarget import SshTarget
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import (
    BASES,
    MEDIA,
    METHODS,
    POLICIES,
    SHUTDOWN_ACTIONS,
    TARGETS,
    TIMEOUT_ACTIONS,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import findings_data
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import Far, FarHost
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_record import key_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_source import monitor_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop, signals
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace, check_progress_id

if t.TYPE_CHECKING:
    from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareOptions

Params = dict[str, t.Any]


def argument_spec() -> dict[str, t.Any]:
    """The module's options."""
    return {
        **moving_spec(),
        "name": {"type": "str", "required": True},
        "monitor": {"type": "str"},
        "destination": {"type": "str", "required": True},
        "destination_label": {"type": "str"},
        "source_label": {"type": "str"},
        "libvirt_uri": {"type": "str"},
        "migration_address": {"type": "str"},
        "method": {"type": "str", "choices": list(METHODS), "default": "live_block"},
        "base": {"type": "str", "choices": list(BASES), "default": "copy"},
        "target": {"type": "str", "choices": list(TARGETS), "default": "process"},
        "mapping": {"type": "dict", "default": {}},
        "destination_arguments": {"type": "list", "elements": "str", "default": []},
        "user": {"type": "str"},
        "media": {"type": "str", "choices": list(MEDIA), "default": "refuse"},
        "max_downtime": {"type": "int", "default": 300},
        "timeout": {"type": "float", "default": 0},
        "timeout_action": {"type": "str", "choices": list(TIMEOUT_ACTIONS), "default": "abort"},
        "postcopy": {"type": "bool", "default": False},
        "legacy_block": {"type": "bool", "default": False},
        "tls": {"type": "bool", "default": False},
        "tls_dir": {"type": "str", "default": "/etc/pki/qemu"},
        "source_disks": {"type": "str", "choices": list(POLICIES), "default": "keep"},
        "may_stop": {"type": "bool", "default": False},
        "shutdown_timeout": {"type": "float", "default": 300},
        "shutdown_action": {"type": "str", "choices": list(SHUTDOWN_ACTIONS), "default": "fail"},
        "accept": {"type": "list", "elements": "str", "default": []},
    }


def options_of(params: Params) -> BareOptions:
    """The user's options, validated. Raises InputError."""
    from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareOptions

    lists = {name: tuple(params[name]) for name in ("accept", "destination_arguments")}
    plain = {name: params[name] for name in BareOptions.__dataclass_fields__ if name not in (*lists, "libvirt_uri")}
    uri = params["libvirt_uri"] or (params["destination"] if params["destination"].startswith("qemu") else "")
    return BareOptions(**{**plain, **lists}, libvirt_uri=uri)


def connect(destination: str, label: str | None) -> Far:
    """The destination, to which ssh is on its way."""
    return FarHost(destination, label or SshTarget.parse(destination).host)


def run(params: Params, check_mode: bool, gateway: t.Callable[[str, t.Optional[str]], Far]) -> Result:
    """Validate, then make sure that the guest runs on the destination."""
    name = params["name"].strip()
    if not name:
        raise InputError("name", "The option 'name' is empty; give the name or UUID of a guest.")
    SshTarget.parse(params["destination"])
    progress_id = check_progress_id(params["progress_id"]) if params["progress_id"] else ""
    stop, clock, workspace = Stop(), Clock(), Workspace()
    begun = clock.monotonic()
    with contextlib.closing(gateway(params["destination"], params["destination_label"])) as there, signals(stop):
        # All else is loaded while ssh is on its way: both take about as long.
        from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
        from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_places import connect_ahead
        from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping

        options, mapping = options_of(params), GuestMapping.from_user(params["mapping"])
        if progress_id and params["on_controller_loss"] == "abort" and not check_mode:
            workspace.expect_controller(progress_id)
        monitor, uuid = monitor_of(name, params["monitor"] or "", workspace, key_of(name))
        context = BareContext(
            name=name,
            key=key_of(name),
            destination=params["destination"],
            source_host=params["source_label"] or socket.gethostname(),
            far=there,
            workspace=workspace,
            clock=clock,
            options=options,
            mapping=mapping,
            stop=stop,
            begun=begun,
            progress_id=progress_id,
            uuid=uuid,
            monitor_address=monitor,
            settle_only=params["settle_only"],
        )
        if not check_mode and not context.settle_only:
            connect_ahead(context)
        from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_run import run as run_move

        try:
            report = run_move(context, check_mode=check_mode)
        finally:
            if progress_id and not check_mode:
                workspace.forget_wishes(progress_id)
    values = {"outcome": report.outcome, "findings": findings_data(report.findings), **report.values}
    return Result(values, report.changes, report.warnings, msg=report.msg)


def main() -> t.NoReturn:
    """Run the module."""
    run_module(argument_spec(), run, lambda: connect, prefers=("libvirt",))


if __name__ == "__main__":
    main()
