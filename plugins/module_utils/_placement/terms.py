# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the user's policies say of one domain."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Terms:
    """``rules`` are the labels of the rules that say it. None, and empty, is where no rule says anything: the options of the plan
    hold. ``max_stop`` is in seconds, ``max_pause`` in milliseconds. Moves of a lower ``order_group`` start first, and in a group
    those of a higher ``priority``. Domains of one ``affinity`` group go to one host, no two of an ``anti_affinity`` group do.
    ``pinned`` are the only hosts that may take it."""

    rules: tuple[str, ...] = ()
    method: str = ""
    may_stop: t.Optional[bool] = None
    skip: bool = False
    max_stop: t.Optional[float] = None
    max_pause: t.Optional[int] = None
    priority: int = 0
    order_group: int = 0
    affinity: tuple[str, ...] = ()
    anti_affinity: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()

    @property
    def by(self) -> str:
        """Whose word it is, for a sentence: "rule 2 (databases)"."""
        return " and ".join(self.rules)


#: Of a domain that no rule matches.
NO_TERMS = Terms()
