# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""By which method a domain moves, and which disks are copied on the way: one answer for planner, checker, mover."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PAUSED, PROCESS, Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host

LIVE_METHODS = ("live_shared", "live_block")
OFFLINE, SUSPENDED, SEEDED = "offline", "suspended", "seeded"
#: Methods during which the guest does not run for a while.
STOPPED_METHODS = (OFFLINE, SUSPENDED, SEEDED)
#: What a user may ask of a plan, which moves running domains, and of a move.
ASKABLE = ("auto", *LIVE_METHODS)
MOVE_METHODS = (*ASKABLE, *STOPPED_METHODS)
#: The option that permits to stop a running domain.
MAY_STOP = "may_stop"

#: What is known about a disk's image being the same file for source and destination.
SHARED, UNPROVEN, LOCAL, DISPROVEN = "shared", "unproven", "local", "disproven"


@dataclasses.dataclass(frozen=True)
class Choice:
    """``method`` and why; ``copied`` are the targets of the disks to copy. ``finding`` says why it cannot be used."""

    method: str
    reason: str
    finding: t.Optional[Finding] = None
    copied: tuple[str, ...] = ()


def folder_of(path: str) -> str:
    """The directory of a path on a host."""
    return posixpath.dirname(path) or "/"


def sharing(disk: Disk, destination: Host) -> str:
    """Whether ``destination`` sees the very image of ``disk``: SHARED, UNPROVEN (it may), LOCAL (only its host does) or
    DISPROVEN (its storage is shared, but the destination has other storage at that path)."""
    if disk.type == "network":
        return SHARED
    if disk.shared is False:
        return LOCAL
    if disk.type in ("file", "volume") and disk.source and disk.filesystem:
        pool = destination.pool_at(folder_of(disk.source))
        if pool is not None and pool.filesystem:
            if pool.filesystem != disk.filesystem:
                return DISPROVEN
            # A name that begins with "local:" means something on one host only: equal names prove nothing.
            if not pool.filesystem.startswith("local:"):
                return SHARED
    return UNPROVEN


def choose_method(domain: Domain, destination: Host, asked: str = "auto", disks: t.Sequence[str] = ()) -> Choice:
    """The method for moving ``domain`` to ``destination``; ``disks``, if not empty, limits copying to these targets."""
    if not domain.active:
        return _choose_shut_off(domain, destination, asked, disks)
    copied = _copied(domain, destination, asked, disks)
    if asked in STOPPED_METHODS:
        return Choice(asked, "asked for", _cannot_stop(domain, asked), tuple(disk.target for disk in copied))
    names = ", ".join(disk.target for disk in copied)
    targets = tuple(disk.target for disk in copied)
    if asked == "auto":
        if copied:
            place = "lies" if len(copied) == 1 else "lie"
            return Choice(
                "live_block", f"it is {domain.state} and {names} {place} on storage of its host alone", None, targets
            )
        return Choice("live_shared", f"it is {domain.state} and no disk has to be copied")
    if asked == "live_shared":
        local = ", ".join(disk.target for disk in copied)
        return Choice("live_shared", "asked for", _needs_copy(domain, local) if copied else None)
    if asked == "live_block":
        return Choice("live_block", "asked for", None if copied else _nothing_to_copy(domain), targets)
    return Choice(asked, "asked for", _unknown_method(domain, asked))


def _choose_shut_off(domain: Domain, destination: Host, asked: str, disks: t.Sequence[str]) -> Choice:
    """A domain that does not run moves offline, whatever stopped method is asked for; its saved state goes along."""
    reason = f"it is {domain.state}" + (" with saved state" if domain.managed_save else "")
    if asked != "auto" and asked not in STOPPED_METHODS:
        # Judged as the live move that was asked for; what a stop would cure is of no interest to who wants it running.
        return Choice(asked, reason, _not_active(domain))
    copied = _copied(domain, destination, asked, disks)
    return Choice(OFFLINE, reason, _transient(domain), tuple(disk.target for disk in copied))


