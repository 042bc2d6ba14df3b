#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_pool
short_description: Define, start, stop or remove a storage pool
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Makes a storage pool of libvirt have the definition and be in the state that is asked for.
  - A definition is compared by what it means. libvirt's own code is asked what it would make of the document, in a dry run that no
    daemon sees, so that check mode refuses what libvirt would refuse, and only real differences are changes.
  - A pool that is active and yet amiss is a change, too. That is one which runs with an older definition, one whose export is no
    longer mounted, and one at whose path another server is mounted.
  - Never deletes data. Removing a pool leaves everything that is in it, and no disk is ever formatted.
  - Never stops or mounts anew a pool in which a running domain has a disk; the task then fails and names the domains. So it does
    for a volume group of which a volume is mounted or otherwise open, since libvirt deactivates all its volumes when it stops the pool.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the pool.
    type: str
    required: true
  state:
    description:
      - V(present) has the definition, and is in whatever state it is; see RV(restart_needed).
      - V(active) is started with the definition that is asked for, and stopped for that before, where no running domain uses it.
      - V(inactive) has the definition and is stopped.
      - V(absent) has no definition. What is in the pool stays.
    type: str
    choices: [present, active, inactive, absent]
    default: active
  type:
    description:
      - What the pool is made of. V(dir) is a folder, V(netfs) an export of a server that is mounted at O(path), V(logical) a volume
        group that exists. For other types there is O(xml).
      - Without it and without O(xml), a pool that exists is brought to O(state).
    type: str
    choices: [dir, netfs, logical]
  path:
    description:
      - The folder of the pool, or where the export is mounted. It is made where it is missing when the pool starts.
      - For V(logical) it follows from O(source_name).
    type: str
  source_host:
    description:
      - The server of O(type=netfs), by name or address.
    type: str
  source_path:
    description:
      - The folder that the server of O(type=netfs) exports.
    type: str
  source_format:
    description:
      - The file system of O(type=netfs).
    type: str
    choices: [nfs, glusterfs, cifs, auto]
    default: nfs
  protocol_version:
    description:
      - The version of NFS, such as V(4.2). Without it server and client agree on one.
    type: str
  mount_options:
    description:
      - Options for C(mount), besides V(nodev), V(nosuid) and V(noexec), which libvirt always gives.
    type: list
    elements: str
    default: []
  source_name:
    description:
      - The volume group of O(type=logical). Without it, it is called as the pool.
    type: str
  source_devices:
    description:
      - The devices of the volume group, for the record. This module never makes a volume group.
    type: list
    elements: path
    default: []
  xml:
    description:
      - The definition as libvirt's storage pool XML, for what the options cannot say.
    type: str
  owner:
    description:
      - Name or number of the user that the folder of a V(dir) pool belongs to. Only on the host itself.
    type: str
  group:
    description:
      - Name or number of the group that the folder of a V(dir) pool belongs to. Only on the host itself.
    type: str
  mode:
    description:
      - The mode of the folder of a V(dir) pool, octal and as text, such as V('0711'). Only on the host itself.
    type: str
  autostart:
    description:
      - Whether the pool starts with the host. Left as it is when not given.
    type: bool
notes:
  - Before a V(netfs) pool is started, its server is asked for an answer on port 2049, unless O(mount_options) name another, since
    C(mount) would wait for minutes. A path at which something else is mounted, or in which there are files that the mount would hide,
    is refused.
  - Permissions in O(xml) have an effect only where libvirt makes the folder, and are not compared.
seealso:
  - module: virtops.kvm.storage_pool_info
  - module: virtops.kvm.storage_volume
"""

EXAMPLES = r"""
- name: Have a folder as a pool, now and after every start of the host
  virtops.kvm.storage_pool:
    name: images
    type: dir
    path: /srv/images
    mode: '0711'
    autostart: true

- name: Mount an export at the same path on every host
  virtops.kvm.storage_pool:
    name: shared
    type: netfs
    source_host: nas.example.org
    source_path: /export/images
    protocol_version: '4.2'
    mount_options: [nconnect=4]
    path: /srv/shared
    autostart: true

- name: Use a volume group
  virtops.kvm.storage_pool:
    name: fast
    type: logical
    source_name: vg_fast

