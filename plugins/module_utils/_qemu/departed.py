# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Guests that have left this host by a move: told by the records that the moves keep here, so that none of them is started twice.

The destination of a move home has it, too, as a part of the agent: the standard library and ``_core`` only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

STATE_DIR = "/var/lib/virtops-kvm"
#: Stages of a move from which on its destination may run the guest; only the last one says that it does.
_MAY_RUN_THERE = ("switch", "verify", "release", "done")
_CERTAIN = "done"

Record = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Departure:
    """A guest that went to ``host``, or may have, where the move's end is not ``certain``; ``images`` are its disks that travelled."""

    name: str
    uuid: str
    host: str
    certain: bool = True
    images: tuple[str, ...] = ()

    def is_of(self, name: str, uuid: str) -> bool:
        """Whether it is that guest, which a move may have called by its name or by its UUID."""
        return name == self.name or (bool(uuid) and uuid.lower() in (self.uuid.lower(), self.name.lower()))


def departures(state: str = STATE_DIR) -> list[Departure]:
    """All guests that left and have not come back. Raises STATE_UNREADABLE for a damaged record: nobody knows whose it is."""
    found = [statefile.read_json(path) for path in _records(state)]
    return [departure(record) for record in found if record is not None and _is_away(record)]


def departure(record: Record) -> Departure:
    """What one record says."""
    return Departure(
        str(record.get("name") or ""),
        str(record.get("uuid") or ""),
        str(record.get("destination_host") or record.get("destination") or "another host"),
        record.get("stage") == _CERTAIN,
        tuple(record.get("source_disks") or ()),
    )


def came_back(name: str, uuid: str, state: str = STATE_DIR) -> None:
    """The guest is this host's again. Its record stays, as evidence; a damaged one is left to who has to understand it."""
    for path in _records(state):
        with contextlib.suppress(KvmError):
            record = statefile.read_json(path)
            if record is not None and _is_away(record) and departure(record).is_of(name, uuid):
                statefile.write_json(path, {**record, "returned": True})


def leftovers(name: str, uuid: str, state: str = STATE_DIR) -> list[str]:
    """Images that the guest left here when it moved away, and that nobody wrote to since: what is in them is out of date."""
    found: list[str] = []
    for path in _records(state):
        with contextlib.suppress(KvmError):
            record = statefile.read_json(path)
            if record is not None and _is_away(record) and departure(record).is_of(name, uuid):
                left = record.get("left") or {} if record.get("stage") == _CERTAIN else {}
                found += [image for image, seen in left.items() if seen == stamp(image)]
    return found


def stamp(path: str) -> str:
    """Another one once somebody wrote to the file, or put another one in its place."""
    try:
        found = os.stat(path)
    except OSError:
        return "gone"
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def _records(state: str) -> list[str]:
    return sorted(glob.glob(os.path.join(glob.escape(state), "moves", "guest-*.json")))


def _is_away(record: Record) -> bool:
    return record.get("stage") in _MAY_RUN_THERE and not record.get("returned")
