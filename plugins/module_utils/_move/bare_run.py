# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One run of a guest process's move: look at both hosts, decide by the table, do the stages, and undo or finish what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import (
    OFFLINE,
    BareJournal,
    BareSighting,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import (
    WARNING,
    Finding,
    blockers,
    findings_data,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_decide as table
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import refuse_one_host
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_media import bring_media
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_outcome import failure, note, values_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_places import places
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_record import opened
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_stages import make_ready, prepare
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_survey import survey
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_switch import (
    finish,
    release,
    switch,
    verify,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_transfer import transfer
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_undo import calm, look_here, take_back, unblock

MOVED, ALREADY_THERE, FINISHED, UNDONE = "moved", "already_there", "finished", "undone"


@dataclasses.dataclass(frozen=True)
class BareReport:
    """``outcome`` is one of the constants above."""

    outcome: str
    msg: str
    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    values: dict[str, t.Any] = dataclasses.field(default_factory=dict)


def run(context: BareContext, *, check_mode: bool) -> BareReport:
    """Move it, or finish or undo what an earlier run left, as both hosts show it."""
    with contextlib.ExitStack() as held:
        if not check_mode:
            lock = context.workspace.lock(f"guest-{context.key}")
            held.callback(lock.release)
            if not lock.try_acquire():
                raise KvmError(
                    "MOVE_RUNNING",
                    f"The guest '{context.name}' is being moved away from {context.source_host} by another run; wait for its end.",
                )
        context.journal = context.workspace.read_guest(context.key)
        if context.journal is not None:
            context.uuid = context.uuid or context.journal.uuid
        return _Run(context, check_mode).go()


def _finish(context: BareContext) -> tuple[str, ...]:
    return _offline_room().finish_there(context) if context.record_now().method == OFFLINE else finish(context)


def _offline_room() -> t.Any:
    """What copies the disks of a guest that is off, and all that it needs: a live move does not wait for it to load."""
    from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_offline

    return bare_offline


def _warnings(plan: BarePlan) -> list[str]:
    return [one.message for one in plan.findings if one.severity == WARNING]


class _Run:
    """One run with its ends and its record."""

    def __init__(self, context: BareContext, check_mode: bool) -> None:
        self._context = context
        self._check_mode = check_mode

    def go(self) -> BareReport:
        """Look, decide, act."""
        context = self._context
        source, there, decision = self._look()
        if there.reachable and not context.settle_only:
            refuse_one_host(context.name, context.source_host, context.far)
        if decision.action == table.REFUSE:
            raise self._refusal(decision, source, there)
        if decision.action == table.ALREADY_THERE:
            return self._there(ALREADY_THERE, (), ())
        if decision.action in (table.FINISH, table.RELEASE):
            return self._finish(decision)
        if decision.action == table.CONTINUE:
            return self._carry_on()
        # A guest that an offline move has shut down would be moved from where it is now; to settle is to let it run again.
        half = context.settle_only and decision.action == table.MOVE and self._is_open()
        if half or decision.action in (table.UNDO, table.RESUME):
            undone = (Change(f"move of {context.name}", "undo", "interrupted", None),)
            if self._check_mode:
                return self._settled(decision, undone) if context.settle_only else self._planned(source, undone)
            if there.reachable:
                self._claim()
            self._undo(source)
            if context.settle_only:
                return self._settled(decision, undone)
            if decision.code:
                raise KvmError(decision.code, decision.message)
            source, there, decision = self._look()
            if decision.action != table.MOVE:
                raise self._refusal(decision, source, there)
        if context.settle_only:
            return self._settled(decision, ())
        if self._check_mode:
            return self._planned(source, ())
        context.tell("claim")
        self._claim()
        plan = self._survey(source)
        with places(context) as waited:
            if waited:
                source, there, decision = self._look()
                if decision.action != table.MOVE:
                    raise self._refusal(decision, source, there)
                plan = self._survey(source)
            return self._move(source, plan)

    def _look(self) -> tuple[BareSighting, BareSighting, table.Decision]:
        context = self._context
        source = look_here(context)
        there = context.far.look(context.key, context.name, context.uuid)[0]
        return source, there, table.decide(context.name, source, there, self._journal())

    def _journal(self) -> BareJournal | None:
        """The last move's record, when it went to this destination."""
        journal = self._context.journal
        return journal if journal is not None and journal.destination == self._context.destination else None

    def _is_open(self) -> bool:
        journal = self._journal()
        return journal is not None and journal.open

    def _refusal(self, decision: table.Decision, source: BareSighting, there: BareSighting) -> KvmError:
        message = (
            decision.message or f"The guest '{self._context.name}' is in a state that this run did not bring about."
        )
        return KvmError(
            decision.code or "MOVE_FAILED", message, source=to_data(source), destination=to_data(there),
            journal=None if self._context.journal is None else to_data(self._context.journal),
        )  # fmt: skip

    def _claim(self) -> None:
        context = self._context
        if not context.far.call("claim", key=context.key):
            raise KvmError(
                "MOVE_RUNNING",
                f"Another host moves a guest '{context.name}' to {context.far.host} now, or a move that lost its link to there has not let "
                "go of it yet, which takes up to two minutes; wait for its end.",
            )

    # ---- an earlier run ----

    def _undo(self, source: BareSighting) -> None:
        context = self._context
        calm(context)
        left = take_back(context, look_here(context) if source.found else source)
        if left:
            context.warnings.append(f"An earlier attempt left {', '.join(left)}.")

    def _settled(self, decision: table.Decision, changes: tuple[Change, ...]) -> BareReport:
        """No move is half done any more, and none begins."""
        context = self._context
        text = f"The move of the guest '{context.name}' to {context.far.host} was taken back"
        if not changes:
            text = f"No move of the guest '{context.name}' to {context.far.host} is half done"
        msg = f"{text}. {decision.message}" if decision.code else f"{text}; it is on {context.source_host}."
        return BareReport(UNDONE, msg, changes, warnings=tuple(context.warnings), values=values_of(context, ()))

    def _finish(self, decision: table.Decision) -> BareReport:
        context = self._context
        change = Change(f"guest {context.name}", "move", context.source_host, context.far.host)
        if self._check_mode:
            return self._there(FINISHED, (change,), ())
        self._claim()
        if context.journal is None:
            raise KvmError(
                "OWNERSHIP_UNPROVEN", f"There is no record of the move of '{context.name}'; nothing was touched."
            )
        kept = _finish(context) if decision.action == table.FINISH else release(context)
        return self._there(FINISHED, (change,), kept)

    def _carry_on(self) -> BareReport:
        context = self._context
        change = Change(f"guest {context.name}", "move", context.source_host, context.far.host)
        if self._check_mode:
            return self._there(FINISHED, (change,), ())
        self._claim()
        try:
            kept: tuple[str, ...] = _offline_room().carry_on(context)
        except KvmError as error:
            kept = self._recovered(error)
        return self._there(FINISHED, (change,), kept)

    def _there(self, outcome: str, changes: tuple[Change, ...], kept: tuple[str, ...]) -> BareReport:
        context = self._context
        text = {
            ALREADY_THERE: f"The guest '{context.name}' is on {context.far.host} already.",
            FINISHED: f"The guest '{context.name}' came to {context.far.host} by a move that had been interrupted.",
        }[outcome]
        return BareReport(outcome, text, changes, warnings=tuple(context.warnings), values=values_of(context, kept))

    # ---- a new move ----

    def _survey(self, source: BareSighting) -> BarePlan:
        context = self._context
        probe = not self._check_mode
        plan = survey(context, source.pid, probe=probe) if source.found else self._survey_still(probe)
        stopping = blockers(plan.findings)
        if stopping:
            more = (
                f" ({len(stopping) - 1} more: {', '.join(one.code for one in stopping[1:])})"
                if len(stopping) > 1
                else ""
            )
            raise KvmError(
                stopping[0].code if len(stopping) == 1 else "PREFLIGHT_FAILED",
                f"{stopping[0].message} {stopping[0].remedy}{more}",
                findings=findings_data(plan.findings),
            )
        return plan

    def _survey_still(self, probe: bool) -> BarePlan:
        from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_still import survey_still

        return survey_still(self._context, probe=probe)

    def _planned(self, source: BareSighting, before: tuple[Change, ...]) -> BareReport:
        context = self._context
        plan = self._survey(source)
        msg = f"The guest '{context.name}' would move to {context.far.host} by {context.options.method}."
        context.warnings += _warnings(plan)
        values = {**values_of(context, ()), "destination_argv": list(plan.argv)}
        return BareReport(MOVED, msg, (*before, *plan.changes), plan.findings, tuple(context.warnings), values)

    def _move(self, source: BareSighting, plan: BarePlan) -> BareReport:
        context = self._context
        context.warnings += _warnings(plan)
        context.journal = opened(context, source, plan, self._journal())
        context.record(stage="claim")
        try:
            bring_media(context, plan)
            kept = self._offline(plan) if context.options.method == OFFLINE else self._live(plan)
        except KvmError as error:
            kept = self._recovered(error)
        text = f"The guest '{context.name}' moved from {context.source_host} to {context.far.host} in {context.elapsed():.1f} s"
        downtime = context.figures.get("downtime_ms")
        msg = f"{text}{'' if downtime is None else f', it paused for {downtime} ms'}."
        values = {**values_of(context, kept), "destination_argv": list(plan.argv)}
        return BareReport(MOVED, msg, plan.changes, plan.findings, tuple(context.warnings), values)

    def _live(self, plan: BarePlan) -> tuple[str, ...]:
        context = self._context
        if plan.domain:
            from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_received import (
                prepare_domain,
                transfer_domain,
            )

            mirrors = transfer_domain(context, plan, prepare_domain(context, plan))
        else:
            mirrors = transfer(context, plan, prepare(context, plan))
        switch(context, mirrors)
        verify(context)
        return release(context)

    def _offline(self, plan: BarePlan) -> tuple[str, ...]:
        context = self._context
        make_ready(context, plan)
        room = _offline_room()
        kept: tuple[str, ...] = room.carry_on(context) if context.record_now().stopped else room.carry_out(context)
        return kept

    # ---- failure ----

    def _recovered(self, error: KvmError) -> tuple[str, ...]:
        """After a failure: forward where the destination has all, else back. Raises what the user is to know."""
        context = self._context
        stage = context.record_now().stage
        answers = unblock(context)
        if not answers:
            note(context, "MOVE_ABORTING_UNKNOWN", error.message)
            raise KvmError(
                "MOVE_ABORTING_UNKNOWN",
                f"The move of the guest '{context.name}' failed ({error.message}), and its QEMU on {context.source_host} does not answer, "
                f"most likely because it waits for {context.far.host}. Nothing was deleted or started. Restore the network and run again.",
            ) from error
        calm(context)
        context.far.again()
        source, there, decision = self._look()
        if decision.action == table.FINISH and error.error_code not in ("VERIFY_FAILED", "HARDWARE_DIFFERS"):
            try:
                kept = _finish(context)
            except KvmError as second:
                note(context, second.error_code, second.message)
                raise
            context.warnings.append(f"The guest moved, although a step failed at first: {error.message}")
            return kept
        if decision.action in (table.RELEASE, table.ALREADY_THERE):
            # Where it is there already, only the last word in the records was lost.
            return release(context)
        if decision.action == table.REFUSE and decision.code != "HOST_UNREACHABLE":
            note(context, decision.code, decision.message)
            raise self._refusal(decision, source, there) from error
        left = take_back(context, source)
        raise failure(context, error, stage, left) from error