- name: Use a pool of another type
  virtops.kvm.storage_pool:
    name: tank
    xml: |
      <pool type='zfs'>
        <source><name>tank/vms</name></source>
      </pool>

- name: Stop a pool, and keep it and its data
  virtops.kvm.storage_pool:
    name: images
    state: inactive

- name: Remove a pool, and keep its data
  virtops.kvm.storage_pool:
    name: images
    state: absent
"""

RETURN = r"""
name:
  description: The name of the pool.
  returned: success
  type: str
  sample: shared
uuid:
  description: Its UUID; null in check mode for a new pool, and for one that is not there.
  returned: success
  type: str
  sample: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
state:
  description: V(active), V(inactive) or V(absent); in check mode what it would be.
  returned: success
  type: str
  sample: active
path:
  description: Its folder; null for a pool that is not there.
  returned: success
  type: str
  sample: /srv/shared
autostart:
  description: Whether it starts with the host, in check mode whether it would.
  returned: success
  type: bool
  sample: true
restart_needed:
  description: Whether the pool goes on with an older definition until it is stopped and started.
  returned: success
  type: bool
  sample: false
msg:
  description: What the user should know; only where there is something.
  returned: sometimes
  type: str
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: What is changed.
      type: str
      sample: storage pool shared
    action:
      description: V(define), V(redefine), V(create folder), V(stop), V(start), V(undefine) or V(set).
      type: str
      sample: start
    before:
      description: The state or value before.
      type: raw
    after:
      description: The state or value after; for a definition a list of what it says or how it differs, one line each.
      type: raw
error_code:
  description:
    - A stable code for the failure. V(INVALID_OPTION), V(XML_INVALID), V(DEFINITION_REFUSED), V(POOL_NOT_FOUND), V(POOL_CONFLICT),
      V(POOL_TYPE_UNSUPPORTED), V(UUID_CONFLICT), V(POOL_IN_USE), V(PATH_MOUNTED), V(PATH_NOT_EMPTY), V(PATH_UNUSABLE),
      V(STORAGE_SERVER_UNREACHABLE) and V(VOLUME_GROUP_MISSING) before anything is changed.
  returned: failure
  type: str
  sample: POOL_IN_USE
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import contextlib
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core import ownership
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.pool_plan import Plan, Wanted, carry_out, make_plan
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.pools import PoolGateway
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.storage_probe import is_local
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import STATES, TYPED, PoolDefinition, PoolFacts
from ansible_collections.virtops.kvm.plugins.module_utils._xml.pools import named, pool_document

Params = dict[str, t.Any]
GatewayMaker = t.Callable[[str], PoolGateway]
#: The options that belong to some types only.
_BELONGS = {
    "path": ("dir", "netfs"),
    "source_host": ("netfs",),
    "source_path": ("netfs",),
    "protocol_version": ("netfs",),
    "mount_options": ("netfs",),
    "source_name": ("logical",),
    "source_devices": ("logical",),
}


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        **connection_spec(),
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": "active"},
        "type": {"type": "str", "choices": list(TYPED)},
        "path": {"type": "str"},
        "source_host": {"type": "str"},
        "source_path": {"type": "str"},
        "source_format": {"type": "str", "choices": ["nfs", "glusterfs", "cifs", "auto"], "default": "nfs"},
        "protocol_version": {"type": "str"},
        "mount_options": {"type": "list", "elements": "str", "default": []},
        "source_name": {"type": "str"},
        "source_devices": {"type": "list", "elements": "path", "default": []},
        "xml": {"type": "str"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "mode": {"type": "str"},
        "autostart": {"type": "bool"},
    }


def wanted_of(params: Params) -> Wanted:
    """What the options ask for. Raises InputError, and KvmError XML_INVALID."""
    name = params["name"]
    if not name.strip() or "/" in name:
        raise InputError(
            "name", f"The name '{name}' cannot be that of a storage pool; it must not be empty, and has no slash."
        )
    folder = ownership.from_options(params["owner"], params["group"], params["mode"])
    if not folder.empty and not is_local(params["uri"]):
        raise InputError(
            "owner", f"Owner, group and mode can only be set on the host itself, and not by '{params['uri']}'."
        )
    xml = named(params["xml"], name) if params["xml"] is not None else None
    if params["type"] is not None:
        xml = pool_document(definition_of(params))
    else:
        given = [option for option in _BELONGS if params[option]]
        if given:
            raise InputError(
                given[0], f"The option '{given[0]}' is part of a definition; give the type of the pool, too."
            )
    return Wanted(name, params["state"], xml, params["autostart"], folder)


