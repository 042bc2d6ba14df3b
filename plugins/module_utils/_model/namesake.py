# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Domains of the same name or UUID on the destination: two copies of one guest must never come to be."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import ACTIVE_STATES
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Pair


@dataclasses.dataclass(frozen=True)
class Namesake:
    """A domain on the destination that has the name or the UUID of the one that is to move."""

    name: str
    uuid: str
    state: str

    @property
    def active(self) -> bool:
        """Whether a QEMU process exists for it there."""
        return self.state in ACTIVE_STATES


def same_uuid_findings(pair: Pair, other: Namesake) -> t.Iterator[Finding]:
    """ALREADY_RUNNING_ON_DESTINATION, UUID_CONFLICT."""
    domain = pair.domain
    evidence = {"name": other.name, "uuid": other.uuid, "state": other.state}
    if other.name == domain.name and other.active:
        yield blocker(
            "ALREADY_RUNNING_ON_DESTINATION",
            domain.name,
            f"{pair.move}: a domain of the same name and UUID is {other.state} on the destination.",
            "Find out which of the two copies is the right one and stop the other; do not let both run.",
            **evidence,
        )
    elif other.name == domain.name:
        yield blocker(
            "UUID_CONFLICT",
            domain.name,
            f"{pair.move}: the destination has an inactive definition of it, which the move would overwrite.",
            f"Undefine it on {pair.destination_name} (virsh undefine), or accept that it is overwritten.",
            **evidence,
        )
    else:
        yield hard_blocker(
            "UUID_CONFLICT",
            domain.name,
            f"{pair.move}: its UUID {domain.uuid} belongs to the domain '{other.name}' there.",
            "Give one of the two domains another UUID, or choose another destination.",
            **evidence,
        )


def same_name_findings(pair: Pair, other: Namesake) -> t.Iterator[Finding]:
    """NAME_CONFLICT."""
    if other.uuid != pair.domain.uuid:
        yield blocker(
            "NAME_CONFLICT",
            pair.domain.name,
            f"{pair.move}: another domain of that name ({other.uuid}, {other.state}) is on the destination.",
            "Rename or remove one of the two, or choose another destination.",
            name=other.name,
            uuid=other.uuid,
            state=other.state,
        )
