# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The destination's end of a guest process's move, asked on that host itself, when no source speaks with it any more."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_agent import Agent
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_decide import never_ran
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import RUN_DIR, STATE_DIR


class LocalEnd:
    """The agent that a source would ship, in this process."""

    def __init__(self, host: str, state: str, run: str) -> None:
        self._host = host
        self._answers: list[dict[str, t.Any]] = []
        self._agent = Agent(self._answers.append, state, run)

    def look(self, key: str, name: str, uuid: str) -> BareSighting:
        """What is here of the guest whose record has this key."""
        return sighting(self._host, self._call("look", key=key, name=name, uuid=uuid))

    def claim(self, record: BareJournal) -> None:
        """Let nobody else be at it from now on. Raises MOVE_RUNNING where a source drives its move."""
        if not self._call("claim", key=record.key):
            raise KvmError(
                "MOVE_RUNNING",
                f"A move of the guest '{record.name}' to {self._host} is running; nothing was touched. Wait for its end.",
            )

    def prove(self, record: BareJournal) -> BareSighting:
        """What is here of the guest. Raises OWNERSHIP_UNPROVEN unless it is proven never to have run here."""
        seen = self.look(record.key, record.name, record.uuid)
        why = never_ran(record, seen)
        if why:
            raise KvmError(
                "OWNERSHIP_UNPROVEN", f"The guest '{record.name}' on {self._host} {why}; nothing was touched."
            )
        return seen

    def take_back(self, record: BareJournal) -> None:
        """End the process that the record's move started here, and remove what it made. Raises LEFTOVER_STAYS for what stays."""
        left = self._call("undo", key=record.key)
        if left:
            raise KvmError(
                "LEFTOVER_STAYS",
                f"Of the move of the guest '{record.name}' to {self._host} this was not removed: {', '.join(left)}. Look at it there.",
                left=left,
            )

    def close(self) -> None:
        """Let go."""
        self._agent.close()

    def _call(self, verb: str, **arguments: t.Any) -> t.Any:
        self._agent.handle({"id": 0, "verb": verb, "args": arguments})
        answer = self._answers.pop()
        if "error" in answer:
            error = answer["error"]
            raise KvmError(error["code"], error["message"], **error["details"])
        return answer["value"]


@contextlib.contextmanager
def local_end(host: str, state: str = STATE_DIR, run: str = RUN_DIR) -> t.Iterator[LocalEnd]:
    """This host's end, let go in the end."""
    end = LocalEnd(host, state, run)
    try:
        yield end
    finally:
        end.close()
