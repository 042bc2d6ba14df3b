# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a preflight found is either no obstacle, or the end of the move before anything was changed."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding, blockers, findings_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice


def refuse_blocked(findings: t.Sequence[Finding], choice: Choice) -> None:
    """Raises the only blocker under its own code, several as PREFLIGHT_FAILED; all findings are in the details."""
    stopping = blockers(findings)
    if not stopping:
        return
    more = ""
    if len(stopping) > 1:
        more = f" ({len(stopping) - 1} more: {', '.join(finding.code for finding in stopping[1:])})"
    raise KvmError(
        stopping[0].code if len(stopping) == 1 else "PREFLIGHT_FAILED",
        f"{stopping[0].message} {stopping[0].remedy}{more}".strip(),
        findings=findings_data(findings),
        method=choice.method,
        method_reason=choice.reason,
    )
