# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Where the waiting guest process, or libvirt's half of it, listens on the destination.

libvirt takes ports of the same range, and tells nobody which. So a port is looked for at the last moment, and another one where it was
taken in between.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext

_TRIES = 5
#: QEMU's words, as the system says it.
_TAKEN = "Address already in use"


class Ports(t.NamedTuple):
    """Where the destination listens; ``disks`` is 0 where no disk is copied."""

    address: str
    migration: int
    disks: int = 0

    @property
    def uri(self) -> str:
        """Where the memory goes."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"tcp:{host}:{self.migration}"


def listen(context: BareContext, address: str, begin: t.Callable[[int], t.Any]) -> int:
    """Let the waiting guest ``begin`` to listen on a port that is free, and give the port.

    Raises PORT_TAKEN where none is free, and what ``begin`` raises.
    """
    for tries in range(_TRIES):
        (port,) = context.far.call("free_ports", address=address, count=1)
        try:
            begin(port)
        except KvmError as exc:
            refused = exc.error_code == "MONITOR_REFUSED" and _TAKEN in str(exc.details.get("desc"))
            if tries == _TRIES - 1 or not (refused or exc.error_code == "PORT_TAKEN"):
                raise
        else:
            return int(port)
    raise AssertionError("the last try ends or raises")
