#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_cordon
short_description: Mark a hypervisor so that no domain is placed on it
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Sets or removes the mark that M(virtops.kvm.host_info) reports as C(cordoned), and that planners and checks heed.
  - Domains that run on the host are not touched. The mark survives a reboot.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) cordons the host, V(absent) takes the mark away.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description:
      - Why the host is cordoned, for people.
      - Leave it out to keep the reason of a host that is cordoned already.
    type: str
seealso:
  - module: virtops.kvm.host_info
"""

EXAMPLES = r"""
- name: Keep new domains away from a host that is to be emptied
  virtops.kvm.host_cordon:
    reason: Replacing a memory module, ticket 4711

- name: Take the host back into service
  virtops.kvm.host_cordon:
    state: absent
"""

RETURN = r"""
cordoned:
  description: Whether the host is cordoned now; in check mode, whether it would be.
  returned: success
  type: bool
  sample: true
reason:
  description: Why it is cordoned; empty when nobody said.
  returned: success
  type: str
  sample: Replacing a memory module, ticket 4711
since:
  description: When it was cordoned, in seconds since the epoch; null for a host that is not cordoned.
  returned: success
  type: float
  sample: 1767225600.0
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The record of the mark on the host.
      type: str
    action:
      description: V(cordon), V(uncordon) or V(change the reason).
      type: str
    before:
      description: The mark before; null where there was none.
      type: dict
    after:
      description: The mark after; null where there is none.
      type: dict
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.cordon import (
    Cordon,
    read_cordon,
    remove_cordon,
    write_cordon,
)
from ansible_collections.virtops.kvm.plugins.module_utils._placement.cordon import cordon_changes, wanted_cordon


class Gateway:
    """The mark on this host."""

    def read(self) -> Cordon | None:
        """The mark that is there."""
        return read_cordon()

    def write(self, cordon: Cordon) -> None:
        """Set the mark."""
        write_cordon(cordon)

    def remove(self) -> None:
        """Take the mark away."""
        remove_cordon()

    def now(self) -> float:
        """The time, for the mark."""
        return Clock().now()


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "reason": {"type": "str"},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Bring the mark to what is asked for."""
    current = gateway.read()
    wanted = wanted_cordon(current, params["state"], params["reason"], gateway.now())
    changes = cordon_changes(current, wanted)
    if changes and not check_mode:
        if wanted is None:
            gateway.remove()
        else:
            gateway.write(wanted)
    return Result(
        values={
            "cordoned": wanted is not None,
            "reason": wanted.reason if wanted else "",
            "since": wanted.since if wanted else None,
        },
        changes=changes,
    )


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway)


if __name__ == "__main__":
    main()
