# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Names and UUIDs on the destination: two copies of one guest must never come to be."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._checks.facts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding


def check_uuid(facts: CheckFacts) -> t.Iterator[Finding]:
    """ALREADY_RUNNING_ON_DESTINATION, UUID_CONFLICT."""
    other, domain = facts.same_uuid, facts.domain
    if other is None:
        return
    evidence = {"name": other.name, "uuid": other.uuid, "state": other.state}
    if other.name == domain.name and other.active:
        yield blocker(
            "ALREADY_RUNNING_ON_DESTINATION",
            domain.name,
            f"{facts.pair.move}: a domain of the same name and UUID is {other.state} on the destination.",
            "Find out which of the two copies is the right one and stop the other; do not let both run.",
            **evidence,
        )
    elif other.name == domain.name:
        yield blocker(
            "UUID_CONFLICT",
            domain.name,
            f"{facts.pair.move}: the destination has an inactive definition of it, which the move would overwrite.",
            f"Undefine it on {facts.destination_name} (virsh undefine), or accept that it is overwritten.",
            **evidence,
        )
    else:
        yield hard_blocker(
            "UUID_CONFLICT",
            domain.name,
            f"{facts.pair.move}: its UUID {domain.uuid} belongs to the domain '{other.name}' there.",
            "Give one of the two domains another UUID, or choose another destination.",
            **evidence,
        )


def check_name(facts: CheckFacts) -> t.Iterator[Finding]:
    """NAME_CONFLICT."""
    other, domain = facts.same_name, facts.domain
    if other is not None and other.uuid != domain.uuid:
        yield blocker(
            "NAME_CONFLICT",
            domain.name,
            f"{facts.pair.move}: another domain of that name ({other.uuid}, {other.state}) is on the destination.",
            "Rename or remove one of the two, or choose another destination.",
            name=other.name,
            uuid=other.uuid,
            state=other.state,
        )
