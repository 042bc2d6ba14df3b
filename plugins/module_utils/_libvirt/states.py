# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The numbers in which libvirt tells states, reasons and jobs, as words: its constants' own names in lower case."""

from __future__ import annotations

_STATES = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
_REASONS: dict[str, tuple[str, ...]] = {
    "running": (
        "unknown", "booted", "migrated", "restored", "from_snapshot", "unpaused", "migration_canceled", "save_canceled",
        "wakeup", "crashed", "postcopy", "postcopy_failed",
    ),
    "paused": (
        "unknown", "user", "migration", "save", "dump", "ioerror", "watchdog", "from_snapshot", "shutting_down",
        "snapshot", "crashed", "starting_up", "postcopy", "postcopy_failed", "api_error",
    ),
    "shutdown": ("unknown", "user"),
    "shutoff": (
        "unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from_snapshot", "daemon",
    ),
    "crashed": ("unknown", "panicked"),
}  # fmt: skip
_JOB_TYPES = ("none", "bounded", "unbounded", "completed", "failed", "cancelled")
_JOB_OPERATIONS = (
    "unknown", "start", "save", "restore", "migration_in", "migration_out", "snapshot", "snapshot_revert", "dump",
    "backup", "snapshot_delete",
)  # fmt: skip
_BLOCK_JOBS = ("unknown", "pull", "copy", "commit", "active_commit", "backup")
_POOL_STATES = ("inactive", "building", "running", "degraded", "inaccessible")


def _word(table: tuple[str, ...], number: int) -> str:
    # A newer daemon may know more states than this table.
    return table[number] if 0 <= number < len(table) else f"unknown_{number}"


def state_name(number: int) -> str:
    """A virDomainState as a word."""
    return _word(_STATES, number)


def reason_name(state: str, number: int) -> str:
    """Why the domain is in ``state``: a virDomain...Reason as a word."""
    return _word(_REASONS.get(state, ("unknown",)), number)


def job_type_name(number: int) -> str:
    """A virDomainJobType as a word."""
    return _word(_JOB_TYPES, number)


def job_operation_name(number: int) -> str:
    """A virDomainJobOperation as a word."""
    return _word(_JOB_OPERATIONS, number)


def block_job_name(number: int) -> str:
    """A virDomainBlockJobType as a word."""
    return _word(_BLOCK_JOBS, number)


def pool_state_name(number: int) -> str:
    """A virStoragePoolState as a word."""
    return _word(_POOL_STATES, number)
