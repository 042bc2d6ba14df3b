# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""From the preflight to a plan: what goes along, and whether the destination has room and names for it."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._checks.preflight import accepted
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import SEEDED, SUSPENDED
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Piece
from ansible_collections.virtops.kvm.plugins.module_utils._move import cold_files, cold_track
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_end import Held
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_plan import (
    SAVED,
    ColdPlan,
    arrival_of,
    disk_pieces,
    expected_memory,
    make_cold_plan,
    save_piece,
    small_pieces,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_survey import (
    JUDGED_HERE,
    Far,
    far_findings,
    settle_pieces,
    survey_far,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import SOURCE, Survey
from ansible_collections.virtops.kvm.plugins.module_utils._move.gate import refuse_blocked

#: Stages of a journal from which on the destination may have started the domain.
SWITCHED = ("switch", "verify", "release")


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The plan and what was found on the way to it."""

    plan: ColdPlan
    findings: tuple[Finding, ...]
    far: Far
    coming: tuple[Piece, ...] = ()


def prepare(held: Held, survey: Survey, before: Journal | None) -> Prepared:
    """The plan for the domain as it is now. Raises the preflight's blockers."""
    context, gateway, domain = held.context, held.gateway, survey.domain
    findings = [one for one in survey.findings if not _judged_here(one) and not _own_definition(one, before)]
    refuse_blocked(findings, survey.choice)
    source_xml = gateway.definition(SOURCE, domain.uuid, saved=True)
    flatten = context.options.chain == "flatten"
    pieces = disk_pieces(domain, survey.choice.copied, context.mapping, cold_files.near_file, flatten=flatten)
    tpm = tpm_files(held, source_xml, domain.uuid)
    pieces += small_pieces(domain, context.mapping, cold_files.near_file, tpm)
    if not domain.active and arrival_of(domain, before) == SAVED:
        pieces += _memory(held, domain.uuid)
    # Memory that is yet to be saved needs room as well; how much, is at most what the guest has.
    coming = (expected_memory(domain),) if domain.active and survey.choice.method == SUSPENDED else ()
    far = survey_far(held.carrier, (*pieces, *coming), domain.uuid, gateway.named_there)
    ours = frozenset(piece.path for piece in before.pieces) if before is not None else frozenset()
    pieces = settle_pieces(pieces, far, ours)
    if domain.active and survey.choice.method == SEEDED:
        pieces = cold_track.foresee(pieces, domain)
    plan = make_cold_plan(context, survey, source_xml, pieces, before)
    context.method = plan.method
    about = f"Cannot move domain '{domain.name}' from {gateway.source_host} to {gateway.destination_host}"
    judged = far_findings((*pieces, *coming), far, about, gateway.destination_host, exact=plan.carries_memory)
    findings += [accepted(one, context.options.accept) for one in judged]
    refuse_blocked(findings, survey.choice)
    return Prepared(plan, tuple(findings), far, coming)


def _judged_here(finding: Finding) -> bool:
    return finding.code in JUDGED_HERE and "type" not in finding.evidence


def _own_definition(finding: Finding, before: Journal | None) -> bool:
    return finding.code == "UUID_CONFLICT" and before is not None and before.defined and before.stage not in SWITCHED


def _memory(held: Held, uuid: str) -> tuple[Piece, ...]:
    saved = held.gateway.saved_state(uuid)
    file = cold_files.near_file(saved.path) if saved is not None else None
    return (save_piece(uuid, saved.path, file),) if saved is not None and file is not None else ()


def files_of(pieces: t.Iterable[Piece], far: Far) -> tuple[dict[str, t.Any], ...]:
    """Every file with its size, and the room where it goes, for the user."""
    return tuple(
        {
            "kind": piece.kind,
            "disk": piece.target,
            "source": piece.source,
            "path": piece.path,
            "size": piece.size,
            "allocated": piece.allocated,
            "delta": piece.delta or None,
            "free": far.free.get(posixpath.dirname(piece.path)) if not piece.device else None,
        }
        for piece in pieces
    )


def tpm_files(held: Held, xml: str, uuid: str) -> tuple[str, ...]:
    folder = held.gateway.tpm_folder(uuid, xml)
    return cold_files.files_below(folder) if folder else ()
