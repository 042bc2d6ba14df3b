# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What to do about a guest process, from what both hosts show and the record says: the table that keeps it from running twice."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import (
    HANDED_OVER,
    INCOMING,
    OFFLINE,
    SHARED,
    SHUT_DOWN,
    SWITCHING,
    BareJournal,
    BareSighting,
)

MOVE = "move"
UNDO = "undo"
RESUME = "resume"
FINISH = "finish"
RELEASE = "release"
ALREADY_THERE = "already_there"
REFUSE = "refuse"
CONTINUE = "continue"

#: Stages in which the destination cannot have run the guest.
BEFORE_SWITCH = ("claim", "prepare", "stop", "transfer")
#: Stages from which on the destination may have the whole guest.
_MAY_HAVE_SWITCHED = ("switch", "verify", "release")
_STOPPED = (HANDED_OVER, SWITCHING)
#: The destination has no state of devices yet, or has thrown it away.
_EARLY = ("setup", "active", "pre-switchover", "wait-unplug")
#: The migration ended without a handover.
_ENDED = ("", "cancelled", "failed")


@dataclasses.dataclass(frozen=True)
class Decision:
    """``action``: MOVE begins; UNDO ends the destination's half (the source runs, or runs again once its migration is cancelled)
    and then begins; RESUME lets the source go on, because the destination is proven dead; FINISH lets the destination run, which
    has all; RELEASE ends the source, because the destination runs; CONTINUE goes on with an offline move whose guest is off, which
    never ran on the destination. A refusal has ``code`` and ``message``."""

    action: str
    code: str = ""
    message: str = ""


def decide(name: str, source: BareSighting, there: BareSighting, journal: BareJournal | None) -> Decision:
    """The one table (semantics 2.3 and 3). ``journal`` is that of the last move to this destination, None where there is none."""
    if source.found and source.error:
        return Decision(
            REFUSE,
            "MONITOR_UNUSABLE",
            f"The guest '{name}' on {source.host} (process {source.pid}) cannot be asked: {source.error} Nothing was touched.",
        )
    if "postcopy" in source.migration + there.migration:
        return _torn(name, source, there)
    if not there.reachable:
        return _unseen(name, source, there, journal)
    if there.found and not there.ours:
        return _foreign(name, source, there, journal)
    if there.found and there.error:
        return _mute(name, source, there, journal)
    if journal is not None and journal.open and journal.method == OFFLINE and journal.stopped:
        return _off(name, source, there, journal)
    if source.found:
        return _here(name, source, there, journal)
    return _not_here(name, source, there, journal)


def _off(name: str, source: BareSighting, there: BareSighting, journal: BareJournal) -> Decision:
    """The guest was asked to shut down for an offline move. On the destination it stands still until it is told to run."""
    ran = there.found and there.state != "prelaunch"
    told = journal.stage not in (*BEFORE_SWITCH, "switch")
    if source.found and ran:
        return _twice(name, source, there)
    if source.found and told:
        return Decision(
            REFUSE,
            "OWNERSHIP_UNPROVEN",
            f"The guest '{name}' is {source.state} on {source.host} although it was moved to {there.host}, where it may have run since. "
            "Nothing was touched. Find out which has the newer data; where it is that of the source, remove the images of the other.",
        )
    if source.found:
        return Decision(MOVE if source.state == SHUT_DOWN and not there.found else UNDO)
    if ran:
        return Decision(RELEASE)
    return Decision(FINISH if told else CONTINUE)


def _torn(name: str, source: BareSighting, there: BareSighting) -> Decision:
    both = source.found and there.found and not there.error
    if both and source.migration in ("postcopy-active", "postcopy-device"):
        return Decision(
            REFUSE,
            "POSTCOPY_RUNNING",
            f"The guest '{name}' runs on {there.host} and still gets memory from {source.host} (post-copy). Nothing was touched; run again "
            "when that has ended.",
        )
    return Decision(
        REFUSE,
        "POSTCOPY_FAILED",
        f"The post-copy migration of the guest '{name}' from {source.host} to {there.host} broke, and each side holds a part of its "
        "memory. Do not end either side: restore the network and run again; where both monitors say 'postcopy-paused' by then, recover it "
        "on them first ('migrate_recover', 'migrate -r').",
    )


