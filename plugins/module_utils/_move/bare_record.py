# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The record with which a guest process's move begins: what it is called, and where things of the guest will be."""

from __future__ import annotations

import hashlib
import posixpath
import typing as t
import uuid as uuid_room

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.processes import argv_of, boot_id

if t.TYPE_CHECKING:
    from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan

RUN_DIR = "/run/virtops-kvm/guests"
LOG_DIR = "/var/log/virtops-kvm"


def key_of(name: str) -> str:
    """The name of a guest as a part of file names."""
    return hashlib.sha256(name.encode("utf-8")).hexdigest()[:24]


def run_folder(argv: t.Sequence[str]) -> str:
    """The folder of ours in which a process that came here by a move has its monitor; empty for any other."""
    for word in argv:
        if word.startswith(f"unix:{RUN_DIR}/"):
            return posixpath.dirname(word[len("unix:") :].partition(",")[0])
    return ""


def opened(context: BareContext, source: BareSighting, plan: BarePlan, before: BareJournal | None) -> BareJournal:
    """The record of a new move; ``before`` is that of the last one to this destination, which may be open still."""
    now, move_id = context.clock.now(), uuid_room.uuid4().hex
    half = before if before is not None and before.open else None
    return BareJournal(
        id=move_id,
        key=context.key,
        name=context.name,
        uuid=context.uuid,
        method=context.options.method,
        stage="claim",
        started=now,
        updated=now,
        source_host=context.source_host,
        destination=context.destination,
        destination_host=context.far.host,
        monitor=context.monitor_address,
        state=plan.state,
        source=(str(source.pid), source.start, boot_id()) if source.found else (),
        unit=f"virtops-guest-{context.key[:8]}-{move_id[:8]}.service",
        socket=f"{RUN_DIR}/{move_id[:12]}/qmp.sock",
        log=f"{LOG_DIR}/guest-{context.key[:8]}-{move_id[:8]}.log",
        source_disks=tuple(disk.source for disk in plan.disks),
        source_disks_policy=context.options.source_disks,
        source_unit=plan.source_unit,
        source_run=run_folder(argv_of(source.pid)) if source.found else "",
        stopped=not source.found,
        suspended=source.state == "paused" and context.journal is not None and context.journal.paused_by_us,
        unit_file=plan.unit_file,
        argv=plan.argv,
        user=plan.user,
        disks=plan.disks,
        base=context.options.base,
        domain=plan.domain,
        home=plan.home,
        home_user=plan.home_user,
        # What an interrupted move made that has shut the guest down already.
        images=half.images if half is not None else (),
        folders=half.folders if half is not None else (),
    )
