#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: repair_info
short_description: Read what interrupted work left on a host
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Reads, in one call, the records of moves of domains and guest processes that begin or end on this host, the domains and where their
    disks are, the QEMU processes without libvirt (those that wait for a migration among them), the files in folders of images that nobody
    names, and the cordon.
  - M(virtops.kvm.repair_plan) joins what was read on all hosts, and says what each thing is.
  - Takes no lock and waits for nothing, so it is in no move's way. The documents of domains stay on the host, as they may have passwords.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
options:
  name:
    description: The name by which the report knows this host.
    type: str
    required: true
  uri:
    description: The libvirt URI by which other hosts open this one, as their moves to here have it.
    type: str
    default: ""
  timeout:
    description: So many seconds the monitor of a guest process has for each answer.
    type: float
    default: 5.0
requirements:
  - libvirt-python (C(python3-libvirt)) and lxml (C(python3-lxml)) on hosts with libvirt
seealso:
  - module: virtops.kvm.repair_plan
  - module: virtops.kvm.qemu_guest_info
"""

EXAMPLES = r"""
- name: Read what interrupted work left here
  virtops.kvm.repair_info:
    name: "{{ inventory_hostname }}"
    uri: "qemu+ssh://root@{{ ansible_host }}/system"
  register: left
"""

RETURN = r"""
state:
  description: The host, for O(virtops.kvm.repair_plan#module:facts).
  returned: success
  type: dict
  contains:
    name:
      description: Its name, as O(name).
      type: str
    host:
      description: Its own host name.
      type: str
    uri:
      description: As O(uri).
      type: str
    domains_error:
      description: Why its domains could not be read, else empty.
      type: str
    domains:
      description: Its domains, each with how libvirt sees it (C(sighting)), its C(disks), and all paths in its definition (C(named)).
      type: list
      elements: dict
    moves:
      description: The last move of each domain away from here (C(journal)), and whether a process drives it now (C(driven)).
      type: list
      elements: dict
    guest_moves:
      description: Moves of guest processes away from here that did not end, and what this host shows of the guest (C(here)).
      type: list
      elements: dict
    arrivals:
      description: The same for moves to here.
      type: list
      elements: dict
    guests:
      description: QEMU processes without libvirt.
      type: list
      elements: dict
    files:
      description:
        - Files in folders of images that no domain and no guest of this host names. C(staged_for) are the first digits of the UUID of the
          domain whose move was making it, C(left_by) is the UUID of the domain whose move left it behind.
      type: list
      elements: dict
    cordoned:
      description: Whether it is cordoned.
      type: bool
    cordon_reason:
      description: Why.
      type: str
    cordon_since:
      description: Since when, in seconds since the epoch; null where nobody said.
      type: float
    unreadable:
      description: Records that are damaged, a sentence each.
      type: list
      elements: str
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import HostState
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_read import has_libvirt, read_state


class Gateway:
    """This host."""

    def read(self, name: str, uri: str, timeout: float) -> HostState:
        """Read it."""
        return read_state(name, uri, timeout)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "name": {"type": "str", "required": True},
        "uri": {"type": "str", "default": ""},
        "timeout": {"type": "float", "default": 5.0},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Read the host."""
    if params["timeout"] <= 0:
        raise InputError("timeout", f"'timeout' is {params['timeout']:g}; give a number of seconds above 0.")
    return Result(values={"state": gateway.read(params["name"], params["uri"], params["timeout"])})


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, requires=("libvirt", "lxml") if has_libvirt() else (), info=True)


if __name__ == "__main__":
    main()
