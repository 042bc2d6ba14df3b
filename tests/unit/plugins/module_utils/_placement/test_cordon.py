# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the mark that is there and the one asked for to the change."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.cordon import Cordon
from ansible_collections.virtops.kvm.plugins.module_utils._placement.cordon import cordon_changes, wanted_cordon

OLD = Cordon("disk", 5.0)

CASES: list[tuple[Cordon | None, str, str | None, Cordon | None, str | None]] = [
    (None, "present", "fan", Cordon("fan", 9.0), "cordon"),
    (None, "present", None, Cordon("", 9.0), "cordon"),
    (OLD, "present", "disk", OLD, None),
    (OLD, "present", None, OLD, None),
    (OLD, "present", "fan", Cordon("fan", 5.0), "change the reason"),
    (OLD, "present", "", Cordon("", 5.0), "change the reason"),
    (OLD, "absent", None, None, "uncordon"),
    (OLD, "absent", "fan", None, "uncordon"),
    (None, "absent", None, None, None),
]


@pytest.mark.parametrize(("current", "state", "reason", "wanted", "action"), CASES)
def test_cordon(
    current: Cordon | None, state: str, reason: str | None, wanted: Cordon | None, action: str | None
) -> None:
    assert wanted_cordon(current, state, reason, 9.0) == wanted
    changes = cordon_changes(current, wanted)
    assert [change.action for change in changes] == ([action] if action else [])
