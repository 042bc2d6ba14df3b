# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A new record of a move, live or stopped: who moves, from where to where, and what is known when it begins."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context


class Planned(t.Protocol):
    """What the plans of live and of stopped moves have in common."""

    @property
    def name(self) -> str:
        """The name of the domain."""

    @property
    def uuid(self) -> str:
        """Its UUID."""

    @property
    def method(self) -> str:
        """How it moves."""

    @property
    def autostart(self) -> bool:
        """Whether it starts with its host."""

    @property
    def saved_xml(self) -> str:
        """Its persistent definition there; empty where it has none."""


def new_journal(
    context: Context, plan: Planned, move_id: str, *, source_disks: t.Iterable[str], state: str, **more: t.Any
) -> Journal:
    """The record with which a move begins. ``source_disks`` are those that its policy is for; ``more`` is what only stopped moves have."""
    now = context.clock.now()
    return Journal(
        id=move_id,
        domain=plan.name,
        uuid=plan.uuid,
        source_host=context.gateway.source_host,
        destination_uri=context.gateway.destination_uri,
        destination_host=context.gateway.destination_host,
        method=plan.method,
        stage="claim",
        started=now,
        updated=now,
        autostart=plan.autostart,
        source_disks=tuple(source_disks),
        source_disks_policy=context.options.source_disks,
        persistent_xml=plan.saved_xml,
        state=state,
        **more,
    )
