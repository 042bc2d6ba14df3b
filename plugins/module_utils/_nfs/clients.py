# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Who may mount an export: hosts, networks, patterns, netgroups, everybody; and whether an address is meant."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import typing as t

EVERYONE = "everyone"
HOST = "host"
NETWORK = "network"
WILDCARD = "wildcard"
NETGROUP = "netgroup"
GSS = "gss"

_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?\Z")
_GSS = ("gss/krb5", "gss/krb5i", "gss/krb5p")
_LIKE_ADDRESS = re.compile(r"[0-9.*?]+\Z")

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class ClientFault(ValueError):
    """A client that exportfs would not take, or would take for something else; the text says why."""


def kind_of(name: str) -> str:
    """What exportfs takes ``name`` for."""
    if name in ("", "*"):
        return EVERYONE
    if name.startswith("gss/"):
        return GSS
    if name.startswith("@"):
        return NETGROUP
    for char in name:
        if char in "*?[":
            return WILDCARD
        if char == "/":
            return NETWORK
    return HOST


def check(name: str) -> str:
    """The kind of ``name``. Raises ClientFault where it cannot mean anybody."""
    if not name:
        raise ClientFault("it is empty; write * for everybody")
    wrong = re.search(r"[\s\"#(),\\\x00-\x1f]|^-", name)
    if wrong:
        raise ClientFault(f"it must not contain {wrong[0]!r}")
    kind = kind_of(name)
    if kind == NETWORK:
        _network(name)
    elif kind == WILDCARD:
        _check_wildcard(name)
    elif kind == NETGROUP and len(name) == 1:
        raise ClientFault("a netgroup needs a name behind the @")
    elif kind == GSS and name not in _GSS:
        raise ClientFault(f"only {', '.join(_GSS)} begin with gss/")
    elif kind == HOST and _address(name) is None:
        if re.fullmatch(r"[0-9.]+", name):
            raise ClientFault("it looks like an address, and is none")
        if ":" in name or not _NAME.match(name):
            raise ClientFault("it is neither an address nor the name of a host")
    return kind


def _check_wildcard(name: str) -> None:
    inside = name.strip("[]")
    if ":" in inside:
        raise ClientFault(f"an IPv6 address stands without brackets in exports(5): {inside}")
    if name.count("[") != name.count("]"):
        raise ClientFault("its brackets do not match")
    if _LIKE_ADDRESS.match(name):
        raise ClientFault("patterns match names and not addresses; write a network, such as 192.0.2.0/24")


def _address(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    base, mask = name.split("/", 1)
    if ":" in base and not mask.isdigit():
        raise ClientFault("an IPv6 network needs the length of its prefix, such as 2001:db8::/64")
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError as exc:
        raise ClientFault(f"it is no network ({exc}); write for example 192.0.2.0/24") from exc


def means_everyone(name: str) -> bool:
    """Whether ``name`` lets anybody in."""
    kind = kind_of(name)
    if kind == NETWORK:
        try:
            return _network(name).prefixlen == 0
        except ClientFault:
            return False
    return kind == EVERYONE or (kind == WILDCARD and not name.strip("*"))


class Names(t.Protocol):
    """Asks for names."""

    def canonical(self, name: str) -> str | None:
        """The canonical name of the host ``name`` as exportfs finds it; None where it cannot be resolved."""

    def addresses(self, name: str) -> t.Sequence[str]:
        """The addresses of the host ``name``."""

    def names_of(self, address: str) -> t.Sequence[str]:
        """The names that belong to ``address``."""


def key_of(name: str, names: Names) -> str:
    """What ``name`` is called in the table of exportfs: hosts by their canonical name, all without regard to case."""
    kind = kind_of(name)
    if kind == EVERYONE:
        return "*"
    if kind == HOST:
        return (names.canonical(name) or name).lower()
    return name.lower()


def may_mean(name: str, address: str, names: Names) -> bool:
    """Whether the client at ``address`` is among those whom ``name`` means. Where that cannot be told, it may be."""
    kind = kind_of(name)
    seen = _address(address)
    if seen is None or kind in (EVERYONE, NETGROUP, GSS):
        return True
    if isinstance(seen, ipaddress.IPv6Address) and seen.ipv4_mapped:
        seen = seen.ipv4_mapped
    if kind == NETWORK:
        try:
            return seen in _network(name)
        except ClientFault:
            return True
    if kind == WILDCARD:
        return any(fnmatch.fnmatchcase(one.lower(), name.lower()) for one in names.names_of(str(seen)))
    if _address(name) is not None:
        return _address(name) == seen
    return str(seen) in names.addresses(name)
