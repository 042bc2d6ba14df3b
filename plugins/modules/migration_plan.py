#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_plan
short_description: Plan the moves of listed VMs to one host
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Takes a list of domains and guest processes, or an expression that selects them, and plans their moves to one destination, from facts
    alone. It looks at the same things as M(virtops.kvm.evacuation_plan), and gives a plan of the same form.
  - A guest process, a bare QEMU process that libvirt does not manage, counts as a domain in all that follows, but that V(offline)
    is the only method that may stop it. What keeps it from moving (no usable monitor, a job of QEMU's) is told before anything starts. One
    that is off, with a unit of M(virtops.kvm.qemu_guest) that lasts, counts as a domain that is shut off.
  - A domain that is on the destination already needs no move. One that cannot move is listed with the reasons.
  - A running domain is stopped only with O(may_stop=true).
  - Rules of O(policies) hold within what the other options permit. C(may_stop) may forbid to stop a domain, and does not permit it.
    C(method) holds where O(method) is V(auto), and C(seeded) where that is V(offline); otherwise, and where it would stop a domain without
    O(may_stop=true), the domain does not move, and the plan says why. C(max_stop) counts with O(method=auto) alone.
  - Runs on the controller and asks nobody anything.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._policies
options:
  facts:
    description: What one survey learned of each host.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The inventory name of the host.
        type: str
        required: true
      host:
        description: The return value RV(virtops.kvm.host_info#module:host).
        type: dict
        required: true
      domains:
        description: The return value RV(virtops.kvm.domain_info#module:domains).
        type: list
        elements: dict
        default: []
      guests:
        description:
          - The return values RV(virtops.kvm.qemu_guest_info#module:guests) and RV(virtops.kvm.qemu_guest_info#module:stopped), in one list.
        type: list
        elements: dict
        default: []
  domains:
    description: Names or UUIDs of the domains that shall be on O(destination).
    type: list
    elements: str
    default: []
  select:
    description:
      - A JMESPath expression over the list of the domains of all hosts but O(destination), as M(virtops.kvm.domain_info) returns
        them, with the additional key C(host). It returns domains, or names, or UUIDs, which are added to O(domains). Guest processes
        are among them, with C(kind) C(process), and what applies to them.
    type: str
  destination:
    description: The name of the host where they shall be. All other hosts in O(facts) are sources.
    type: str
    required: true
  method:
    description:
      - How domains move. What is shut off moves by V(offline) in any case. V(auto) moves running domains live.
    type: str
    choices: [auto, live_shared, live_block, offline, suspended, seeded]
    default: offline
  may_stop:
    description: Whether running domains may be shut down, or suspended to disk, for their move.
    type: bool
    default: false
  mapping:
    description:
      - What differs on the destination, as for M(virtops.kvm.domain_migration) and M(virtops.kvm.qemu_migration). Each move gets the part
        that concerns its domain or guest process.
      - A mapping that concerns none of the domains, and one that gives one path to two of them, is an error.
    type: dict
    default: {}
  link_rate:
    description: MiB per second between the hosts, for estimates.
    type: float
    default: 110.0
  accept:
    description: Codes of findings that you accept, for example V(CORDONED). See M(virtops.kvm.migration_check_info).
    type: list
    elements: str
    default: []
requirements:
  - jmespath, for O(select) and O(policies)
seealso:
  - module: virtops.kvm.evacuation_plan
  - module: virtops.kvm.domain_migration
"""

EXAMPLES = r"""
- name: Plan to bring two domains to kvm2, where their images have another place
  virtops.kvm.migration_plan:
    facts: "{{ surveyed }}"
    domains: [web01, db01]
    destination: kvm2
    may_stop: true
    mapping:
      paths:
        /var/lib/libvirt/images: /srv/images
  delegate_to: localhost
  register: planned

- name: Plan to bring everything that is shut off to kvm2
  virtops.kvm.migration_plan:
    facts: "{{ surveyed }}"
    select: "[?state=='shutoff']"
    destination: kvm2
  delegate_to: localhost
  register: planned
"""

RETURN = r"""
plan:
  description: The plan, of the same form as that of M(virtops.kvm.evacuation_plan). Each move has the C(mapping) that concerns it.
  returned: success
  type: dict
table:
  description: The plan for people, line by line.
  returned: success
  type: list
  elements: str
summary:
  description: What the plan comes to.
  returned: success
  type: dict
  contains:
    moves:
      description: Number of moves.
      type: int
    staying:
      description: Number of domains that do not have to move.
      type: int
    blocked:
      description: Number of domains that cannot move.
      type: int
    stopped:
      description: Number of moves that stop a running domain.
      type: int
    disk_bytes:
      description: Bytes of disks to copy, an upper bound.
      type: int
    memory_bytes:
      description: Bytes of memory to send.
      type: int
    seconds:
      description: How long the moves may take one after another.
      type: float
    sentence:
      description: All of this in one sentence, the last of RV(table).
      type: str
moves_count:
  description: Number of moves.
  returned: success
  type: int
blocked_count:
  description: Number of domains that cannot move.
  returned: success
  type: int
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import policies_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import MIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import check_accept
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import LIVE_METHODS, STOPPED_METHODS
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts
from ansible_collections.virtops.kvm.plugins.module_utils._placement.listed import find, plan_listed
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.rules import policies
from ansible_collections.virtops.kvm.plugins.module_utils._placement.selection import chosen
from ansible_collections.virtops.kvm.plugins.module_utils._placement.table import sums_of, table_of
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import OF_PROCESSES, WITH_DOMAINS, GuestMapping
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    facts = {
        "name": {"type": "str", "required": True},
        "host": {"type": "dict", "required": True},
        "domains": {"type": "list", "elements": "dict", "default": []},
        "guests": {"type": "list", "elements": "dict", "default": []},
    }
    return {
        "facts": {"type": "list", "elements": "dict", "required": True, "options": facts},
        "domains": {"type": "list", "elements": "str", "default": []},
        "select": {"type": "str"},
        "destination": {"type": "str", "required": True},
        "method": {"type": "str", "choices": ["auto", *LIVE_METHODS, *STOPPED_METHODS], "default": "offline"},
        "may_stop": {"type": "bool", "default": False},
        "mapping": {"type": "dict", "default": {}},
        "link_rate": {"type": "float", "default": 110.0},
        "accept": {"type": "list", "elements": "str", "default": []},
        **policies_spec(),
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: None) -> Result:
    """Plan the moves."""
    mapping = _mapping(params["mapping"])
    facts = [_facts(data) for data in params["facts"]]
    destination = params["destination"]
    if not params["domains"] and not params["select"]:
        raise InputError("domains", "Neither domains nor select says which domains shall move; give one of them.")
    if not 0 < params["link_rate"] < float("inf"):
        raise InputError("link_rate", f"link_rate is {params['link_rate']}, and must be greater than 0.")
    domains = [(one.name, domain) for one in facts if one.name != destination for domain in one.domains]
    selected = chosen(params["select"], domains, "select") if params["select"] else ()
    wanted = find(params["domains"], selected, facts, destination)
    terms, warnings = policies(params["policies"], facts, None)
    options = PlanOptions(
        sources=tuple(sorted(one.name for one in facts if one.name != destination)),
        destinations=(destination,),
        method=params["method"],
        may_stop=wanted.uuids if params["may_stop"] else (),
        link_rate=params["link_rate"] * MIB,
        accept=check_accept(params["accept"]),
        networks=mapping.networks,
        bridges=mapping.bridges,
        terms=terms,
    )
    plan = plan_listed(facts, wanted, options, params["mapping"], mapping.disk)
    values = {
        "plan": plan,
        "table": table_of(plan),
        "summary": sums_of(plan),
        "moves_count": len(plan.moves),
        "blocked_count": len(plan.blocked),
    }
    return Result(values=values, warnings=warnings)


def _mapping(data: dict[str, t.Any]) -> Mapping:
    """The part of the mapping that domains have, once what guest processes have was understood, too. Raises InputError."""
    mapping = Mapping.from_user({key: value for key, value in data.items() if key not in OF_PROCESSES})
    GuestMapping.from_user({key: value for key, value in data.items() if key in (*WITH_DOMAINS, *OF_PROCESSES)})
    return mapping


def _facts(data: dict[str, t.Any]) -> HostFacts:
    try:
        return from_data(HostFacts, data).together()
    except (AttributeError, TypeError, ValueError) as exc:
        raise InputError(
            "facts",
            f"The facts of '{data['name']}' are not what host_info, domain_info and qemu_guest_info return ({exc}); survey it again.",
            host=data["name"],
        ) from exc


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, lambda: None, info=True)


if __name__ == "__main__":
    main()
