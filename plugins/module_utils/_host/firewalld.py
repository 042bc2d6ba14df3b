# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What to open and to close in firewalld. Pure.

A zone's rich rules are the only ones that firewalld takes at once and for good alike, without a reload that drops what others opened until
then. They have no name: ours are those of a priority that nobody else has (OWNERS).
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._host.firewall import (
    OWNERS,
    Ports,
    Step,
    closing,
    missing,
    opening,
    parse_ports,
)

#: Services of firewalld's own that are all that we would open.
_SERVICES = {"nfs": Ports(2049, 2049), "libvirt-tls": Ports(16514, 16514)}
_ACCEPTS = re.compile(r'port port="(?P<ports>[\d-]+)" protocol="tcp"(?: .*)? accept\b')


@dataclasses.dataclass(frozen=True)
class Zone:
    """What a zone lets in."""

    ports: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


def parse_zones(text: str) -> dict[str, Zone]:
    """What ``firewall-cmd --list-all-zones`` prints."""
    zones: dict[str, Zone] = {}
    name = ""
    for line in text.splitlines():
        key, _mark, value = line.strip().partition(":")
        if line and not line[0].isspace():
            name = line.split()[0]
            zones[name] = Zone()
        elif key in ("ports", "services"):
            zones[name] = dataclasses.replace(zones[name], **{key: tuple(value.split())})
        elif line.strip().startswith("rule "):
            zones[name] = dataclasses.replace(zones[name], rules=(*zones[name].rules, line.strip()))
    return zones


def rule(owner: str, ports: Ports) -> str:
    """Our rule for ``ports``, as firewalld writes it."""
    return f'rule priority="{OWNERS[owner]}" port port="{ports}" protocol="tcp" accept'


def steps(
    owner: str, wanted: t.Sequence[Ports], zone: str, now: t.Mapping[str, Zone], kept: t.Mapping[str, Zone]
) -> list[Step]:
    """From the zones in force ``now`` and those ``kept`` for the next start to what is ``wanted`` in ``zone``."""
    found: list[Step] = []
    for zones, words, when in ((now, (), "now"), (kept, ("--permanent",), "for good")):
        lacking = missing(wanted, _others(owner, zones.get(zone, Zone())))
        right = {rule(owner, ports): ports for ports in lacking}
        for text, ports in right.items():
            if text not in zones.get(zone, Zone()).rules:
                found.append(opening(_place(zone, when), str(ports), *_command(zone, f"--add-rich-rule={text}", words)))
        for name in zones:
            for text in zones[name].rules:
                own = _own(owner, text)
                if own is not None and not (name == zone and text in right):
                    found.append(
                        closing(_place(name, when), str(own), *_command(name, f"--remove-rich-rule={text}", words))
                    )
    return found


def _place(zone: str, when: str) -> str:
    return f"firewalld, zone {zone}, {when}"


def _command(zone: str, deed: str, words: tuple[str, ...]) -> tuple[str, ...]:
    return ("firewall-cmd", f"--zone={zone}", deed, *words)


def _own(owner: str, text: str) -> Ports | None:
    """The ports of a rule of ours; None for a rule of somebody else."""
    match = _ACCEPTS.search(text)
    ports = parse_ports(match["ports"]) if match else None
    return ports if ports is not None and text == rule(owner, ports) else None


def _others(owner: str, zone: Zone) -> list[Ports]:
    found = [parse_ports(text.partition("/")[0]) for text in zone.ports if text.endswith("/tcp")]
    found += [_SERVICES.get(name) for name in zone.services]
    for text in zone.rules:
        match = _ACCEPTS.search(text)
        if match and _own(owner, text) is None:
            found.append(parse_ports(match["ports"]))
    return [ports for ports in found if ports is not None]
