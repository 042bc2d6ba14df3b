# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The way for the data: TCP inside TLS with a key of this copy alone; through ssh where the port cannot be reached."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import secrets
import socket
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import nbd
from ansible_collections.virtops.kvm.plugins.module_utils._disk.channel import (
    Channel,
    WriteFailed,
    connect_tcp,
    connect_unix,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.identity import make_identity
from ansible_collections.virtops.kvm.plugins.module_utils._disk.qemunbd import RunFolder
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sending import StreamChannel
from ansible_collections.virtops.kvm.plugins.module_utils._disk.stream import context_of

TLS, SSH, LOCAL = "tls", "ssh", "local"
_TUNNEL_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Link:
    """Open connections to the server of one image."""

    transport: str
    channels: tuple[Channel, ...]

    def flush(self) -> None:
        """Bring everything to the other end's kernel."""
        for channel in self.channels:
            channel.flush()


@contextlib.contextmanager
def connected(remote: Remote, image: int, address: str, count: int, *, raw: bool) -> t.Iterator[Link]:
    """``count`` connections to the server of ``image``, which is started for them.

    ``address`` is where the other host is reached for the data, without it the way of the ssh connection. With ``raw`` the server is
    our own receiver, else qemu-nbd. Raises KvmError.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(_stop_serving, remote, image)
        link = None
        if remote.target is not None and (raw or nbd.supports_tls()):
            link = _by_tls(remote, image, address, count, raw, stack)
        if link is None:
            link = _by_socket(remote, image, count, raw, stack)
        remote.call("connected", image=image)
        yield link


def _stop_serving(remote: Remote, image: int) -> None:
    if remote.lost is None:
        with contextlib.suppress(KvmError):
            remote.call("stop_serving", image=image)


def _by_tls(
    remote: Remote, image: int, address: str, count: int, raw: bool, stack: contextlib.ExitStack
) -> Link | None:
    """None where the port cannot be reached."""
    key = make_identity() if raw else secrets.token_hex(32)
    near = resolved(address) if address else remote.address
    try:
        where = remote.call(
            "serve", image=image, transport="tcp", address=near or "0.0.0.0", key=key, connections=count
        )
    except KvmError as exc:
        if exc.error_code == "NO_PORT" and not address:
            return None
        raise
    target = near or t.cast(t.Any, remote.target).host
    try:
        sockets = [connect_tcp(target, where["port"])]
        sockets += [connect_tcp(target, where["port"]) for unused_number in range(count - 1)]
    except OSError as exc:
        if address:
            raise KvmError(
                "PORT_UNREACHABLE",
                f"The port {where['port']} of {address} cannot be reached ({exc}); open it, or leave the address out to go by ssh.",
                address=address,
                port=where["port"],
            ) from exc
        return None
    if raw:
        context = context_of(key, server=False)
        return Link(TLS, _channels(remote, image, sockets, lambda one: StreamChannel(one, context), stack))
    with RunFolder() as folder:
        key_file = folder.write_key(key)
        return Link(TLS, _channels(remote, image, sockets, lambda one: nbd.NbdChannel(one, key_file), stack))


def _by_socket(remote: Remote, image: int, count: int, raw: bool, stack: contextlib.ExitStack) -> Link:
    def made(one: socket.socket) -> Channel:
        return StreamChannel(one, None) if raw else nbd.NbdChannel(one, None)

    where = remote.call("serve", image=image, transport="unix", address="", key="", connections=count)["socket"]
    if remote.target is None:
        return Link(LOCAL, _channels(remote, image, [connect_unix(where) for unused in range(count)], made, stack))
    with RunFolder() as folder:
        near = folder.join("tunnel")
        tunnel = stack.enter_context(remote.tunnel(where, near))
        end = time.monotonic() + _TUNNEL_SECONDS
        while not os.path.exists(near):
            if tunnel.poll() is not None or time.monotonic() > end:
                reason = tunnel.last_words().splitlines()[-1:] or ["it did not stand in time"]
                raise KvmError(
                    "PORT_UNREACHABLE",
                    f"'{remote.label}' can neither be reached on a port for the data nor through ssh ({reason[0]}); open the "
                    "ports 49152 to 49215, or permit forwarding in its sshd.",
                    host=remote.label,
                )
            time.sleep(0.05)
        sockets = [connect_unix(near) for unused in range(count)]
        return Link(SSH, _channels(remote, image, sockets, made, stack))


def _channels(
    remote: Remote,
    image: int,
    sockets: t.Sequence[socket.socket],
    made: t.Callable[[socket.socket], Channel],
    stack: contextlib.ExitStack,
) -> tuple[Channel, ...]:
    channels: list[Channel] = []
    try:
        for one in sockets:
            channels.append(made(one))
            stack.callback(channels[-1].close)
    except WriteFailed as exc:
        reason = remote.call("complaint", image=image) or str(exc)
        raise WriteFailed(errno.ECONNABORTED, reason) from exc
    return tuple(channels)


def resolved(address: str) -> str:
    """The IP address of a name. Raises KvmError."""
    try:
        return str(socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as exc:
        raise KvmError(
            "HOST_UNREACHABLE", f"The address '{address}' cannot be resolved: {exc}.", address=address
        ) from exc
