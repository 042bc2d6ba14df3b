# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    # Must be kept in step with plugins/module_utils/_ansible/specs.py.
    DOCUMENTATION = r"""
options:
  shut_off:
    description:
      - What becomes of domains that are shut off. V(move) moves them offline; their memory does not count on the destination,
        and a warning says when they could not be started there. V(stay) leaves them where they are.
    type: str
    choices: [move, stay]
    default: move
  may_stop:
    description:
      - A JMESPath expression over the list of the domains that are to leave their hosts, as M(virtops.kvm.domain_info) returns
        them, with the additional key C(host). It returns domains, or names, or UUIDs. These may be stopped where no live
        method works, and are started again on their destination. Guest processes are among them. By default none.
    type: str
  max_stop:
    description:
      - For how many seconds a domain may be stopped; V(0) for no limit. A move by V(offline) is planned where its estimate
        is within it, else one by V(seeded), which copies the disks while the domain runs and stops it for the rest only.
        A guest process is not seeded. A warning says when the estimate is longer all the same.
    type: float
    default: 0.0
"""
