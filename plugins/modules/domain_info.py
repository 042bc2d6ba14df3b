#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_info
short_description: Read all domains of a hypervisor, or some of them
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Reads state, identity, memory, CPU, machine type, firmware, disks with their sizes and backing chains, interfaces, host
    devices, snapshots, checkpoints and running jobs of all domains of one host in one call.
  - Tells for every disk whether it lies on storage that other hosts see.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
options:
  names:
    description:
      - Names or UUIDs of the domains to read; all domains when empty.
      - A domain that the host does not know is an error.
    type: list
    elements: str
    default: []
  select:
    description:
      - A JMESPath expression over the list of domains, as RV(domains) describes them.
      - An answer that is no list becomes a list of one; null becomes an empty list.
    type: str
requirements:
  - jmespath (C(python3-jmespath)) on the host, for O(select)
seealso:
  - module: virtops.kvm.host_info
"""

EXAMPLES = r"""
- name: Read all domains
  virtops.kvm.domain_info:
  register: survey

- name: Read the running domains that have a disk on storage of this host alone
  virtops.kvm.domain_info:
    select: "[?state == 'running' && disks[?shared == `false` && device == 'disk']]"
  register: to_copy

- name: Get the names of the domains with snapshots
  virtops.kvm.domain_info:
    select: "[?snapshots].name"
  register: with_snapshots

- name: Read two domains
  virtops.kvm.domain_info:
    names: [web01, 4dea22b3-1d52-d8f3-2516-782e98ab3fa0]
