# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What to do about a domain, from what both hosts say of it: the table that keeps it from ever running twice."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PAUSED
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import STOPPED_METHODS
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Sighting

MOVE = "move"
ATTACH = "attach"
WAIT = "wait"
ALREADY_THERE = "already_there"
FINISH = "finish"
RESUME_SOURCE = "resume_source"
CONTINUE = "continue"
REFUSE = "refuse"

#: Reasons of a paused domain that say: an incoming or outgoing migration paused it, not a person.
MIGRATION_REASONS = ("migration", "starting_up", "postcopy")
#: Stages from which on the destination may have been started.
_MAY_HAVE_SWITCHED = ("switch", "verify", "release", "done")


@dataclasses.dataclass(frozen=True)
class Decision:
    """``action`` is one of the constants above. A refusal has ``code`` and ``message``; FINISH says by ``leftover`` what is left of
    the domain on the source: nothing, ``definition`` (shut off) or ``paused`` (the half that migrated away)."""

    action: str
    code: str = ""
    message: str = ""
    leftover: str = ""


def decide(name: str, source: Sighting, destination: Sighting, journal: Journal | None, asked: str = "") -> Decision:
    """The one table of both sightings (semantics 1.4 and 3). ``journal`` is that of the last move of this domain, if any;
    ``asked`` the method that the user wants, where that matters: only a live move insists that the domain runs."""
    if _stopped_unfinished(journal) and destination.reachable and _same(source, destination):
        decision = _stopped(name, source, destination, t.cast(Journal, journal))
        if decision is not None:
            return decision
    if source.found and source.job == "migration_out":
        return Decision(ATTACH)
    if not destination.reachable:
        return _unseen_destination(name, source, destination, journal)
    if not source.found and not destination.found:
        return Decision(
            REFUSE,
            "DOMAIN_NOT_FOUND",
            f"There is no domain '{name}' on {source.host}, and none on {destination.host}; check its name and where it runs.",
        )
    if source.found and destination.found and source.uuid != destination.uuid:
        # Another domain with the same name: the preflight says so in full (NAME_CONFLICT).
        return Decision(MOVE)
    if destination.active:
        return _seen_there(name, source, destination, journal)
    if not source.found and destination.found and (asked == "auto" or asked in STOPPED_METHODS):
        return Decision(ALREADY_THERE)
    if not source.found:
        return Decision(
            REFUSE,
            "DOMAIN_NOT_FOUND" if not _ours(journal, destination) else "DOMAIN_NOT_RUNNING",
            f"Domain '{name}' is not on {source.host}, and on {destination.host} it is {destination.state or 'not running'}; "
            "a live move needs a running domain, and it is not started by itself.",
        )
    return _only_source(name, source)


def _stopped_unfinished(journal: Journal | None) -> bool:
    return journal is not None and journal.method in STOPPED_METHODS and journal.stage not in ("done", "undone")


def _same(source: Sighting, destination: Sighting) -> bool:
    """Not two domains that share a name only."""
    return not (source.found and destination.found) or source.uuid == destination.uuid


def _stopped(name: str, source: Sighting, destination: Sighting, journal: Journal) -> Decision | None:
    """After a move with a stopped guest that did not end; None where the common rows say enough.

    Before its switch nothing of it can run on the destination. From the switch on the destination has the newest data, or may
    have it; so it goes forward there, and never back.
    """
    switched = journal.stage in _MAY_HAVE_SWITCHED
    if source.active and destination.active:
        return None
    if destination.active:
        if not switched:
            return Decision(
                REFUSE,
                "ALREADY_RUNNING_ON_DESTINATION",
                f"Domain '{name}' is {destination.state} on {destination.host}, although its move from {source.host} had not come to "
                "start it there. Nothing was touched. Find out who started it there, and which side has the newer data.",
            )
        if destination.state == PAUSED and destination.reason in MIGRATION_REASONS:
            return Decision(WAIT)
        return Decision(FINISH, leftover="definition" if source.found else "")
    if source.active or not switched:
        # Where it runs here again, somebody started it: what the destination has is out of date, and the preflight speaks of it.
        return Decision(MOVE) if source.found else None
    if destination.found:
        return Decision(
            CONTINUE if journal.stage == "switch" else FINISH, leftover="definition" if source.found else ""
        )
    if source.found:
        return Decision(
            REFUSE,
            "OWNERSHIP_UNPROVEN",
            f"Domain '{name}' was being started on {destination.host}, which does not know it any more, and is {source.state} on "
            f"{source.host}; so nobody can say which disks hold the newest data. Nothing was touched. Compare the images on both "
            f"hosts; then start it where they are right, or remove {journal.domain}'s journal and run again.",
        )
    return None


