# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What findings mean when the guest does not run during its move: one answer for planner and checker.

The predicates of ``fit`` and the checks speak of a live move. Some of what they find is cured when the guest is stopped, and
some concerns a domain that is shut off only once it is started.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import ACCEPT
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.fit import GENERIC_CPUS
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Pair

#: Cured by every stopped method: no stream flows, files are copied whole, folders are made, caches are written back.
_CURED = (
    "CHECKPOINTS_PRESENT",
    "POOL_MISSING",
    "PORT_BLOCKED",
    "SNAPSHOTS_PRESENT",
    "TLS_UNAVAILABLE",
    "UNSAFE_CACHE",
)
#: Cured where the guest boots afresh on the destination, and not where its memory is restored there.
_CURED_BY_BOOT = ("QEMU_OLDER", "TRANSIENT_DISK")
#: What a start on the destination needs and a definition does not.
_AT_START = (
    "BRIDGE_MISSING",
    "CPU_INCOMPATIBLE",
    "FILESYSTEM_DEVICE",
    "FIRMWARE_MISSING",
    "HOST_DEVICE",
    "HUGEPAGES_SHORT",
    "MEDIA_MISSING",
    "MEMORY_SHORT",
    "NETWORK_INACTIVE",
    "NETWORK_MISSING",
)
#: Of its host, which the destination may have as well: nobody can tell from here, so the user may.
_OF_HOST = ("FILESYSTEM_DEVICE", "HOST_DEVICE")


def as_stopped(pair: Pair, method: str, finding: Finding) -> Finding | None:
    """``finding``, which speaks of a live move, for a move by the stopped ``method``; None where stopping cures it."""
    if finding.code in _CURED:
        return None
    if resumes(pair.domain, method):
        return finding
    if finding.code in _CURED_BY_BOOT or (finding.code == "METHOD_UNSUITABLE" and "obstacles" in finding.evidence):
        return None
    if finding.code == "CPU_INCOMPATIBLE" and _can_boot(pair):
        return None
    if finding.code in _AT_START and finding.severity == BLOCKER and not pair.domain.active:
        message = f"{pair.about}: as things are it cannot be started there: {_cause(pair, finding)}"
        return dataclasses.replace(finding, severity=WARNING, message=message, override=None)
    if finding.code in _OF_HOST and finding.severity == BLOCKER:
        return dataclasses.replace(
            finding,
            override=ACCEPT,
            remedy="Make sure that the destination has the same at the same address, then accept this; or detach them.",
        )
    return finding


def resumes(domain: Domain, method: str) -> bool:
    """Whether saved memory is restored on the destination, so that the guest still has what it had from its host."""
    return method == "suspended" or (method == "offline" and not domain.active and domain.managed_save)


def _can_boot(pair: Pair) -> bool:
    """Whether the CPU that the definition asks for is there: those that take what the host has always are."""
    cpu = pair.domain.boot_cpu
    if cpu.mode != "custom" or cpu.model in GENERIC_CPUS:
        return True
    return cpu.model in pair.destination.cpu_models.get(pair.domain.virt_type, ())


def _cause(pair: Pair, finding: Finding) -> str:
    prefix = f"{pair.move}: "
    return finding.message[len(prefix) :] if finding.message.startswith(prefix) else finding.message
