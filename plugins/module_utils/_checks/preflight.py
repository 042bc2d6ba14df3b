# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The registry of all checks: facts in, findings out; and what the user accepts of them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._checks.connectivity import (
    check_clock,
    check_probes,
    check_qemu_user,
    check_tls,
)
from ansible_collections.virtops.kvm.plugins.module_utils._checks.cpu import check_cpu
from ansible_collections.virtops.kvm.plugins.module_utils._checks.identity import check_name, check_uuid
from ansible_collections.virtops.kvm.plugins.module_utils._checks.media import check_media
from ansible_collections.virtops.kvm.plugins.module_utils._checks.memory import check_hugepages, check_memory
from ansible_collections.virtops.kvm.plugins.module_utils._checks.method import check_method
from ansible_collections.virtops.kvm.plugins.module_utils._checks.storage import (
    check_cache,
    check_images,
    check_sharing,
    check_space,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import ACCEPT
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.fit import THERE, fit_cpu
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Fit
from ansible_collections.virtops.kvm.plugins.module_utils._model.stopping import as_stopped
from ansible_collections.virtops.kvm.plugins.module_utils._model.ties import ANYWHERE

Check = t.Callable[[CheckFacts], t.Iterable[Finding]]


def _on_pair(fit: Fit) -> Check:
    return lambda facts: fit(facts.pair)


#: fit_cpu is judged by check_cpu, which knows libvirt's own comparison too.
CHECKS: tuple[Check, ...] = (
    *(_on_pair(fit) for fit in (*ANYWHERE, *THERE) if fit is not fit_cpu),
    check_method,
    check_uuid,
    check_name,
    check_cpu,
    check_memory,
    check_hugepages,
    check_sharing,
    check_cache,
    check_images,
    check_space,
    check_media,
    check_probes,
    check_tls,
    check_clock,
    check_qemu_user,
)


def check(facts: CheckFacts) -> list[Finding]:
    """All findings for the move, in the order of the checks; what the user accepts is a warning that says so."""
    found = [finding for one in CHECKS for finding in one(facts)]
    if facts.stopped:
        found = [
            kept
            for kept in (as_stopped(facts.pair, facts.choice.method, finding) for finding in found)
            if kept is not None
        ]
    return [accepted(finding, facts.accept) for finding in found]


def accepted(finding: Finding, accept: t.Collection[str]) -> Finding:
    """``finding``, as a warning where it may be accepted and is."""
    if finding.severity != BLOCKER or finding.override != ACCEPT or finding.code not in accept:
        return finding
    message = f"{finding.message} This was accepted, so the move is tried all the same."
    return dataclasses.replace(finding, severity=WARNING, message=message)
