# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hosts that exist only in memory, and a libvirt that fails when it is told to."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context, Survey
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import Options
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping

U = "11111111-2222-3333-4444-555555555555"
IMAGES = "/var/lib/libvirt/images"
MIB = 1024 * 1024
DEFINITION = f"""<domain type='kvm'><name>web</name><uuid>{U}</uuid><memory unit='KiB'>131072</memory>
<os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os><devices>
<disk type='file' device='disk'><driver type='qcow2'/><source file='{IMAGES}/web.qcow2'/><target dev='vda'/></disk>
<disk type='file' device='disk'><driver type='raw'/><source file='{IMAGES}/web.raw'/><target dev='vdb'/></disk>
<graphics type='vnc' passwd='geheim'/></devices></domain>"""
RUNNING = Sighting("a", found=True, uuid=U, name="web", state="running", reason="booted", persistent=True)
ARRIVED = Sighting("b", found=True, uuid=U, name="web", state="running", reason="migrated", persistent=True)
MIRROR = {"type": 2, "operation": 5, "disk_total": 128 * MIB, "disk_remaining": 64 * MIB}
MEMORY = {**MIRROR, "disk_remaining": 0, "memory_total": 128 * MIB, "memory_remaining": MIB}


def fail_with(error: BaseException | None) -> None:
    """Raise what a test asked for, if it did."""
    if error is not None:
        raise error


class FakeClock(Clock):
    """Waiting takes no time, and yet time goes by."""

    def __init__(self) -> None:
        self.offset = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.offset

    def sleep(self, seconds: float) -> None:
        self.offset += seconds


class FakeClaim:
    place = ("qemu:///system", "11111111-2222-4333-8444-555555555555")

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway

    def take(self) -> bool:
        self.gateway.log.append("claim")
        return self.gateway.has_claims

    def ahead(self) -> int:
        return self.gateway.ahead.pop(0) if self.gateway.ahead else 0

    def beat(self) -> None:
        """Nothing to do."""

    def release(self) -> None:
        self.gateway.log.append("unclaim")


