# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What else interrupted work leaves on a fleet: domains that two hosts know, files, cordons, and what could not be read. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import (
    COPY,
    CORDON,
    FINISH,
    LEAVE,
    MOVE,
    UNDO,
    HostState,
    Options,
    SeenDomain,
    SeenFile,
    SeenGuest,
    Task,
    Thing,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move import decide
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_fleet import Fleet, when
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_moves import is_open

Known = tuple[HostState, SeenDomain]


def unread(fleet: Fleet) -> t.Iterator[Thing]:
    """Hosts, domains and records that could not be read."""
    for name in fleet.unread:
        yield Thing(
            "HOST_UNREAD", name, "host", f"{name} could not be read, so nothing is known of it.", LEAVE,
            "The task that reads the host says why; mend that, and run again. Until then no copy is removed anywhere.", "blocker",
        )  # fmt: skip
    for state in fleet.states:
        if state.domains_error:
            yield Thing(
                "HOST_UNREAD", state.name, "domains", f"The domains of {state.name} could not be read: {state.domains_error}", LEAVE,
                "Let its libvirt answer, and run again. Until then no copy is removed anywhere.", "blocker",
            )  # fmt: skip
        for number, message in enumerate(state.unreadable, 1):
            yield Thing(
                "RECORD_UNREADABLE", state.name, f"record {number}", message, LEAVE,
                "Look at the domain that it names on all hosts; remove the record when it is of no use.",
            )  # fmt: skip


def twice(fleet: Fleet) -> t.Iterator[Thing]:
    """Domains that more than one host knows, but for those of a move between just these that did not end."""
    pairs: dict[str, set[str]] = {}
    for state in fleet.states:
        for move in state.moves:
            there = fleet.host_of(move.journal.destination_uri, move.journal.destination_host)
            if is_open(move) and there is not None:
                pairs.setdefault(move.journal.uuid, set()).update((state.name, there.name))
    for uuid, places in sorted(fleet.by_uuid.items()):
        explained = {state.name for state, _domain in places} <= pairs.get(uuid, set())
        if not explained and (len(places) > 1 or any(_arriving(domain) for _state, domain in places)):
            yield from _twice(uuid, places)


def _arriving(domain: SeenDomain) -> bool:
    seen = domain.sighting
    return seen.active and seen.state == "paused" and seen.reason in decide.MIGRATION_REASONS


def _twice(uuid: str, places: list[Known]) -> t.Iterator[Thing]:
    name = places[0][1].sighting.name
    evidence = {
        "uuid": uuid,
        "places": {state.name: f"{one.sighting.state} ({one.sighting.reason})" for state, one in places},
        "disks": {
            state.name: {disk.path: when(disk.written) or "not there" for disk in one.disks} for state, one in places
        },
    }
    said = ", ".join(f"{one.sighting.state} on {state.name}" for state, one in places)
    active = [place for place in places if place[1].sighting.active]
    if any(one.sighting.job == "migration_out" for _state, one in active):
        yield Thing(
            "MOVE_RUNNING", active[0][0].name, f"domain {name}", f"Domain '{name}' is {said}: libvirt migrates it right now.", LEAVE,
            "No journal of ours knows of this migration, so whoever started it looks after it.", "info", evidence=evidence,
        )  # fmt: skip
        return
    waiting = [state for state, one in active if _arriving(one)]
    if waiting:
        state = waiting[0]
        yield Thing(
            "INCOMING_UNKNOWN", state.name, f"domain {name}", f"Domain '{name}' is {said}; on {state.name} it waits for a migration of "
            "which no host knows.", LEAVE, "libvirt ends it when its connection to the source breaks. If it stays so, make sure on which "
            "host the domain runs, then end the one that waits ('virsh destroy').", evidence=evidence,
        )  # fmt: skip
        return
    if len(active) > 1:
        yield Thing(
            "TWO_RUNNING_COPIES", active[0][0].name, f"domain {name}", f"Domain '{name}' is {said}: it runs twice.", LEAVE,
            "Nobody can say which holds the newer data. Find that out, and end the other one by hand at once.", "blocker",
            evidence=evidence,
        )  # fmt: skip
        return
    if not active:
        yield Thing(
            "DEFINED_TWICE", places[0][0].name, f"domain {name}", f"Domain '{name}' is {said}, and runs nowhere.", LEAVE,
            "No journal says where it belongs. Compare its disks (see when each was written), start it where they are right, and "
            "undefine it elsewhere before somebody starts both.", evidence=evidence,
        )  # fmt: skip
        return
    yield from _definitions(name, active[0], [place for place in places if place is not active[0]], evidence)


