# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a preflight has to know before one domain moves: gathered by the gateway, judged by the checks."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import STOPPED_METHODS, Choice, choose_method
from ansible_collections.virtops.kvm.plugins.module_utils._model.namesake import Namesake
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Pair
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import Probe
from ansible_collections.virtops.kvm.plugins.module_utils._model.stopping import resumes

#: Results of comparing the guest's CPU with the destination's hypervisor.
CPU_SUPERSET, CPU_IDENTICAL, CPU_INCOMPATIBLE, CPU_UNKNOWN = "superset", "identical", "incompatible", "unknown"


@dataclasses.dataclass(frozen=True)
class DestinationImage:
    """Where one disk, cdrom or floppy of the domain lies on the destination, after mapping, and what is there now.

    ``exists`` is None where that cannot be told (no storage pool at its folder); ``made_by_us`` when an interrupted
    move of this very domain left it.
    """

    target: str
    path: str
    type: str = "file"
    exists: t.Optional[bool] = None
    virtual_size: t.Optional[int] = None
    format: t.Optional[str] = None
    made_by_us: bool = False


@dataclasses.dataclass(frozen=True)
class CpuComparison:
    """libvirt's verdict on the live CPU for the destination, and its words."""

    result: str = CPU_UNKNOWN
    message: str = ""


@dataclasses.dataclass(frozen=True)
class CheckFacts:
    """All facts of one intended move.

    ``method`` and ``disks`` are as the user asked; ``networks`` and ``bridges`` are their mapping; ``images`` has an
    entry for every disk with a file or device. ``clock_offset`` is destination minus source in seconds, None where it
    is not known. ``memory_reserve`` is bytes, None for the default. ``may_stop`` permits to stop a running domain.
    """

    domain: Domain
    source: Host
    destination: Host
    source_name: str
    destination_name: str
    method: str = "auto"
    disks: tuple[str, ...] = ()
    networks: dict[str, str] = dataclasses.field(default_factory=dict)
    bridges: dict[str, str] = dataclasses.field(default_factory=dict)
    images: tuple[DestinationImage, ...] = ()
    same_name: t.Optional[Namesake] = None
    same_uuid: t.Optional[Namesake] = None
    cpu: CpuComparison = CpuComparison()
    probes: tuple[Probe, ...] = ()
    clock_offset: t.Optional[float] = None
    memory_reserve: t.Optional[int] = None
    tls: bool = False
    may_stop: bool = False
    accept: tuple[str, ...] = ()

    @property
    def pair(self) -> Pair:
        """The facts that planner and checker share."""
        return Pair(
            self.domain,
            self.source,
            self.destination,
            self.source_name,
            self.destination_name,
            self.networks,
            self.bridges,
        )

    @property
    def choice(self) -> Choice:
        """The method for this move, and which disks it copies."""
        return choose_method(self.domain, self.destination, self.method, self.disks)

    @property
    def stopped(self) -> bool:
        """Whether the domain does not run for a while during this move."""
        return self.choice.method in STOPPED_METHODS

    @property
    def resumes(self) -> bool:
        """Whether saved memory is restored on the destination."""
        return resumes(self.domain, self.choice.method)

    def image(self, target: str) -> DestinationImage | None:
        """The destination's side of the disk ``target``."""
        for image in self.images:
            if image.target == target:
                return image
        return None
