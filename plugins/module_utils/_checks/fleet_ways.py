# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The ways between two hosts, whatever would go over them: what their surveys say of control, ports, identity and encryption."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_remedies import remedy_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import CONTROL, TO_DESTINATION, Probe, probes_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import MIGRATION, Member

#: More names than this are counted.
_NAMED = 5


class Obstacle(t.NamedTuple):
    """What lies between two hosts: one sentence that holds for every pair with the same one. ``curable``: a stop of the guest cures it."""

    code: str
    text: str
    remedy: str
    curable: bool = False


def named(names: t.Sequence[str]) -> str:
    """Some names of a list that may be long."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"


class Ways:
    """What stands between any two hosts of the fleet; the same for all domains."""

    def __init__(self, members: t.Sequence[Member], control_ports: t.Collection[int], tls: bool) -> None:
        self._members = {member.name: member for member in members}
        self._tls = tls
        self._uuids = collections.Counter(member.host.uuid for member in members if member.host.uuid)
        self._controls = {member.name: {one.peer: one for one in member.controls} for member in members}
        self._shut = {member.name: _shut(member, control_ports) for member in members}
        self._alone = {member.name: tuple(self._of_one(member)) for member in members}

    def between(self, source: Member, destination: Member) -> tuple[Obstacle, ...]:
        """All that stands between them, from ``source`` to ``destination``."""
        found = list(self._pair(source, destination))
        if self._tls:
            found += [one for end in (source, destination) for one in self._alone[end.name]]
        return tuple(dict.fromkeys(found))

    def _pair(self, source: Member, destination: Member) -> t.Iterator[Obstacle]:
        uuid = source.host.uuid
        if uuid and uuid == destination.host.uuid:
            text = f"Both hosts report the UUID {uuid}, so libvirt takes them for one host."
            yield Obstacle("HOST_UUID_DUPLICATE", text, remedy_of("HOST_UUID_DUPLICATE", ""))
        if destination.host.cordoned:
            reason = f" ({destination.host.cordon_reason})" if destination.host.cordon_reason else ""
            text = f"{destination.name} is cordoned{reason}."
            yield Obstacle("CORDONED", text, "Uncordon it with host_cordon when it may take guests again.")
        control = self._controls[source.name].get(destination.name)
        shut = self._shut[source.name].get(destination.name, ())
        if control is not None and not control.opened:
            text = f"The libvirt of {destination.name} cannot be opened: {control.message}"
            yield Obstacle("CONTROL_UNREACHABLE", text, remedy_of("CONTROL_UNREACHABLE", ""))
        elif control is None:
            for probe in shut:
                if probe.purpose == CONTROL:
                    text = f"{destination.name} does not answer on its control port {probe.port} ({probe.result})."
                    yield Obstacle("CONTROL_UNREACHABLE", text, remedy_of("CONTROL_UNREACHABLE", ""))
        ports = sorted({probe.port for probe in shut if probe.purpose != CONTROL})
        if ports:
            listed = ", ".join(str(port) for port in ports)
            text = f"{destination.name} does not answer on its migration ports ({listed}/tcp)."
            yield Obstacle("PORT_BLOCKED", text, remedy_of("PORT_BLOCKED", ""), curable=True)

    def _of_one(self, member: Member) -> t.Iterator[Obstacle]:
        certificate = member.certificate(MIGRATION)
        problem = certificate.problem if certificate else ""
        if not member.host.tls or problem:
            cause = f"its certificate is {problem}" if problem else "it has no certificate"
            text = f"{member.name} cannot encrypt the streams of moves: {cause}."
            yield Obstacle("TLS_UNAVAILABLE", text, remedy_of("TLS_UNAVAILABLE", ""), curable=True)

    def findings(self) -> t.Iterator[Finding]:
        """CONTROL_UNREACHABLE and PORT_BLOCKED, once for each host that others cannot reach."""
        blamed: dict[tuple[str, str, str, str], list[str]] = {}
        for source in self._members.values():
            for destination in self._members.values():
                if source.name != destination.name:
                    for one in self._pair(source, destination):
                        if one.code in ("CONTROL_UNREACHABLE", "PORT_BLOCKED"):
                            key = (one.code, destination.name, one.text, one.remedy)
                            blamed.setdefault(key, []).append(source.name)
        for (code, name, text, remedy), sources in sorted(blamed.items()):
            message = f"{text.rstrip('.')}. That is how {named(sources)} {'see' if len(sources) > 1 else 'sees'} it."
            yield blocker(code, name, message, remedy, sources=sources)

    def cordons(self) -> t.Iterator[Finding]:
        """CORDONED: nobody's fault, and good to know of."""
        for member in self._members.values():
            if member.host.cordoned:
                reason = f" ({member.host.cordon_reason})" if member.host.cordon_reason else ""
                message = f"{member.name} is cordoned{reason}, so no domain is to be placed there."
                yield warning(
                    "CORDONED", member.name, message, "Uncordon it with host_cordon when it may take guests again."
                )


def _shut(member: Member, control_ports: t.Collection[int]) -> dict[str, tuple[Probe, ...]]:
    """The probes of one host that found no way, by peer."""
    found: dict[str, tuple[Probe, ...]] = {}
    for peer in dict.fromkeys(one.peer for one in member.host.reachability):
        probes = probes_of(
            [one for one in member.host.reachability if one.peer == peer], (peer,), TO_DESTINATION, control_ports
        )
        shut = tuple(probe for probe in probes if not probe.open)
        if shut:
            found[peer] = shut
    return found
