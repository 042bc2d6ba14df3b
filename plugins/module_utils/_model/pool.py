# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Storage pools: what one is, and the steps from what it is to what is asked for, or one sentence why not. Pure."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

STATES = ("present", "active", "inactive", "absent")
TYPED = ("dir", "netfs", "logical")
#: Stopping such a pool takes its storage away from whoever uses it.
MOUNTED = ("netfs", "fs")


@dataclasses.dataclass(frozen=True)
class PoolDefinition:
    """What a pool is made of. ``directory`` is the exported folder of a netfs pool, ``source_name`` the volume group of a
    logical one; ``mount_options`` are given to mount besides libvirt's own."""

    name: str
    type: str
    path: t.Optional[str] = None
    hosts: tuple[str, ...] = ()
    directory: t.Optional[str] = None
    source_name: t.Optional[str] = None
    devices: tuple[str, ...] = ()
    source_format: t.Optional[str] = None
    protocol_version: t.Optional[str] = None
    mount_options: tuple[str, ...] = ()

    @property
    def mount_source(self) -> str | None:
        """What is mounted at ``path`` while the pool is active; None where nothing is, or it cannot be told."""
        if self.type != "netfs" or not self.hosts or not self.directory:
            return None
        if self.source_format == "cifs":
            return f"//{self.hosts[0]}/{self.directory.strip('/')}"
        return f"{self.hosts[0]}:{self.directory}"


@dataclasses.dataclass(frozen=True)
class PoolFacts:
    """A pool as it is. Sizes are bytes, of when it was last looked at by libvirt; ``mounted`` is what is mounted at its path, and
    ``users`` are the running domains that have a disk in it. ``shared`` and ``filesystem`` are as in Disk."""

    name: str
    uuid: str
    definition: PoolDefinition
    active: bool = False
    persistent: bool = True
    autostart: bool = False
    capacity: int = 0
    allocation: int = 0
    available: int = 0
    owner: t.Optional[int] = None
    group: t.Optional[int] = None
    mode: t.Optional[str] = None
    mounted: t.Optional[str] = None
    shared: t.Optional[bool] = None
    filesystem: t.Optional[str] = None
    users: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Its state in the words of the option."""
        return "active" if self.active else "inactive"


@dataclasses.dataclass(frozen=True)
class PoolStep:
    """One thing to do: ``action`` names it, ``before`` and ``after`` are for people."""

    action: str
    before: t.Any = None
    after: t.Any = None


@dataclasses.dataclass(frozen=True)
class Ground:
    """What is at the path of the pool that is asked for: ``exists`` tells whether there is a folder, ``entries`` a few of the
    names in it, ``mounted`` what is mounted there. None in ``exists`` where nobody can look."""

    exists: t.Optional[bool] = None
    entries: tuple[str, ...] = ()
    mounted: t.Optional[str] = None


def same_source(one: str | None, other: str | None) -> bool:
    """Whether two names of a mount's source mean the same."""
    return one is not None and other is not None and _plain(one) == _plain(other)


def _plain(source: str) -> str:
    host, colon, folder = source.rpartition(":")
    if not colon:
        return posixpath.normpath(source)
    return f"{host.strip('[]').lower()}:{posixpath.normpath(folder or '/')}"


def steps_to(
    present: PoolFacts | None,
    wanted: PoolDefinition | None,
    state: str,
    ground: Ground,
    *,
    defines: t.Sequence[str] | None,
    live: t.Sequence[str] = (),
) -> list[PoolStep]:
    """The steps that bring the pool to ``state``. Raises KvmError where there is no safe way.

    ``defines`` is how its saved definition will change (None: not at all), ``live`` how the one it runs with differs from what
    is asked for.
    """
    if state == "absent":
        return _to_absent(present)
    steps: list[PoolStep] = []
    active = present is not None and present.active
    if defines is not None:
        new = present is None or not present.persistent
        steps.append(PoolStep("define" if new else "redefine", None, list(defines)))
    if state == "inactive" and present is not None and active:
        steps.append(_stop(present))
    if state != "active" or wanted is None:
        return steps
    amiss = [*live, *_mount_amiss(present, wanted)]
    if active and not amiss:
        return steps
    if present is not None and active:
        steps.append(_stop(present, "; ".join(amiss)))
    _check_ground(wanted, ground, present if active else None)
    if ground.exists is False and wanted.type in ("dir", *MOUNTED):
        steps.append(PoolStep("create folder", None, wanted.path))
    steps.append(PoolStep("start", "inactive", "active"))
    return steps


def _to_absent(present: PoolFacts | None) -> list[PoolStep]:
    if present is None:
        return []
    steps = [_stop(present)] if present.active else []
    return [*steps, PoolStep("undefine", "defined", "absent")] if present.persistent else steps


def _stop(present: PoolFacts, why: str = "") -> PoolStep:
    if present.users:
        reason = f", which it must be for its new definition ({why})" if why else ""
        raise KvmError(
            "POOL_IN_USE",
            f"The storage pool '{present.name}' is not stopped{reason}, because running domains have disks in it: "
            f"{', '.join(present.users)}. Shut them down or move them away, and run again.",
            pool=present.name,
            domains=list(present.users),
        )
    return PoolStep("stop", "active", "inactive")


def _mount_amiss(present: PoolFacts | None, wanted: PoolDefinition) -> list[str]:
    """What is wrong with the mount of an active pool that says it is fine."""
    source = wanted.mount_source
    if present is None or not present.active or source is None or same_source(present.mounted, source):
        return []
    if present.mounted is None:
        return [f"{source} is not mounted at {wanted.path}"]
    return [f"{present.mounted} is mounted at {wanted.path}, and not {source}"]


def _check_ground(wanted: PoolDefinition, ground: Ground, running: PoolFacts | None) -> None:
    """Raises KvmError where mounting would hide what is there, or something else has taken the place."""
    source = wanted.mount_source
    if source is None or same_source(ground.mounted, source):
        return
    own = running.definition.mount_source if running and running.definition.path == wanted.path else None
    if same_source(ground.mounted, own):
        return
    if ground.mounted is not None:
        raise KvmError(
            "PATH_MOUNTED",
            f"The storage pool '{wanted.name}' cannot mount {source} at {wanted.path}, because {ground.mounted} is mounted there: "
            f"unmount that (and take it out of /etc/fstab), or give the pool another path.",
            path=wanted.path,
            mounted=ground.mounted,
        )
    if ground.entries:
        raise KvmError(
            "PATH_NOT_EMPTY",
            f"The storage pool '{wanted.name}' would hide what is in {wanted.path} ({', '.join(ground.entries)}) by mounting {source} "
            "over it: move that away, or give the pool another path.",
            path=wanted.path,
            entries=list(ground.entries),
        )
