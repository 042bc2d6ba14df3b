#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_export
short_description: Export a folder by NFS, to exactly the clients that are named
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Keeps one export of the kernel's NFS server, in a file of its own in C(/etc/exports.d). An entry for the path that stands in
    C(/etc/exports) or in any other file of exports(5) is adopted. It stays in its file and is changed there, in place.
  - Decides by what the options mean together and not by their words, and by what is in force (C(exportfs -s)). So an export that was
    withdrawn or changed by hand is a change, and a second run is none.
  - Path, clients and options are checked before anything is written, also by the host's own exportfs, which is shown the entry in a mount
    namespace of its own. What is written is applied by C(exportfs -ra) and then compared with what is in force. Where exportfs took it
    otherwise, the files are put back. The service is never restarted.
  - Clients that use the export are not cut off, unless O(cut_off_clients) says so.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
    details:
      - A folder that does not exist yet is a warning in check mode, since an earlier task may make it.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description:
      - The folder to export, as an absolute path. It must exist.
    type: str
    required: true
  state:
    description:
      - V(present) exports the folder to O(clients) and to nobody else. V(absent) exports it to nobody. The folder itself is not touched.
    type: str
    choices: [present, absent]
    default: present
  clients:
    description:
      - Who may mount it. Needed for O(state=present). Where one client is meant by several, exports(5) says which counts.
    type: list
    elements: dict
    suboptions:
      client:
        description:
          - A host by name or address, a network such as V(192.0.2.0/24) or V(2001:db8::/64), a pattern for names such as
            V(*.example.org), a netgroup such as V(@hypervisors), or V(*) for everybody.
        type: str
        required: true
      options:
        description:
          - The options for this client, each an item of its own. They take the place of O(options).
        type: list
        elements: str
  options:
    description:
      - The options for all clients that have none of their own, as in exports(5), each an item of its own.
      - Export images of guests with root squashed. V(all_squash) with V(anonuid=) and V(anongid=) of QEMU's user lets QEMU, libvirt and
        root on every host work with them. V(no_root_squash) makes anyone's root root on the files.
    type: list
    elements: str
    default: [rw, sync, no_subtree_check]
  cut_off_clients:
    description:
      - Whether clients may lose an export, or the right to write, while they use it. Guests with disks there then hang or see errors.
      - Sessions, open files and caches of NFSv4 tell who uses what, and C(rmtab) for NFSv3. Where the kernel has just forgotten who
        uses which export, every client with a session that the export lets in counts.
    type: bool
    default: false
requirements:
  - C(exportfs) on the host
notes:
  - Exports that somebody made by C(exportfs -o) are in no file. C(exportfs -ra) withdraws them. There is a warning before that,
    and an error where clients use them.
seealso:
  - module: virtops.kvm.nfs_export_info
"""

EXAMPLES = r"""
- name: Export the images to the hypervisors; everybody there acts as QEMU's user
  virtops.kvm.nfs_export:
    path: /srv/images
    clients:
      - client: 192.0.2.0/24
    options: [rw, sync, no_subtree_check, all_squash, anonuid=64055, anongid=64055]

- name: Export installation media, writable from one host
  virtops.kvm.nfs_export:
    path: /srv/iso
    clients:
      - client: kvm1.example.org
        options: [rw, no_subtree_check]
      - client: "@hypervisors"
    options: [ro, no_subtree_check]

- name: Take an export out of service that nobody uses
  virtops.kvm.nfs_export:
    path: /srv/old
    state: absent
"""

RETURN = r"""
export:
  description: The export as it is now; in check mode, as it would be. Null for O(state=absent).
  returned: success
  type: dict
  contains:
    path:
      description: The exported path.
      type: str
      sample: /srv/images
    file:
      description: The file that holds it.
      type: str
      sample: /etc/exports.d/virtops-srv-images.exports
    clients:
      description: Who may mount it.
      type: list
      elements: dict
      contains:
        client:
          description: The client as in O(clients).
          type: str
          sample: 192.0.2.0/24
        options:
          description: All options that are in force, the defaults of exports(5) too.
          type: list
          elements: str
          sample: [sync, wdelay, hide, nocrossmnt, no_subtree_check, "sec=sys", rw, secure, root_squash, no_all_squash]
holders:
  description: Clients that lost the export, or the right to write, while they used it, with O(cut_off_clients); empty in all other cases.
  returned: success
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
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: A file, or a path and the client to which it is exported.
      type: str
    action:
      description:
        - V(create), V(write), V(change), V(take out) or V(remove) for files; V(export), V(correct) or V(withdraw) for what is in force.
      type: str
    before:
      description: The lines, or the options in force, before; null where there was nothing.
      type: str
    after:
      description: The lines, or the options in force, after; null where there is nothing.
      type: str
error_code:
  description:
    - A stable code for the failure; all of them mean that the files are as they were.
    - V(INVALID_OPTION), V(EXPORT_PATH_MISSING), V(EXPORTS_DAMAGED) (a file cannot be read to its end, and what stands behind would be
      withdrawn), V(EXPORT_IN_USE), V(EXPORT_REJECTED) (exportfs did not take it), V(EXPORTS_UNREADABLE), V(EXPORTS_UNWRITABLE),
      V(EXPORTFS_FAILED), V(PROGRAM_MISSING) or V(PROGRAM_TIMEOUT).
  returned: failure
  type: str
  sample: EXPORT_IN_USE
details:
  description: Evidence for the failure, such as the clients that use the export.
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.server import Server
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.task import decide, export_data
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.wanted import check_path, wanted

OPTIONS = ("rw", "sync", "no_subtree_check")


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "path": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "clients": {
            "type": "list",
            "elements": "dict",
            "options": {
                "client": {"type": "str", "required": True},
                "options": {"type": "list", "elements": "str"},
            },
        },
        "options": {"type": "list", "elements": "str", "default": list(OPTIONS)},
        "cut_off_clients": {"type": "bool", "default": False},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Server) -> Result:
    """Bring the export to what is asked for."""
    path = check_path(params["path"])
    present = params["state"] == "present"
    wish = wanted(path, params["clients"] or [], params["options"], gateway.names) if present else None
    decision = decide(gateway, path, wish, cut_off=params["cut_off_clients"], check_mode=check_mode)
    if decision.changes and not check_mode:
        gateway.apply(decision.edits, decision.still_wrong)
    return Result(
        values={"export": export_data(wish, decision) if wish else None, "holders": decision.holders},
        changes=decision.changes,
        warnings=decision.warnings,
    )


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Server, required_if=[("state", "present", ("clients",))])


if __name__ == "__main__":
    main()
