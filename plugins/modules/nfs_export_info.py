#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_export_info
short_description: Tell what an NFS server exports, what its files say, and who uses it
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Reads C(/etc/exports) and C(/etc/exports.d), the table of what is in force (C(exportfs -s)), and the kernel's sessions, and puts them
    side by side.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
options:
  paths:
    description:
      - Tell of these exported paths only. By default of all.
    type: list
    elements: str
    default: []
requirements:
  - C(exportfs) on the host
seealso:
  - module: virtops.kvm.nfs_export
"""

EXAMPLES = r"""
- name: Read all exports
  virtops.kvm.nfs_export_info:
  register: server

- name: Name the exports that are not in force as the files say
  ansible.builtin.debug:
    msg: "{{ server.exports | rejectattr('agrees') | map(attribute='path') | list }}"
"""

RETURN = r"""
exports:
  description: One item for each path and client, first those in the files in their order, then those that are in no file.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The exported path, as the file says it.
      type: str
      sample: /srv/images
    client:
      description: Who may mount it; V(*) is everybody.
      type: str
      sample: 192.0.2.0/24
    file:
      description: The file; null for what is in force and in no file.
      type: str
      sample: /etc/exports
    line:
      description: The line of the file, from 1; null where there is none.
      type: int
      sample: 3
    options:
      description: The options as the file says them, defaults of the line first; empty where there is no file.
      type: list
      elements: str
      sample: [rw, sync]
    in_force:
      description: The options that are in force, as exportfs prints them; null where the export is not in force.
      type: list
      elements: str
      sample: [sync, wdelay, hide, no_subtree_check, "sec=sys", rw, secure, root_squash, no_all_squash]
    agrees:
      description: Whether what is in force is what the file says.
      type: bool
      sample: true
    holders:
      description: Clients that use this export, or may use it.
      type: list
      elements: dict
      contains:
        address:
          description: The address of the client.
          type: str
          sample: 192.0.2.11
        client:
          description: As whom the export lets it in.
          type: str
          sample: 192.0.2.0/24
        certain:
          description: Whether it is certain that it uses this export, and not another one of the server.
          type: bool
          sample: true
        evidence:
          description: By what that is known.
          type: str
          sample: has 2 files open on that file system
sessions:
  description: The living sessions of NFSv4.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The address of the client.
      type: str
      sample: 192.0.2.11
    name:
      description: What the client calls itself.
      type: str
      sample: Linux NFSv4.2 kvm1.example.org
    open_files:
      description: How many files it has open on this server.
      type: int
      sample: 2
error_code:
  description:
    - A stable code for the failure. V(EXPORTS_DAMAGED), V(EXPORTS_UNREADABLE), V(EXPORTFS_FAILED), V(PROGRAM_MISSING), V(PROGRAM_TIMEOUT).
  returned: failure
  type: str
  sample: EXPORTS_DAMAGED
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.server import Server
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.survey import survey


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {"paths": {"type": "list", "elements": "str", "default": []}}


def run(params: dict[str, t.Any], check_mode: bool, gateway: Server) -> Result:
    """Read the server."""
    return Result(values=survey(gateway, params["paths"]))


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Server, info=True)


if __name__ == "__main__":
    main()
