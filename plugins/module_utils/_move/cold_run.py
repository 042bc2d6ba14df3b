# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One run of a move with a stopped guest, after the table said that it is to be moved, continued or finished."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
import uuid as uuid_room

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import SEEDED
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Piece, Proof, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import (
    cold_end,
    cold_files,
    cold_seed,
    cold_stages,
    cold_stop,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_end import Held
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_plan import (
    RUNNING,
    SAVED,
    ColdPlan,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import Carrier, ColdGateway
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_prepare import (
    SWITCHED,
    Prepared,
    files_of,
    prepare,
    tpm_files,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_shared import Cold
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context, Survey
from ansible_collections.virtops.kvm.plugins.module_utils._move.outcome import MOVED, Report, report_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.places import beating
from ansible_collections.virtops.kvm.plugins.module_utils._move.plan import diff_of_documents
from ansible_collections.virtops.kvm.plugins.module_utils._move.shared_proof import prove_shared
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences

#: What a mistake of ours, or a library that is not as we know it, raises: no reason to leave a guest shut off.
_MISHAPS = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
_NEVER_RAN = ("unknown", "failed")


@contextlib.contextmanager
def holding(context: Context) -> t.Iterator[Held]:
    """The context with its carrier, which is closed in the end."""
    make = context.carrier
    if make is None:
        raise KvmError("METHOD_UNSUITABLE", "There is no way here to copy files to the destination.")
    carrier = t.cast(Carrier, make())
    if all(context.place):
        carrier.give_up_at_end(*context.place)
    with contextlib.closing(carrier):
        yield Held(context, t.cast(ColdGateway, context.gateway), carrier)


def announce(context: Context, survey: Survey, before: Journal | None) -> Report:
    """What a real run would do."""
    if before is not None and before.stage in SWITCHED:
        before = dataclasses.replace(before, pieces=(), folders=(), defined=False)
    with holding(context) as held:
        ready = prepare(held, survey, before)
    plan = ready.plan
    report = report_of(context, MOVED, plan.uuid, plan.changes, reason=survey.choice.reason)
    stops = ", and be stopped for it" if plan.active else ""
    msg = f"Domain '{plan.name}' would move to {context.gateway.destination_host} by {plan.method}{stops} ({survey.choice.reason})."
    return dataclasses.replace(
        report,
        findings=ready.findings,
        msg=msg,
        diff=_diff(context, plan),
        files=files_of((*plan.pieces, *ready.coming), ready.far),
    )


def move(context: Context, survey: Survey, before: Journal | None, beat: t.Callable[[], None]) -> Report:
    """The move itself. Raises KvmError when the domain is not on the destination in the end."""
    with holding(context) as held, beating(beat):
        # From the switch on the destination may have had newer data than the source, which somebody started again: what lies
        # there is a matter for a person, by the preflight's words.
        early = before is not None and before.stage not in SWITCHED
        if early:
            context.journal = before
            cold_end.take_back(held)
            before = context.journal
        elif before is not None:
            before = dataclasses.replace(before, pieces=(), folders=(), defined=False)
        try:
            ready = prepare(held, survey, before)
            ready = dataclasses.replace(ready, findings=prove_shared(context, survey, ready.findings))
        except KvmError as error:
            if early and before is not None and before.stopped:
                raise cold_end.failed(held, error) from error
            raise
        cold = Cold(context, held.gateway, held.carrier, ready.plan)
        cold_stop.open_journal(cold, uuid_room.uuid4().hex, before)
        started = _stages(held, cold)
        return _done(held, cold, ready, survey.choice.reason, started)


def _stages(held: Held, cold: Cold) -> float:
    """All stages until the destination has the domain; gives when it ran there."""
    context, plan = held.context, cold.plan
    try:
        if plan.active and plan.method == SEEDED:
            cold_seed.seed(cold)
        cold_stop.stop(cold)
        if plan.active:
            _look_again(held, cold)
        if plan.carries_memory:
            cold_stages.add_memory(cold)
        cold_stages.transfer(cold)
        cold_stages.switch(cold)
    except (KvmError, *_MISHAPS) as exc:
        error = exc if isinstance(exc, KvmError) else KvmError("MOVE_FAILED", f"{type(exc).__name__}: {exc}.")
        there = held.gateway.look(DESTINATION, plan.uuid)
        if context.journal is not None and context.journal.stage == "switch" and _is_up(there, plan.arrival):
            context.warnings.append(f"The domain moved, although this was said: {error.message}")
        else:
            raise cold_end.failed(held, error) from error
    return context.clock.now()


def _is_up(there: Sighting, arrival: str) -> bool:
    return there.reachable and there.state == RUNNING and arrival == RUNNING


def _look_again(held: Held, cold: Cold) -> None:
    """Files of a guest that ended are not as long as they were, and its firmware and TPM have written theirs. What was planned is of
    no use for another definition. Raises DEFINITION_CHANGED."""
    changed = differences(cold.plan.source_xml, held.gateway.definition(SOURCE, cold.uuid, saved=True))
    if changed:
        raise KvmError(
            "DEFINITION_CHANGED",
            f"The definition of domain '{cold.plan.name}' changed on {held.gateway.source_host} while it was being moved "
            f"({'; '.join(changed[:3])}), so its copies may be of other disks than it has now. Let nobody change it, no backup take a "
            "snapshot of it, and run again.",
            differences=list(changed),
        )
    fresh = []
    for piece in cold.plan.pieces:
        file = cold_files.near_file(piece.source)
        if file is not None and piece.source_format == "bytes":
            piece = dataclasses.replace(piece, size=file.size, allocated=file.allocated)
        if file is not None:
            fresh.append(piece)
    known = {piece.source for piece in fresh}
    tpm = tpm_files(held, cold.plan.source_xml, cold.uuid)
    added = [path for path in tpm if path not in known]
    for path in added:
        file = cold_files.near_file(path)
        there = held.context.mapping.path(path)
        if file is not None:
            fresh.append(
                Piece(
                    "tpm",
                    "",
                    path,
                    there,
                    there,
                    size=file.size,
                    allocated=file.allocated,
                    mode=file.mode,
                    owner=file.owner,
                )
            )
    cold.plan = dataclasses.replace(cold.plan, pieces=tuple(fresh))
    held.context.record(pieces=cold.plan.pieces)


def _done(held: Held, cold: Cold, ready: Prepared, reason: str, started: float) -> Report:
    context, journal = held.context, t.cast(Journal, held.context.journal)
    cold_end.verify(held)
    stopped = round(started - journal.stopped_at, 3) if journal.stopped and journal.stopped_at else None
    kept = cold_end.release(held)
    report = report_of(context, MOVED, cold.uuid, ready.plan.changes, kept, reason, {})
    pieces = cold.plan.pieces
    result = dataclasses.replace(
        report.move,
        stopped_seconds=stopped,
        sent_bytes=sum(piece.sent for piece in pieces),
        disk_bytes=sum(piece.sent for piece in pieces if piece.kind in ("disk", "layer")),
        memory_bytes=sum(piece.sent for piece in pieces if piece.kind == "save"),
        proofs=tuple(Proof(piece.target, piece.path, piece.size, piece.digest) for piece in pieces if piece.proven),
    )
    pause = "" if stopped is None else f"; it did not run for {stopped:.1f} s"
    msg = (
        f"Domain '{cold.plan.name}' moved from {result.source_host} to {result.destination_host} by {cold.plan.method} in "
        f"{result.seconds:.1f} s{pause}, and {len(result.proofs)} file(s) were proven equal."
    )
    return dataclasses.replace(
        report,
        move=result,
        msg=msg,
        findings=ready.findings,
        diff=_diff(context, cold.plan),
        files=files_of(pieces, ready.far),
    )


def _diff(context: Context, plan: ColdPlan) -> dict[str, str]:
    return diff_of_documents(context, plan.name, plan.source_xml, plan.saved_xml)


# -- what earlier runs left ----------------------------------------------------------------------------------------------


def finish(
    context: Context, source: Sighting, there: Sighting, *, start: bool
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """The destination has the domain, by the journal of an interrupted move: bring it up where that is still to be done, then
    verify and release. Gives the changes and the source disks that were kept."""
    journal = t.cast(Journal, context.journal)
    changes = finishing_changes(journal, source, there)
    with holding(context) as held:
        if start and not there.active and there.reason in _NEVER_RAN:
            cold = Cold(context, held.gateway, held.carrier, _plan_of(journal))
            with context.stage("switch"):
                cold_stages.bring_up(cold)
        elif not there.active and journal.arrival != "off":
            context.warnings.append(
                f"Domain '{context.name}' ran on {there.host} and is {there.state} ({there.reason}) there now."
            )
            context.record(arrival="off")
        cold_end.verify(held)
        kept = cold_end.release(held)
    return changes, kept


def finishing_changes(journal: Journal, source: Sighting, there: Sighting) -> tuple[Change, ...]:
    """What finishing changes."""
    # To end a move is a change, also where nothing but its verification was left.
    changes = [Change(f"domain {journal.domain}", "finish", journal.stage, "done")]
    if source.found:
        changes.append(Change(f"definition {source.host}:{journal.domain}", "remove", source.state, None))
    if not there.active and journal.arrival in (RUNNING, "paused", SAVED) and there.reason in _NEVER_RAN:
        changes.append(Change(f"domain {there.host}:{journal.domain}", "start", there.state, journal.arrival))
    if journal.autostart and not there.autostart:
        changes.append(Change(f"autostart {there.host}:{journal.domain}", "set", False, True))
    return tuple(changes)


def _plan_of(journal: Journal) -> ColdPlan:
    return ColdPlan(
        journal.uuid, journal.domain, journal.method, False, journal.arrival, journal.pieces, journal.persistent_xml, "",
        journal.autostart, journal.source_autostart, 0, 0,
    )  # fmt: skip


def home_again(context: Context, before: Journal, error: KvmError) -> KvmError:
    """The destination does not answer, and an interrupted move had stopped the domain before anything was started there: it goes
    on at home."""
    context.journal = before
    with holding(context) as held:
        return cold_end.failed(held, error)


def interrupted(journal: Journal | None, destination_uri: str, source: Sighting) -> Journal | None:
    """The journal of a stopped move that did not end, as far as it concerns a move to ``destination_uri``: of one to elsewhere only
    how the domain was before it. Raises OWNERSHIP_UNPROVEN where the domain may run elsewhere."""
    if journal is None or not unfinished(journal):
        return None
    if journal.destination_uri == destination_uri:
        return journal
    if journal.stage in SWITCHED and not source.active:
        raise KvmError(
            "OWNERSHIP_UNPROVEN",
            f"An interrupted move of domain '{journal.domain}' was starting it on {journal.destination_host}, and may have done so. "
            f"Nothing was touched; run the move to {journal.destination_host} again, which finishes it or takes it back.",
            destination=journal.destination_host,
        )
    return dataclasses.replace(journal, destination_uri=destination_uri, pieces=(), folders=(), defined=False)


def unfinished(journal: Journal | None) -> bool:
    """Whether ``journal`` is of a stopped move that neither ended nor was taken back."""
    return journal is not None and bool(journal.arrival) and journal.stage not in ("done", "undone")
