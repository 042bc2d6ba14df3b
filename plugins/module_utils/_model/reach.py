# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""TCP probes between two hosts, and what they say about a move."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Reachability
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Pair

#: What a probed port is for: libvirt itself (by ssh, TCP, TLS), or the streams of memory and disks.
CONTROL, STREAM = "control", "stream"
CONTROL_PORTS = (22, 16509, 16514)
TO_DESTINATION, TO_SOURCE = "to_destination", "to_source"
#: Results that prove the way open: a refusal is an answer, so nothing stands in between.
OPEN_RESULTS = ("open", "refused")


@dataclasses.dataclass(frozen=True)
class Probe:
    """One TCP probe between the two hosts of a move; ``result`` as in Reachability."""

    direction: str
    purpose: str
    address: str
    port: int
    result: str

    @property
    def open(self) -> bool:
        """Whether packets get there and back."""
        return self.result in OPEN_RESULTS


def probes_of(
    reachability: t.Iterable[Reachability],
    peers: t.Collection[str],
    direction: str,
    control: t.Collection[int] = CONTROL_PORTS,
) -> tuple[Probe, ...]:
    """What a host's survey says about the way to one peer, known by any of the names or addresses ``peers``."""
    return tuple(
        Probe(direction, CONTROL if one.port in control else STREAM, one.address, one.port, one.result)
        for one in reachability
        if one.peer in peers or one.address in peers
    )


def reach_findings(pair: Pair, probes: t.Iterable[Probe]) -> t.Iterator[Finding]:
    """CONTROL_UNREACHABLE, PORT_BLOCKED: to the destination they forbid the move, back they concern the way home."""
    shut: dict[tuple[str, str, str, str], list[int]] = {}
    for probe in probes:
        if not probe.open:
            shut.setdefault((probe.direction, probe.purpose, probe.address, probe.result), []).append(probe.port)
    for (direction, purpose, address, result), ports in sorted(shut.items()):
        named = ", ".join(str(port) for port in sorted(set(ports)))
        code = "CONTROL_UNREACHABLE" if purpose == CONTROL else "PORT_BLOCKED"
        what = "libvirt's control port" if purpose == CONTROL else "the migration ports"
        remedy = f"Open {what} ({named}/tcp) between the two hosts, or use another address."
        evidence = {"direction": direction, "address": address, "ports": sorted(set(ports)), "result": result}
        cause = f"gets no answer from {address} on {what} ({named}: {result})"
        if direction == TO_DESTINATION:
            message = f"{pair.move}: {pair.source_name} {cause}."
            yield blocker(code, pair.destination_name, message, remedy, **evidence)
        else:
            message = f"{pair.about}: {pair.destination_name} {cause}, so the way home is shut."
            yield warning(code, pair.source_name, message, remedy, **evidence)