def definition_of(params: Params) -> PoolDefinition:
    """The definition that the typed options ask for. Raises InputError."""
    kind = params["type"]
    for option, kinds in _BELONGS.items():
        if params[option] and kind not in kinds:
            raise InputError(
                option, f"The option '{option}' is for type={' or '.join(kinds)}, and not for type={kind}."
            )
    needed = {"dir": ("path",), "netfs": ("path", "source_host", "source_path")}.get(kind, ())
    for option in needed:
        if not params[option]:
            raise InputError(option, f"A pool of type={kind} needs the option '{option}'.")
    path = checked("path", params["path"])
    if path == "/":
        raise InputError("path", "The path of a pool cannot be the root of the file system.")
    if params["source_host"] and any(character.isspace() or character == "/" for character in params["source_host"]):
        raise InputError("source_host", f"'{params['source_host']}' is no name or address of a server.")
    for option in params["mount_options"]:
        if not option or any(character.isspace() or character == "," for character in option):
            raise InputError(
                "mount_options", f"'{option}' is not one option for mount; give each as an entry of its own."
            )
        if params["protocol_version"] and option.partition("=")[0] in ("vers", "nfsvers", "v4", "v3"):
            raise InputError(
                "mount_options", f"The version is given twice, by protocol_version and by '{option}'; leave one out."
            )
    folder = (
        params["source_path"]
        if params["source_format"] in ("glusterfs", "cifs")
        else checked("source_path", params["source_path"])
    )
    return PoolDefinition(
        name=params["name"],
        type=kind,
        path=path,
        hosts=(params["source_host"],) if params["source_host"] else (),
        directory=folder,
        source_name=(params["source_name"] or params["name"]) if kind == "logical" else None,
        devices=tuple(params["source_devices"]),
        source_format=params["source_format"] if kind == "netfs" else None,
        protocol_version=params["protocol_version"],
        mount_options=tuple(params["mount_options"]),
    )


def checked(option: str, path: str | None) -> str | None:
    """``path`` without what means nothing. Raises InputError for one that is relative or leads upwards."""
    if path is None:
        return None
    if not path.startswith("/") or ".." in path.split("/"):
        raise InputError(option, f"The path '{path}' must be absolute, and without '..'.")
    return "/" + posixpath.normpath(path).lstrip("/")


def run(params: Params, check_mode: bool, gateway: GatewayMaker) -> Result:
    """Plan, and unless in check mode carry out."""
    wanted = wanted_of(params)
    with contextlib.closing(gateway(params["uri"])) as pools:
        plan = make_plan(pools, wanted)
        if check_mode or not plan.changes:
            return result(plan, None if plan.state == "absent" else plan.present)
        return result(plan, carry_out(pools, plan))


def result(plan: Plan, pool: PoolFacts | None) -> Result:
    """What the module hands back."""
    gone = plan.state == "absent"
    autostart = plan.autostart if plan.autostart is not None else bool(plan.present and plan.present.autostart)
    msg = None
    if plan.restart_needed:
        msg = f"The storage pool '{plan.name}' goes on with its old definition; the new one takes effect when it is started anew."
    return Result(
        values={
            "name": plan.name,
            "uuid": pool.uuid if pool else None,
            "state": plan.state,
            "path": None if gone else plan.path,
            "autostart": autostart and not gone,
            "restart_needed": plan.restart_needed,
        },
        changes=plan.changes,
        diff=dict(plan.diff()),
        msg=msg,
    )


def main() -> None:
    """Run the module."""
    run_module(
        argument_spec(),
        run,
        lambda: PoolGateway,
        requires=("libvirt", "lxml"),
        mutually_exclusive=[("xml", "type")],
    )


if __name__ == "__main__":
    main()
