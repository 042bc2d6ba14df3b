# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What ends a run before anything was changed: blockers of the preflight, one host seen twice, and refusals of the table."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding, blockers, findings_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.decide import Decision


def refuse_one_host(context: Context, source: Sighting, there: Sighting) -> None:
    """Raises SAME_HOST: a domain that both ends show may be one domain seen twice."""
    if not (source.found and there.found and source.uuid == there.uuid):
        return
    host_uuid = context.gateway.one_host()
    if host_uuid:
        raise KvmError(
            "SAME_HOST",
            f"Domain '{context.name}' cannot move from {source.host} to {there.host}: both report the host UUID "
            f"{host_uuid}, so libvirt takes them for one host. Choose another destination; where they are two machines "
            "(clones), give each its own host_uuid in libvirtd.conf.",
            uuid=host_uuid,
        )


def refusal(context: Context, decision: Decision, source: Sighting, there: Sighting) -> KvmError:
    """The error for a decision to refuse."""
    message, journal = decision.message, context.journal
    if decision.code == "DOMAIN_NOT_FOUND" and journal is not None and journal.stage == "done":
        message = f"{message} It was moved from here to {journal.destination_host} before."
    return KvmError(decision.code, message, source=to_data(source), destination=to_data(there))


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