def _transient(domain: Domain) -> Finding | None:
    if domain.persistent:
        return None
    return blocker(
        "METHOD_UNSUITABLE",
        domain.name,
        f"Domain '{domain.name}' is transient: once stopped it is gone, and nothing is left to be moved.",
        "Move it live, or define it first (virsh dumpxml, virsh define).",
    )


def _cannot_stop(domain: Domain, asked: str) -> Finding | None:
    """Why a running domain cannot be moved by the stopped method ``asked``, permitted or not."""
    if domain.kind == PROCESS and asked != OFFLINE:
        return blocker(
            "METHOD_UNSUITABLE",
            domain.name,
            f"Method {asked} is for domains of libvirt, and '{domain.name}' is a guest process.",
            f"Ask for {OFFLINE}, auto or a live method.",
            method=asked,
        )
    if domain.state == PAUSED and asked != SUSPENDED:
        return blocker(
            "METHOD_UNSUITABLE",
            domain.name,
            f"Method {asked} cannot move {domain.noun} '{domain.name}': it is paused, so it cannot shut itself down.",
            "Resume it first, or move it live."
            if domain.kind == PROCESS
            else f"Ask for {SUSPENDED}, which keeps it as it is, or resume it first.",
            method=asked,
        )
    return _transient(domain)


def may_not_stop(pair_move: str, domain: Domain, method: str) -> Finding:
    """MAY_NOT_STOP: the method stops a running domain, and nobody permitted that. ``pair_move`` begins the message."""
    stops = "suspend it to disk" if method == SUSPENDED else "shut it down"
    return Finding(
        "MAY_NOT_STOP",
        BLOCKER,
        domain.name,
        f"{pair_move}: it is {domain.state}, and method {method} would {stops}, which is not permitted.",
        {"state": domain.state, "method": method},
        f"Set {MAY_STOP} to true when the domain may stop for a while, or ask for a live method.",
        MAY_STOP,
    )


def _copied(domain: Domain, destination: Host, asked: str, disks: t.Sequence[str]) -> list[Disk]:
    """Disks whose bytes have to go along.

    Asking for live_shared says that unproven images are shared; nothing else does, except a disk that its own host
    already knows to be on shared storage.
    """
    chosen = []
    for disk in domain.disks:
        if not disk.copyable or disk.type not in ("file", "block") or (disks and disk.target not in disks):
            continue
        state = sharing(disk, destination)
        doubtful = state == DISPROVEN or (state == UNPROVEN and disk.shared is not True)
        if state == LOCAL or (doubtful and asked != "live_shared"):
            chosen.append(disk)
    return chosen


def _not_active(domain: Domain) -> Finding:
    return blocker(
        "NOT_ACTIVE",
        domain.name,
        f"{domain.noun.capitalize()} '{domain.name}' is {domain.state}, and a live method needs a running or paused one.",
        f"Ask for {OFFLINE} or auto, or start the domain.",
        state=domain.state,
    )


def _needs_copy(domain: Domain, local: str) -> Finding:
    return blocker(
        "METHOD_UNSUITABLE",
        domain.name,
        f"Method live_shared cannot move domain '{domain.name}': {local} is on storage that only its own host sees.",
        "Ask for live_block or auto, or put the disk on storage that both hosts share.",
        disks=local,
        method="live_shared",
    )


def _nothing_to_copy(domain: Domain) -> Finding:
    return blocker(
        "METHOD_UNSUITABLE",
        domain.name,
        f"Method live_block cannot move domain '{domain.name}': none of its disks is a local image to be copied.",
        "Ask for live_shared or auto.",
        method="live_block",
    )


def _unknown_method(domain: Domain, asked: str) -> Finding:
    return blocker(
        "METHOD_UNSUITABLE",
        domain.name,
        f"Method {asked} cannot move domain '{domain.name}': only {', '.join(MOVE_METHODS[1:])} are possible.",
        f"Ask for one of {', '.join(MOVE_METHODS)}.",
        method=asked,
    )