def _open(journal: BareJournal | None) -> bool:
    return journal is not None and journal.open


def _here(name: str, source: BareSighting, there: BareSighting, journal: BareJournal | None) -> Decision:
    stopped = source.state in _STOPPED
    if there.found and _complete(there):
        if there.state == "paused" and stopped and journal is not None:
            if journal.stage == "done":
                return Decision(RELEASE)
            return Decision(FINISH)
        if stopped:
            return Decision(RELEASE)
        if there.state == "paused" and _open(journal) and _never_continued(journal):
            # It has an old copy of a guest that went on here; it never ran.
            return Decision(UNDO)
        return _twice(name, source, there)
    if there.found:
        # Waiting, or in the middle of the stream: it has nothing that it could run.
        return Decision(UNDO)
    if stopped and source.migration not in ("completed", "postcopy-active", "postcopy-paused"):
        return Decision(UNDO)
    if stopped and there.gone and journal is not None and journal.method == SHARED and not _never_continued(journal):
        return _outdated(name, source, there)
    if stopped and there.gone:
        return Decision(RESUME)
    if stopped:
        return Decision(REFUSE, "OWNERSHIP_UNPROVEN", _unproven(name, source, there, "has no record of it"))
    return Decision(UNDO) if _open(journal) else Decision(MOVE)


def _outdated(name: str, source: BareSighting, there: BareSighting) -> Decision:
    return Decision(
        REFUSE,
        "GUEST_DIED",
        f"The guest '{name}' ended on {there.host} after it was told to run there. Its disks are on storage that both hosts share and may "
        f"have newer data than its memory on {source.host} (process {source.pid}, {source.state}) knows of: going on with that would "
        f"damage them. Nothing was touched. End that process, and start the guest anew.",
    )


def _not_here(name: str, source: BareSighting, there: BareSighting, journal: BareJournal | None) -> Decision:
    if there.found and _complete(there):
        if there.state == "paused" and _open(journal):
            return Decision(FINISH)
        return Decision(RELEASE) if _open(journal) else Decision(ALREADY_THERE)
    if there.found:
        return Decision(
            UNDO,
            "GUEST_DIED",
            f"The guest '{name}' ended on {source.host} while it was moved, and {there.host} has only a part of it, which was ended. "
            "Its disks on the source are what it has; start it there.",
        )
    if _open(journal):
        return Decision(
            UNDO,
            "GUEST_DIED",
            f"The guest '{name}' runs neither on {source.host} nor on {there.host}; it ended while it was moved. What the move made "
            "on the destination is taken back where it had not been handed over; see the log there.",
        )
    if source.described:
        return Decision(MOVE)
    if journal is not None and (journal.stage, journal.method, journal.state) == ("done", OFFLINE, SHUT_DOWN):
        return Decision(ALREADY_THERE)
    return Decision(
        REFUSE,
        "GUEST_NOT_FOUND",
        f"There is no QEMU process of a guest '{name}' on {source.host}, and none on {there.host}; check its name (-name) or UUID, "
        "and on which host it runs.",
    )


def _complete(there: BareSighting) -> bool:
    """Whether the destination has all of the guest: its stream ended well, or it has run since."""
    return there.state != INCOMING and there.state != "prelaunch"


def _never_continued(journal: BareJournal | None) -> bool:
    return journal is not None and journal.stage in (*BEFORE_SWITCH, "switch")


def _foreign(name: str, source: BareSighting, there: BareSighting, journal: BareJournal | None) -> Decision:
    if source.found and _are_two(source.name, there.name) != _are_two(source.uuid, there.uuid):
        return _namesake(name, source, there)
    if source.found and source.state not in _STOPPED and there.state != "unknown":
        return _twice(name, source, there) if there.state == "running" else _in_the_way(name, source, there)
    if not source.found and not _open(journal):
        return Decision(ALREADY_THERE)
    return _in_the_way(name, source, there)


def _are_two(here: str, there: str) -> bool:
    """Whether both are told, and differ."""
    return bool(here and there) and here != there


