#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cpu_baseline_info
short_description: Ask libvirt which CPU several hosts share, and whether this host has the CPUs of given guests
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Reckons, by libvirt's C(baselineHypervisorCPU), the best CPU that all given hosts can give to a guest.
  - Compares, by libvirt's C(compareHypervisorCPU), the CPUs of given guests with what this host can give.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
options:
  host_cpus:
    description:
      - What each host gives to a guest with the CPU mode host-model, as C(host_cpu_xml) of RV(virtops.kvm.host_info#module:host) has it.
      - Empty reckons nothing.
    type: list
    elements: str
    default: []
  arch:
    description: The architecture that the baseline is for.
    type: str
    default: x86_64
  virt_type:
    description: The virt type that the baseline is for.
    type: str
    default: kvm
  guest_cpus:
    description:
      - The CPUs to compare, by names that are repeated in RV(comparisons); each a dictionary with C(arch), C(virt_type) and C(xml), as
        RV(virtops.kvm.fleet_member_info#module:cpus) has them.
    type: dict
    default: {}
seealso:
  - module: virtops.kvm.fleet_readiness
  - module: virtops.kvm.fleet_member_info
"""

EXAMPLES = r"""
- name: Reckon the CPU that two hosts share
  virtops.kvm.cpu_baseline_info:
    host_cpus:
      - "{{ hostvars['kvm1'].survey.host.host_cpu_xml }}"
      - "{{ hostvars['kvm2'].survey.host.host_cpu_xml }}"
  register: shared

- name: Show its model
  ansible.builtin.debug:
    msg: "{{ shared.baseline.model }}"
"""

RETURN = r"""
baseline:
  description: The best CPU that all of O(host_cpus) can be; empty without any.
  returned: success
  type: dict
  contains:
    model:
      description: Its model.
      type: str
      sample: Skylake-Server-IBRS
    xml:
      description: Its description, as the C(<cpu>) element of a domain.
      type: str
comparisons:
  description:
    - For each of O(guest_cpus), whether this host can give it to a guest. V(identical), V(superset) (and more), V(incompatible), or
      V(unknown) where libvirt does not tell.
  returned: success
  type: dict
  sample: {"web": "superset"}
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.cpus import baseline_cpu, compare_cpu

_PARTS = ("arch", "virt_type", "xml")


class Gateway:
    """The libvirt behind a URI."""

    def ask(
        self, uri: str, arch: str, virt_type: str, hosts: t.Sequence[str], guests: t.Mapping[str, t.Mapping[str, str]]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The baseline of ``hosts``, and how each of ``guests`` compares."""
        with Connection.open(uri) as connection:
            baseline = baseline_cpu(connection, arch, virt_type, hosts) if hosts else {}
            answers = {
                name: compare_cpu(connection, cpu["arch"], cpu["virt_type"], cpu["xml"]).result
                for name, cpu in guests.items()
            }
        return baseline, answers


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        **connection_spec(),
        "host_cpus": {"type": "list", "elements": "str", "default": []},
        "arch": {"type": "str", "default": "x86_64"},
        "virt_type": {"type": "str", "default": "kvm"},
        "guest_cpus": {"type": "dict", "default": {}},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Ask libvirt."""
    guests = params["guest_cpus"]
    for name, cpu in guests.items():
        if not isinstance(cpu, dict) or any(not isinstance(cpu.get(part), str) for part in _PARTS):
            raise InputError("guest_cpus", f"guest_cpus: '{name}' needs {', '.join(_PARTS)}, each a text.", name=name)
    # What is the same need not be reckoned twice, and a host that tells none has no say.
    hosts = sorted({xml for xml in params["host_cpus"] if xml.strip()})
    baseline, answers = gateway.ask(params["uri"], params["arch"], params["virt_type"], hosts, guests)
    return Result(values={"baseline": baseline, "comparisons": answers})


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, requires=("libvirt", "lxml"), info=True)


if __name__ == "__main__":
    main()
