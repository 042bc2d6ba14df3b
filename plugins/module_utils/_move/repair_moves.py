# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What is to become of moves that were interrupted, by the tables that decide it when a move is run again; and their remains. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import INCOMING, BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import (
    ARRIVAL,
    FINISH,
    GUEST_MOVE,
    LEAVE,
    MOVE,
    UNDO,
    HostState,
    SeenGuest,
    SeenGuestMove,
    SeenMove,
    Task,
    Thing,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_decide, decide
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_fleet import Fleet, when

JOURNALS = "/var/lib/virtops-kvm/moves"
_CLOSED = ("done", "undone")


def is_open(move: SeenMove) -> bool:
    """Whether the move neither ended nor was taken back."""
    return move.journal.stage not in _CLOSED


def domain_moves(fleet: Fleet) -> t.Iterator[Thing]:
    """One thing for each move of a domain that did not end."""
    for state in fleet.states:
        for move in state.moves:
            if is_open(move):
                yield (
                    _running(state, move.journal, f"domain {move.journal.domain}")
                    if move.driven
                    else _domain(fleet, state, move.journal)
                )


def _running(state: HostState, journal: Journal | BareJournal, what: str) -> Thing:
    return Thing(
        "MOVE_RUNNING",
        state.name,
        what,
        f"The {what} is being moved from {state.name} to {journal.destination_host} right now (stage {journal.stage}).",
        LEAVE,
        "A process drives this move, so nothing is wrong with it.",
        "info",
        evidence={"stage": journal.stage, "method": journal.method},
    )


def _domain(fleet: Fleet, state: HostState, journal: Journal) -> Thing:
    there_state = fleet.host_of(journal.destination_uri, journal.destination_host)
    there_name = there_state.name if there_state else journal.destination_host
    source = _seen(state, journal.uuid)
    there = (
        _seen(there_state, journal.uuid)
        if there_state
        else Sighting(there_name, reachable=False, error="it was not read")
    )
    evidence = {
        "journal": f"{JOURNALS}/{journal.uuid}.json",
        "stage": journal.stage,
        "method": journal.method,
        "since": when(journal.updated),
        "source": _told(source),
        "destination": _told(there),
        "made_there": sorted(
            {image.path for image in journal.created_images} | {piece.staged for piece in journal.pieces}
        ),
    }
    what = (
        f"The move of domain '{journal.domain}' from {state.name} to {there_name} ({journal.method}) was interrupted in the stage "
        f"{journal.stage}: it is {_told(source)} on {state.name}, and {_told(there)} on {there_name}."
    )
    action, why, cause = _verdict(journal, source, there, there_name)
    options = {
        "name": journal.uuid,
        "destination": journal.destination_uri,
        "destination_label": journal.destination_host,
        "source_label": journal.source_host,
        **({"transfer_host": journal.transfer_host} if journal.transfer_host else {}),
    }
    return Thing(
        "MOVE_INTERRUPTED", state.name, f"domain {journal.domain}", what, action, why,
        "blocker" if cause in ("TWO_RUNNING_COPIES", "POSTCOPY_FAILED", "OWNERSHIP_UNPROVEN") else "warning", cause, evidence,
        Task() if action == LEAVE else Task(MOVE, options),
    )  # fmt: skip


def _seen(state: HostState, uuid: str) -> Sighting:
    if state.domains_error:
        return Sighting(state.name, reachable=False, error=state.domains_error)
    found = [one.sighting for one in state.domains if one.sighting.uuid == uuid]
    return found[0] if found else Sighting(state.name)


def _told(seen: Sighting) -> str:
    if not seen.reachable:
        return f"not to be seen ({seen.error.rstrip('.')})"
    if not seen.found:
        return "not known"
    return f"{seen.state} ({seen.reason})" if seen.reason not in ("", "unknown") else seen.state


