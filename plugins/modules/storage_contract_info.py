#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_contract_info
short_description: Prove that a folder is storage that guests can move over
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Proves in stages, on all hosts that share a folder, what live migration and QEMU's locks rely on. QEMU's user can make files there and
    write to them, on every host with the same numbers. Each host sees what the others made, with the same inode number, so all have the
    very same file system. The lock of one is refused to the others. A new name is seen everywhere within the time for which attributes
    are cached.
  - All hosts have to finish a stage before any begins the next. The role virtops.kvm.shared_storage does that.
  - What a host makes for the proof is removed at V(end), also by a later run when nobody came to that. So nothing is changed.
  - A breach is a failure that names the host, the evidence and the remedy.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    details:
      - In check mode nothing is made, so nothing is proven, and RV(report) only tells QEMU's user and what is mounted.
  diff_mode:
    details:
      - What it makes is gone at the end.
  idempotent:
    details:
      - What it makes is gone at the end.
options:
  path:
    description:
      - The shared folder. It has the same path on all hosts.
    type: str
    required: true
  run:
    description:
      - A word for this proof, the same on all hosts, such as a time.
    type: str
    required: true
  host:
    description:
      - What this host is called in messages and in O(reports), such as its inventory name.
    type: str
    required: true
  stage:
    description:
      - V(begin) makes a file as QEMU's user, writes to it, and keeps a lock on it; it also looks what becomes of root.
      - V(observe) opens the files of the other hosts for writing and tries to lock them.
      - V(rename) gives the host's own file another name, V(settle) waits until the new names of the others are seen.
      - V(end) lets go of the lock and removes the host's files. Run it always.
    type: str
    choices: [begin, observe, rename, settle, end]
    required: true
  reports:
    description:
      - What V(begin) returned as RV(report) on every host, for V(observe) and V(settle).
    type: list
    elements: dict
    default: []
  uid:
    description:
      - The number of QEMU's user. By default from C(/etc/libvirt/qemu.conf), else that of the distribution.
    type: int
  gid:
    description:
      - The number of QEMU's group. By default from C(/etc/libvirt/qemu.conf), else that of the distribution.
    type: int
  timeout:
    description:
      - For how many seconds the storage may be silent. Then the server counts as down.
    type: int
    default: 30
seealso:
  - module: virtops.kvm.storage_pool
  - module: virtops.kvm.nfs_export
"""

EXAMPLES = r"""
- name: Make a file as QEMU's user and lock it
  virtops.kvm.storage_contract_info:
    path: /srv/shared
    run: "{{ proof }}"
    host: "{{ inventory_hostname }}"
    stage: begin
  register: begun

- name: See the files and the locks of the others
  virtops.kvm.storage_contract_info:
    path: /srv/shared
    run: "{{ proof }}"
    host: "{{ inventory_hostname }}"
    stage: observe
    reports: "{{ ansible_play_hosts | map('extract', hostvars, ['begun', 'report']) | list }}"
"""

RETURN = r"""
report:
  description: What this host found at this stage; only the keys of the stage are there.
  returned: success
  type: dict
  contains:
    host:
      description: The host, as in O(host).
      type: str
      sample: kvm1
    user:
      description: C(uid), C(gid) and C(name) of QEMU's user, at V(begin).
      type: dict
    mount:
      description: C(point), C(type), C(source) and C(options) of what is mounted there, at V(begin).
      type: dict
    folder:
      description: C(inode), C(uid), C(gid) and C(mode) of the folder, at V(begin).
      type: dict
    file:
      description: C(name), C(token), C(inode), C(uid), C(gid) and C(mode) of the file that was made, at V(begin).
      type: dict
    root:
      description:
        - What becomes of root, at V(begin). C(outcome) is V(root), V(qemu) (all are QEMU's user), V(nobody) or V(refused).
      type: dict
    seen:
      description: For each other host C(host), C(inode), C(refused) (its lock was refused) and more, at V(observe).
      type: list
      elements: dict
    renames:
      description: For each other host C(host) and C(seconds) until its new name was seen, at V(settle).
      type: list
      elements: dict
error_code:
  description:
    - A stable code for the failure.
    - V(QEMU_CANNOT_CREATE), V(OWNER_CHANGED), V(QEMU_USER_DIFFERS), V(QEMU_USER_UNKNOWN), V(NOT_SHARED), V(PEER_FILE_REFUSED),
      V(LOCKS_NOT_SHARED), V(RENAME_FAILED), V(RENAME_NOT_SEEN), V(SERVER_SILENT), V(CONTRACT_INCOMPLETE) or V(INVALID_OPTION).
  returned: failure
  type: str
  sample: NOT_SHARED
details:
  description:
    - Evidence for the failure. C(breaches) lists every fault with C(code), C(message), C(remedy) and C(evidence).
  returned: failure
  type: dict
"""

import dataclasses
import pwd
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import read_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.localhost import qemu_ids
from ansible_collections.virtops.kvm.plugins.module_utils._nfs import contract_stages as stages
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.asuser import User
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.contract_acts import Storage

QEMU_CONF = "/etc/libvirt/qemu.conf"


class Gateway:
    """The storage and QEMU's user of this host."""

    def user(self, uid: int | None, gid: int | None) -> User:
        """QEMU's user, where it is not named."""
        found = qemu_ids(read_settings(QEMU_CONF))
        uid, gid = (found[0] if uid is None else uid), (found[1] if gid is None else gid)
        if uid is None or gid is None:
            raise KvmError(
                "QEMU_USER_UNKNOWN",
                "This host has no user for QEMU: install libvirt, or name the numbers of the user by uid and gid.",
            )
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = ""
        return User(uid, gid, name)

    def storage(self, path: str, run: str, host: str, user: User, seconds: float) -> Storage:
        """The storage."""
        return Storage(path, run, host, user, seconds)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "path": {"type": "str", "required": True},
        "run": {"type": "str", "required": True},
        "host": {"type": "str", "required": True},
        "stage": {"type": "str", "choices": list(stages.STAGES), "required": True},
        "reports": {"type": "list", "elements": "dict", "default": []},
        "uid": {"type": "int"},
        "gid": {"type": "int"},
        "timeout": {"type": "int", "default": 30},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """One stage on one host."""
    if not params["path"].startswith("/"):
        raise InputError("path", f"path is {params['path']!r}; it has to be absolute.")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", params["run"]):
        raise InputError("run", f"run is {params['run']!r}; it may hold letters, digits, dots, dashes and underscores.")
    user = gateway.user(params["uid"], params["gid"])
    place = stages.Place(params["host"], params["path"].rstrip("/") or "/", user)
    storage = gateway.storage(place.path, params["run"], place.host, user, float(params["timeout"]))
    proven = stages.Proven({"host": place.host, "user": dataclasses.asdict(user), "mount": storage.mount()})
    stage = params["stage"]
    if check_mode:
        return Result(values={"report": proven.report})
    if stage == stages.BEGIN:
        proven = stages.begin(storage, place)
    elif stage == stages.OBSERVE:
        proven = stages.observe(storage, place, params["reports"])
    elif stage == stages.RENAME:
        proven = stages.rename(storage, place)
    elif stage == stages.SETTLE:
        proven = stages.settle(storage, place, params["reports"], Clock())
    else:
        storage.end()
    return Result(values={"report": proven.report}, warnings=proven.warnings)


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, info=True)


if __name__ == "__main__":
    main()
