# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Where a monitor listens: a unix socket or a TCP port; its text as QEMU and people write it; and whether somebody holds it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import socket
import struct
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

#: In /proc/net/unix: a socket that its owner has accepted. One that still waits for that has 02.
_ACCEPTED = "03"
#: In /proc/net/tcp.
_ESTABLISHED = "01"


@dataclasses.dataclass(frozen=True)
class Address:
    """``kind`` is unix or tcp. The path of a unix socket is as this process reaches it; ``bound`` is the path that QEMU bound where
    that is another one (QEMU lives in another root, or the path is relative to its working directory); ``pid`` is its process where
    that is known."""

    kind: str
    path: str = ""
    host: str = ""
    port: int = 0
    abstract: bool = False
    bound: str = ""
    pid: int = 0

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{'@' if self.abstract else ''}{self.bound or self.path}"
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address for ``unix:PATH``, ``/PATH``, ``tcp:HOST:PORT`` (``[..]`` around an IPv6 address). Raises MONITOR_ADDRESS."""
    if text.startswith("unix:@") and len(text) > len("unix:@"):
        return Address("unix", path=text[len("unix:@") :], abstract=True)
    if text.startswith("/") or (text.startswith("unix:") and len(text) > len("unix:")):
        return Address("unix", path=text[len("unix:") :] if text.startswith("unix:") else text)
    match = re.fullmatch(r"tcp:(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]*)):([0-9]{1,5})", text)
    if match and 0 < int(match.group(3)) < 65536:
        return Address("tcp", host=match.group(1) or match.group(2) or "localhost", port=int(match.group(3)))
    raise KvmError(
        "MONITOR_ADDRESS",
        f"'{text}' is no address of a monitor; write unix:/PATH/OF/SOCKET or tcp:HOST:PORT.",
        address=text,
    )


def is_held(address: Address, proc: str = "/proc") -> bool:
    """Whether QEMU has a client at ``address`` now: it speaks with one at a time, all others wait unheard.

    Without the pid of QEMU, only sockets of our own network namespace are seen.
    """
    proc = f"{proc}/{address.pid or 'self'}"
    try:
        if address.kind == "unix":
            return unix_held(_read(f"{proc}/net/unix"), _name(address))
        return tcp_held(_read(f"{proc}/net/tcp") + _read(f"{proc}/net/tcp6"), address.port)
    except OSError:
        return False


def unix_held(table: str, name: str) -> bool:
    """Whether ``table`` (/proc/net/unix) has an accepted connection of the socket bound to ``name``."""
    for line in table.splitlines()[1:]:
        words = line.split(None, 7)
        if len(words) == 8 and words[5] == _ACCEPTED and words[7] == name:
            return True
    return False


def tcp_held(table: str, port: int) -> bool:
    """Whether ``table`` (/proc/net/tcp) has an accepted connection to ``port`` of this host."""
    for line in table.splitlines():
        words = line.split()
        if len(words) > 9 and words[1].endswith(f":{port:04X}") and words[3] == _ESTABLISHED and words[9] != "0":
            return True
    return False


def listening(table: str, tcp: str) -> t.Iterator[tuple[str, Address]]:
    """(inode, address) of each socket that waits for connections in ``table`` (/proc/net/unix) and ``tcp`` (/proc/net/tcp, tcp6)."""
    for line in table.splitlines()[1:]:
        words = line.split(None, 7)
        if len(words) == 8 and int(words[3], 16) & 0x10000:
            abstract = words[7].startswith("@")
            yield words[6], Address("unix", path=words[7][abstract:], abstract=abstract)
    for line in tcp.splitlines():
        words = line.split()
        if len(words) > 9 and words[3] == "0A":
            where, _colon, port = words[1].partition(":")
            yield words[9], Address("tcp", host=_reachable(where), port=int(port, 16))


def _reachable(where: str) -> str:
    """The address in a row of /proc/net/tcp, which has each 32 bits in the machine's own order; the loopback where it is any."""
    data = b"".join(struct.pack("=I", int(where[at : at + 8], 16)) for at in range(0, len(where), 8))
    found = ipaddress.ip_address(socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data))
    return ("::1" if found.version == 6 else "127.0.0.1") if found.is_unspecified else str(found)


def _name(address: Address) -> str:
    return f"{'@' if address.abstract else ''}{address.bound or address.path}"


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
