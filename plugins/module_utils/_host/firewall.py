# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Openings in a host's firewall: ports, whose they are, and the steps that open and close them. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

#: Who opens ports here -> the port that stands for it where a firewall has no room for a name.
OWNERS = {"libvirt_host": 16514, "nfs_server": 2049}
_PORTS = re.compile(r"(\d{1,5})(?:[-:](\d{1,5}))?")
_LAST = 65535


@dataclasses.dataclass(frozen=True, order=True)
class Ports:
    """TCP ports, from the first to the last."""

    first: int
    last: int

    def __str__(self) -> str:
        return self.text("-")

    def text(self, mark: str) -> str:
        """As the firewalls write it, each with a ``mark`` of its own between first and last."""
        return str(self.first) if self.first == self.last else f"{self.first}{mark}{self.last}"

    def within(self, others: t.Iterable[Ports]) -> bool:
        """Whether one of ``others`` has all of them."""
        return any(other.first <= self.first and self.last <= other.last for other in others)


@dataclasses.dataclass(frozen=True)
class Step:
    """One rule to add or to take away: what is told of it, and the command that does it; no command where a file is all."""

    change: Change
    words: tuple[str, ...] = ()


def parse_ports(text: str) -> Ports | None:
    """Ports as people and firewalls write them: '2049', '49152-49215', '49152:49215'; None for anything else."""
    match = _PORTS.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return Ports(first, last) if 0 < first <= last <= _LAST else None


def asked_ports(texts: t.Iterable[str]) -> tuple[Ports, ...]:
    """The option. Raises INVALID_OPTION."""
    found = []
    for text in texts:
        ports = parse_ports(text)
        if ports is None:
            raise InputError(
                "ports", f"'{text}' in ports is no TCP port and no range of them, such as 2049 or 49152-49215."
            )
        found.append(ports)
    return tuple(dict.fromkeys(found))


def missing(wanted: t.Iterable[Ports], others: t.Iterable[Ports]) -> tuple[Ports, ...]:
    """What of ``wanted`` nobody else lets in. Whoever has a rule for a port has said who may come in there, and is not overruled."""
    theirs = list(others)
    return tuple(ports for ports in wanted if not ports.within(theirs))


def tag(owner: str) -> str:
    """The name by which a rule is known as ours."""
    return f"virtops.kvm.{owner}"


def opening(place: str, ports: str, *words: str) -> Step:
    """A rule to add."""
    return Step(Change(f"{place}: {ports}", "open", "closed", "open"), words)


def closing(place: str, ports: str, *words: str) -> Step:
    """A rule of ours to take away."""
    return Step(Change(f"{place}: {ports}", "close", "open", "closed"), words)
