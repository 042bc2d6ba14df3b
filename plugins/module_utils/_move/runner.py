# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One run of a move: look at both sides, decide by the table, do the stages, and undo or finish whatever came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
import uuid as uuid_room

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import SEEDED, STOPPED_METHODS
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import cold_run, cold_track, follow, stages
from ansible_collections.virtops.kvm.plugins.module_utils._move import decide as table
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import ColdGateway
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import (
    DESTINATION,
    SOURCE,
    Context,
    Survey,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.gate import refusal, refuse_blocked, refuse_one_host
from ansible_collections.virtops.kvm.plugins.module_utils._move.outcome import (
    ALREADY_THERE,
    ATTACHED,
    MOVED,
    Report,
    report_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.plan import MovePlan, diff_of_plan, make_plan
from ansible_collections.virtops.kvm.plugins.module_utils._move.progress import Meter
from ansible_collections.virtops.kvm.plugins.module_utils._move.settle import failed, settle, still_aborting
from ansible_collections.virtops.kvm.plugins.module_utils._move.shared_proof import prove_shared
from ansible_collections.virtops.kvm.plugins.module_utils._move.take_back import close_journal, take_back
from ansible_collections.virtops.kvm.plugins.module_utils._move.transfer import Ended
from ansible_collections.virtops.kvm.plugins.module_utils._move.undo import undo


def run(context: Context, address: str, *, check_mode: bool = False) -> Report:
    """Make sure that the domain runs on the destination. ``address`` is where the destination takes migration streams.

    Raises KvmError whenever it does not; then the error says where the domain is and what was taken back.
    """
    context.begun = context.clock.monotonic()
    try:
        with contextlib.ExitStack() as held:
            return _Run(context, address, check_mode, held).go()
    finally:
        if not check_mode:
            context.note("done", finished=True)
            if context.progress_id:
                context.workspace.forget_wishes(context.progress_id)


class _Run:
    """The state of one run between its steps."""

    def __init__(self, context: Context, address: str, check_mode: bool, held: contextlib.ExitStack) -> None:
        self._context = context
        self._gateway = context.gateway
        self._address = address
        self._check_mode = check_mode
        self._held = held
        self._attached = False
        self._meter = Meter()

    def go(self) -> Report:
        context = self._context
        source, there = self._look()
        refuse_one_host(context, source, there)
        uuid = source.uuid or there.uuid
        if not self._check_mode and uuid:
            self._lock(uuid)
            if self._attached:
                source, there = self._look()
        decision = self._decide(source, there)
        if decision.action == table.ATTACH:
            return self._attach(source)
        if decision.action == table.WAIT:
            source, there, decision = settle(context, uuid)
        if decision.action == table.REFUSE:
            raise self._refused(decision, source, there)
        if decision.action in (table.FINISH, table.CONTINUE, table.ALREADY_THERE):
            return self._finish(decision, source, there)
        if context.settle_only:
            return self._take_back(source, decision)
        if self._attached:
            raise follow.in_vain(context, self._journal(), source)
        return self._move(source, decision)

    # -- looking -----------------------------------------------------------------------------------------------------

    def _look(self) -> tuple[Sighting, Sighting]:
        context = self._context
        source = self._gateway.look(SOURCE, context.name)
        if not source.reachable:
            raise KvmError("HOST_UNREACHABLE", f"libvirt on this host does not answer: {source.error}.")
        there = self._gateway.look(DESTINATION, source.uuid or context.name)
        if source.found and there.reachable and not there.found:
            # A different domain may have the name there; the preflight tells.
            there = dataclasses.replace(there, found=False)
        context.name = source.name or there.name or context.name
        if context.journal is None and (source.uuid or there.uuid):
            context.journal = context.workspace.read_journal(source.uuid or there.uuid)
        return source, there

    def _decide(self, source: Sighting, there: Sighting) -> table.Decision:
        return table.decide(self._context.name, source, there, self._journal(), self._context.options.method)

    def _journal(self) -> Journal | None:
        """The last move's record, when it went to this destination."""
        journal = self._context.journal
        if journal is not None and journal.destination_uri != self._gateway.destination_uri:
            return None
        return journal

    def _refused(self, decision: table.Decision, source: Sighting, there: Sighting) -> KvmError:
        """The refusal; a domain that an interrupted move stopped is started at home first, where that is safe."""
        error, before = refusal(self._context, decision, source, there), self._stopped_before(source)
        if self._check_mode or before is None or not before.stopped or decision.code != "HOST_UNREACHABLE":
            return error
        return cold_run.home_again(self._context, before, error)

    def _stopped_before(self, source: Sighting) -> Journal | None:
        """The journal of an interrupted move that was to stop, or had stopped, the guest."""
        return cold_run.interrupted(self._context.journal, self._gateway.destination_uri, source)

    # -- the lock, and moves that run already ------------------------------------------------------------------------

    def _lock(self, uuid: str) -> None:
        context = self._context
        lock = context.workspace.lock(uuid)
        self._held.callback(lock.release)
        while not lock.try_acquire():
            self._attached = True
            follow.follow_driven(context, uuid, self._meter)
        if self._attached:
            context.journal = context.workspace.read_journal(uuid)

    def _attach(self, source: Sighting) -> Report:
        """A migration runs that nobody drives any more (its module was killed): drive it to its end, then finish its work."""
        self._attached = True
        context = self._context
        if self._check_mode:
            return report_of(context, ATTACHED, source.uuid, (self._move_change(source.host),))
        ended = follow.drive_orphan(context, source, self._meter)
        seen, there, decision = settle(context, source.uuid)
        if decision.action in (table.FINISH, table.ALREADY_THERE):
            return self._finish(decision, seen, there)
        if decision.action == table.REFUSE:
            raise refusal(context, decision, seen, there)
        if ended.cause:
            raise failed(context, source.uuid, ended)
        if context.settle_only:
            return self._take_back(seen, decision)
        raise follow.in_vain(context, self._journal(), seen)

    # -- it is there -------------------------------------------------------------------------------------------------

    def _finish(self, decision: table.Decision, source: Sighting, there: Sighting) -> Report:
        """The domain runs on the destination: do what is left, if this host's journal says that something is."""
        context = self._context
        context.journal = self._journal()
        outcome = ATTACHED if self._attached else ALREADY_THERE
        if decision.action == table.ALREADY_THERE:
            if decision.leftover:
                context.warnings.append(
                    f"Domain '{context.name}' runs on {there.host} and is still defined on {source.host} ({source.state}). Nothing proves "
                    "that a move left that definition, so it stays; undefine it when it is of no use."
                )
            closed = close_journal(context, check_mode=self._check_mode) if context.settle_only else ()
            return report_of(context, outcome, there.uuid, (*self._arrival(source, there), *closed))
        if cold_run.unfinished(context.journal):
            return self._finish_stopped(decision, source, there, outcome)
        changes = self._leftovers(decision, source, there)
        changes = (*self._arrival(source, there), *changes)
        if self._check_mode:
            return report_of(context, outcome, there.uuid, changes)
        journal = context.journal
        if journal is None:
            now = context.clock.now()
            context.journal = Journal(
                uuid_room.uuid4().hex, context.name, there.uuid, source.host, self._gateway.destination_uri, there.host,
                "live_shared", "release", now, now, state=there.state,
            )  # fmt: skip
        stages.verify(context, there.uuid, there)
        kept = stages.release(context, there.uuid, decision.leftover)
        return report_of(context, outcome, there.uuid, changes, kept)

    def _finish_stopped(self, decision: table.Decision, source: Sighting, there: Sighting, outcome: str) -> Report:
        context, journal = self._context, t.cast(Journal, self._context.journal)
        context.method = journal.method
        if self._check_mode:
            return report_of(context, outcome, there.uuid, cold_run.finishing_changes(journal, source, there))
        changes, kept = cold_run.finish(context, source, there, start=decision.action == table.CONTINUE)
        return report_of(context, outcome, there.uuid, (*self._arrival(source, there), *changes), kept)

    def _arrival(self, source: Sighting, there: Sighting) -> tuple[Change, ...]:
        """The move itself is a change of this run when this run saw it happen."""
        return (self._move_change(source.host),) if self._attached else ()

    def _move_change(self, source_host: str) -> Change:
        return Change(f"domain {self._context.name}", "move", source_host, self._gateway.destination_host)

    def _leftovers(self, decision: table.Decision, source: Sighting, there: Sighting) -> tuple[Change, ...]:
        name, changes, journal = self._context.name, [], self._context.journal
        if decision.leftover:
            changes.append(Change(f"definition {source.host}:{name}", "remove", source.state, None))
        if journal is not None and journal.autostart and not there.autostart:
            changes.append(Change(f"autostart {there.host}:{name}", "set", False, True))
        return tuple(changes)

    # -- it is here --------------------------------------------------------------------------------------------------

    def _take_back(self, source: Sighting, decision: table.Decision) -> Report:
        before = self._stopped_before(source)
        return take_back(self._context, source, decision, self._journal(), before, check_mode=self._check_mode)

    def _move(self, source: Sighting, decision: table.Decision) -> Report:
        context, before = self._context, self._stopped_before(source)
        if self._check_mode:
            survey = self._survey(source)
            if survey.choice.method in STOPPED_METHODS:
                return cold_run.announce(context, survey, before)
            return self._planned(self._plan(source, survey), survey.findings, survey.choice.reason)
        if decision.action == table.RESUME_SOURCE:
            self._gateway.resume(SOURCE, source.uuid)
        if before is not None and before.method == SEEDED and context.journal is not None:
            # Whichever way the domain goes now, a run that was killed may have left its checkpoint.
            cold_track.remove(context, t.cast(ColdGateway, self._gateway), source.uuid, context.journal.pieces)
        if before is None:
            self._clear_old_attempt()
        elif before.source_autostart and source.active and not source.autostart:
            self._gateway.set_autostart(SOURCE, source.uuid, True)
        context.journal = None
        with context.stage("claim"):
            context.note("claim")
            beat = self._held.enter_context(stages.places(context, source.uuid))
            survey = self._survey(source)
        if survey.choice.method in STOPPED_METHODS:
            return cold_run.move(context, survey, before, beat)
        with context.stage("claim"):
            plan = self._plan(source, survey)
            findings = prove_shared(context, survey, survey.findings)
        return self._drive(plan, findings, survey.choice.reason, beat)

    def _clear_old_attempt(self) -> None:
        """What an interrupted attempt left on this destination is removed; the domain is proven to be on the source alone."""
        context = self._context
        journal = self._journal()
        if journal is not None and journal.stage not in ("done", "undone"):
            gone = undo(context, journal)
            if gone.left:
                context.warnings.append(
                    f"An earlier attempt left {', '.join(gone.left)} on {journal.destination_host}: {gone.reason}"
                )
        elif (
            context.journal is not None
            and context.journal.stage not in ("done", "undone")
            and context.journal.created_images
        ):
            left = ", ".join(image.path for image in context.journal.created_images)
            context.warnings.append(
                f"An earlier attempt to {context.journal.destination_host} may have left {left} there."
            )
        context.journal = None

    def _survey(self, source: Sighting) -> Survey:
        survey = self._context.survey(source.uuid)
        self._context.method = survey.choice.method
        return survey

    def _plan(self, source: Sighting, survey: Survey) -> MovePlan:
        refuse_blocked(survey.findings, survey.choice)
        live = self._gateway.definition(SOURCE, source.uuid, saved=False)
        saved = self._gateway.definition(SOURCE, source.uuid, saved=True) if survey.domain.persistent else ""
        return make_plan(self._context, survey, live, saved)

    def _planned(self, plan: MovePlan, findings: tuple[Finding, ...], reason: str) -> Report:
        report = report_of(self._context, MOVED, plan.uuid, plan.changes, reason=reason)
        msg = f"Domain '{plan.name}' would move to {self._gateway.destination_host} by {plan.method} ({reason})."
        return dataclasses.replace(report, findings=findings, msg=msg, diff=diff_of_plan(self._context, plan))

    def _drive(self, plan: MovePlan, findings: tuple[Finding, ...], reason: str, beat: t.Callable[[], None]) -> Report:
        context = self._context
        stages.open_journal(context, plan, uuid_room.uuid4().hex)
        context.record(stage="claim")
        try:
            stages.prepare(context, plan)
        except KvmError as error:
            raise failed(context, plan.uuid, Ended(error=error)) from error
        ended = stages.transfer(context, plan, self._address, beat)
        if not ended.returned:
            raise still_aborting(context, plan.uuid, ended)
        stats = self._gateway.completed_stats(plan.uuid) if ended.error is None else {}
        source, there, decision = settle(context, plan.uuid)
        if decision.action == table.REFUSE:
            context.record(error_code=decision.code, message=decision.message)
            raise refusal(context, decision, source, there)
        if decision.action not in (table.FINISH, table.ALREADY_THERE):
            if decision.action == table.RESUME_SOURCE and plan.paused is False:
                self._gateway.resume(SOURCE, plan.uuid)
            raise failed(context, plan.uuid, ended) from ended.error
        if ended.error is not None:
            context.warnings.append(f"The domain moved, although libvirt said: {ended.error.message}")
        stages.verify(context, plan.uuid, there)
        kept = stages.release(context, plan.uuid, decision.leftover)
        report = report_of(context, MOVED, plan.uuid, plan.changes, kept, reason, stats)
        return dataclasses.replace(report, findings=findings, diff=diff_of_plan(context, plan))
