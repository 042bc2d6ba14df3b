# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Memory and huge pages on the destination."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import (
    default_reserve,
    hugepages_free,
    memory_available,
    memory_needed,
)


def check_memory(facts: CheckFacts) -> t.Iterator[Finding]:
    """MEMORY_SHORT."""
    if facts.domain.hugepages or not facts.destination.memory_total:
        return
    reserve = default_reserve(facts.destination) if facts.memory_reserve is None else facts.memory_reserve
    available = memory_available(facts.destination, reserve)
    needed = memory_needed(facts.domain)
    if available < needed:
        yield blocker(
            "MEMORY_SHORT",
            facts.destination_name,
            f"{facts.pair.move}: it needs {format_bytes(needed)} of memory and the destination has "
            f"{format_bytes(max(0, available))} for guests (its reserve of {format_bytes(reserve)} aside).",
            "Choose a destination with more free memory, or shrink or stop guests there.",
            needed=needed,
            available=available,
            reserve=reserve,
        )


def check_hugepages(facts: CheckFacts) -> t.Iterator[Finding]:
    """HUGEPAGES_SHORT."""
    if not facts.domain.hugepages:
        return
    needed = memory_needed(facts.domain)
    free = hugepages_free(facts.destination, facts.domain.hugepage_kib)
    if free < needed:
        yield blocker(
            "HUGEPAGES_SHORT",
            facts.destination_name,
            f"{facts.pair.move}: it needs {format_bytes(needed)} in huge pages and the destination has "
            f"{format_bytes(free)} free.",
            "Reserve more huge pages there (vm.nr_hugepages), or choose another destination.",
            needed=needed,
            free=free,
            page_kib=facts.domain.hugepage_kib or facts.destination.hugepage_default_kib,
        )
