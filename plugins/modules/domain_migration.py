#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_migration
short_description: Ensure that a domain is on another hypervisor
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Moves a domain from the host that the task runs on to O(destination), with its disks where they are not on shared storage. It moves
    live while the domain runs (or is paused); a domain that is shut off, or may stop for a while, is copied whole and proven equal. Run it
    on the source, usually with C(delegate_to).
  - One call does all of it. It claims a place on both hosts, checks, creates the images on the destination, moves, verifies that the domain
    runs there and not here, and cleans up. A move that fails leaves the domain running on the source and removes from the destination
    what it made there, and nothing else.
  - The migration is peer to peer, so it goes on when the controller dies. A second run attaches to it and finishes its work.
  - While it moves, one line for each domain and interval tells how far it is. Ctrl-C aborts the move and leaves the domain on the source.
  - In a live move a backing chain of a disk that is copied becomes one flat image on the destination; the other methods keep it unless
    O(chain=flatten).
  - With the methods V(offline), V(suspended) and V(seeded) the firmware variables, the state of an emulated TPM, saved memory and internal
    snapshots go along, and the records of snapshots and checkpoints are told to libvirt there. Nothing starts on the destination before
    the content of every file was read on both hosts and was the same. Copies have a second name until then.
  - When such a move fails before the domain is started on the destination, the domain that ran runs again on the source, and what is copied
    stays on the destination under the name C(*.moving-*), so that the next run sends only the rest. Once it may have been started there,
    nothing is started on the source without proof that the destination does not run it.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._moving
attributes:
  check_mode:
    support: full
    details:
      - Runs every check and announces exactly the changes that a real run then makes. It waits for no slot, and stops nothing.
  diff_mode:
    support: full
    details:
      - Shows the persistent definition before and after, without passwords.
  idempotent:
    support: full
