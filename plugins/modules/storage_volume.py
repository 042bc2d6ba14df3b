#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_volume
short_description: Create, grow or delete a volume of a storage pool
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Makes a storage pool of libvirt have a volume, be it an image file or a logical volume, or have it no more.
  - What is there is never overwritten and never shrunk, and grows only with O(grow). Format and backing image are never changed in
    place; where they are not as asked for, the task fails.
  - A volume is deleted only by O(state=absent) together with O(may_delete), and only where no domain of the host names it, no other
    volume is built on it, and nobody writes to it, on NFS from other hosts either.
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
  pool:
    description:
      - Name of the storage pool. It must be active.
    type: str
    required: true
  name:
    description:
      - Name of the volume, as a file of its folder or as a logical volume.
    type: str
    required: true
  state:
    description:
      - V(present) is there as it is asked for, V(absent) is not there.
    type: str
    choices: [present, absent]
    default: present
  capacity:
    description:
      - The size that a guest sees, in bytes or with a unit, such as V(20G). Units are powers of 1024. It must be a whole number of KiB.
      - May be left out for a volume that exists, and for one with O(backing), whose size it then has.
    type: str
  format:
    description:
      - The format. A new volume is V(qcow2) if nothing is said, in a volume group V(raw).
    type: str
    choices: [qcow2, raw]
  allocation:
    description:
      - How much storage a new volume takes at once. V(sparse) is next to none, V(metadata) is that of qcow2's tables, V(full) is all.
      - If nothing is said, V(sparse), in a volume group V(full). It has no meaning for a volume that exists.
    type: str
    choices: [sparse, metadata, full]
  backing:
    description:
      - The image that a new qcow2 volume is built on. Its absolute path, or the name of a volume of the same pool.
    type: str
  backing_format:
    description:
      - The format of O(backing). It is never guessed, for what a guest has written must not decide it.
    type: str
    choices: [qcow2, raw]
  owner:
    description:
      - Name or number of the user that it belongs to. Left alone while a running domain uses the volume, since libvirt then gives it to
        QEMU. Only on the host itself.
    type: str
  group:
    description:
      - Name or number of the group that it belongs to; see O(owner).
    type: str
  mode:
    description:
      - Its mode, octal and as text, such as V('0600'); see O(owner).
    type: str
  grow:
    description:
      - Whether a volume that is smaller than O(capacity) grows. Where a domain of this host runs with it, the domain's disk grows with it.
    type: bool
    default: false
  may_delete:
    description:
      - Whether O(state=absent) may delete the volume and its data. Without it the task fails where there is one.
    type: bool
    default: false
notes:
  - Every look refreshes the pool, in check mode, too. libvirt stops a pool that it cannot refresh, so the server of a pool of the type
    V(netfs) is asked for an answer before.
  - On storage that several hosts share, domains that are only defined on another host are not seen; who writes is.
  - A new logical volume holds what was on its extents before. It has whole extents, so it may be a little larger than asked for.
  - libvirt does not show thin logical volumes. One of that name is told, and never taken for a volume that is not there.
seealso:
  - module: virtops.kvm.storage_volume_info
  - module: virtops.kvm.storage_pool
  - module: virtops.kvm.disk_copy
"""

EXAMPLES = r"""
- name: Have an empty disk of 20 GiB
  virtops.kvm.storage_volume:
    pool: shared
    name: web01.qcow2
    capacity: 20G

- name: Have a disk that starts from an image in the same pool
  virtops.kvm.storage_volume:
    pool: shared
    name: web02.qcow2
    backing: debian.qcow2
    backing_format: qcow2

- name: Let a disk grow to 40 GiB
  virtops.kvm.storage_volume:
    pool: shared
    name: web01.qcow2
    capacity: 40G
    grow: true

- name: Have a logical volume
  virtops.kvm.storage_volume:
    pool: fast
    name: db01
    capacity: 100G

- name: Delete a disk and its data
  virtops.kvm.storage_volume:
    pool: shared
    name: web01.qcow2
    state: absent
    may_delete: true
"""

RETURN = r"""
name:
  description: The name of the volume.
  returned: success
  type: str
  sample: web01.qcow2
pool:
  description: The name of its pool.
  returned: success
  type: str
  sample: shared
path:
  description: Its path; null in check mode for a new volume, and for one that is not there.
  returned: success
  type: str
  sample: /srv/shared/web01.qcow2
capacity:
  description: The size that a guest sees in bytes, in check mode as it would be; null for a volume that is not there.
  returned: success
  type: int
  sample: 21474836480
format:
  description: Its format, in check mode as it would be; null for a volume that is not there.
  returned: success
  type: str
  sample: qcow2
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: What is changed.
      type: str
      sample: volume web01.qcow2 in pool shared
    action:
      description: V(create), V(grow), V(set) (owner, group and mode) or V(delete).
      type: str
      sample: grow
    before:
      description: The values before; bytes for V(grow).
      type: raw
    after:
      description: The values after; bytes for V(grow).
      type: raw
