# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The way between the hosts: control and stream ports in both directions, TLS, clocks."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, notice, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import reach_findings

#: Seconds that two clocks may differ before times and certificates become doubtful.
CLOCK_TOLERANCE = 2.0


def check_probes(facts: CheckFacts) -> t.Iterator[Finding]:
    """CONTROL_UNREACHABLE, PORT_BLOCKED."""
    yield from reach_findings(facts.pair, facts.probes)


def check_tls(facts: CheckFacts) -> t.Iterator[Finding]:
    """TLS_UNAVAILABLE."""
    if not facts.tls:
        return
    without = [
        name
        for name, host in ((facts.source_name, facts.source), (facts.destination_name, facts.destination))
        if not host.tls
    ]
    if without:
        yield blocker(
            "TLS_UNAVAILABLE",
            facts.domain.name,
            f"{facts.pair.move} with TLS: {' and '.join(without)} has no certificates for migration.",
            "Install the certificates for QEMU's migration there, or move without TLS over a network you trust.",
            hosts=without,
        )


def check_clock(facts: CheckFacts) -> t.Iterator[Finding]:
    """CLOCK_SKEW."""
    offset = facts.clock_offset
    if offset is not None and abs(offset) > CLOCK_TOLERANCE:
        side = "ahead of" if offset > 0 else "behind"
        yield warning(
            "CLOCK_SKEW",
            facts.destination_name,
            f"{facts.pair.about}: the clock of {facts.destination_name} is {abs(offset):.1f} s {side} that of "
            f"{facts.source_name}.",
            "Let both hosts synchronise their clocks (chrony, systemd-timesyncd).",
            offset=round(offset, 3),
        )
        return
    drifting = [
        name
        for name, host in ((facts.source_name, facts.source), (facts.destination_name, facts.destination))
        if host.time_synchronized is False
    ]
    if drifting and offset is None:
        yield notice(
            "CLOCK_SKEW",
            facts.destination_name,
            f"{facts.pair.about}: nothing keeps the clock of {' and '.join(drifting)} synchronised.",
            "Let both hosts synchronise their clocks (chrony, systemd-timesyncd).",
            hosts=drifting,
        )


def check_qemu_user(facts: CheckFacts) -> t.Iterator[Finding]:
    """QEMU_USER_DIFFERS: on shared storage the same numbers must own the images."""
    source = (facts.source.qemu_uid, facts.source.qemu_gid)
    destination = (facts.destination.qemu_uid, facts.destination.qemu_gid)
    stays = [disk.target for disk in facts.domain.disks if disk.copyable and disk.target not in facts.choice.copied]
    if stays and None not in source + destination and source != destination:
        yield warning(
            "QEMU_USER_DIFFERS",
            facts.destination_name,
            f"{facts.pair.about}: QEMU runs as {source[0]}:{source[1]} on the source and as "
            f"{destination[0]}:{destination[1]} on the "
            f"destination, which may not be allowed to open the shared {', '.join(stays)}.",
            "Give the qemu user and group the same numbers on all hosts.",
            source=list(source),
            destination=list(destination),
        )
