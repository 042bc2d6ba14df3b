# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A monitor of either kind, told apart by how it greets."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import hmp, session
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.hmp import HmpSession, failure
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.session import (
    COMMAND_SECONDS,
    GREETING_SECONDS,
    Session,
    refused,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.stream import Stream, open_greeted

if t.TYPE_CHECKING:
    from ansible_collections.virtops.kvm.plugins.module_utils._qemu.human import HumanSession


class Monitor:
    """One monitor. ``session`` is its QMP session where it speaks QMP; ``hmp`` and ``order`` work with both kinds."""

    def __init__(self, spoken: Session | HmpSession) -> None:
        self._spoken = spoken
        self.session: Session | None = spoken if isinstance(spoken, Session) else None
        self.kind = "hmp" if self.session is None else "qmp"

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *unused_details: object) -> None:
        self.close()

    def commanded(self) -> Session | HumanSession:
        """Whoever takes the commands of a move; that of a human monitor knows those only."""
        if not isinstance(self._spoken, HmpSession):
            return self._spoken
        # What it takes to understand a human monitor is much, and few guests have nothing better.
        from ansible_collections.virtops.kvm.plugins.module_utils._qemu.human import HumanSession

        return HumanSession(self._spoken)

    @property
    def address(self) -> Address:
        """Where the monitor listens."""
        return self._spoken.address

    @property
    def version(self) -> tuple[int, int, int]:
        """QEMU's version."""
        return self._spoken.version

    def hmp(self, line: str, *, timeout: float | None = None) -> str:
        """What the human monitor prints for ``line``, errors included."""
        return self._spoken.hmp(line, timeout=timeout)

    def order(self, line: str, *, timeout: float | None = None) -> str:
        """Like ``hmp``; what it prints for an error is raised as MONITOR_REFUSED."""
        text = self.hmp(line, timeout=timeout)
        words = failure(text)
        if words:
            raise refused(self.address, line.split(" ", 1)[0], {"class": "GenericError", "desc": words})
        return text

    def close(self) -> None:
        """End the session; QEMU goes on."""
        self._spoken.close()


def connect(
    address: str | Address,
    *,
    timeout: float = GREETING_SECONDS,
    command_timeout: float = COMMAND_SECONDS,
    clock: Clock | None = None,
) -> Monitor:
    """The monitor at ``address``, whichever kind it is, ready for commands after at most ``timeout`` seconds.

    Raises MONITOR_GONE where nobody listens, MONITOR_BUSY where QEMU speaks with somebody else, MONITOR_SILENT where it does not greet,
    MONITOR_GARBLED where something else answers.
    """

    def speak(stream: Stream, first: bytes, left: float) -> Monitor:
        start = session.start if first.lstrip().startswith(b"{") else hmp.start
        return Monitor(start(stream, first, left, command_timeout))

    return open_greeted(address, timeout, clock, speak)
