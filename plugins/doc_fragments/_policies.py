# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    # Must be kept in step with plugins/module_utils/_ansible/specs.py.
    DOCUMENTATION = r"""
options:
  policies:
    description:
      - Rules for some of the domains, each a dictionary. All rules that match a domain apply to it, in this order; a later one wins
        where two say something about the same, and groups add up. What no rule says is as the other options say.
      - C(match) (required) is a JMESPath expression over the facts of one domain as M(virtops.kvm.domain_info) returns them, with
        the additional key C(host), such as C(starts_with(name, 'db'\)). The rule holds for the domains for which it is true;
        C(name) is, for all of them.
        C(name) is what plans and messages call the rule.
      - C(method) is how a domain moves while it runs, C(auto), C(live_shared), C(live_block), C(offline) or C(seeded). C(may_stop)
        (a boolean) says whether it may be stopped for that, C(max_stop) for how many seconds. C(max_pause) is the longest pause in
        milliseconds that is permitted when it moves live.
      - C(priority) (C(0) for all others) lets moves of a higher one start first. C(order_group) (C(0) for all others) lets those of a
        lower group start before all of a higher one; they do not wait for each other's end.
      - C(affinity) names groups whose domains go to one host, the one where a member runs already if there is one.
        C(anti_affinity) names groups of which no two domains go to one host, nor to one where a member runs. C(pinned) names the
        only hosts that may take it. All three take a name or a list of names.
      - C(skip) (a boolean) says that it stays where it is.
      - The same rules are understood by M(virtops.kvm.evacuation_plan), M(virtops.kvm.restore_plan) and M(virtops.kvm.migration_plan).
    type: list
    elements: dict
    default: []
"""
