#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_check_info
short_description: Tell what stands in the way of moving a domain to another host
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Runs on the host of the domain, looks at both ends of the intended move, and returns a list of findings. Nothing is
    changed on either side.
  - A finding of severity V(blocker) forbids the move. One whose C(override) is V(accept) becomes a warning when its code
    is in O(accept).
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
options:
  name:
    description: Name or UUID of the domain.
    type: str
    required: true
  destination:
    description: The libvirt URI of the destination as this host sees it.
    type: str
    required: true
  destination_label:
    description: What messages call the destination. By default the host in O(destination).
    type: str
  source_label:
    description:
      - What messages call this host, and the name by which O(destination_facts) knows it as a peer. By default its host
        name.
    type: str
  destination_address:
    description: The address on which memory and disks arrive. By default that of O(destination_facts), else the host in O(destination).
    type: str
  method:
    description:
      - How it shall move; V(auto) chooses and says why.
      - V(offline), V(suspended) and V(seeded) stop the domain for a while. What lies in the way of their files on the destination is only
        seen where a storage pool is; M(virtops.kvm.domain_migration) in check mode sees all of it.
    type: str
    choices: [auto, live_shared, live_block, offline, suspended, seeded]
    default: auto
  may_stop:
    description: Whether a running domain may be stopped for the move; else a method that stops it is a blocker.
    type: bool
    default: false
  disks:
    description: Targets of the disks to copy. By default all that have to be.
    type: list
    elements: str
    default: []
  mapping:
    description:
      - What differs on the destination, with the keys V(disks), V(paths), V(pools), V(networks), V(bridges), V(graphics_listen),
        V(emulator) and V(nvram), as in M(virtops.kvm.domain_migration).
    type: dict
    default: {}
  tls:
    description: Whether the move shall use TLS.
    type: bool
    default: false
  accept:
    description:
      - Codes of findings that you accept.
      - Possible are V(CORDONED), V(CPU_INCOMPATIBLE), V(DISK_SPACE_SHORT), V(FILESYSTEM_DEVICE), V(FIRMWARE_MISSING),
        V(HOST_DEVICE) (where the domain is stopped), V(HUGEPAGES_SHORT), V(IMAGE_EXISTS) (block devices, and firmware variables of a
        stopped domain), V(MEMORY_SHORT), V(POOL_MISSING), V(PORT_BLOCKED), V(QEMU_OLDER), V(SHARED_UNPROVEN), V(UNSAFE_CACHE)
        and V(UUID_CONFLICT) (with an inactive definition of the same name only).
    type: list
    elements: str
    default: []
  destination_facts:
    description:
      - The return value RV(virtops.kvm.host_info#module:host) of the destination. It tells what libvirt does not tell from
        afar, for example bridges, huge pages, TLS, cordons, shared storage, and the way back.
      - Without it these are not checked.
    type: dict
seealso:
  - module: virtops.kvm.domain_migration
  - module: virtops.kvm.host_info
"""

EXAMPLES = r"""
- name: Look what stands in the way of moving web01 to kvm2
  virtops.kvm.migration_check_info:
    name: web01
    destination: qemu+ssh://root@kvm2.example.com/system
  register: check

- name: Show the blockers
  ansible.builtin.debug:
    msg: "{{ check.findings | selectattr('severity', 'equalto', 'blocker') | map(attribute='message') }}"

- name: Look again, with what the destination knows of itself, and bear with its cordon
  virtops.kvm.migration_check_info:
    name: web01
    destination: qemu+ssh://root@kvm2.example.com/system
    destination_facts: "{{ hostvars['kvm2'].survey.host }}"
    accept: [CORDONED]
"""

RETURN = r"""
findings:
  description: The findings, blockers first.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: What kind of finding it is. Codes are stable.
      type: str
      sample: NETWORK_MISSING
    severity:
      description: V(blocker), V(warning) or V(info).
      type: str
    object:
      description: What it is about, a domain, a disk or a host.
      type: str
    message:
      description: One sentence with the domain, the hosts and the cause.
      type: str
    evidence:
      description: The facts behind it.
      type: dict
    remedy:
      description: What to do.
      type: str
    override:
      description: The option that turns this blocker into a warning, null when there is none.
      type: str
blocked:
  description: Whether a finding forbids the move.
  returned: success
  type: bool
method:
  description: How the domain would move.
  returned: success
  type: str
  sample: live_block
method_reason:
  description: Why so.
  returned: success
  type: str
disks:
  description: Targets of the disks that would be copied.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._checks.preflight import check
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import read_domains
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.migration import host_of
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.preflight import (
    Request,
    check_named,
    control_probe,
    facts_of,
    gather,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import check_accept
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding, blockers, findings_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import MOVE_METHODS, choose_method
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Pair
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import Probe, reach_findings
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping


class Gateway:
    """Both ends of an intended move."""

    def domain(self, uri: str, name: str) -> Domain:
        """The domain on this host. Raises KvmError DOMAIN_NOT_FOUND."""
        with Connection.open(uri) as source:
            return read_domains(source, [name])[0]

    def way(self, destination: str) -> Probe | None:
        """Whether the destination's control port answers; None where that cannot be told from the URI."""
        return control_probe(destination)

    def facts(self, uri: str, destination: str, domain: Domain, request: Request) -> CheckFacts:
        """All facts of the move."""
        with Connection.open(uri) as source, Connection.open(destination) as far:
            return gather(source, far, domain, request)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        **connection_spec(),
        "name": {"type": "str", "required": True},
        "destination": {"type": "str", "required": True},
        "destination_label": {"type": "str"},
        "source_label": {"type": "str"},
        "destination_address": {"type": "str"},
        "method": {"type": "str", "choices": list(MOVE_METHODS), "default": "auto"},
        "may_stop": {"type": "bool", "default": False},
        "disks": {"type": "list", "elements": "str", "default": []},
        "mapping": {"type": "dict", "default": {}},
        "tls": {"type": "bool", "default": False},
        "accept": {"type": "list", "elements": "str", "default": []},
        "destination_facts": {"type": "dict"},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Gather the facts, judge them."""
    if "://" not in params["destination"]:
        raise InputError(
            "destination",
            f"The destination '{params['destination']}' is no libvirt URI; it looks like qemu+ssh://root@host/system.",
        )
    request = _request(params)
    domain = gateway.domain(params["uri"], params["name"])
    check_named(domain, request.disks, request.mapping)
    way = gateway.way(params["destination"])
    if way is not None and not way.open:
        return _cut_off(domain, request, way)
    facts = gateway.facts(params["uri"], params["destination"], domain, request)
    return _result(check(facts), facts.choice.method, facts.choice.reason, facts.choice.copied)


def _request(params: dict[str, t.Any]) -> Request:
    return Request(
        destination_name=params["destination_label"] or host_of(params["destination"]),
        source_name=params["source_label"] or "",
        address=params["destination_address"],
        method=params["method"],
        disks=tuple(params["disks"]),
        mapping=Mapping.from_user(params["mapping"]),
        accept=check_accept(params["accept"]),
        tls=params["tls"],
        may_stop=params["may_stop"],
        facts=facts_of(params["destination_facts"]),
    )


def _cut_off(domain: Domain, request: Request, way: Probe) -> Result:
    """No way to the destination: that is the finding, and connecting would only wait for it."""
    here, there = Host(hostname="", uuid=""), Host(hostname="", uuid="")
    pair = Pair(domain, here, there, request.source_name or "this host", request.destination_name)
    choice = choose_method(domain, there, request.method, request.disks)
    return _result(list(reach_findings(pair, [way])), choice.method, choice.reason, choice.copied)


def _result(findings: list[Finding], method: str, reason: str, disks: t.Sequence[str]) -> Result:
    values = {
        "findings": findings_data(findings),
        "blocked": bool(blockers(findings)),
        "method": method,
        "method_reason": reason,
        "disks": list(disks),
    }
    return Result(values=values)


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, requires=("libvirt", "lxml"), info=True)


if __name__ == "__main__":
    main()
