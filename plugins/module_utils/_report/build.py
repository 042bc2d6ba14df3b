# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A report, made of a plan and what its moves and hosts told: one outcome per planned move, and the sums. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import MoveResult
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Placement, Plan, PlannedMove
from ansible_collections.virtops.kvm.plugins.module_utils._model.service import ServiceSeen
from ansible_collections.virtops.kvm.plugins.module_utils._report.outcome import (
    ALREADY_THERE,
    COMPLETE,
    EVACUATE,
    FAILED,
    INCOMPLETE,
    MOVED,
    NOT_STARTED,
    NOTHING_TO_DO,
    ONLY_PLANNED,
    PLANNED,
    REPORT_VERSION,
    HostAfter,
    MovedFile,
    Outcome,
    Report,
    Summary,
)


def build(
    plan: Plan,
    results: t.Mapping[str, t.Mapping[str, t.Any]],
    after: t.Sequence[HostAfter] | None,
    *,
    name: str,
    kind: str = "evacuate",
    started: bool = True,
) -> Report:
    """The report on ``plan``: ``results`` are what the moves' tasks returned, by move id; ``after`` what the hosts run now.

    ``after`` is None where nobody looked (check mode). ``started`` tells whether moves were attempted at all.
    """
    outcomes = tuple(_outcome(move, results.get(move.id) or {}, started) for move in plan.moves)
    problems: tuple[str, ...] = ()
    if started and after is not None:
        problems = (*_problems(plan, outcomes, after), *(_newcomers(plan, after) if kind == EVACUATE else ()))
    return Report(
        version=REPORT_VERSION,
        name=name,
        kind=kind,
        status=_status(outcomes, problems, plan),
        fingerprint=plan.fingerprint,
        sources=plan.sources,
        destinations=plan.destinations,
        summary=summarize(outcomes, plan),
        outcomes=outcomes,
        blocked=plan.blocked,
        staying=plan.staying,
        problems=problems,
        before=plan.before,
        after=_measured(plan, after) if after else plan.after,
        after_measured=bool(after),
    )


def summarize(outcomes: t.Sequence[Outcome], plan: Plan) -> Summary:
    """The sums over ``outcomes``."""
    states = [outcome.state for outcome in outcomes]
    pauses = [outcome.downtime_ms for outcome in outcomes if outcome.downtime_ms is not None]
    stops = [outcome.stopped_seconds for outcome in outcomes if outcome.stopped_seconds is not None]
    begins = [outcome.started for outcome in outcomes if outcome.started]
    ends = [outcome.started + (outcome.seconds or 0.0) for outcome in outcomes if outcome.started]
    return Summary(
        planned=len(states),
        moved=states.count(MOVED),
        already_there=states.count(ALREADY_THERE),
        failed=states.count(FAILED),
        not_started=states.count(NOT_STARTED),
        blocked=len(plan.blocked),
        staying=len(plan.staying),
        longest_pause_ms=max(pauses) if pauses else None,
        longest_stop_seconds=max(stops) if stops else None,
        disk_bytes=sum(outcome.disk_bytes for outcome in outcomes),
        memory_bytes=sum(outcome.memory_bytes for outcome in outcomes),
        started=min(begins) if begins else None,
        seconds=max(ends) - min(begins) if begins else None,
    )


def _outcome(move: PlannedMove, result: t.Mapping[str, t.Any], started: bool) -> Outcome:
    measured = _measured_of(move, result["move"]) if result.get("move") else None
    state, message = _state(result, started)
    details = result.get("details") or {}
    seen = from_data(ServiceSeen, result["service"]) if result.get("service") else None
    noticed = (seen.warning,) if seen is not None and seen.warning else ()
    return Outcome(
        id=move.id,
        order=move.order,
        domain=move.domain,
        uuid=move.uuid,
        source=move.source,
        destination=move.destination,
        method=str(result.get("method") or (measured.method if measured else "") or move.method),
        reason=str(result.get("method_reason") or move.reason),
        state=state,
        message=message,
        error_code=str(result["error_code"]) if result.get("error_code") else None,
        started=(measured.started if measured else None) or _number(details.get("started")),
        seconds=measured.seconds if measured else _number(details.get("seconds")),
        downtime_ms=measured.downtime_ms if measured else None,
        disk_bytes=(measured.disk_bytes or 0) if measured else 0,
        memory_bytes=(measured.memory_bytes or 0) if measured else 0,
        stages=dict(measured.stages) if measured else {},
        source_disks_kept=measured.source_disks_kept if measured else (),
        warnings=_unique((*move.warnings, *(measured.warnings if measured else ()), *noticed)),
        findings=tuple(from_data(Finding, finding) for finding in _findings(result, details)),
        runs=move.runs,
        stopped_seconds=measured.stopped_seconds if measured and move.runs else None,
        proven=len(measured.proofs) if measured else 0,
        files=tuple(_file(entry) for entry in result.get("files") or []),
        service=seen,
        kind=move.kind,
    )