options:
  name:
    description: Name or UUID of the domain.
    type: str
    required: true
  destination:
    description:
      - The libvirt URI of the destination, as the source sees it. Root of the source must be able to use it without a prompt.
    type: str
    required: true
  destination_label:
    description: The name of the destination in messages and results; the host part of O(destination) by default.
    type: str
  source_label:
    description: The name of the source in messages and results; its host name by default.
    type: str
  migration_address:
    description:
      - The address or name on which the destination takes migration and disk streams; the host part of O(destination) by default.
      - When a stopped domain's files cannot be sent there directly, they go through ssh.
    type: str
  migration_port:
    description:
      - The TCP port on which the destination takes the memory of a live move; V(0) lets its libvirt choose one from its range, from which
        the ports for disks are in any case. Moves to this port come one after the other. It is not tried before the move, as is the
        range, since another guest's memory may be awaited there.
    type: int
    default: 0
  method:
    description:
      - V(auto) chooses V(offline) for a domain that is shut off. For one that runs it chooses V(live_shared) when no disk has to be
        copied, else V(live_block). It says why.
      - V(offline) shuts the domain down, copies, and starts it on the destination. A domain that is shut off stays so, and keeps its
        saved memory (C(virsh managedsave)).
      - V(suspended) saves the memory, copies it with the disks, and goes on with it on the destination, whose CPU has to match.
      - V(seeded) copies the disks while the domain runs, then shuts it down, copies what changed since, and starts it on the destination.
        A qcow2 image (version 3) notes for that time what the domain writes, under a checkpoint of this module that is gone again before
        the domain starts; checkpoints of yours stay as they are. Other disks are read whole on both hosts in the stop.
        It is for large disks where live methods cannot be used, as between CPUs that do not match.
      - A domain that is shut off moves by V(offline) whichever of these three is asked for.
    type: str
    choices: [auto, live_shared, live_block, offline, suspended, seeded]
    default: auto
  may_stop:
    description:
      - Permit V(offline), V(suspended) and V(seeded) to stop a domain that runs. Without it such a move is refused.
    type: bool
    default: false
  shutdown_timeout:
    description: Seconds that a domain may take to shut down, for O(method=offline) and O(method=seeded).
    type: float
    default: 300
  shutdown_action:
    description:
      - What to do then. V(fail) ends the move; the domain may still shut down later, as it was asked to. V(destroy) ends the domain
        without asking it, which is like pulling its power cord.
    type: str
    choices: [fail, destroy]
    default: fail
  chain:
    description:
      - What becomes of backing chains when a stopped domain is copied. V(keep) copies every image of the chain; one that is on the
        destination already must hold the same. V(flatten) makes one image of them.
    type: str
    choices: [keep, flatten]
    default: keep
  transfer_host:
    description:
      - By which name (C(user@host), as root) ssh reaches the destination to copy files of a stopped domain. Needed when O(destination) is
        not reached by ssh.
    type: str
  mapping:
    description:
      - What differs on the destination. Keys are V(disks) (target in the guest to path), V(paths) (path prefix to path prefix), V(pools),
        V(networks), V(bridges) (name to name), V(graphics_listen) (an address), V(emulator) and V(nvram) (a path).
      - The disk of a stopped domain becomes a device where its new path begins with C(/dev/), and a file where it does not; qcow2 when a
        raw device goes to a path that ends with C(.qcow2), and raw when a qcow2 file without backing file and snapshots goes to a
        device. The device has to be there, and O(accept) must have V(IMAGE_EXISTS).
      - A mapping that names what the domain does not have is an error.
    type: dict
    default: {}
  disks:
    description:
      - Copy only these disks, by target. All that need it when empty. A disk that is left out must be on storage that both hosts share.
    type: list
    elements: str
    default: []
  max_downtime:
    description: The longest pause of the guest that is permitted, in milliseconds.
    type: int
    default: 300
  downtime_start:
    description: The permitted pause at first, in milliseconds; it is raised in steps to O(max_downtime). V(0) for a third of it.
    type: int
    default: 0
  downtime_steps:
    description: In how many steps the permitted pause is raised.
    type: int
    default: 5
  downtime_delay:
    description: Seconds between two steps; V(0) for 2 seconds for each GiB of memory, at least 1.
    type: float
    default: 0
  timeout:
    description:
      - Seconds that libvirt's part may take. V(0) for 800 seconds for each GiB of memory and copied disk, of at least 2 GiB.
    type: float
    default: 0
  timeout_action:
    description:
      - What to do then. V(abort) leaves the domain on the source. V(postcopy) switches to post-copy and needs O(postcopy=true).
        V(suspend) pauses the guest so that the move can end, and lets it run again on the destination.
      - Disks that are still being copied then, or a second time limit, abort the move.
    type: str
    choices: [abort, postcopy, suspend]
    default: abort
  postcopy:
    description:
      - Permit post-copy, used by O(timeout_action=postcopy). When the network breaks during post-copy the guest stops.
    type: bool
    default: false
  tls:
    description: Encrypt memory and disks on their way. Both hosts need certificates for QEMU.
    type: bool
    default: false
  source_disks:
    description:
      - What becomes of the copied images on the source once the domain runs on the destination. V(keep) leaves them, V(rename) appends
        C(.migrated), V(delete) deletes them. Base images, block devices, and what another domain names always stay.
      - With V(keep) a small marker file C(*.left-by-*) beside each image says that it is out of date. A later move of the same domain back
        replaces such a copy, as long as it was not written since and no domain names it; any other image in the way is an error.
    type: str
    choices: [keep, rename, delete]
    default: keep
  autostart:
    description: Carry the autostart setting over.
    type: bool
    default: true
  accept:
    description: Codes of findings to accept, of those that say that they may be accepted. The move is then tried all the same.
    type: list
    elements: str
    default: []
  destination_facts:
    description:
      - The RV(virtops.kvm.host_info#module:host) value of the destination. It adds what only the destination itself can tell.
    type: dict
requirements:
  - libvirt-python (C(python3-libvirt)) and lxml (C(python3-lxml)) on the source
  - for stopped domains libnbd's Python binding (C(python3-libnbd)) on the source, qemu-nbd and qemu-img on both hosts, and root by ssh
    from the source to the destination
seealso:
  - module: virtops.kvm.migration_check_info
  - module: virtops.kvm.domain_info
"""

EXAMPLES = r"""
- name: Move a web server, and see for how long nobody could reach it
  virtops.kvm.domain_migration:
    name: web01
    destination: qemu+ssh://root@kvm2.example.com/system
    method: live_shared
    service:
      type: http
      url: http://web01.example.com/health
  delegate_to: kvm1

- name: Ensure that web01 runs on kvm2
  virtops.kvm.domain_migration:
    name: web01
    destination: qemu+ssh://root@kvm2.example.com/system
  delegate_to: kvm1

- name: Move a guest that may be shut down for it
  virtops.kvm.domain_migration:
    name: batch01
    destination: qemu+ssh://root@kvm2.example.com/system
    method: offline
    may_stop: true
  delegate_to: kvm1

- name: Move a guest to a host with another CPU, with a short stop, from a logical volume to an image
  virtops.kvm.domain_migration:
    name: db02
    destination: qemu+ssh://root@kvm4.example.com/system
    method: seeded
    may_stop: true
    mapping:
      disks:
        vda: /var/lib/libvirt/images/db02.qcow2
  delegate_to: kvm1

- name: Move a guest to other storage and another network, slowly
  virtops.kvm.domain_migration:
    name: db01
    destination: qemu+tls://kvm3.example.com/system
    migration_address: 10.20.0.3
    bandwidth: 100
    tls: true
    mapping:
      disks:
        vdb: /srv/fast/db01-data.qcow2
      networks:
        default: vlan20
  delegate_to: kvm1
"""

RETURN = r"""
outcome:
  description:
    - V(moved), V(already_there), or V(attached) when a move that ran already was followed to its end.
    - V(undone) with O(settle_only) when the domain stays on the source; nothing changed when there was nothing to take back.
  returned: success
  type: str
  sample: moved
method:
  description: The method that was used.
  returned: success
  type: str
  sample: live_block
method_reason:
  description: Why.
  returned: success
  type: str
findings:
  description: The findings of the preflight, worst first. On failure they are in RV(details).
  returned: success
  type: list
  elements: dict
files:
  description: What a stopped move copies, or in check mode would copy; empty for a live one. Sizes are bytes.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(disk), V(layer) of a backing chain, V(nvram), V(tpm), or V(save) for saved memory.
      type: str
    disk:
      description: Target of the disk; empty for other files.
      type: str
    source:
      description: The file or device on the source.
      type: str
    path:
      description: The file or device on the destination.
      type: str
    size:
      description: Its length.
      type: int
    allocated:
      description: What it takes on disk.
      type: int
    delta:
      description:
        - With V(method=seeded), how it is found what changed in a disk since it was copied. V(bitmap) reads what the image notes of the
          guest's writes, V(time) is for a file that nobody wrote to since, and V(hashes) reads all of the disk on both hosts in the stop.
          Null for other files and methods. In check mode it is what is expected.
      type: str
      sample: bitmap
    free:
      description: What was free on the destination where it goes; null for a device.
      type: int
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
move:
  description: What the move was. Sizes are bytes, durations seconds where the name does not say otherwise.
  returned: success
  type: dict
  contains:
    domain:
      description: Name of the domain.
      type: str
    uuid:
      description: Its UUID.
      type: str
    method:
      description: The method that was used.
      type: str
    method_reason:
      description: Why.
      type: str
    source_host:
      description: Where it was.
      type: str
    destination_host:
      description: Where it is.
      type: str
    started:
      description: When the move began, by the clock of the source, in seconds since the epoch; V(0) when nothing was moved.
      type: float
    seconds:
      description: How long the whole call took.
      type: float
    downtime_ms:
      description: How long the guest paused, as measured by QEMU; null where that is not known.
      type: int
    disk_bytes:
      description: Bytes of disks that the mirror processed, holes included; for a stopped domain those that were sent.
      type: int
    memory_bytes:
      description: Bytes of memory that were sent.
      type: int
    stages:
      description: Seconds for each stage.
      type: dict
    stopped_seconds:
      description: How long the domain did not run; null where the move did not stop it.
      type: float
    sent_bytes:
      description: Bytes that a stopped move sent for all files, seeding included.
      type: int
    proofs:
      description: The files of a stopped move whose content was read on both hosts and was the same.
      type: list
      elements: dict
      contains:
        disk:
          description: Target of the disk; empty for other files.
          type: str
        path:
          description: The file or device on the destination.
          type: str
        size:
          description: Its size in bytes.
          type: int
        digest:
          description: Digest of its content on both sides. With V(gmac-blocks) it has a key of its own, and is comparable with no other.
          type: str
    source_disks_kept:
      description: Copied images that are still on the source.
      type: list
      elements: str
    warnings:
      description: What the user should know of.
      type: list
      elements: str
error_code:
  description:
    - A stable code for the failure. V(MOVE_ABORTED), V(MOVE_TIMEOUT), V(MOVE_FAILED) and V(GUEST_DIED) mean that the domain is on the
      source and the destination is clean. So do V(SHUTDOWN_TIMEOUT), V(DOMAIN_STARTED) and V(SOURCE_CHANGED) (somebody used the domain
      meanwhile), V(PROOF_FAILED), V(DESTINATION_FULL) and V(CONNECTION_LOST), but for copies that the next run
      goes on with. V(MOVE_ABORTING_UNKNOWN),
      V(OWNERSHIP_UNPROVEN), V(TWO_RUNNING_COPIES), V(POSTCOPY_FAILED) and
      V(DOMAIN_LOST) mean that nothing was touched because it would not have been safe. V(PREFLIGHT_FAILED), or the code of the only
      finding, means that nothing was changed.
  returned: failure
  type: str
  sample: MOVE_FAILED
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import moving_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.migration import MoveGateway, host_of
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.preflight import facts_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import findings_data
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import Carrier
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import (
    ACTIONS,
    CHAINS,
    METHODS,
    POLICIES,
    SHUTDOWN_ACTIONS,
    Options,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.survey import Surveyor
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop, signals
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace, check_progress_id
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping

Params = dict[str, t.Any]
GatewayMaker = t.Callable[[str, t.Optional[str], t.Optional[str]], MoveGateway]


def argument_spec() -> dict[str, t.Any]:
    """The module's options."""
    return {
        **moving_spec(),
        "name": {"type": "str", "required": True},
        "destination": {"type": "str", "required": True},
        "destination_label": {"type": "str"},
        "source_label": {"type": "str"},
        "migration_address": {"type": "str"},
        "migration_port": {"type": "int", "default": 0},
        "method": {"type": "str", "choices": list(METHODS), "default": "auto"},
        "mapping": {"type": "dict", "default": {}},
        "disks": {"type": "list", "elements": "str", "default": []},
        "max_downtime": {"type": "int", "default": 300},
        "downtime_start": {"type": "int", "default": 0},
        "downtime_steps": {"type": "int", "default": 5},
        "downtime_delay": {"type": "float", "default": 0},
        "timeout": {"type": "float", "default": 0},
        "timeout_action": {"type": "str", "choices": list(ACTIONS), "default": "abort"},
        "postcopy": {"type": "bool", "default": False},
        "tls": {"type": "bool", "default": False},
        "source_disks": {"type": "str", "choices": list(POLICIES), "default": "keep"},
        "autostart": {"type": "bool", "default": True},
        "accept": {"type": "list", "elements": "str", "default": []},
        "destination_facts": {"type": "dict"},
        "may_stop": {"type": "bool", "default": False},
        "shutdown_timeout": {"type": "float", "default": 300},
        "shutdown_action": {"type": "str", "choices": list(SHUTDOWN_ACTIONS), "default": "fail"},
        "chain": {"type": "str", "choices": list(CHAINS), "default": "keep"},
        "transfer_host": {"type": "str"},
    }


def options_of(params: Params) -> Options:
    """The user's options, validated. Raises InputError."""
    plain = {name: params[name] for name in Options.__dataclass_fields__ if name not in ("disks", "accept")}
    return Options(**plain, disks=tuple(params["disks"]), accept=tuple(params["accept"]))


def run(params: Params, check_mode: bool, gateway: GatewayMaker) -> Result:
    """Validate, then make sure that the domain runs on the destination."""
    options, mapping = options_of(params), Mapping.from_user(params["mapping"])
    if not params["name"].strip():
        raise InputError("name", "The option 'name' is empty; give the name or UUID of a domain.")
    if "://" not in params["destination"]:
        raise InputError(
            "destination",
            f"The destination '{params['destination']}' is no libvirt URI; it looks like qemu+ssh://root@host/system.",
        )
    progress_id = check_progress_id(params["progress_id"]) if params["progress_id"] else ""
    facts = facts_of(params["destination_facts"])
    stop, workspace = Stop(), Workspace()
    if progress_id and params["on_controller_loss"] == "abort" and not check_mode:
        workspace.expect_controller(progress_id)
    with (
        contextlib.closing(gateway(params["destination"], params["destination_label"], params["source_label"])) as ends,
        signals(stop),
    ):
        context = Context(
            gateway=ends,
            workspace=workspace,
            clock=Clock(),
            options=options,
            mapping=mapping,
            name=params["name"],
            survey=Surveyor(ends, workspace, options, mapping, facts),
            stop=stop,
            progress_id=progress_id,
            carrier=lambda: _carrier(params, options, ends.destination_host),
            settle_only=params["settle_only"],
        )
        # Loaded only now, while the gateway connects to the destination: both take about as long.
        from ansible_collections.virtops.kvm.plugins.module_utils._move.runner import run as run_move

        report = run_move(context, options.migration_address or host_of(params["destination"]), check_mode=check_mode)
    values = {
        "outcome": report.outcome,
        "method": report.move.method,
        "method_reason": report.move.method_reason,
        "findings": findings_data(report.findings),
        "move": report.move,
        "files": list(report.files),
    }
    return Result(values, report.changes, report.warnings, report.diff, report.msg)


def _carrier(params: Params, options: Options, label: str) -> Carrier:
    """The way of files for a guest that stops. A live move goes without, so it does not wait for the copy engine to load, either."""
    from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_carrier import DiskCarrier

    host = options.transfer_host or params["destination"]
    return DiskCarrier(host, label, address=options.migration_address or "", bandwidth=options.bandwidth)


def main() -> t.NoReturn:
    """Run the module."""
    run_module(argument_spec(), run, lambda: MoveGateway, requires=("libvirt", "lxml"))


if __name__ == "__main__":
    main()
