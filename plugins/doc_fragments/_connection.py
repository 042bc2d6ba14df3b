# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    # Must be kept in step with plugins/module_utils/_ansible/specs.py.
    DOCUMENTATION = r"""
options:
  uri:
    description:
      - The libvirt URI to connect to, as the host on which the module runs sees it.
      - What only a host's own files tell (see the return values) is read for a local URI alone.
    type: str
    default: qemu:///system
requirements:
  - libvirt-python (C(python3-libvirt)) on the host
  - lxml (C(python3-lxml)) on the host
"""
