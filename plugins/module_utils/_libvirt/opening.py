# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Connecting to another host's libvirtd while something else is done, and with an end to the patience."""

from __future__ import annotations

import threading
import time

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.knock import probe
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.control import control_port

#: How long the other host may take to answer; ssh itself would wait for minutes.
CONNECT_SECONDS = 60.0


class Opening:
    """A connection that is being opened: in a thread of its own, which is left to itself when it takes too long."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._until = time.monotonic() + CONNECT_SECONDS
        self._answer: list[Connection | KvmError] = []
        self._done = threading.Event()
        threading.Thread(target=self._work, name="connect", daemon=True).start()

    def connection(self) -> Connection:
        """The open connection. Raises HOST_UNREACHABLE where there is none in time."""
        if not self._done.wait(max(0.0, self._until - time.monotonic())):
            raise KvmError(
                "HOST_UNREACHABLE",
                f"libvirt at '{self._uri}' did not answer within {CONNECT_SECONDS:g} s. Check that the host is up and its network.",
                uri=self._uri,
            )
        result = self._answer[0]
        if isinstance(result, KvmError):
            raise result
        return result

    def connection_if_open(self) -> Connection | None:
        """The connection, if it is open by now."""
        found = self._answer[0] if self._done.is_set() else None
        return found if isinstance(found, Connection) else None

    def _work(self) -> None:
        try:
            self._answer.append(_opened(self._uri))
        except KvmError as error:
            self._answer.append(error)
        finally:
            self._done.set()


def _opened(uri: str) -> Connection:
    """Connect. The port is tried first, for ssh waits for minutes where packets are dropped."""
    way = control_port(uri)
    result = "open" if way is None else probe(way.address, way.port)
    if way is not None and result != "open":
        raise KvmError(
            "HOST_UNREACHABLE",
            f"Cannot connect to libvirt at '{uri}': port {way.port} of {way.address} is {result}. "
            "Check that the host is up, its name and address, and the firewall between the hosts.",
            uri=uri,
            result=result,
        )
    return Connection.open(uri)
