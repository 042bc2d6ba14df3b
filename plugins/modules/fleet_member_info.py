#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_member_info
short_description: Read all that M(virtops.kvm.fleet_readiness) needs of one hypervisor, in one call
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Reads the host and its domains as M(virtops.kvm.host_info) and M(virtops.kvm.domain_info) do, and with them the settings of libvirt and
    QEMU (without secrets) and the certificates.
  - Each certificate is proven against the host's own authority by a TLS handshake in memory; no program beside Python is needed.
  - Opens the libvirt of the other hosts for real, and tries the ports that the streams of moves need.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
options:
  name:
    description: The name by which the other hosts and the report know this one.
    type: str
    required: true
  peers:
    description: The other hosts of the fleet. An entry for this host itself is passed over.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      address:
        description: The address at which this host reaches its ports.
        type: str
        required: true
      ports:
        description:
          - The ports to try. Take one from the end of the migration range, as a probe of a port in use ends the migration that waits there.
        type: list
        elements: int
        default: [49215]
      uri:
        description: The URI at which this host opens its libvirt. Empty tries the ports alone.
        type: str
        default: ""
seealso:
  - module: virtops.kvm.fleet_readiness
  - module: virtops.kvm.host_info
  - module: virtops.kvm.domain_info
"""

EXAMPLES = r"""
- name: Read this host, and try to reach the other one
  virtops.kvm.fleet_member_info:
    name: kvm1
    peers:
      - name: kvm2
        address: 192.0.2.12
        uri: qemu+ssh://root@192.0.2.12/system
  register: surveyed
"""

RETURN = r"""
member:
  description: The host, for O(virtops.kvm.fleet_readiness#module:facts).
  returned: success
  type: dict
  contains:
    name:
      description: Its name, as O(name).
      type: str
    host:
      description: As RV(virtops.kvm.host_info#module:host).
      type: dict
    domains:
      description: As RV(virtops.kvm.domain_info#module:domains).
      type: list
      elements: dict
    settings:
      description: What C(qemu.conf) and the daemon's configuration say, by C(file; key), without secrets. For a local O(uri) alone.
      type: dict
      sample: {"qemu.conf: migration_port_min": "49152"}
    certificates:
      description: The certificates that are there. For a local O(uri) alone.
      type: list
      elements: dict
      contains:
        purpose:
          description: V(libvirt server), V(libvirt client) or V(migration).
          type: str
        path:
          description: Where it is.
          type: str
        subject:
          description: Whom it names.
          type: str
        issuer:
          description: Who signed it.
          type: str
        not_before:
          description: The moment from which it is valid, in seconds since the epoch.
          type: float
        not_after:
          description: The moment until which it is valid, in seconds since the epoch.
          type: float
        authorities:
          description: The SHA-256 fingerprints of the authorities in the file beside it.
          type: list
          elements: str
        problem:
          description: V(expired), V(not_yet_valid), V(untrusted), V(unusable), or empty when all is well.
          type: str
        detail:
          description: OpenSSL's words for the problem.
          type: str
        key_exposed:
          description: Whether others than its owner may read the key.
          type: bool
    controls:
      description: Whether the libvirt of each peer could be opened.
      type: list
      elements: dict
      contains:
        peer:
          description: The name of the peer.
          type: str
        uri:
          description: The URI that was opened.
          type: str
        opened:
          description: Whether it could be.
          type: bool
        message:
          description: What went wrong, else empty.
          type: str
    cpus:
      description: Empty here; RV(virtops.kvm.cpu_baseline_info#module:comparisons) belongs here.
      type: dict
    not_before:
      description: Null here; the controller's clock before the survey belongs here.
      type: float
    not_after:
      description: Null here; the controller's clock after the survey belongs here.
      type: float
cpus:
  description: The CPUs of its guests that name a model, each once, for O(virtops.kvm.cpu_baseline_info#module:guest_cpus).
  returned: success
  type: dict
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_classes import cpu_digest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.member import read_member
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.reachability import Peer
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Member


class Gateway:
    """The host behind a URI, and the others as it sees them."""

    def read(self, name: str, uri: str, peers: t.Sequence[Peer], controls: t.Mapping[str, str]) -> Member:
        """Read it."""
        return read_member(name, uri, peers, controls)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    peer = {
        "name": {"type": "str", "required": True},
        "address": {"type": "str", "required": True},
        "ports": {"type": "list", "elements": "int", "default": [49215]},
        "uri": {"type": "str", "default": ""},
    }
    return {
        **connection_spec(),
        "name": {"type": "str", "required": True},
        "peers": {"type": "list", "elements": "dict", "default": [], "options": peer},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Read the host."""
    others = [peer for peer in params["peers"] if peer["name"] != params["name"]]
    for peer in others:
        for port in peer["ports"]:
            if not 0 < port < 65536:
                raise InputError(
                    "peers", f"{port} is no TCP port: give one from 1 to 65535 for '{peer['name']}'.", port=port
                )
    peers = [Peer(peer["name"], peer["address"], tuple(peer["ports"])) for peer in others]
    controls = {peer["name"]: peer["uri"] for peer in others if peer["uri"]}
    member = gateway.read(params["name"], params["uri"], peers, controls)
    named = {cpu_digest(domain): domain for domain in member.domains if cpu_digest(domain)}
    cpus = {
        key: {"arch": domain.arch, "virt_type": domain.virt_type, "xml": domain.cpu.xml}
        for key, domain in sorted(named.items())
    }
    return Result(values={"member": member, "cpus": cpus})


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, requires=("libvirt", "lxml"), info=True)


if __name__ == "__main__":
    main()
