#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what a planner and a checker need of one hypervisor
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Reads versions, CPU, memory, virt types and machine types, storage pools, networks, bridges, the migration endpoint,
    daemons, TLS, clock, huge pages, the ids of the QEMU user and the cordon of one host in one call.
  - On request it tries whether other hosts can be reached from here, on the ports that moves need.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
options:
  peers:
    description:
      - Other hosts to which TCP connections are tried, all at the same time. The results are in C(host.reachability).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the other host, repeated in the result.
        type: str
        required: true
      address:
        description: Its address or host name.
        type: str
        required: true
      ports:
        description:
          - The ports to try. A port on which nobody listens counts as reachable (V(refused)), so probe a port of the
            migration range as well.
          - Take one from the end of that range. libvirt uses them from its start, and an incoming migration takes the first
            connection for its own; so a probe of a port that is in use ends the migration that waits there.
        type: list
        elements: int
        default: [22, 49215]
seealso:
  - module: virtops.kvm.domain_info
  - module: virtops.kvm.host_cordon
"""

EXAMPLES = r"""
- name: Read the host
  virtops.kvm.host_info:
  register: survey

- name: Read the host, and see whether it reaches the other one for control, memory and disks
  virtops.kvm.host_info:
    peers:
      - name: kvm2
        address: 192.0.2.12
        ports: [22, 49214, 49215]
  register: survey

- name: Show the free memory in MiB
  ansible.builtin.debug:
    msg: "{{ survey.host.memory_free // 1048576 }}"
