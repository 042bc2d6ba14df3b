#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_opening
short_description: Open the firewalls that run on a host for TCP ports, and close what was opened before
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Opens firewalld, ufw and nftables, each where it runs, now and for the next start. One that nobody started is not started.
  - Closes what an earlier run opened for the same O(owner) and is not asked for any more. Its own rules are known by their comment
    (C(virtops.kvm.OWNER)) in ufw and nftables, and by their priority in firewalld, whose rules have no name. Rules of others are never
    touched.
  - A port for which somebody else has a rule that lets anybody in there is left to that rule, as it may say from where.
  - With nftables each chain for what comes in that drops or refuses what nobody accepts, by its policy or by a last rule, gets a rule in
    front, in force and in a block of C(/etc/nftables.conf) (C(/etc/sysconfig/nftables.conf) on RHEL). A file that would not load by itself
    any more, and so would leave the host without its firewall at the next start, is not written.
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
  owner:
    description:
      - What the ports are opened for. Each owner has openings of its own, and leaves those of the other alone.
    type: str
    choices:
      - libvirt_host
      - nfs_server
    required: true
  ports:
    description:
      - All TCP ports that have to be open for O(owner), single ones and ranges. An empty list closes what was opened.
    type: list
    elements: str
    required: true
  firewalld_zone:
    description:
      - The zone of firewalld that is opened. Without it that is firewalld's default zone. What was opened in another one is closed.
    type: str
seealso:
  - module: ansible.builtin.iptables
"""

EXAMPLES = r"""
- name: Let moves come in
  virtops.kvm.firewall_opening:
    owner: libvirt_host
    ports:
      - 16514
      - 49152-49215

- name: Close what was opened for NFS
  virtops.kvm.firewall_opening:
    owner: nfs_server
    ports: []
"""

RETURN = r"""
firewalls:
  description: The firewalls that run.
  returned: success
  type: list
  elements: str
  sample: [nftables]
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The place in a firewall, and the ports; or the file of nftables.
      type: str
      sample: "firewalld, zone public, now: 49152-49215"
    action:
      description: V(open), V(close), or V(write) for the file of nftables.
      type: str
    before:
      description: V(open) or V(closed); for the file what it said.
      type: str
    after:
      description: V(open) or V(closed); for the file what it says.
      type: str
error_code:
  description:
    - A stable code for the failure.
    - V(FIREWALL_FAILED), V(FIREWALL_FILE_REFUSED) (nothing was changed), V(INVALID_OPTION), V(SETTINGS_UNREADABLE) or V(PROGRAM_TIMEOUT).
  returned: failure
  type: str
  sample: FIREWALL_FILE_REFUSED
details:
  description: Evidence for the failure, such as the words of the firewall's program.
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._host import firewalld, nftables, ufw
from ansible_collections.virtops.kvm.plugins.module_utils._host.firewall import OWNERS, Step, asked_ports
from ansible_collections.virtops.kvm.plugins.module_utils._host.firewalls import Firewalls
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "owner": {"type": "str", "choices": list(OWNERS), "required": True},
        "ports": {"type": "list", "elements": "str", "required": True},
        "firewalld_zone": {"type": "str"},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Firewalls) -> Result:
    """Bring the firewalls that run to what is asked for."""
    owner, wanted = params["owner"], asked_ports(params["ports"])
    steps: list[Step] = []
    warnings: list[str] = []
    file = None
    running = gateway.running()
    if "firewalld" in running:
        zone = params["firewalld_zone"] or gateway.default_zone()
        steps += firewalld.steps(owner, wanted, zone, gateway.zones(), gateway.zones("--permanent"))
    if "ufw" in running:
        found, warnings = ufw.steps(owner, wanted, gateway.added())
        steps += found
    if "nftables" in running:
        ruleset = gateway.ruleset()
        rules = nftables.wanted_rules(owner, wanted, ruleset)
        path, before = gateway.rules_file()
        after = nftables.with_block(before, owner, rules)
        if after != before:
            gateway.try_rules(path, after)
            file = (path, after)
            steps.append(Step(Change(path, "write", before, after)))
        steps += nftables.steps(owner, rules, ruleset)
    if not check_mode:
        # First for the next start: what is in force by then is there after one too.
        if file:
            gateway.write(*file)
        for step in steps:
            if step.words:
                gateway.take(step)
    return Result(
        values={"firewalls": list(running)},
        changes=tuple(step.change for step in steps),
        warnings=tuple(warnings),
    )


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Firewalls)


if __name__ == "__main__":
    main()
