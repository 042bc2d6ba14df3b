#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_plan
short_description: Plan the way home by a return ticket
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Takes the return ticket that M(virtops.kvm.evacuation_report) wrote and what the hosts run now, and plans which domains have to
    move so that every one of them is home again.
  - A domain that is home already, or gone, stays as it is, and the plan says so. One that is shut off goes home by V(offline).
  - That a domain was stopped on its way out does not permit to stop it on its way home; O(may_stop) does, or a rule of O(policies).
  - What a rule of O(policies) says of a domain wins over O(may_stop) and O(max_stop). Where a domain goes is said by O(ticket) alone, so
    C(affinity), C(anti_affinity) and C(pinned) say nothing here.
  - Runs on the controller and asks nobody anything.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._policies
  - virtops.kvm._stopping
options:
  ticket:
    description: The content of C(return-ticket.json).
    type: dict
    required: true
  facts:
    description: What the survey learned, one entry per host.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The inventory name of the host.
        type: str
        required: true
      host:
        description: The host, as RV(virtops.kvm.host_info#module:host) has it.
        type: dict
        required: true
      domains:
        description: Its domains, as RV(virtops.kvm.domain_info#module:domains) has them.
        type: list
        elements: dict
        required: true
      guests:
        description:
          - Its guest processes, as RV(virtops.kvm.qemu_guest_info#module:guests) and RV(virtops.kvm.qemu_guest_info#module:stopped) have
            them, in one list.
        type: list
        elements: dict
        default: []
  accept:
    description:
      - Codes of findings to accept, as for M(virtops.kvm.domain_migration).
    type: list
    elements: str
    default: []
  cpu_overcommit:
    description: How many virtual CPUs a host may run per CPU.
    type: float
    default: 4.0
  memory_reserve:
    description: Memory that every host keeps for itself, such as V(4 GiB) or V(10%).
    type: str
requirements:
  - jmespath, for O(may_stop) and O(policies)
seealso:
  - module: virtops.kvm.evacuation_report
  - module: virtops.kvm.evacuation_plan
"""

EXAMPLES = r"""
- name: Plan the way home
  virtops.kvm.restore_plan:
    ticket: "{{ lookup('ansible.builtin.file', 'return-ticket.json') | from_json }}"
    facts: "{{ survey }}"
  delegate_to: localhost
  register: planned
"""

RETURN = r"""
plan:
  description: The plan, of the same form as that of M(virtops.kvm.evacuation_plan).
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
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import policies_spec, stopping_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts, Plan
from ansible_collections.virtops.kvm.plugins.module_utils._placement.home import plan_home
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions, Reserve
from ansible_collections.virtops.kvm.plugins.module_utils._placement.rules import policies
from ansible_collections.virtops.kvm.plugins.module_utils._placement.selection import stopping
from ansible_collections.virtops.kvm.plugins.module_utils._placement.table import sums_of, table_of


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    facts = {
        "name": {"type": "str", "required": True},
        "host": {"type": "dict", "required": True},
        "domains": {"type": "list", "elements": "dict", "required": True},
        "guests": {"type": "list", "elements": "dict", "default": []},
    }
    return {
        "ticket": {"type": "dict", "required": True},
        "facts": {"type": "list", "elements": "dict", "required": True, "options": facts},
        "accept": {"type": "list", "elements": "str", "default": []},
        "cpu_overcommit": {"type": "float", "default": 4.0},
        "memory_reserve": {"type": "str"},
        **policies_spec(),
        **stopping_spec(),
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: None) -> Result:
    """Plan the way home."""
    ticket = _read(Plan, params["ticket"], "ticket")
    facts = [_read(HostFacts, one, "facts").together() for one in params["facts"]]
    terms, warnings = policies(params["policies"], facts, None)
    options = PlanOptions(
        sources=ticket.sources,
        memory_reserve=Reserve.parse(params["memory_reserve"]),
        cpu_overcommit=params["cpu_overcommit"],
        accept=tuple(params["accept"]),
        terms=terms,
        **stopping(params, [(one.name, domain) for one in facts for domain in one.domains]),
    )
    plan = plan_home(ticket, facts, options)
    return Result(values={"plan": plan, "table": table_of(plan), "summary": sums_of(plan)}, warnings=warnings)


def _read(kind: type[t.Any], data: t.Any, option: str) -> t.Any:
    try:
        return from_data(kind, data)
    except (ValueError, TypeError, AttributeError) as exc:
        raise InputError(
            option, f"The value of '{option}' is not what this collection wrote or returned: {exc}."
        ) from exc


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, lambda: None, info=True)


if __name__ == "__main__":
    main()