def _measured_of(move: PlannedMove, told: t.Mapping[str, t.Any]) -> MoveResult:
    """What the module measured; the one for guest processes calls its VM otherwise."""
    known = {"domain": move.domain, "uuid": move.uuid, "method_reason": move.reason}
    return from_data(MoveResult, {**known, **told})


def _file(entry: t.Mapping[str, t.Any]) -> MovedFile:
    """What domain_migration lists of one file."""
    kind, target = str(entry.get("kind") or "disk"), str(entry.get("disk") or "")
    return MovedFile(
        what=target if kind == "disk" and target else " ".join(filter(None, (target, kind))),
        source=str(entry.get("source") or ""),
        path=str(entry.get("path") or ""),
        size=entry.get("size"),
        allocated=entry.get("allocated"),
        free=entry.get("free"),
    )


def _state(result: t.Mapping[str, t.Any], started: bool) -> tuple[str, str]:
    """The state that a task's ``result`` tells, and the sentence that goes with it."""
    message = str(result.get("msg") or "")
    if result.get("failed") or result.get("unreachable"):
        return FAILED, message or "The move failed without a message."
    if result.get("outcome") == ALREADY_THERE:
        return ALREADY_THERE, message
    if not started:
        return PLANNED, message
    if not result or result.get("skipped"):
        return NOT_STARTED, message or "The move was not started."
    return MOVED, message


def _findings(result: t.Mapping[str, t.Any], details: t.Mapping[str, t.Any]) -> list[t.Any]:
    found = result.get("findings") or details.get("findings") or []
    return [finding for finding in found if isinstance(finding, dict) and finding.get("severity") != "info"]


def _number(value: t.Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value else None


def _unique(texts: t.Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _problems(plan: Plan, outcomes: t.Sequence[Outcome], after: t.Sequence[HostAfter]) -> t.Iterator[str]:
    """What the hosts say that the moves did not: a host that could not be asked, a domain left behind, two copies."""
    known = {host.name: {domain.uuid: domain.active for domain in host.domains} for host in after}
    for source in plan.sources:
        if outcomes and source not in known:
            yield f"{source} could not be read again after the moves, so it is not proven empty; look at it before you switch it off."
    for outcome in outcomes:
        places = [name for name, domains in known.items() if domains.get(outcome.uuid)]
        if len(places) > 1:
            yield (
                f"{outcome.domain} is active on {' and '.join(places)} at the same time; "
                f"find out at once which copy is the right one and destroy the other."
            )
        elif outcome.arrived and outcome.source in places:
            yield f"{outcome.domain} is reported as moved, yet it runs on {outcome.source}."
        elif outcome.arrived and outcome.destination in known and not places:
            yield from _not_running(outcome, known)


def _newcomers(plan: Plan, after: t.Sequence[HostAfter]) -> t.Iterator[str]:
    """What runs on a host that was to be emptied, and that the plan does not know."""
    known = {move.uuid for move in plan.moves} | {one.uuid for one in plan.blocked} | {one.uuid for one in plan.staying}
    for host in after:
        for domain in host.domains if host.name in plan.sources else ():
            if domain.active and domain.uuid not in known:
                yield f"{domain.name} runs on {host.name} and was not there when the moves were planned; evacuate again."


def _not_running(outcome: Outcome, known: t.Mapping[str, t.Mapping[str, bool]]) -> t.Iterator[str]:
    """What is wrong with a domain that arrived and runs nowhere."""
    if outcome.runs:
        yield f"{outcome.domain} was moved to {outcome.destination} and does not run there any more; look at its log there."
    elif outcome.uuid not in known[outcome.destination]:
        yield f"{outcome.domain} was moved to {outcome.destination} and is not known there any more; look at its log there."
    elif outcome.uuid in known.get(outcome.source, {}):
        yield f"{outcome.domain} is reported as moved, yet it is still defined on {outcome.source}; undefine it there."


def _status(outcomes: t.Sequence[Outcome], problems: t.Sequence[str], plan: Plan) -> str:
    if not outcomes:
        return INCOMPLETE if plan.blocked else NOTHING_TO_DO
    if not all(outcome.arrived or outcome.state == PLANNED for outcome in outcomes):
        return INCOMPLETE
    if any(outcome.state == PLANNED for outcome in outcomes):
        return ONLY_PLANNED
    return INCOMPLETE if problems or plan.blocked else COMPLETE


def _measured(plan: Plan, after: t.Sequence[HostAfter]) -> tuple[Placement, ...]:
    """The placement that the hosts themselves report; sizes of the hosts are those that the plan knew."""
    known = {placement.host: placement for placement in (*plan.after, *plan.before)}
    return tuple(_placement(host, known.get(host.name, Placement(host.name))) for host in after)


def _placement(host: HostAfter, known: Placement) -> Placement:
    active = [domain for domain in host.domains if domain.active]
    return dataclasses.replace(
        known,
        domains=tuple(domain.name for domain in active),
        memory_bytes=sum(domain.memory for domain in active),
        vcpus=sum(domain.vcpus for domain in active),
    )
