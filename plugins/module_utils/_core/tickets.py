# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Fair turns without a master: everyone takes the next free number, and the lowest numbers have their turn."""

from __future__ import annotations

import dataclasses
import typing as t

PREFIX = "virtops-kvm claim "


def label(ticket: int) -> str:
    """The unique name under which ``ticket`` is taken."""
    return f"{PREFIX}{ticket:012d}"


def ticket_of(name: str) -> int | None:
    """The ticket that ``name`` stands for, None for a name of something else."""
    digits = name[len(PREFIX) :]
    return int(digits) if name.startswith(PREFIX) and digits.isdigit() else None


def next_ticket(taken: t.Iterable[int]) -> int:
    """The number behind all others."""
    return max(taken, default=0) + 1


def overtaken(mine: int, taken: t.Iterable[int]) -> bool:
    """Whether somebody came after ``mine`` was chosen and before it was taken: then it must be given back, because that one
    may have started without seeing it."""
    return any(ticket > mine for ticket in taken)


@dataclasses.dataclass
class Watch:
    """Tells whose heart has stopped: by the watcher's own clock alone, so that clocks of hosts need not agree."""

    stale_after: float
    _seen: dict[str, tuple[str, float]] = dataclasses.field(default_factory=dict)

    def stale(self, owner: str, beat: str, now: float) -> bool:
        """Note the ``beat`` of ``owner``; true when it has been the same for too long."""
        last, since = self._seen.get(owner, (None, now))
        if last != beat:
            self._seen[owner] = (beat, now)
            return False
        return now - since >= self.stale_after
