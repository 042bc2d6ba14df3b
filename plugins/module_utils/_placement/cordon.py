# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Cordoning a host: from the mark that is there and the one that is asked for to the change between them."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._core.cordon import PATH, Cordon
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change


def wanted_cordon(current: Cordon | None, state: str, reason: str | None, now: float) -> Cordon | None:
    """The mark that ``state`` (present, absent) asks for.

    A mark that is there keeps its beginning; without a ``reason`` it keeps its reason, too.
    """
    if state == "absent":
        return None
    if current is None:
        return Cordon(reason or "", now)
    return Cordon(current.reason if reason is None else reason, current.since)


def cordon_changes(current: Cordon | None, wanted: Cordon | None) -> tuple[Change, ...]:
    """What has to be done to get from ``current`` to ``wanted``; nothing where only the time of the mark differs."""
    if current is not None and wanted is not None and current.reason == wanted.reason:
        return ()
    if current is None and wanted is None:
        return ()
    action = "uncordon" if wanted is None else ("cordon" if current is None else "change the reason")
    return (Change(PATH, action, _shown(current), _shown(wanted)),)


def _shown(cordon: Cordon | None) -> dict[str, object] | None:
    return None if cordon is None else {"reason": cordon.reason}
