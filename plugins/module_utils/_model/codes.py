# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The stable codes of findings, which of them a user may accept, and the builders that keep both in step."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, INFO, WARNING, Finding

#: The option that turns an acceptable blocker into a warning.
ACCEPT = "accept"

#: Every code a preflight can report.
CODES = (
    "ALREADY_RUNNING_ON_DESTINATION",
    "ARCH_MISMATCH",
    "BRIDGE_MISSING",
    "CHECKPOINTS_PRESENT",
    "CLOCK_SKEW",
    "CONTROL_UNREACHABLE",
    "CORDONED",
    "CPU_INCOMPATIBLE",
    "DISK_SIZE_MISMATCH",
    "DISK_SPACE_OVERCOMMIT",
    "DISK_SPACE_SHORT",
    "DISK_TYPE_UNSUPPORTED",
    "FILESYSTEM_DEVICE",
    "FIRMWARE_MISSING",
    "HOST_DEVICE",
    "HUGEPAGES_SHORT",
    "IMAGE_EXISTS",
    "JOB_RUNNING",
    "LIBVIRT_OLDER",
    "MACHINE_UNSUPPORTED",
    "MAY_NOT_STOP",
    "MEDIA_DROPPED",
    "MEDIA_MISSING",
    "MEMORY_SHORT",
    "METHOD_UNSUITABLE",
    "NAME_CONFLICT",
    "NETWORK_INACTIVE",
    "NETWORK_MISSING",
    "NOT_ACTIVE",
    "POOL_MISSING",
    "PORT_BLOCKED",
    "QEMU_OLDER",
    "QEMU_USER_DIFFERS",
    "SAME_HOST",
    "SHARED_UNPROVEN",
    "SNAPSHOTS_PRESENT",
    "STORAGE_NOT_SHARED",
    "TLS_UNAVAILABLE",
    "TRANSIENT_DISK",
    "UNSAFE_CACHE",
    "UUID_CONFLICT",
    "VIRT_TYPE_UNSUPPORTED",
)

#: Codes of blockers that a user may accept: where our facts can be wrong or the risk is theirs to take, and where
#: libvirt itself would still refuse what cannot work. hard_blocker() makes the exceptions.
ACCEPTABLE = (
    "CORDONED",
    "CPU_INCOMPATIBLE",
    "DISK_SPACE_SHORT",
    "FILESYSTEM_DEVICE",
    "FIRMWARE_MISSING",
    "HOST_DEVICE",
    "HUGEPAGES_SHORT",
    "IMAGE_EXISTS",
    "MEMORY_SHORT",
    "POOL_MISSING",
    "PORT_BLOCKED",
    "QEMU_OLDER",
    "SHARED_UNPROVEN",
    "UNSAFE_CACHE",
    "UUID_CONFLICT",
)


def blocker(code: str, subject: str, message: str, remedy: str, **evidence: t.Any) -> Finding:
    """A finding that forbids the move, unless its code is acceptable and the user accepts it."""
    return Finding(code, BLOCKER, subject, message, evidence, remedy, ACCEPT if code in ACCEPTABLE else None)


def hard_blocker(code: str, subject: str, message: str, remedy: str, **evidence: t.Any) -> Finding:
    """A finding that nobody may accept, though its code is acceptable in other cases."""
    return Finding(code, BLOCKER, subject, message, evidence, remedy)


def warning(code: str, subject: str, message: str, remedy: str, **evidence: t.Any) -> Finding:
    """A finding that the user should know of; the move goes on."""
    return Finding(code, WARNING, subject, message, evidence, remedy)


def notice(code: str, subject: str, message: str, remedy: str, **evidence: t.Any) -> Finding:
    """A finding that says no more than what is not known."""
    return Finding(code, INFO, subject, message, evidence, remedy)


def check_accept(codes: t.Sequence[str]) -> tuple[str, ...]:
    """The codes that a user accepts. Raises InputError for one that does not exist or that nobody may accept."""
    for code in codes:
        if code not in ACCEPTABLE:
            known = "may not be accepted" if code in CODES else "is no code of a finding"
            raise InputError(ACCEPT, f"'{code}' {known}; accept takes {', '.join(ACCEPTABLE)}.", code=code)
    return tuple(codes)
