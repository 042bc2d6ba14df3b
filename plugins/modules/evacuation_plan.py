#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evacuation_plan
short_description: Plan which VM goes where so that hosts become empty
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Finds a host for every domain and every guest process of the hosts to be emptied, from facts alone. It asks no host anything and
    changes nothing, so it runs on the controller.
  - A guest process, a bare QEMU process that libvirt does not manage, counts as a domain in all that follows, but that V(offline)
    is the only method that may stop it. What keeps it from moving (no usable monitor, a job of QEMU's) is told before anything starts. One
    that is off, with a unit of M(virtops.kvm.qemu_guest) that lasts, counts as a domain that is shut off.
  - Looks at memory, virtual CPUs, huge pages, disk space per storage pool, shared storage, CPU, machine type, firmware,
    networks, bridges, names, reachability, cordons, anti-affinity and exclusions. A domain that fits nowhere is listed
    with the reasons for each host.
  - The same facts and options give the same plan. Its fingerprint covers what it rests on, and not what changes by
    itself, such as free memory.
  - Running domains move live. Where no live method works, and only where O(may_stop) permits it, a domain is stopped for its
    move, if that cures what is in the way (CPUs that do not match, snapshots, devices that cannot migrate ...).
  - Domains that are shut off move by V(offline), or stay; see O(shut_off).
  - What a rule of O(policies) says of a domain wins over O(method), O(may_stop) and O(max_stop). A plan that was made with policies
    holds them; O(saved_plan) needs them no more.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._policies
  - virtops.kvm._stopping
attributes:
  check_mode:
    support: full
    details:
      - This module only computes.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
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
  sources:
    description:
      - Names of the hosts to be emptied.
      - Needed unless O(saved_plan) is given, which has its own; given with it, they must be the same.
    type: list
    elements: str
    default: []
  destinations:
    description:
      - Names of the hosts that may take domains. Sources among them are left out.
      - By default all other hosts in O(facts).
    type: list
    elements: str
    default: []
  memory_reserve:
    description:
      - Memory that each destination keeps for itself, as V(4 GiB), V(4096) (MiB) or V(10%).
      - By default the larger of 512 MiB and 5 % of its memory.
    type: str
  cpu_overcommit:
    description: Virtual CPUs per CPU of a destination, those of its own guests counted.
    type: float
    default: 4.0
  anti_affinity:
    description: Groups of domain names; no two domains of a group go to the same host.
    type: list
    elements: list
    default: []
  exclude:
    description: Names or UUIDs of domains that stay where they are.
    type: list
    elements: str
    default: []
  select:
    description:
      - A JMESPath expression over the list of the sources' domains, as M(virtops.kvm.domain_info) returns them, with the
        additional key C(host). Only the domains that it returns move. Guest processes are among them, with C(kind) C(process), and what
        applies to them.
      - It returns domains, or names, or UUIDs.
    type: str
  on_blocker:
    description:
      - What to do when a domain that has to move fits nowhere.
      - V(fail) fails with the reasons, and with the plan in the details. V(skip) returns a plan without it.
    type: str
    choices: [fail, skip]
    default: fail
  method:
    description: How running domains move; V(auto) chooses for each and says why.
    type: str
    choices: [auto, live_shared, live_block]
    default: auto
  link_rate:
    description: MiB per second between the hosts, for estimates.
    type: float
    default: 110.0
  order:
    description:
      - Which moves start first. V(memory) and V(disk) start with the largest, V(small) with the smallest; all three take
        turns over the destinations. V(name) goes by the names alone.
    type: str
    choices: [memory, disk, small, name]
    default: memory
  accept:
    description:
      - Codes of findings that you accept, for example V(CORDONED) or V(POOL_MISSING). See
        M(virtops.kvm.migration_check_info).
    type: list
    elements: str
    default: []
  saved_plan:
    description:
      - A plan that was made before. Instead of planning, the module makes sure that it still fits O(facts) and returns it.
      - It fails with C(PLAN_STALE) and says what changed when it does not. The options that shape a plan are ignored.
    type: dict
requirements:
  - jmespath, for O(select), O(may_stop) and O(policies)
seealso:
  - module: virtops.kvm.host_info
  - module: virtops.kvm.domain_info
  - module: virtops.kvm.domain_migration
"""

EXAMPLES = r"""
- name: Plan how to empty kvm1
  virtops.kvm.evacuation_plan:
    facts: "{{ surveyed }}"
    sources: [kvm1]
    anti_affinity:
      - [db01, db02]
    exclude: [monitor]
  register: planned
  delegate_to: localhost

- name: Plan it so that those of the test department may be stopped for up to five minutes, and what is shut off stays
  virtops.kvm.evacuation_plan:
    facts: "{{ surveyed }}"
    sources: [kvm1]
    shut_off: stay
    may_stop: "[?starts_with(name, 'test-')]"
    max_stop: 300
  register: planned
  delegate_to: localhost

- name: Plan by policies
  virtops.kvm.evacuation_plan:
    facts: "{{ surveyed }}"
    sources: [kvm1]
    policies:
      - name: databases
        match: starts_with(name, 'db')
        priority: 10
        max_pause: 200
        anti_affinity: databases
      - name: test machines
        match: starts_with(name, 'test-')
        may_stop: true
        max_stop: 300
        order_group: 1
      - name: monitoring stays
        match: name == 'monitor'
        skip: true
  register: planned
  delegate_to: localhost

- name: Show it
  ansible.builtin.debug:
    msg: "{{ planned.table }}"

- name: Make sure that the plan that was approved yesterday still fits
  virtops.kvm.evacuation_plan:
    facts: "{{ surveyed }}"
    saved_plan: "{{ lookup('ansible.builtin.file', 'plan.json') | from_json }}"
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: The plan.
  returned: success
  type: dict
  contains:
    version:
      description: Version of this data.
      type: int
    fingerprint:
      description: Of everything the plan rests on; the same facts and options give the same.
      type: str
    sources:
      description: The hosts to be emptied.
      type: list
      elements: str
    destinations:
      description: The hosts that may take domains.
      type: list
      elements: str
    moves:
      description: The moves in the order in which they start.
      type: list
      elements: dict
      contains:
        id:
          description: Name of the move's inventory host; the domain's name where that is free.
          type: str
        order:
          description: Its place, from 1.
          type: int
        domain:
          description: Name of the domain.
          type: str
        uuid:
          description: UUID of the domain; the name of a guest process that has none.
          type: str
        kind:
          description: V(domain), or V(process) for a guest process.
          type: str
        source:
          description: The host it leaves.
          type: str
        destination:
          description: The host it goes to.
          type: str
        method:
          description: V(live_shared), V(live_block), V(offline) or V(seeded).
          type: str
        reason:
          description: Why by this method, there, and at this place.
          type: str
        disk_bytes:
          description: Bytes of disks to copy, an upper bound.
          type: int
        memory_bytes:
          description: Bytes of memory to send; 0 for a domain that boots anew.
          type: int
        seconds:
          description: How long it may take at O(link_rate).
          type: float
        runs:
          description: Whether the domain runs before the move, and so after it.
          type: bool
        may_stop:
          description: Whether this move stops a running domain, as O(may_stop) permits.
          type: bool
        stop_seconds:
          description: For how long it may be stopped; null for a live move, and for a domain that is shut off.
          type: float
        max_downtime:
          description: The longest pause in milliseconds that O(policies) permit; null where they say nothing.
          type: int
        warnings:
          description: What to know of this move.
          type: list
          elements: str
    blocked:
      description: Domains that have to move and cannot.
      type: list
      elements: dict
      contains:
        domain:
          description: Name of the domain.
          type: str
        uuid:
          description: UUID of the domain.
          type: str
        source:
          description: Its host.
          type: str
        kind:
          description: V(domain) or V(process).
          type: str
        reasons:
          description: Sentences per host; under C(any host) those that hold everywhere.
          type: dict
    staying:
      description: Domains that do not have to move.
      type: list
      elements: dict
      contains:
        domain:
          description: Name of the domain.
          type: str
        uuid:
          description: UUID of the domain.
          type: str
        source:
          description: Its host.
          type: str
        kind:
          description: V(domain) or V(process).
          type: str
        code:
          description: V(SHUTOFF), V(EXCLUDED), V(NOT_SELECTED), V(POLICY) or V(RUNS_ELSEWHERE).
          type: str
        reason:
          description: Why it stays.
          type: str
    before:
      description: What each host runs now.
      type: list
      elements: dict
      contains: &placement
        host:
          description: Name of the host.
          type: str
        domains:
          description: Names of its active domains.
          type: list
          elements: str
        memory_bytes:
          description: Bytes of memory that these may take.
          type: int
        memory_total:
          description: Bytes of memory of the host.
          type: int
        vcpus:
          description: Virtual CPUs of its active domains.
          type: int
        cpus:
          description: CPUs of the host.
          type: int
    after:
      description: What each host runs after the moves.
      type: list
      elements: dict
      contains: *placement
    options:
      description: The options it was made with; C(parts) are the fingerprints of single things.
      type: dict
table:
  description: The plan as aligned lines.
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
  description: Number of domains that have to move and cannot.
  returned: success
  type: int
"""

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import policies_spec, stopping_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import MIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import check_accept
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import LIVE_METHODS
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts, Plan
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import ORDERS, PlanOptions, Reserve
from ansible_collections.virtops.kvm.plugins.module_utils._placement.planner import plan as make_plan
from ansible_collections.virtops.kvm.plugins.module_utils._placement.rules import policies
from ansible_collections.virtops.kvm.plugins.module_utils._placement.saved import read_plan, still_fits
from ansible_collections.virtops.kvm.plugins.module_utils._placement.selection import chosen, stopping
from ansible_collections.virtops.kvm.plugins.module_utils._placement.table import sums_of, table_of


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
        "sources": {"type": "list", "elements": "str", "default": []},
        "destinations": {"type": "list", "elements": "str", "default": []},
        "memory_reserve": {"type": "str"},
        "cpu_overcommit": {"type": "float", "default": 4.0},
        "anti_affinity": {"type": "list", "elements": "list", "default": []},
        "exclude": {"type": "list", "elements": "str", "default": []},
        "select": {"type": "str"},
        "on_blocker": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
        "method": {"type": "str", "choices": ["auto", *LIVE_METHODS], "default": "auto"},
        **stopping_spec(),
        "link_rate": {"type": "float", "default": 110.0},
        "order": {"type": "str", "choices": list(ORDERS), "default": "memory"},
        "accept": {"type": "list", "elements": "str", "default": []},
        **policies_spec(),
        "saved_plan": {"type": "dict"},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: None) -> Result:
    """Make the plan, or make sure that a saved one fits."""
    facts = [_facts(data) for data in params["facts"]]
    if params["saved_plan"]:
        return _result(still_fits(read_plan(params["saved_plan"]), facts, params["sources"]), params)
    terms, warnings = policies(params["policies"], facts, [one.name for one in facts])
    options = dataclasses.replace(_options(params, facts), terms=terms)
    return _result(make_plan(facts, options), params, (*_useless_names(options, facts), *warnings))


def _facts(data: dict[str, t.Any]) -> HostFacts:
    try:
        return from_data(HostFacts, data).together()
    except (AttributeError, TypeError, ValueError) as exc:
        raise InputError(
            "facts",
            f"The facts of '{data['name']}' are not what host_info, domain_info and qemu_guest_info return ({exc}); survey it again.",
            host=data["name"],
        ) from exc


def _options(params: dict[str, t.Any], facts: t.Sequence[HostFacts]) -> PlanOptions:
    for name in ("cpu_overcommit", "link_rate"):
        if not 0 < params[name] < float("inf"):
            raise InputError(name, f"{name} is {params[name]}, and must be greater than 0.")
    domains = [(one.name, domain) for one in facts if one.name in params["sources"] for domain in one.domains]
    return PlanOptions(
        sources=tuple(params["sources"]),
        destinations=tuple(params["destinations"]),
        memory_reserve=Reserve.parse(params["memory_reserve"]),
        cpu_overcommit=params["cpu_overcommit"],
        anti_affinity=tuple(tuple(str(name) for name in group) for group in params["anti_affinity"]),
        exclude=tuple(params["exclude"]),
        selected=chosen(params["select"], domains, "select") if params["select"] else None,
        method=params["method"],
        link_rate=params["link_rate"] * MIB,
        order=params["order"],
        accept=check_accept(params["accept"]),
        **stopping(params, domains),
    )


def _useless_names(options: PlanOptions, facts: t.Sequence[HostFacts]) -> tuple[str, ...]:
    """A warning for names that no domain has: what was meant is not protected."""
    known = {name for one in facts for domain in one.domains for name in (domain.name, domain.uuid)}
    warnings = []
    for option, names in (("exclude", options.exclude), ("anti_affinity", sum(options.anti_affinity, ()))):
        unknown = sorted(set(names) - known)
        if unknown:
            warnings.append(f"{option} names {', '.join(unknown)}, which no surveyed host has.")
    return tuple(warnings)


def _result(plan: Plan, params: dict[str, t.Any], warnings: tuple[str, ...] = ()) -> Result:
    table = table_of(plan)
    if plan.blocked and params["on_blocker"] == "fail":
        names = ", ".join(f"'{one.domain}'" for one in plan.blocked)
        raise KvmError(
            "PLAN_BLOCKED",
            f"{len(plan.blocked)} of the domains that have to move cannot: {names}. Remove the reasons in the table, or set "
            "on_blocker to skip and leave them where they are.",
            table=table,
            plan=to_data(plan),
        )
    values = {
        "plan": plan,
        "table": table,
        "summary": sums_of(plan),
        "moves_count": len(plan.moves),
        "blocked_count": len(plan.blocked),
    }
    return Result(values=values, warnings=warnings)


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, lambda: None)


if __name__ == "__main__":
    main()