class FakeGateway:
    """``seen`` is what both sides are; ``during`` runs inside the migration call and may change it, wait, or raise."""

    source_host, destination_host, destination_uri = "a", "b", "qemu+ssh://b/system"

    def __init__(self) -> None:
        self.seen = {SOURCE: RUNNING, DESTINATION: Sighting("b")}
        self.images: dict[str, tuple[str, int]] = {}
        self.log: list[str] = []
        self.params: dict[str, t.Any] = {}
        self.flags = 0
        self.stats: dict[str, t.Any] = {}
        self.during: t.Callable[[FakeGateway], None] = FakeGateway.arrive
        self.on_abort: t.Callable[[], None] = lambda: None
        self.create_error: KvmError | None = None
        self.remove_error: KvmError | None = None
        self.has_claims = True
        self.host_uuid = ""
        self.ahead: list[int] = []
        self.leftovers: set[str] = set()
        self.arrived_xml = DEFINITION
        self.lost_checkpoints = False
        self.full = False
        self.shares = True

    def arrive(self) -> None:
        self.seen = {SOURCE: Sighting("a"), DESTINATION: ARRIVED}

    def look(self, side: str, name: str) -> Sighting:
        sighting = self.seen[side]
        return sighting if name in (U, "web") or not sighting.reachable else Sighting(sighting.host)

    def one_host(self) -> str:
        return self.host_uuid

    def definition(self, side: str, name: str, *, saved: bool) -> str:
        return DEFINITION if side == SOURCE else self.arrived_xml

    def set_autostart(self, side: str, name: str, wanted: bool) -> None:
        self.log.append(f"autostart {side} {wanted}")
        self.seen[side] = dataclasses.replace(self.seen[side], autostart=wanted)

    def resume(self, side: str, name: str) -> None:
        self.log.append(f"resume {side}")
        self.seen[side] = dataclasses.replace(self.seen[side], state="running", reason="unpaused")

    def migrate(self, uuid: str, flags: int, params: dict[str, t.Any]) -> None:
        self.log.append("migrate")
        self.flags, self.params = flags, params
        self.during(self)

    def job_stats(self, uuid: str) -> dict[str, t.Any]:
        return self.stats

    def completed_stats(self, uuid: str) -> dict[str, t.Any]:
        return {"downtime_net": 42, "disk_processed": 128 * MIB, "memory_processed": MIB}

    def abort(self, uuid: str) -> None:
        self.log.append("abort")
        self.on_abort()

    def set_max_downtime(self, uuid: str, milliseconds: int) -> bool:
        self.log.append(f"downtime {milliseconds}")
        return True

    def start_postcopy(self, uuid: str) -> None:
        self.log.append("postcopy")

    def suspend(self, uuid: str) -> None:
        self.log.append("suspend")

    def destroy_paused(self, uuid: str) -> None:
        self.log.append("destroy half")
        self.seen[SOURCE] = dataclasses.replace(self.seen[SOURCE], state="shutoff", reason="destroyed")

    def undefine(self, uuid: str) -> None:
        self.log.append("undefine")
        self.seen[SOURCE] = Sighting("a")

    def checkpoints(self, uuid: str) -> tuple[str, ...]:
        return ("<domaincheckpoint/>",)

    def paths_in_use(self, uuid: str) -> str:
        return ""

    def refresh_source_pool(self, folder: str) -> None:
        self.log.append(f"refresh {folder}")

    def claim(self, uuid: str, clock: Clock) -> FakeClaim:
        return FakeClaim(self)

    def sees(self, path: str) -> bool:
        return path in self.images and self.shares

    def find_image(self, path: str) -> t.Any:
        return self.images.get(path)

    def create_image(self, path: str, image_format: str, capacity: int) -> bool:
        if len(self.images) == 1:
            fail_with(self.create_error)
        assert path not in self.images
        self.images[path] = (image_format, capacity)
        return False

    def remove_image(self, path: str) -> bool:
        if self.remove_error is not None:
            raise self.remove_error
        self.log.append(f"remove {path}")
        return self.images.pop(path, None) is not None

    def folder_full(self, folder: str) -> bool:
        return self.full

    def leftover_image(self, path: str, uuid: str) -> bool:
        return path in self.leftovers

    def remove_leftover(self, path: str, uuid: str) -> None:
        self.leftovers.discard(path)
        self.images.pop(path)

    def mark_left(self, path: str, uuid: str, destination: str) -> None:
        self.log.append(f"mark {path}")

    def remove_folder(self, path: str) -> None:
        self.log.append(f"rmdir {path}")

    def redefine_checkpoint(self, uuid: str, xml: str) -> bool:
        return not self.lost_checkpoints

    def constant(self, name: str) -> t.Any:
        return 1 << (sum(name.encode()) % 30) if name.startswith("VIR_MIGRATE_") else None


DISKS = (
    Disk("vda", "file", source=f"{IMAGES}/web.qcow2", format="qcow2", virtual_size=96 * MIB, shared=False),
    Disk("vdb", "file", source=f"{IMAGES}/web.raw", format="raw", virtual_size=32 * MIB, shared=False),
)


def context_for(
    gateway: FakeGateway, folder: pathlib.Path, findings: t.Sequence[Finding] = (), **options: t.Any
) -> Context:
    """A context around the fake; the domain has two local disks and starts with its host."""

    def survey(uuid: str) -> Survey:
        state = gateway.seen[SOURCE].state
        domain = Domain("web", U, state, autostart=True, memory=128 * MIB, disks=DISKS)
        return Survey(
            domain, tuple(findings), Choice("live_block", "because", None, ("vda", "vdb")), tuple(gateway.leftovers)
        )

    return Context(
        gateway=gateway,
        workspace=Workspace(str(folder / "state"), str(folder / "run")),
        clock=FakeClock(),
        options=Options(**options),
        mapping=Mapping(),
        name="web",
        survey=survey,
        progress_id="p1",
    )