"""

RETURN = r"""
host:
  description:
    - The host. Sizes are bytes. What only the host's own files tell is read for a local O(uri) alone.
  returned: success
  type: dict
  contains:
    hostname:
      description: The name libvirt gives the host.
      type: str
    uuid:
      description: The UUID libvirt gives the host; two hosts with the same one cannot migrate to each other.
      type: str
    uri:
      description: The URI it was read through.
      type: str
    libvirt_version:
      description: Version of the daemon, as 1000000 * major + 1000 * minor + release.
      type: int
      sample: 11003000
    qemu_version:
      description: Version of QEMU in the same form; 0 when there is no emulator.
      type: int
      sample: 10000003
    arch:
      description: Architecture of the host.
      type: str
    cpu_model:
      description: The named CPU model that comes closest to the host's CPU.
      type: str
    cpu_vendor:
      description: The vendor of the CPU.
      type: str
    host_cpu_xml:
      description: What a guest with the CPU mode host-model gets here under the best virt type, as a C(<cpu>) element.
      type: str
    cpu_models:
      description: The named CPU models that guests can use, per virt type.
      type: dict
    cpus:
      description: CPUs (threads) of the host.
      type: int
    memory_total:
      description: Memory of the host.
      type: int
    memory_free:
      description: Memory that new guests could take; page cache counts as free.
      type: int
    memory_domains:
      description: The sum of what active domains may take.
      type: int
    vcpus_domains:
      description: The sum of the vCPUs of active domains.
      type: int
    virt_types:
      description: The virt types that work here, the best first.
      type: list
      elements: str
      sample: [kvm, qemu]
    machines:
      description: Machine types per virt type.
      type: list
      elements: dict
      contains:
        virt_type:
          description: The virt type.
          type: str
        names:
          description: All machine types, aliases among them.
          type: list
          elements: str
        aliases:
          description: What the aliases stand for.
          type: dict
    firmwares:
      description: What guests can boot with.
      type: list
      elements: str
      sample: [bios, efi]
    pools:
      description: The storage pools.
      type: list
      elements: dict
      contains:
        name:
          description: Its name.
          type: str
        type:
          description: Its type, V(dir), V(netfs), V(logical) and so on.
          type: str
        path:
          description: The target path.
          type: str
        active:
          description: Whether it is active.
          type: bool
        autostart:
          description: Whether it starts with the daemon.
          type: bool
        capacity:
          description: Its size.
          type: int
        available:
          description: Its free space, read now for folders and volume groups.
          type: int
        reserved:
          description: Further free space that root alone may use, and QEMU not.
          type: int
        shared:
          description: Whether other hosts see it, too; null when that cannot be told.
          type: bool
        filesystem:
          description: The storage behind it, named so that two hosts can be compared.
          type: str
          sample: nfs:192.0.2.5:/export
    networks:
      description: The networks of libvirt.
      type: list
      elements: dict
      contains:
        name:
          description: Its name.
          type: str
        active:
          description: Whether it is active.
          type: bool
        autostart:
          description: Whether it starts with the daemon.
          type: bool
        forward:
          description: How it forwards, V(nat), V(bridge) and so on; null for an isolated one.
          type: str
        bridge:
          description: The bridge behind it.
          type: str
        portgroups:
          description: Its port groups.
          type: list
          elements: str
    bridges:
      description: The bridges of the kernel and of Open vSwitch.
      type: list
      elements: str
    endpoint:
      description: Where migrations arrive.
      type: dict
      contains:
        address:
          description: The address configured in C(qemu.conf), null when all addresses serve.
          type: str
        hostname:
          description: The name that libvirt tells the source of a migration.
          type: str
        port_min:
          description: The first port for migrations.
          type: int
        port_max:
          description: The last one.
          type: int
    daemons:
      description: The libvirt daemons; V(running), or V(socket) for one that starts when somebody connects.
      type: dict
      sample: {libvirtd: running, virtlogd: socket}
    tls:
      description: Whether the certificates for encrypted migrations are in place.
      type: bool
    time:
      description: The host's clock when it was read, in seconds since the epoch.
      type: float
    time_synchronized:
      description: Whether a time service holds the clock; null when the kernel does not tell.
      type: bool
    hugepages:
      description: Free huge pages per page size in KiB.
      type: dict
      sample: {"2048": 512}
    hugepage_default_kib:
      description: The default size of huge pages in KiB.
      type: int
    qemu_uid:
      description: The user id of QEMU processes.
      type: int
    qemu_gid:
      description: Their group id.
      type: int
    cordoned:
      description: Whether no domain is to be placed here, see M(virtops.kvm.host_cordon).
      type: bool
    cordon_reason:
      description: Why.
      type: str
    cordoned_since:
      description: Since when, in seconds since the epoch; null when it is not cordoned.
      type: float
    reachability:
      description: How each connection to O(peers) ended.
      type: list
      elements: dict
      contains:
        peer:
          description: The name given in O(peers).
          type: str
        address:
          description: The address tried.
          type: str
        port:
          description: The port tried.
          type: int
        result:
          description:
            - V(open), V(refused) (the host can be reached, nobody listens), V(timeout), V(unreachable) or V(unresolved).
          type: str
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.hosts import read_host
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.reachability import Peer
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host


class Gateway:
    """The host behind a URI."""

    def read(self, uri: str, peers: t.Sequence[Peer]) -> Host:
        """Read it."""
        with Connection.open(uri) as connection:
            return read_host(connection, peers)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    peer = {
        "name": {"type": "str", "required": True},
        "address": {"type": "str", "required": True},
        "ports": {"type": "list", "elements": "int", "default": [22, 49215]},
    }
    return {**connection_spec(), "peers": {"type": "list", "elements": "dict", "default": [], "options": peer}}


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Read the host."""
    return Result(values={"host": gateway.read(params["uri"], [_peer(data) for data in params["peers"]])})


def _peer(data: dict[str, t.Any]) -> Peer:
    for port in data["ports"]:
        if not 0 < port < 65536:
            raise InputError(
                "peers", f"{port} is no TCP port: give one from 1 to 65535 for '{data['name']}'.", port=port
            )
    return Peer(data["name"], data["address"], tuple(data["ports"]))


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, requires=("libvirt", "lxml"), info=True)


if __name__ == "__main__":
    main()