def _only_source(name: str, source: Sighting) -> Decision:
    """The destination is proven not to run it."""
    if source.state == PAUSED and source.reason == "postcopy_failed":
        return Decision(REFUSE, "POSTCOPY_FAILED", _torn(name, source.host))
    if source.state == PAUSED and source.reason in MIGRATION_REASONS:
        return Decision(RESUME_SOURCE)
    return Decision(MOVE)


def _seen_there(name: str, source: Sighting, destination: Sighting, journal: Journal | None) -> Decision:
    arriving = destination.state == PAUSED and destination.reason in MIGRATION_REASONS
    if "postcopy_failed" in (source.reason, destination.reason):
        return Decision(REFUSE, "POSTCOPY_FAILED", _torn(name, source.host))
    if not source.active:
        if arriving:
            return Decision(WAIT)
        if not source.found:
            return Decision(FINISH if _unfinished(journal, destination) else ALREADY_THERE)
        proven = source.reason == "migrated" or _unfinished(journal, destination)
        return Decision(FINISH, leftover="definition") if proven else Decision(ALREADY_THERE, leftover="definition")
    if source.state == PAUSED and source.reason in MIGRATION_REASONS:
        return Decision(WAIT) if arriving else Decision(FINISH, leftover="paused")
    if arriving:
        return Decision(WAIT)
    return Decision(
        REFUSE,
        "TWO_RUNNING_COPIES",
        f"Domain '{name}' is {source.state} on {source.host} and {destination.state} on {destination.host} at once. Nothing was "
        "touched. Find out which copy holds the newer data, and end the other one by hand at once.",
    )


def _unseen_destination(name: str, source: Sighting, destination: Sighting, journal: Journal | None) -> Decision:
    switched = journal is not None and journal.stage in _MAY_HAVE_SWITCHED and journal.stage != "done"
    migrated = source.reason in (*MIGRATION_REASONS, "migrated") and source.state != "running"
    if source.found and (switched or migrated):
        return Decision(
            REFUSE,
            "OWNERSHIP_UNPROVEN",
            _unproven(name, source, destination),
        )
    return Decision(
        REFUSE,
        "HOST_UNREACHABLE",
        f"{source.host} cannot reach libvirt on {destination.host}: {destination.error or 'no answer'}.",
    )


def after_attempt(name: str, source: Sighting, destination: Sighting, journal: Journal) -> Decision:
    """The same table after the migration call ended, whatever it said. MOVE now means: it is on the source, as before."""
    if source.found and source.job == "migration_out":
        return Decision(WAIT)
    if not destination.reachable:
        as_before = source.active and (source.state == PAUSED) == (journal.state == PAUSED)
        if as_before and journal.stage not in _MAY_HAVE_SWITCHED:
            # Memory never began to flow, so the destination has nothing that it could run.
            return Decision(MOVE)
        return Decision(REFUSE, "OWNERSHIP_UNPROVEN", _unproven(name, source, destination))
    decision = decide(name, source, destination, dataclasses.replace(journal, stage="switch"))
    if decision.code == "DOMAIN_NOT_FOUND":
        return dataclasses.replace(decision, code="DOMAIN_LOST", message=_lost(name, source, destination))
    return decision


def _unproven(name: str, source: Sighting, destination: Sighting) -> str:
    return (
        f"Domain '{name}' is {source.state or 'gone'} on {source.host} ({source.reason or 'no reason given'}), it was on its way to "
        f"{destination.host}, and that host does not answer; so nobody can say whether it runs there. Nothing was started, "
        "stopped or deleted. Make the destination answer, or prove that it is off, then run again."
    )


def _lost(name: str, source: Sighting, destination: Sighting) -> str:
    return (
        f"Domain '{name}' runs neither on {source.host} nor on {destination.host} after the move; look at the logs of QEMU "
        "on both hosts. Its disks on the source were not touched."
    )


def _torn(name: str, source_host: str) -> str:
    return (
        f"The post-copy migration of domain '{name}' from {source_host} broke, and each side holds a part of its memory. Do not "
        "end either side: restore the network, then resume with 'virsh migrate --postcopy --postcopy-resume'."
    )


def _ours(journal: Journal | None, destination: Sighting) -> bool:
    return journal is not None and destination.uuid == journal.uuid


def _unfinished(journal: Journal | None, destination: Sighting) -> bool:
    return _ours(journal, destination) and t.cast(Journal, journal).stage not in ("done", "claim")
