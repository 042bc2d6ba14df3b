#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_volume_info
short_description: Read the volumes of storage pools
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Reads the volumes in one storage pool of a host, or in all that are active. It tells their formats and sizes, what they are built
    on, and which domains and volumes use them.
  - Lets libvirt look at the pools anew before, so that what was changed behind its back is seen.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
options:
  pool:
    description:
      - Name of the pool. Without it, all pools that are active are read; one that cannot be is left out with a warning.
    type: str
  names:
    description:
      - Names of the volumes to read; all when empty. One that is not there is left out.
    type: list
    elements: str
    default: []
seealso:
  - module: virtops.kvm.storage_volume
  - module: virtops.kvm.storage_pool_info
"""

EXAMPLES = r"""
- name: Read the volumes of a pool
  virtops.kvm.storage_volume_info:
    pool: shared
  register: found

- name: Show those that no domain of this host names
  ansible.builtin.debug:
    msg: "{{ found.volumes | rejectattr('domains') | map(attribute='path') }}"
"""

RETURN = r"""
volumes:
  description: The volumes, by pool and name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
      sample: web01.qcow2
    pool:
      description: The name of the pool.
      type: str
      sample: shared
    path:
      description: The path.
      type: str
      sample: /srv/shared/web01.qcow2
    type:
      description: V(file), V(block), V(dir) and so on.
      type: str
      sample: file
    format:
      description: The format, as its first bytes tell it.
      type: str
      sample: qcow2
    capacity:
      description: Bytes that a guest sees.
      type: int
    allocation:
      description: Bytes that it takes.
      type: int
    backing:
      description: The image that it is built on; null for none.
      type: str
    backing_format:
      description: The format of that.
      type: str
    owner:
      description: The number of the user that it belongs to.
      type: int
    group:
      description: The number of the group that it belongs to.
      type: int
    mode:
      description: The mode.
      type: str
      sample: '0600'
    users:
      description: The running domains of the host that name it.
      type: list
      elements: str
    domains:
      description: All domains of the host that name it.
      type: list
      elements: str
    overlays:
      description: The volumes of the host's pools that are built on it.
      type: list
      elements: str
"""

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.pool_volumes import VolumeGateway
from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import VolumeFacts

GatewayMaker = t.Callable[[str], VolumeGateway]


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        **connection_spec(),
        "pool": {"type": "str"},
        "names": {"type": "list", "elements": "str", "default": []},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: GatewayMaker) -> Result:
    """Read the volumes."""
    found: list[VolumeFacts] = []
    warnings: list[str] = []
    with contextlib.closing(gateway(params["uri"])) as volumes:
        asked = params["pool"]
        for name in [asked] if asked is not None else volumes.active_pools():
            try:
                found += volumes.volumes(volumes.pool(name))
            except KvmError as error:
                if asked is not None:
                    raise
                warnings.append(error.message)
    names = params["names"]
    return Result(
        values={"volumes": [one for one in found if not names or one.name in names]}, warnings=tuple(warnings)
    )


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, lambda: VolumeGateway, requires=("libvirt", "lxml"), info=True)


if __name__ == "__main__":
    main()
