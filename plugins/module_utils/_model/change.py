# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A change has one shape everywhere: observe -> desired -> list of Change -> apply."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Change:
    """One thing that differs from what is asked: ``object`` (what), ``action`` (what will be done), before and after."""

    object: str
    action: str
    before: t.Any = None
    after: t.Any = None


def diff_of(changes: t.Sequence[Change]) -> dict[str, t.Any]:
    """The before/after pair that Ansible prints for ``changes`` in diff mode."""
    return {
        "before": {change.object: change.before for change in changes},
        "after": {change.object: change.after for change in changes},
    }
