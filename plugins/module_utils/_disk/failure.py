# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What went wrong with a copy, in words and with a code."""

from __future__ import annotations

import contextlib
import errno

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.channel import WriteFailed
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import CopyJob
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote

#: Numbers of errors that mean that there is no room.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: The data and the control connection do not end in the same moment.
_LOST_SECONDS = 3.0


def full(job: CopyJob, remote: Remote) -> KvmError:
    """The destination ran out of room."""
    return KvmError(
        "DESTINATION_FULL",
        f"'{job.destination}' on {remote.label} ran out of room; what was begun there is removed. Make room, or choose another "
        "place.",
        path=job.destination,
        partial="",
    )


def lost(job: CopyJob, remote: Remote, image: int | None, work: str, exc: WriteFailed, clock: Clock) -> KvmError:
    """The data did not arrive: because the other end is gone, or because its server is."""
    end = clock.monotonic() + _LOST_SECONDS
    while remote.lost is None and clock.monotonic() < end:
        clock.sleep(0.1)
    if remote.lost is not None:
        remote.lost.details["partial"] = work
        return remote.lost
    reason = str(exc)
    with contextlib.suppress(KvmError):
        reason = remote.call("complaint", image=image, timeout=30) or reason
    return KvmError(
        "CONNECTION_LOST",
        f"Writing '{job.destination}' on {remote.label} failed ({reason}); run again, what was copied is not sent again.",
        path=job.destination,
        partial=work,
    )


def unproven(work: str, remote: Remote, wrong: list[int]) -> KvmError:
    """The destination does not hold what was sent."""
    return KvmError(
        "PROOF_FAILED",
        f"'{work}' on {remote.label} does not hold what was sent there, first at byte {wrong[0] * BLOCK}; suspect its storage or "
        "memory, and run again: only the wrong blocks are sent.",
        path=work,
        blocks=wrong[:20],
    )
