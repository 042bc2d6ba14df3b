# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""CPUs as libvirt reckons: whether a host can give a guest its CPU, and which CPU all hosts of a fleet have."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import constant, library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    Connection,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import (
    CPU_IDENTICAL,
    CPU_INCOMPATIBLE,
    CPU_SUPERSET,
    CPU_UNKNOWN,
    CpuComparison,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.host import model_of

#: libvirt's number for "the CPU is incompatible with host CPU".
_INCOMPATIBLE = 91
_COMPARISONS = {0: CPU_INCOMPATIBLE, 1: CPU_IDENTICAL, 2: CPU_SUPERSET}


def compare_cpu(connection: Connection, arch: str, virt_type: str, xml: str) -> CpuComparison:
    """libvirt's own comparison of a guest's CPU with what the host behind ``connection`` can give."""
    lib = library()
    flags = lib.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
    try:
        # The emulator and the machine are that host's own choice: the source's may not be there.
        result = connection.handle.compareHypervisorCPU(None, arch, None, virt_type, xml, flags)
    except lib.libvirtError as exc:
        incompatible = libvirt_code(exc) == _INCOMPATIBLE
        return CpuComparison(CPU_INCOMPATIBLE if incompatible else CPU_UNKNOWN, str(exc).strip())
    return CpuComparison(_COMPARISONS.get(result, CPU_UNKNOWN))


def baseline_cpu(connection: Connection, arch: str, virt_type: str, cpus: t.Sequence[str]) -> dict[str, str]:
    """The best CPU that all of ``cpus`` (what hosts give to guests with the CPU mode host-model) can be: model and description."""
    flags = constant("VIR_CONNECT_BASELINE_CPU_MIGRATABLE") or 0
    with translated(f"Cannot reckon the CPU that {len(cpus)} hosts share, at '{connection.uri}'"):
        xml = connection.handle.baselineHypervisorCPU(None, arch, None, virt_type, list(cpus), flags)
    return {"model": model_of(xml), "xml": xml}