def _verdict(journal: Journal, source: Sighting, there: Sighting, there_name: str) -> tuple[str, str, str]:
    """The action, why, and the code of the refusal."""
    if not source.reachable:
        return (
            LEAVE,
            f"The domains of {source.host} could not be read: {source.error} Mend that, and run again.",
            "HOST_UNREACHABLE",
        )
    decision = decide.decide(journal.domain, source, there, journal, journal.method)
    if decision.action == decide.REFUSE:
        if decision.code == "HOST_UNREACHABLE":
            return (
                LEAVE,
                f"{there_name} has to be looked at, too: make it answer, name it among the hosts (repair_hosts), and run again.",
                decision.code,
            )
        return LEAVE, decision.message, decision.code
    if decision.action == decide.ATTACH:
        return (
            FINISH,
            f"libvirt on {source.host} goes on with it by itself and nobody drives that, so it is followed to its end.",
            "",
        )
    if decision.action == decide.WAIT:
        return (
            FINISH,
            "Both hosts are still agreeing about it; what they then say decides whether it is finished or taken back.",
            "",
        )
    if decision.action in (decide.FINISH, decide.CONTINUE, decide.ALREADY_THERE):
        start = f", it is started on {there_name}" if decision.action == decide.CONTINUE else ""
        left = (
            f", its definition leaves {source.host}"
            if decision.leftover and decision.action != decide.ALREADY_THERE
            else ""
        )
        return (
            FINISH,
            f"{there_name} has the domain, and {source.host} does not run it: it is verified there{start}{left}.",
            "",
        )
    again = " and lets it run again" if decision.action == decide.RESUME_SOURCE or _starts(journal, source) else ""
    return (
        UNDO,
        f"{source.host} has the domain, and {there_name} does not: what the move made there goes; {source.host} keeps it as it is{again}.",
        "",
    )


def _starts(journal: Journal, source: Sighting) -> bool:
    return journal.stopped and not source.active


# -- guest processes -----------------------------------------------------------------------------------------------------


def guest_moves(fleet: Fleet) -> t.Iterator[Thing]:
    """One thing for each move of a guest process that did not end, by the record of its source."""
    for state in fleet.states:
        for move in state.guest_moves:
            what = f"guest {move.journal.name}"
            yield _running(state, move.journal, what) if move.driven else _guest(fleet, state, move)


def _guest(fleet: Fleet, state: HostState, move: SeenGuestMove) -> Thing:
    journal, there_state = move.journal, fleet.host_of(move.journal.destination, move.journal.destination_host)
    there_name = there_state.name if there_state else journal.destination_host
    there = (
        guest_there(there_state, journal)
        if there_state
        else BareSighting(there_name, reachable=False, error="it was not read")
    )
    evidence = {
        "journal": f"{JOURNALS}/guest-{journal.key}.json",
        "stage": journal.stage,
        "method": journal.method,
        "since": when(journal.updated),
        "source": _told_guest(move.here),
        "destination": _told_guest(there),
        "unit": journal.unit,
        "made_there": list(journal.images),
    }
    what = (
        f"The move of the guest '{journal.name}' from {state.name} to {there_name} ({journal.method}) was interrupted in the stage "
        f"{journal.stage}: it is {_told_guest(move.here)} on {state.name}, and {_told_guest(there)} on {there_name}."
    )
    decision = bare_decide.decide(journal.name, move.here, there, journal)
    action, why = _guest_verdict(decision, state.name, there_name)
    options = {
        "name": journal.name,
        "method": journal.method,
        "destination": journal.destination,
        "destination_label": journal.destination_host,
        "source_label": journal.source_host,
    }
    return Thing(
        "MOVE_INTERRUPTED", state.name, f"guest {journal.name}", what, action, why,
        "blocker" if decision.code in ("TWO_RUNNING_COPIES", "POSTCOPY_FAILED", "OWNERSHIP_UNPROVEN") else "warning",
        decision.code if action == LEAVE else "", evidence, Task() if action == LEAVE else Task(GUEST_MOVE, options),
    )  # fmt: skip


def _guest_verdict(decision: bare_decide.Decision, here: str, there: str) -> tuple[str, str]:
    if decision.action == bare_decide.REFUSE:
        if decision.code == "HOST_UNREACHABLE":
            return (
                LEAVE,
                f"{there} has to be looked at, too: make it answer, name it among the hosts (repair_hosts), and run again.",
            )
        return LEAVE, decision.message
    if decision.action == bare_decide.CONTINUE:
        return (
            FINISH,
            f"The guest is off and never ran on {there}: its images are copied and proven, and it starts there.",
        )
    if decision.action in (bare_decide.FINISH, bare_decide.RELEASE, bare_decide.ALREADY_THERE):
        return (
            FINISH,
            f"{there} has all of the guest, and it does not run on {here}: it goes on there, and what is left here ends.",
        )
    return (
        UNDO,
        f"{there} never ran the guest: its half there ends, what the move made there goes, and the guest is on {here} as before.",
    )