"""

RETURN = r"""
domains:
  description:
    - The domains in the order of their names, or the answer of O(select). Sizes are bytes.
    - Sizes and places of disks come from the host's own files for a local O(uri), from the daemon for any other.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    uuid:
      description: Its UUID.
      type: str
    state:
      description: V(running), V(blocked), V(paused), V(pmsuspended), V(shutdown), V(shutoff), V(crashed) or V(nostate).
      type: str
    state_reason:
      description: Why it is in that state, in libvirt's words.
      type: str
      sample: booted
    persistent:
      description: Whether its definition outlives a shutdown.
      type: bool
    autostart:
      description: Whether it starts with the host.
      type: bool
    managed_save:
      description: Whether a saved state waits for its next start.
      type: bool
    title:
      description: Its title.
      type: str
    virt_type:
      description: V(kvm) or V(qemu).
      type: str
    arch:
      description: Architecture of the guest.
      type: str
    machine:
      description: Machine type; of an active domain the versioned one.
      type: str
      sample: pc-q35-10.0
    emulator:
      description: Path of the emulator.
      type: str
    memory:
      description: Memory the guest has now.
      type: int
    memory_max:
      description: Memory the guest may take.
      type: int
    vcpus:
      description: vCPUs the guest has now.
      type: int
    vcpus_max:
      description: vCPUs the guest may have.
      type: int
    hugepages:
      description: Whether its memory is on huge pages.
      type: bool
    hugepage_kib:
      description: The page size asked for in KiB; null for the default size of the host.
      type: int
    cpu:
      description: Its CPU.
      type: dict
      contains:
        mode:
          description: V(custom), V(host-model), V(host-passthrough), V(maximum) or null for QEMU's default.
          type: str
        model:
          description: The named model.
          type: str
        xml:
          description: The C(<cpu>) element; of an active domain with every feature it runs with.
          type: str
    cpu_defined:
      description:
        - The CPU that its definition asks for, in the form of RV(domains[].cpu), where it runs with another; else null.
        - A host-model becomes a named model with features while it runs.
      type: dict
    firmware:
      description: How it boots.
      type: dict
      contains:
        type:
          description: V(bios) or V(efi).
          type: str
        loader:
          description: Path of the firmware.
          type: str
        nvram:
          description: Path of its variables.
          type: str
        nvram_template:
          description: What the variables were made from.
          type: str
        secure_boot:
          description: Whether secure boot is on.
          type: bool
    tpm:
      description: V(emulator), V(passthrough), V(external), or null for none.
      type: str
    kernel:
      description: Path of the kernel for direct boot.
      type: str
    initrd:
      description: Path of the initial RAM disk for direct boot.
      type: str
    disks:
      description: Disks, cdroms, floppies and LUNs.
      type: list
      elements: dict
      contains:
        target:
          description: The name in the guest, such as V(vda).
          type: str
        type:
          description: V(file), V(block), V(network), V(volume), V(nvme), V(dir), V(vhostuser) or V(vhostvdpa).
          type: str
        device:
          description: V(disk), V(cdrom), V(floppy) or V(lun).
          type: str
        bus:
          description: The bus, such as V(virtio).
          type: str
        source:
          description: Path, device or network name; null for an empty drive.
          type: str
        pool:
          description: The pool of a volume.
          type: str
        volume:
          description: The name of a volume.
          type: str
        format:
          description: Format of the image.
          type: str
        virtual_size:
          description: The size that the guest sees; null when it cannot be read.
          type: int
        allocated:
          description: What the top image takes on its storage; null when it cannot be read.
          type: int
        readonly:
          description: Whether the guest may not write.
          type: bool
        shareable:
          description: Whether several guests may write.
          type: bool
        transient:
          description: Whether changes are dropped when the guest stops.
          type: bool
        startup_policy:
          description: What happens when the medium is missing.
          type: str
        cache:
          description: The cache mode.
          type: str
        serial:
          description: The serial number that the guest sees.
          type: str
        backing_chain:
          description: The images below the top one, from top to bottom.
          type: list
          elements: dict
          contains:
            path:
              description: Path, device or network name.
              type: str
            format:
              description: Format of the image.
              type: str
            type:
              description: V(file), V(block) or V(network).
              type: str
            allocated:
              description: What it takes on its storage; null when it cannot be read.
              type: int
        shared:
          description: Whether other hosts see the image; null when that cannot be told from here.
          type: bool
        filesystem:
          description: The storage behind it, named so that two hosts can be compared.
          type: str
          sample: nfs:192.0.2.5:/export
        encrypted:
          description: Whether QEMU encrypts the image.
          type: bool
        protocol:
          description: The protocol of a network disk.
          type: str
    nics:
      description: Its network interfaces.
      type: list
      elements: dict
      contains:
        mac:
          description: MAC address.
          type: str
        type:
          description: V(network), V(bridge), V(direct), V(user) and so on.
          type: str
        source:
          description: The network, bridge or device it is plugged into.
          type: str
        model:
          description: The model that the guest sees.
          type: str
        target:
          description: The device on the host.
          type: str
        portgroup:
          description: The port group of the network.
          type: str
    host_devices:
      description: Devices of the host in the guest.
      type: list
      elements: dict
      contains:
        type:
          description: V(pci), V(usb), V(scsi), V(mdev), V(vdpa) and so on.
          type: str
        address:
          description: Its address on the host.
          type: str
        migratable:
          description: Whether the guest gives it back by itself before it moves.
          type: bool
    filesystems:
      description: Directories of the host in the guest.
      type: list
      elements: str
      sample: [virtiofs /srv/data as data]
    obstacles:
      description: Further things in the definition that QEMU or libvirt refuse to migrate.
      type: list
      elements: str
    ties:
      description: Always empty for a domain. What keeps a guest process from moving, even where it may be stopped.
      type: list
      elements: str
    snapshots:
      description: The names of its snapshots.
      type: list
      elements: str
    checkpoints:
      description: The names of its checkpoints.
      type: list
      elements: str
    job:
      description: The job that libvirt runs for it now; null for none.
      type: dict
      contains:
        type:
          description: V(bounded), V(unbounded) and so on.
          type: str
        operation:
          description: V(migration_out), V(migration_in), V(backup), V(save) and so on.
          type: str
    block_jobs:
      description: The block jobs that run now.
      type: list
      elements: str
      sample: ["vda: copy"]
    kind:
      description: Always V(domain). Plans tell guest processes, V(process), apart by it.
      type: str
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core import query
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import read_domains
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain


class Gateway:
    """The domains behind a URI."""

    def read(self, uri: str, names: t.Sequence[str] | None) -> list[Domain]:
        """Read them; all where ``names`` is None."""
        with Connection.open(uri) as connection:
            return read_domains(connection, names)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        **connection_spec(),
        "names": {"type": "list", "elements": "str", "default": []},
        "select": {"type": "str"},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Read the domains, and put the expression to them."""
    expression = params["select"]
    if expression:
        # An expression that cannot be used shows before anything is read.
        query.search(expression, [])
    domains = gateway.read(params["uri"], params["names"] or None)
    return Result(values={"domains": query.selected(expression, to_data(domains)) if expression else domains})


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, requires=("libvirt", "lxml"), info=True)


if __name__ == "__main__":
    main()
