# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a libvirtd says of its domains, as a move sees them: of one, or of all; and the folders in which their images lie."""

from __future__ import annotations

import contextlib
import os
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    Connection,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.states import (
    job_operation_name,
    reason_name,
    state_name,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import SeenDisk, SeenDomain
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse

_RUNNING_JOBS = (1, 2)
_DISKS = "devices/disk[not(@device) or @device='disk']/source/@*[name()='file' or name()='dev']"
_NAMED = "//@file | //@dev"


def sighting_of(host: str, domain: t.Any, *, with_job: bool) -> Sighting:
    """What libvirt on ``host`` says of the domain now. May raise libvirtError, as when it has just gone."""
    number, reason = domain.state()[:2]
    state = state_name(number)
    return Sighting(
        host,
        found=True,
        uuid=domain.UUIDString().lower(),
        name=domain.name(),
        state=state,
        reason=reason_name(state, reason),
        persistent=bool(domain.isPersistent()),
        autostart=bool(domain.isPersistent() and domain.autostart()),
        job=_job(domain) if domain.isActive() and with_job else None,
    )


def _job(domain: t.Any) -> str | None:
    with contextlib.suppress(library().libvirtError):
        stats = domain.jobStats(0)
        if stats.get("type") in _RUNNING_JOBS:
            return job_operation_name(int(stats.get("operation") or 0))
    return None


def see_all(connection: Connection, host: str) -> list[SeenDomain]:
    """Every domain of the host, by name, with its disks and whatever else its definition names."""
    with translated(f"Cannot list the domains at '{connection.uri}'"):
        domains = connection.handle.listAllDomains(0)
    found = []
    for domain in domains:
        try:
            root = parse(domain.XMLDesc(0))
            seen = sighting_of(host, domain, with_job=True)
        except library().libvirtError as exc:
            if libvirt_code(exc) == library().VIR_ERR_NO_DOMAIN:
                continue
            with translated(f"Cannot read a domain at '{connection.uri}'"):
                raise
        disks = tuple(_disk(str(path)) for path in root.xpath(_DISKS))
        found.append(SeenDomain(seen, disks, tuple(sorted({str(path) for path in root.xpath(_NAMED)}))))
    return sorted(found, key=lambda one: (one.sighting.name, one.sighting.uuid))


def _disk(path: str) -> SeenDisk:
    try:
        status = os.stat(path)
    except OSError:
        return SeenDisk(path)
    return SeenDisk(path, status.st_mtime, status.st_ino)


def image_folders(connection: Connection, domains: t.Iterable[SeenDomain]) -> set[str]:
    """The folders of the pools that run, and those of the domains' disks."""
    lib = library()
    folders = {
        posixpath.dirname(path)
        for one in domains
        for path in (disk.path for disk in one.disks)
        if not path.startswith("/dev/")
    }
    with translated(f"Cannot read the storage pools at '{connection.uri}'"):
        pools = connection.handle.listAllStoragePools(lib.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    for pool in pools:
        with contextlib.suppress(lib.libvirtError):
            path = parse(pool.XMLDesc(0)).findtext("target/path") or ""
            if path.startswith("/") and not path.startswith("/dev"):
                folders.add(path.rstrip("/"))
    return folders
