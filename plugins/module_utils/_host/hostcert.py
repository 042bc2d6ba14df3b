# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One certificate for all that a hypervisor encrypts: libvirt as server and as client, and QEMU's streams. Whether it will do, and
which files have to say what. Pure."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import Ownership, amiss
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

AUTHORITY, CERTIFICATE, KEY, REVOCATIONS = "authority", "certificate", "key", "revocations"
_DAY = 86400.0


@dataclasses.dataclass(frozen=True)
class Place:
    """A file: where, what belongs into it, and whether QEMU's user has to read it."""

    path: str
    content: str
    for_qemu: bool = False


@dataclasses.dataclass(frozen=True)
class Seen:
    """A certificate that is there. ``objection`` is why the authority does not vouch for it; empty when it does."""

    names: frozenset[str] = frozenset()
    not_after: float = 0.0
    serial: str = ""
    objection: str = ""
    fits_key: bool = False


@dataclasses.dataclass(frozen=True)
class Present:
    """A file that is there."""

    text: str
    owner: Ownership


def reason_for_new(
    seen: Seen | None, names: t.Iterable[str], now: float, renew_days: int, authority_ends: float = math.inf
) -> str:
    """Why the host needs another certificate; empty while the one that it has will do. Times are seconds since the epoch."""
    if seen is None:
        return "there is none"
    if not seen.fits_key:
        return "its key is missing or another one"
    if seen.objection:
        return seen.objection
    missing = sorted(set(names) - seen.names)
    if missing:
        return f"it does not name {', '.join(missing)}"
    # One that is valid as long as its authority cannot be renewed by it for longer: each run would do that again.
    if _ends_soon(seen, now, renew_days) and seen.not_after < authority_ends:
        return f"it ends in less than {renew_days} days"
    return ""


def _ends_soon(seen: Seen, now: float, renew_days: int) -> bool:
    return seen.not_after - now < renew_days * _DAY


def ending(seen: Seen | None, now: float, renew_days: int) -> tuple[str, ...]:
    """What there is to warn of for a certificate that a user brought: only the user can renew it."""
    if seen is None or not _ends_soon(seen, now, renew_days):
        return ()
    return (
        f"The certificate that was brought for this host ends in {int((seen.not_after - now) / _DAY)} days, and nobody here can renew it: "
        "bring another one before.",
    )


@dataclasses.dataclass(frozen=True)
class Readers:
    """User and group that QEMU runs as, and those of the daemons."""

    qemu: tuple[int, int]
    root: tuple[int, int] = (0, 0)


def ownership(place: Place, readers: Readers) -> Ownership:
    """Keys are their reader's alone; all else may be read by everybody."""
    if place.content != KEY:
        return Ownership(*readers.root, 0o644)
    return Ownership(*(readers.qemu if place.for_qemu else readers.root), 0o600)


def file_changes(
    places: t.Sequence[Place],
    present: t.Mapping[str, Present],
    wanted: t.Mapping[str, str],
    readers: Readers,
) -> list[tuple[Place, Change]]:
    """The files that have to be written, given another owner, or removed. No text of a key is in what is told."""
    found: list[tuple[Place, Change]] = []
    for place in places:
        there, text = present.get(place.path), wanted.get(place.content, "")
        if not text:
            if there and place.content == REVOCATIONS:
                found.append((place, Change(place.path, "remove", place.content, None)))
            continue
        if there is None:
            found.append((place, Change(place.path, "write", None, place.content)))
        elif there.text != text:
            found.append((place, Change(place.path, "replace", f"another {place.content}", place.content)))
        else:
            wrong = amiss(there.owner, ownership(place, readers))
            if not wrong.empty:
                now = Ownership(
                    *(None if asked is None else had for had, asked in zip(_fields(there.owner), _fields(wrong)))
                )
                found.append((place, Change(place.path, "give", now.shown(), wrong.shown())))
    return found


def _fields(owner: Ownership) -> tuple[int | None, int | None, int | None]:
    return owner.owner, owner.group, owner.mode