def _definitions(name: str, home: Known, others: list[Known], evidence: dict[str, t.Any]) -> t.Iterator[Thing]:
    """It runs on one host, and others still have a definition of it."""
    for state, domain in others:
        decision = decide.decide(name, domain.sighting, home[1].sighting, None)
        proven = decision.action == decide.FINISH and bool(home[0].uri)
        options = {
            "name": domain.sighting.uuid,
            "destination": home[0].uri,
            "destination_label": home[0].name,
            "source_label": state.name,
        }
        yield Thing(
            "DEFINED_TWICE",
            state.name,
            f"domain {name}",
            f"Domain '{name}' runs on {home[0].name} and is still defined on {state.name} ({domain.sighting.state}, "
            f"{domain.sighting.reason}).",
            FINISH if proven else LEAVE,
            f"libvirt on {state.name} says itself that it migrated away, so its definition there goes; its disks stay."
            if proven
            else f"Nothing proves that a move left that definition. If it is of no use, 'virsh undefine' it on {state.name}, so nobody "
            "starts a second copy.",
            evidence=evidence,
            task=Task(MOVE, options) if proven else Task(),
        )


def guests_twice(fleet: Fleet) -> t.Iterator[Thing]:
    """Guest processes with one UUID that run on two hosts."""
    places: dict[str, list[tuple[HostState, SeenGuest]]] = {}
    for state in fleet.states:
        for guest in state.guests:
            if guest.uuid and guest.state == "running":
                places.setdefault(guest.uuid, []).append((state, guest))
    for uuid, found in sorted(places.items()):
        if len(found) < 2:
            continue
        name = found[0][1].name or uuid
        said = " and ".join(f"on {state.name} (process {guest.pid})" for state, guest in found)
        yield Thing(
            "TWO_RUNNING_COPIES", found[0][0].name, f"guest {name}", f"The guest '{name}' runs {said}.", LEAVE,
            "Two guests may bear one UUID by mistake; then give one of them another. If they are one, find out which holds the newer data, "
            "and end the other one by hand at once.", "blocker",
            evidence={"uuid": uuid, "disks": {state.name: list(guest.disks) for state, guest in found}},
        )  # fmt: skip


# -- files ---------------------------------------------------------------------------------------------------------------


def files(fleet: Fleet, options: Options) -> t.Iterator[Thing]:
    """Copies in the making that no move goes on with, old copies, and images that lie where a domain elsewhere has its own."""
    told: set[tuple[str, int]] = set()
    for state in fleet.states:
        for file in state.files:
            # On shared storage every host shows the same file.
            key = (file.path, file.inode)
            thing = _file(fleet, state, file, options) if key not in told else None
            if thing is not None:
                told.add(key)
                yield thing


def _file(fleet: Fleet, state: HostState, file: SeenFile, options: Options) -> Thing | None:
    if file.staged_for:
        return _staged(fleet, state, file, options)
    if file.left_by:
        return _left(fleet, state, file)
    return _unexplained(fleet, state, file)


