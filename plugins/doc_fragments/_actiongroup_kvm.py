# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    # Every module is a member of the one action group; meta/runtime.yml lists them.
    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/virtops.kvm.kvm) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - virtops.kvm.kvm
"""
