#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_pool_info
short_description: Read the storage pools of a hypervisor
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Reads what the storage pools of libvirt on one host are made of, their state and sizes, what is really mounted at their paths, and
    which running domains have disks in them.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._attributes.info_module
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
options:
  names:
    description:
      - Names of the pools to read; all when empty. One that the host does not have is an error.
    type: list
    elements: str
    default: []
notes:
  - Sizes are those of when libvirt last looked. This module does not make it look, since libvirt stops a pool whose storage it cannot
    read; M(virtops.kvm.storage_volume_info) does.
seealso:
  - module: virtops.kvm.storage_pool
  - module: virtops.kvm.storage_volume_info
"""

EXAMPLES = r"""
- name: Read all pools
  virtops.kvm.storage_pool_info:
  register: storage

- name: Read one pool
  virtops.kvm.storage_pool_info:
    names: [shared]
  register: shared

- name: Make sure that the export is what is mounted
  ansible.builtin.assert:
    that: shared.pools[0].mounted == 'nas.example.org:/export/images'
"""

RETURN = r"""
pools:
  description: The pools, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
      sample: shared
    uuid:
      description: The UUID.
      type: str
    definition:
      description: What it is made of.
      type: dict
      contains:
        name:
          description: The name.
          type: str
        type:
          description: V(dir), V(netfs), V(logical) or another type that libvirt knows.
          type: str
          sample: netfs
        path:
          description: Its folder.
          type: str
          sample: /srv/shared
        hosts:
          description: The servers.
          type: list
          elements: str
          sample: [nas.example.org]
        directory:
          description: The folder that the server exports.
          type: str
          sample: /export/images
        source_name:
          description: The volume group, or how else the source is called.
          type: str
        devices:
          description: The devices of the source.
          type: list
          elements: str
        source_format:
          description: The format of the source.
          type: str
          sample: nfs
        protocol_version:
          description: The version of the protocol that is asked for.
          type: str
          sample: '4.2'
        mount_options:
          description: Options for mount, besides libvirt's own.
          type: list
          elements: str
    active:
      description: Whether it is active.
      type: bool
    persistent:
      description: Whether it is defined; a pool that is not vanishes when it is stopped.
      type: bool
    autostart:
      description: Whether it starts with the host.
      type: bool
    capacity:
      description: Bytes in all; 0 for a pool that is not active.
      type: int
    allocation:
      description: Bytes in use; 0 for a pool that is not active.
      type: int
    available:
      description: Bytes that are free; 0 for a pool that is not active.
      type: int
    owner:
      description: The number of the user that the folder belonged to when libvirt last looked; null where it has not.
      type: int
    group:
      description: The number of the group, likewise.
      type: int
    mode:
      description: The mode, likewise.
      type: str
      sample: '0711'
    mounted:
      description: What is mounted at the path of a pool of the type netfs. Only for a local URI.
      type: str
      sample: nas.example.org:/export/images
    shared:
      description: Whether other hosts see what is in it; null where that cannot be told. Only for a local URI.
      type: bool
    filesystem:
      description: The storage behind it, named so that hosts agree. Only for a local URI.
      type: str
      sample: nfs:192.0.2.5:/export/images
    users:
      description: The running domains that have a disk in it.
      type: list
      elements: str
"""

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.pools import PoolGateway
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import PoolFacts

GatewayMaker = t.Callable[[str], PoolGateway]


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {**connection_spec(), "names": {"type": "list", "elements": "str", "default": []}}


def run(params: dict[str, t.Any], check_mode: bool, gateway: GatewayMaker) -> Result:
    """Read the pools."""
    with contextlib.closing(gateway(params["uri"])) as pools:
        return Result(values={"pools": chosen(pools.all(), params["names"], pools.host)})


def chosen(pools: list[PoolFacts], names: t.Sequence[str], host: str) -> list[PoolFacts]:
    """Those of ``pools`` that are asked for. Raises POOL_NOT_FOUND."""
    known = [pool.name for pool in pools]
    for name in names:
        if name not in known:
            raise KvmError(
                "POOL_NOT_FOUND",
                f"There is no storage pool '{name}' on {host}; it has {', '.join(known) or 'none'}.",
                pool=name,
                known=known,
            )
    return [pool for pool in pools if not names or pool.name in names]


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, lambda: PoolGateway, requires=("libvirt", "lxml"), info=True)


if __name__ == "__main__":
    main()