def _namesake(name: str, source: BareSighting, there: BareSighting) -> Decision:
    """Another guest that has the name or the UUID of this one. Whoever takes it for a second copy might end the wrong one."""
    code, what = "NAME_CONFLICT", f"another guest '{there.name}', with the UUID {there.uuid}"
    if _are_two(source.name, there.name):
        code, what = "UUID_CONFLICT", f"another guest, '{there.name}', with the same UUID {there.uuid}"
    return Decision(
        REFUSE,
        code,
        f"The guest '{name}' cannot move from {source.host} to {there.host}, which has {what} (process {there.pid}, {there.state}). "
        "Nothing was touched. Rename or end one of the two, or choose another destination.",
    )


def _in_the_way(name: str, source: BareSighting, there: BareSighting) -> Decision:
    return Decision(
        REFUSE,
        "GUEST_EXISTS",
        f"{there.host} has a QEMU process ({there.pid}, {there.state}) of a guest '{name}' that no move from {source.host} started. "
        "Nothing was touched. Find out whose it is, and end it or give one of them another name.",
    )


def _twice(name: str, source: BareSighting, there: BareSighting) -> Decision:
    return Decision(
        REFUSE,
        "TWO_RUNNING_COPIES",
        f"The guest '{name}' is {source.state} on {source.host} (process {source.pid}) and {there.state} on {there.host} (process "
        f"{there.pid}) at once. Nothing was touched. Find out which has the newer data, and end the other one by hand at once.",
    )


def _mute(name: str, source: BareSighting, there: BareSighting, journal: BareJournal | None) -> Decision:
    """Our process there does not answer. Where it was never told to run it may be ended; after that nobody knows."""
    if source.found and journal is not None and _never_continued(journal):
        return Decision(UNDO)
    return Decision(
        REFUSE,
        "OWNERSHIP_UNPROVEN",
        f"The guest '{name}' was handed over to {there.host}, where its process {there.pid} does not answer: {there.error} It may have "
        f"run, so it was not started on {source.host}. Let it answer, or end it, then run again.",
    )


def _unseen(name: str, source: BareSighting, there: BareSighting, journal: BareJournal | None) -> Decision:
    switched = _open(journal) and journal is not None and journal.stage in _MAY_HAVE_SWITCHED
    if source.found and source.migration in _EARLY:
        # The state of its devices never left, so the destination has nothing that could run.
        return Decision(UNDO)
    if source.state == "paused" and source.migration in _ENDED and _suspended(journal):
        # It was not handed over, and its pause was the move's.
        return Decision(UNDO)
    if (source.found and source.state in _STOPPED) or (not source.found and switched):
        return Decision(
            REFUSE, "OWNERSHIP_UNPROVEN", _unproven(name, source, there, f"cannot be reached ({there.error})")
        )
    return Decision(
        REFUSE, "HOST_UNREACHABLE", f"{source.host} cannot reach {there.host}: {there.error or 'no answer'}."
    )


def _suspended(journal: BareJournal | None) -> bool:
    return journal is not None and journal.paused_by_us and _never_continued(journal)


def _unproven(name: str, source: BareSighting, there: BareSighting, why: str) -> str:
    what = f"is {source.state} on {source.host}" if source.found else f"is not on {source.host} any more"
    return (
        f"The guest '{name}' {what}, it was handed over to {there.host}, and that host {why}; so nobody can say whether it runs there. "
        f"Nothing was started, stopped or deleted: it stays as it is on the source. Make {there.host} answer, or prove that it is off and "
        f"let the source go on by hand ('cont'), then run again."
    )


def never_ran(record: BareJournal, seen: BareSighting) -> str:
    """What speaks against it that the guest of this record never ran where the record lies; empty where nothing does."""
    if not _never_continued(record):
        return f"may have been told to go on there, by its record (stage {record.stage})"
    if seen.found and not seen.ours:
        return f"is a process ({seen.pid}) that this move did not start"
    if seen.found and seen.error:
        return f"does not answer (process {seen.pid}: {seen.error.rstrip('.')})"
    if seen.found and seen.state != INCOMING:
        return f"is {seen.state} there, so it may have run (process {seen.pid})"
    return ""
