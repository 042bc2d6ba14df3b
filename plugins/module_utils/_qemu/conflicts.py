# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Who else on this host has the name, the UUID or a disk of a guest process that is about to start. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError


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


def _conflict(claim: Claim, rival: Rival, code: str, reason: str, **details: t.Any) -> KvmError:
    return KvmError(
        code,
        f"The guest process '{claim.name}' cannot be started: {reason}. Two guests would run where one may; stop and remove that one "
        "first, or describe another.",
        guest=claim.name,
        rival=rival.label,
        **details,
    )
