# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Copying while the guest runs: passes that send what differs, until one more would not shorten the stop."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import MIB, format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._move import cold_track
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_shared import Cold, Shown, ended
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_stages import claim_old_copy, make_folders

#: Passes at most; a guest that writes faster than the link sends is never done.
MOST_PASSES = 6
#: What a pass may send to be the last: then what is written during it is less.
LITTLE = 16 * MIB
#: A pass that sends more than this part of the one before gains nothing.
_GAIN = 0.8


def enough(sent: int, before: int | None) -> bool:
    """Whether a further pass would gain nothing, after one that sent ``sent`` bytes and one ``before`` it."""
    return sent <= LITTLE or (before is not None and sent > before * _GAIN)


def seed(cold: Cold) -> None:
    """Bring the copies near to the disks of the running guest. What is wrong with them afterwards, the last copy mends."""
    context = cold.context
    sent_before: int | None = None
    with context.stage("prepare"):
        make_folders(cold)
        for number in range(1, MOST_PASSES + 1):
            shown = Shown(cold, "prepare", f"seeds while it runs, pass {number}")
            sent = 0
            cold_track.begin(cold)
            pieces = list(cold.plan.pieces)
            for place, piece in enumerate(pieces):
                if piece.kind not in ("disk", "layer") or (piece.kind == "layer" and number > 1):
                    continue
                if number == 1:
                    claim_old_copy(cold, piece)
                before = cold_track.stamp(piece.source)
                try:
                    seeded = cold.carrier.seed(piece, shown.tell(piece), context.check_stop)
                except KvmError as error:
                    if error.error_code == "COPY_STOPPED":
                        raise ended(context, "the seeding of its disks") from error
                    raise
                shown.finished(piece)
                cold_track.keep(cold, piece, seeded, before)
                sent += seeded.sent
                pieces[place] = dataclasses.replace(piece, sent=piece.sent + seeded.sent)
            cold.plan = dataclasses.replace(cold.plan, pieces=tuple(pieces))
            context.record(pieces=cold.plan.pieces)
            context.note("prepare", f"pass {number} sent {format_bytes(sent)}")
            if enough(sent, sent_before):
                return
            sent_before = sent