error_code:
  description:
    - A stable code for the failure. V(INVALID_OPTION), V(POOL_NOT_FOUND), V(POOL_INACTIVE), V(POOL_FULL), V(STORAGE_SERVER_UNREACHABLE),
      V(BACKING_MISSING), V(VOLUME_DIFFERS), V(VOLUME_TOO_SMALL), V(VOLUME_TOO_LARGE), V(VOLUME_IN_USE), V(VOLUME_IS_BACKING),
      V(VOLUME_HIDDEN), V(VOLUME_KEPT), V(SOURCE_IN_USE) and V(DEVICE_IN_USE) before anything is changed; V(OWNERSHIP_REFUSED) and
      V(VOLUME_GROW_FAILED) after.
  returned: failure
  type: str
  sample: VOLUME_TOO_SMALL
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import contextlib
import typing as t

from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core import ownership
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import check_free
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.pool_volumes import VolumeGateway
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.storage_probe import is_local
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.volume_plan import Plan, carry_out, make_plan
from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import (
    ALLOCATIONS,
    FORMATS,
    GRAIN,
    VolumeFacts,
    VolumeWanted,
)

Params = dict[str, t.Any]


class Gateway(VolumeGateway):
    """The volumes of a host, and who else uses them."""

    def check_free(self, volume: VolumeFacts) -> None:
        """Raises KvmError where a program of this host, or by a lock a QEMU of any host, uses it."""
        if self.local and volume.type in ("file", "block"):
            check_free(volume.path)


GatewayMaker = t.Callable[[str], Gateway]


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        **connection_spec(),
        "pool": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "capacity": {"type": "str"},
        "format": {"type": "str", "choices": list(FORMATS)},
        "allocation": {"type": "str", "choices": list(ALLOCATIONS)},
        "backing": {"type": "str"},
        "backing_format": {"type": "str", "choices": list(FORMATS)},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "mode": {"type": "str"},
        "grow": {"type": "bool", "default": False},
        "may_delete": {"type": "bool", "default": False},
    }


def wanted_of(params: Params) -> VolumeWanted:
    """What the options ask for. Raises InputError."""
    name = params["name"]
    if not name.strip() or "/" in name or name in (".", ".."):
        raise InputError(
            "name", f"The name '{name}' cannot be that of a volume; it must not be empty, and has no slash."
        )
    owned = ownership.from_options(params["owner"], params["group"], params["mode"])
    if not owned.empty and not is_local(params["uri"]):
        raise InputError(
            "owner", f"Owner, group and mode can only be set on the host itself, and not by '{params['uri']}'."
        )
    backing = params["backing"]
    if backing is not None and (not backing.strip() or (not backing.startswith("/") and "/" in backing)):
        raise InputError("backing", f"'{backing}' is neither an absolute path nor the name of a volume.")
    return VolumeWanted(
        name=name,
        pool=params["pool"],
        state=params["state"],
        capacity=bytes_of(params["capacity"]),
        format=params["format"],
        allocation=params["allocation"],
        backing=backing,
        backing_format=params["backing_format"],
        ownership=owned,
        grow=params["grow"],
        may_delete=params["may_delete"],
    )


def bytes_of(text: str | None) -> int | None:
    """The bytes that ``text`` means. Raises InputError."""
    if text is None:
        return None
    try:
        found = int(human_to_bytes(text.replace("iB", "B")))
    except (TypeError, ValueError) as exc:
        raise InputError(
            "capacity", f"The capacity '{text}' is no size; give bytes, or a number with a unit such as 20G."
        ) from exc
    if found <= 0 or found % GRAIN:
        raise InputError(
            "capacity", f"The capacity '{text}' ({found} bytes) must be a whole number of KiB, and more than none."
        )
    return found


def run(params: Params, check_mode: bool, gateway: GatewayMaker) -> Result:
    """Plan, and unless in check mode carry out."""
    wanted = wanted_of(params)
    with contextlib.closing(gateway(params["uri"])) as volumes:
        plan = make_plan(volumes, wanted)
        if check_mode or not plan.changes:
            return result(plan, plan.present)
        return result(plan, carry_out(volumes, plan))


def result(plan: Plan, volume: VolumeFacts | None) -> Result:
    """What the module hands back."""
    gone = plan.wanted.state == "absent"
    return Result(
        values={
            "name": plan.wanted.name,
            "pool": plan.wanted.pool,
            "path": volume.path if volume and not gone else None,
            "capacity": None if gone else plan.capacity,
            "format": None if gone else plan.format,
        },
        changes=plan.changes,
        warnings=plan.warnings,
        diff=dict(plan.diff()),
    )


def main() -> None:
    """Run the module."""
    run_module(
        argument_spec(),
        run,
        lambda: Gateway,
        requires=("libvirt", "lxml"),
        required_together=[("backing", "backing_format")],
    )


if __name__ == "__main__":
    main()
