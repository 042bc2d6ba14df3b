# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A finding: one result of a preflight check."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data

BLOCKER = "blocker"
WARNING = "warning"
INFO = "info"


@dataclasses.dataclass(frozen=True)
class Finding:
    """``severity`` is blocker, warning or info. ``override`` names the option that turns a blocker into a warning, if one may."""

    code: str
    severity: str
    object: str
    message: str
    evidence: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    remedy: str = ""
    override: t.Optional[str] = None


def blockers(findings: t.Iterable[Finding]) -> list[Finding]:
    """Those findings that forbid the move."""
    return [finding for finding in findings if finding.severity == BLOCKER]


def findings_data(findings: t.Iterable[Finding]) -> list[dict[str, t.Any]]:
    """Findings as plain data, worst first, in a stable order."""
    rank = {BLOCKER: 0, WARNING: 1, INFO: 2}
    ordered = sorted(findings, key=lambda finding: (rank.get(finding.severity, 3), finding.code, finding.object))
    return [to_data(finding) for finding in ordered]
