# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Who else has the name, the UUID or a disk of a guest process that is about to start: on this host, or elsewhere since it moved. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.departed import Departure

MOVED_AWAY = "GUEST_MOVED_AWAY"


@dataclasses.dataclass(frozen=True)
class Rival:
    """Another guest. ``label`` says in words what it is, ``writes`` and ``reads`` are the images that it has."""

    label: str
    name: t.Optional[str] = None
    uuid: t.Optional[str] = None
    writes: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a guest needs for itself alone. ``images`` are path -> whether it writes; rivals call them by the same names."""

    name: str
    uuid: str
    images: t.Mapping[str, bool] = dataclasses.field(default_factory=dict)


def refuse_rivals(claim: Claim, rivals: t.Iterable[Rival]) -> None:
    """Raises NAME_CONFLICT, UUID_CONFLICT or DISK_IN_USE for the first rival that has what is claimed."""
    for rival in rivals:
        if rival.uuid == claim.uuid:
            raise _conflict(claim, rival, "UUID_CONFLICT", f"its UUID {claim.uuid} is that of {rival.label}")
        if rival.name == claim.name:
            raise _conflict(claim, rival, "NAME_CONFLICT", f"{rival.label} has this name, too")
        for path, writes in claim.images.items():
            if path in rival.writes or (writes and path in rival.reads):
                raise _conflict(claim, rival, "DISK_IN_USE", f"its disk {path} is used by {rival.label}", path=path)


def refuse_departed(claim: Claim, departures: t.Iterable[Departure]) -> None:
    """Raises GUEST_MOVED_AWAY for a guest that a move took to another host, and for one with a disk that such a guest left here."""
    for gone in departures:
        left = next((path for path, writes in claim.images.items() if writes and path in gone.images), None)
        if not gone.is_of(claim.name, claim.uuid) and left is None:
            continue
        if gone.is_of(claim.name, claim.uuid):
            who, same = "it", f"The guest process '{claim.name}'"
        else:
            who, same = f"the guest '{gone.name}', which left it here,", f"A guest with the disk {left}"
        why = f"{who} moved to {gone.host}"
        cure = f"run it there, or move it back with qemu_migration on {gone.host}"
        if not gone.certain:
            why = f"a move to {gone.host} ended too early to know where {who.rstrip(',')} runs"
            cure = "run qemu_migration again, which finishes or undoes the move"
        raise KvmError(
            MOVED_AWAY,
            f"{same} is not to run on this host: {why}, and two copies of a guest must never run. Instead {cure}; accept {MOVED_AWAY} only "
            "where it is certain that it will not run there.",
            guest=claim.name,
            moved=gone.name,
            host=gone.host,
            certain=gone.certain,
            path=left,
        )


def _conflict(claim: Claim, rival: Rival, code: str, reason: str, **details: t.Any) -> KvmError:
    return KvmError(
        code,
        f"The guest process '{claim.name}' cannot be started: {reason}. Two guests would run where one may; stop and remove that one "
        "first, or describe another.",
        guest=claim.name,
        rival=rival.label,
        **details,
    )
