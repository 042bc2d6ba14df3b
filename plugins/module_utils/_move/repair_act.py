# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Removing what lies around on this host, each with its proof made here and now; ``pretend`` makes the proof alone."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.leftovers import (
    check_staged,
    opened_by_others,
    remove_staged,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.sightings import see_all
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_local import local_end
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_record import key_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_read import has_libvirt
from ansible_collections.virtops.kvm.plugins.module_utils._move.take_back import is_open
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace


def remove_copy(path: str, uuid: str, *, pretend: bool) -> bool:
    """Remove a copy in the making of a disk of the domain ``uuid``; tells whether it was there.

    Raises InputError for any other file, MOVE_RUNNING and IMAGE_IN_USE where somebody needs it.
    """
    check_staged(path, uuid)
    workspace = Workspace()
    if is_open(workspace.read_journal(uuid)) or workspace.lock(uuid).held():
        raise KvmError(
            "MOVE_RUNNING",
            f"A move of the domain {uuid} from this host has not ended, so {path} was not removed.",
            uuid=uuid,
        )
    _refuse_named([path])
    return remove_staged(path, uuid, pretend=pretend)


def end_arrival(guest: str, host: str, *, pretend: bool, workspace: Workspace | None = None) -> bool:
    """End the half of a guest process that a move to here left; tells whether there was one.

    Raises as the methods of ``LocalEnd`` do, and IMAGE_IN_USE where somebody else has what the move made.
    """
    place = workspace or Workspace()
    path = os.path.join(place.state, "moves", f"incoming-{key_of(guest)}.json")
    data = statefile.read_json(path)
    if data is None:
        return False
    try:
        record = from_data(BareJournal, data)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise KvmError(
            "STATE_UNREADABLE", f"The record {path} cannot be understood ({exc}); look at it.", path=path
        ) from exc
    if not record.open:
        return False
    with local_end(host, place.state, place.run) as end:
        if not pretend:
            end.claim(record)
        seen = end.prove(record)
        _refuse_named(record.images)
        used = opened_by_others(record.images, seen.pid)
        if used:
            raise _in_use(used, "a process that this move did not start has it open")
        if not pretend:
            end.take_back(record)
    return True


def _refuse_named(paths: t.Sequence[str]) -> None:
    """Raises IMAGE_IN_USE where a domain of this host names one of them."""
    if not has_libvirt():
        return
    with Connection.open() as connection:
        for one in see_all(connection, "this host"):
            for path in paths:
                if path in one.named:
                    raise _in_use(path, f"domain '{one.sighting.name}' of this host names it")


def _in_use(path: str, why: str) -> KvmError:
    return KvmError("IMAGE_IN_USE", f"{path} was not removed: {why}.", path=path)
