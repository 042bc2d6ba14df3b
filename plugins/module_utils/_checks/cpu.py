# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The CPU: libvirt's comparison of the live CPU with the destination, or what host facts tell where there is none."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import (
    CPU_INCOMPATIBLE,
    CPU_UNKNOWN,
    CheckFacts,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.fit import fit_cpu


def check_cpu(facts: CheckFacts) -> t.Iterator[Finding]:
    """CPU_INCOMPATIBLE."""
    cpu = facts.domain.cpu
    if facts.cpu.result == CPU_INCOMPATIBLE:
        words = facts.cpu.message.strip().rstrip(".")
        yield blocker(
            "CPU_INCOMPATIBLE",
            facts.destination_name,
            f"{facts.pair.move}: the destination cannot provide its CPU ({cpu.model or cpu.mode or 'default'})"
            f"{f': {words}' if words else ''}.",
            "Choose another destination, or give the domain a CPU model that both hosts support.",
            mode=cpu.mode,
            model=cpu.model,
            libvirt=words,
        )
    # A passed-through CPU compares as fitting whenever the features do, and still differs: host facts decide too.
    elif facts.cpu.result == CPU_UNKNOWN or cpu.mode == "host-passthrough":
        yield from fit_cpu(facts.pair)