def guest_there(state: HostState, journal: BareJournal) -> BareSighting:
    """What the destination shows of the guest: by its own record, else by name and UUID."""
    for arrival in state.arrivals:
        if arrival.journal.key == journal.key:
            return arrival.here
    for guest in state.guests:
        if is_guest(guest, journal):
            return BareSighting(state.name, found=True, pid=guest.pid, state=guest.state or "unknown")
    return BareSighting(state.name)


def is_guest(guest: SeenGuest, journal: BareJournal) -> bool:
    """Whether the process has the guest's name or UUID."""
    return journal.name in (guest.name, guest.uuid) or bool(journal.uuid and journal.uuid == guest.uuid)


def _told_guest(seen: BareSighting) -> str:
    if not seen.reachable:
        return f"not to be seen ({seen.error.rstrip('.')})"
    if not seen.found:
        return "not there"
    return f"process {seen.pid}, {seen.state}" if seen.state else f"process {seen.pid}, which does not answer"


def arrivals(fleet: Fleet) -> t.Iterator[Thing]:
    """What a host waits for, or has of a guest, by a move of which its source knows nothing any more."""
    for state in fleet.states:
        for arrival in state.arrivals:
            record = arrival.journal
            if arrival.driven or _known(fleet, record):
                continue
            action, why, cause = _arrival_verdict(fleet, state, arrival)
            yield Thing(
                "INCOMING_STALE",
                state.name,
                f"guest {record.name}",
                f"{state.name} has a half of the guest '{record.name}' that came from {record.source_host} ({record.method}, stage "
                f"{record.stage}): it is {_told_guest(arrival.here)}, and no move on {record.source_host} knows of it.",
                action,
                why,
                cause=cause,
                evidence={
                    "record": f"{JOURNALS}/incoming-{record.key}.json",
                    "since": when(record.updated),
                    "process": arrival.here.pid,
                    "state": arrival.here.state,
                    "unit": record.unit,
                    "images": list(record.images),
                },
                task=Task() if action == LEAVE else Task(ARRIVAL, {"guest": record.name}),
            )


def _known(fleet: Fleet, record: BareJournal) -> bool:
    """Whether the source's own record is of the same move, so that the thing is that move."""
    return any(move.journal.id == record.id for state in fleet.states for move in state.guest_moves)


def _arrival_verdict(fleet: Fleet, state: HostState, arrival: SeenGuestMove) -> tuple[str, str, str]:
    record = arrival.journal
    against = bare_decide.never_ran(record, arrival.here)
    if against:
        return LEAVE, f"It {against}. Find out whether it is needed, and end it by hand if not.", "OWNERSHIP_UNPROVEN"
    source = fleet.host_of("", record.source_host)
    if source is None:
        return (
            LEAVE,
            f"{record.source_host} has to be looked at, too: name it among the hosts (repair_hosts), and run again.",
            "HOST_UNREACHABLE",
        )
    others = [
        one.name
        for one in fleet.states
        if one.name != state.name and any(is_guest(guest, record) for guest in one.guests)
    ]
    if not others:
        return (
            LEAVE,
            f"The guest runs nowhere else, so nobody can say whether {record.source_host} has its disks. Start it there, and run again.",
            "OWNERSHIP_UNPROVEN",
        )
    return (
        UNDO,
        f"It never ran here, by its record and by QEMU's own word, and the guest is on {', '.join(others)}: the process of that move ends, "
        "and what it made goes.",
        "",
    )


def strangers(fleet: Fleet) -> t.Iterator[Thing]:
    """Processes and domains that wait for a migration which nothing of ours knows."""
    for state in fleet.states:
        known = {arrival.here.pid for arrival in state.arrivals}
        for guest in state.guests:
            if guest.state == INCOMING and guest.pid not in known:
                yield Thing(
                    "INCOMING_UNKNOWN",
                    state.name,
                    f"process {guest.pid}",
                    f"A QEMU process of {state.name} ({guest.pid}, guest '{guest.name or guest.uuid}') waits for a migration "
                    f"({guest.incoming}), and no record says that a move of ours started it.",
                    LEAVE,
                    "Nothing proves whose it is. End it by hand if nobody needs it.",
                    evidence={"pid": guest.pid, "uuid": guest.uuid, "unit": guest.unit, "disks": list(guest.disks)},
                )