def _staged(fleet: Fleet, state: HostState, file: SeenFile, options: Options) -> Thing | None:
    journals = [move for one in fleet.states for move in one.moves if move.journal.uuid.startswith(file.staged_for)]
    if any(is_open(move) or move.driven for move in journals):
        return None
    owners = [uuid for uuid in fleet.by_uuid if uuid.startswith(file.staged_for)]
    name = fleet.by_uuid[owners[0]][0][1].sighting.name if owners else ""
    whose = f"domain '{name}'" if name else f"a domain whose UUID begins with {file.staged_for}"
    blind = fleet.unread or any(one.domains_error for one in fleet.states)
    severity, task, action = "warning", Task(), LEAVE
    if options.copies == "keep":
        severity, why = (
            "info",
            "It is kept (repair_copies=keep); the next stopped move of that domain to here sends only the rest.",
        )
    elif blind:
        why = "Not every host could be read, so a move that still needs it might not be seen."
    elif len(owners) != 1:
        why = "No host knows that domain, so nobody can say whether its data is anywhere else. Look at it, and remove it by hand."
    elif file.opened:
        why = f"A process of {state.name} has it open. Find out which."
    else:
        action, task = UNDO, Task(COPY, {"path": file.path, "uuid": owners[0]})
        places = ", ".join(one.name for one, _domain in fleet.by_uuid[owners[0]])
        why = (
            f"Every host was read and no move goes on with it; such a copy gets its name only once it is complete, so the data is where "
            f"the domain is ({places})."
        )
    return Thing(
        "COPY_ORPHANED", state.name, file.path, f"{file.path} on {state.name} is a copy in the making, by its name from a stopped move of "
        f"{whose}.", action, why, severity, evidence=_evidence(file), task=task,
    )  # fmt: skip


def _left(fleet: Fleet, state: HostState, file: SeenFile) -> Thing:
    places = fleet.by_uuid.get(file.left_by, [])
    name = places[0][1].sighting.name if places else ""
    now = f"it is on {', '.join(one.name for one, _domain in places)} now" if places else "no host knows it now"
    whose = f"domain '{name}'" if name else f"the domain {file.left_by}"
    why = "It was left on purpose (source_disks=keep). A move back replaces it; remove it with its marker when you want the room."
    if not places:
        why = "Without the domain it may be the last copy of its disk, so it stays."
    return Thing(
        "COPY_KEPT", state.name, file.path, f"{file.path} on {state.name} is an old copy of a disk of {whose}, by the marker beside it; "
        f"{now}.", LEAVE, why, "info" if places else "warning", evidence=_evidence(file),
    )  # fmt: skip


def _unexplained(fleet: Fleet, state: HostState, file: SeenFile) -> Thing | None:
    for other, domain, inode in fleet.disk_at.get(file.path, ()):
        if other.name == state.name or inode == file.inode or _part_of_move(other, domain, file.path):
            continue
        return Thing(
            "IMAGE_UNEXPLAINED", state.name, file.path, f"{file.path} on {state.name} has the path of a disk of domain "
            f"'{domain.sighting.name}' on {other.name}; no domain of {state.name} uses it, and neither journal nor marker says that a move "
            "of ours made or left it.", LEAVE, "Nothing proves that it is not needed. A move of that domain to here will refuse "
            "(IMAGE_EXISTS) until it is gone, renamed, or accepted.", evidence=_evidence(file),
        )  # fmt: skip
    return None


def _part_of_move(source: HostState, domain: SeenDomain, path: str) -> bool:
    return any(
        is_open(move)
        and move.journal.uuid == domain.sighting.uuid
        and (
            any(image.path == path for image in move.journal.created_images)
            or any(piece.path == path for piece in move.journal.pieces)
        )
        for move in source.moves
    )


def _evidence(file: SeenFile) -> dict[str, t.Any]:
    return {"allocated": file.allocated, "written": when(file.written), "open": file.opened}


# -- cordons -------------------------------------------------------------------------------------------------------------


def cordons(fleet: Fleet, options: Options) -> t.Iterator[Thing]:
    """Hosts that are cordoned, and nothing moves away from them."""
    for state in fleet.states:
        busy = any(move.driven for move in state.moves) or any(move.driven for move in state.guest_moves)
        if not state.cordoned or busy:
            continue
        reason = f" ({state.cordon_reason})" if state.cordon_reason else ""
        since = f" since {when(state.cordon_since)}" if state.cordon_since else ""
        domains = sum(one.sighting.active for one in state.domains)
        why = (
            "Asked for (repair_uncordon)."
            if options.uncordon
            else "A host that was emptied stays cordoned on purpose until it is back in service. If nobody works on it any more, take the "
            "mark away (host_cordon, or repair_uncordon=true)."
        )
        yield Thing(
            "CORDONED", state.name, "host", f"{state.name} is cordoned{since}{reason}, and no move away from it is running.",
            UNDO if options.uncordon else LEAVE, why, "info",
            evidence={"since": when(state.cordon_since), "reason": state.cordon_reason, "running": domains},
            task=Task(CORDON) if options.uncordon else Task(),
        )  # fmt: skip
