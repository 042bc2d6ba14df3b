# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A libvirt that can stop and start, and a carrier whose files exist only in memory; both fail when they are told to."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import Known
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.stopped import SavedMemory
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Piece, Sighting, SnapshotRecord
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import (
    Copied,
    FarFile,
    Seeded,
    StopCheck,
    Tell,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context, Survey
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import Options
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping

from .fake import MIB, RUNNING, FakeClock, FakeGateway, U

OFF = dataclasses.replace(RUNNING, state="shutoff", reason="shutdown")
THERE = Sighting("b", found=True, uuid=U, name="web", state="shutoff", reason="unknown", persistent=True)


class Killed(BaseException):
    """What SIGKILL looks like from inside: nothing that follows is done."""


class ColdFake(FakeGateway):
    """``fail`` maps the name of a call to what it raises, once."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__()
        self.folder = folder
        self.fail: dict[str, BaseException] = {}
        self.shuts_down = True
        self.lost_in_start = False
        self.lost_after_start = False
        self.ends_when_asked = False
        self.records: tuple[SnapshotRecord, ...] = ()
        self.named: frozenset[str] = frozenset()
        self.tracking = ""

    def _do(self, what: str) -> None:
        self.log.append(what)
        error = self.fail.pop(what.split(" ", maxsplit=1)[0], None) or self.fail.pop(what, None)
        if error is not None:
            raise error

    def _set(self, side: str, **fields: t.Any) -> None:
        self.seen[side] = dataclasses.replace(self.seen[side], **fields)

    @property
    def xml(self) -> str:
        disks = "".join(
            f"<disk type='file' device='disk'><driver type='{kind}'/><source file='{self.folder}/web.{kind}'/>"
            f"<target dev='{target}'/></disk>"
            for kind, target in (("qcow2", "vda"), ("raw", "vdb"))
        )
        return f"<domain type='kvm'><name>web</name><uuid>{U}</uuid><devices>{disks}</devices></domain>"

    def definition(self, side: str, name: str, *, saved: bool) -> str:
        return self.xml

    def shut_down(self, uuid: str) -> None:
        self._do("shutdown")
        if self.shuts_down:
            self._set(SOURCE, state="shutoff", reason="shutdown")
        if self.ends_when_asked:
            raise KvmError("LIBVIRT_55", "domain is not running.")

    def power_off(self, uuid: str) -> None:
        self._do("destroy")
        self._set(SOURCE, state="shutoff", reason="destroyed")

    def set_autostart(self, side: str, name: str, wanted: bool) -> None:
        self._do(f"autostart {side} {wanted}")
        self._set(side, autostart=wanted)

    def start(self, side: str, uuid: str) -> None:
        self._do(f"start {side}")
        other = self.seen[DESTINATION if side == SOURCE else SOURCE]
        assert not other.active, "two running copies"
        self._set(side, state="running", reason="booted")
        if self.lost_after_start and side == DESTINATION:
            self.seen[side] = Sighting("b", reachable=False, error="no route")
        if self.lost_in_start and side == DESTINATION:
            self.seen[side] = Sighting("b", reachable=False, error="no route")
            raise KvmError("LIBVIRT_38", "connection lost.")

    def save(self, uuid: str) -> None:
        self._do("save")
        (self.folder / "web.save").write_bytes(b"memory")
        self._set(SOURCE, state="shutoff", reason="saved")

    def abort_job(self, uuid: str) -> None:
        self._do("abort job")

    def saved_state(self, uuid: str) -> SavedMemory | None:
        path = self.folder / "web.save"
        return SavedMemory(str(path), self.xml, True) if path.exists() else None

    def has_saved_state(self, side: str, uuid: str) -> bool:
        return (self.folder / "web.save").exists()

    def restore(self, path: str, xml: str, *, running: bool) -> None:
        self._do("restore")
        assert not self.seen[SOURCE].active, "two running copies"
        self._set(DESTINATION, state="running" if running else "paused", reason="restored")

    def keep_state(self, uuid: str, *, running: bool) -> None:
        self._do("keep")
        self._set(DESTINATION, state="shutoff", reason="saved")

    def destroy_there(self, uuid: str) -> None:
        self._do("destroy there")
        self._set(DESTINATION, state="shutoff", reason="destroyed")

    def define(self, xml: str) -> None:
        self._do("define")
        self.seen[DESTINATION] = THERE
        self.arrived_xml = xml

    def forget(self, side: str, uuid: str) -> None:
        self._do(f"forget {side}")
        self.seen[side] = Sighting("a" if side == SOURCE else "b")

    def snapshots(self, uuid: str) -> tuple[SnapshotRecord, ...]:
        return self.records

    def checkpoints(self, uuid: str) -> tuple[str, ...]:
        return ()

    def redefine_snapshot(self, uuid: str, record: SnapshotRecord) -> bool:
        self.log.append(f"snapshot{' current' if record.current else ''}")
        return True

    def track(self, uuid: str, name: str, targets: t.Sequence[str]) -> None:
        self._do(f"track {' '.join(targets)}")
        self.tracking = name

    def untrack(self, uuid: str) -> None:
        self._do("untrack")
        self.tracking = ""

    def tpm_folder(self, uuid: str, xml: str) -> str:
        return ""

    def named_there(self, paths: t.Collection[str]) -> frozenset[str]:
        return self.named & frozenset(paths)

    def refresh_pool_there(self, folder: str) -> None:
        """Nothing to do."""


class FakeCarrier:
    """``files`` are those of the destination, by path; ``during`` is called in each copy."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.log: list[str] = []
        self.fail: dict[str, BaseException] = {}
        self.free = 1 << 40
        self.place = ("", "")
        self.during: t.Callable[[Piece], None] = lambda piece: None
        self.seeds = [50 * MIB, 20 * MIB, MIB]
        self.known: dict[str, Known | None] = {}

    def _do(self, what: str) -> None:
        self.log.append(what)
        error = self.fail.pop(what.split(" ", maxsplit=1)[0], None)
        if error is not None:
            raise error

    def look(self, paths: t.Sequence[str]) -> dict[str, FarFile]:
        return {
            path: FarFile("file", len(self.files[path]), len(self.files[path]), 1) if path in self.files else FarFile()
            for path in paths
        }

    def space(self, folder: str) -> int:
        return self.free

    def held(self, piece: Piece) -> int:
        return len(self.files.get(piece.staged, b""))

    def put(self, piece: Piece) -> Copied:
        self._do(f"put {piece.path}")
        self.files[piece.path] = pathlib.Path(piece.source).read_bytes()
        return Copied("digest", 1)

    def seed(self, piece: Piece, tell: Tell, stop: StopCheck) -> Seeded:
        self._do(f"seed {piece.target}")
        self.files[piece.staged] = b"seed"
        return Seeded(self.seeds.pop(0) if self.seeds else 0, Known((piece.staged, 4, 1), {0: b"digest"}))

    def copy(self, piece: Piece, tell: Tell, stop: StopCheck, known: Known | None = None) -> Copied:
        self._do(f"copy {piece.kind}")
        self.known[piece.target] = known
        self.during(piece)
        if stop():
            raise KvmError("COPY_STOPPED", "stopped")
        tell(1, 2)
        self.files[piece.staged] = pathlib.Path(piece.source).read_bytes()
        return Copied("digest", 10)

    def adopt(self, old: str, new: str) -> None:
        self._do(f"adopt {new}")
        assert new not in self.files
        self.files[new] = self.files.pop(old)

    def rebase(self, path: str, backing: str, backing_format: str) -> None:
        self._do(f"rebase {backing}")

    def remove(self, path: str) -> bool:
        self._do("remove")
        return self.files.pop(path, None) is not None

    def remove_partial(self, piece: Piece) -> None:
        """Nothing to do."""

    def make_folder(self, path: str) -> tuple[str, ...]:
        return ()

    def remove_folder(self, path: str) -> None:
        self._do("rmdir")

    def give_up_at_end(self, uri: str, secret: str) -> None:
        self.place = (uri, secret)

    def refresh(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def cold_context(
    gateway: ColdFake,
    carrier: FakeCarrier,
    folder: pathlib.Path,
    findings: t.Sequence[Finding] = (),
    **options: t.Any,
) -> Context:
    """A context for a domain with two real (small) images in ``folder``; it starts with its host."""
    for kind in ("qcow2", "raw"):
        image = folder / f"web.{kind}"
        if not image.exists():
            image.write_bytes(kind.encode())
    options = {"method": "offline", "may_stop": True, **options}

    def survey(uuid: str) -> Survey:
        seen = gateway.seen[SOURCE]
        disks = tuple(
            Disk(target, "file", source=f"{folder}/web.{kind}", format=kind, virtual_size=MIB, shared=False)
            for kind, target in (("qcow2", "vda"), ("raw", "vdb"))
        )
        domain = Domain(
            "web", U, seen.state, autostart=seen.autostart, memory=128 * MIB, disks=disks,
            managed_save=not seen.active and gateway.has_saved_state(SOURCE, U),
        )  # fmt: skip
        method = options["method"] if seen.active else "offline"
        return Survey(domain, tuple(findings), Choice(method, "because", None, ("vda", "vdb")))

    return Context(
        gateway=gateway,
        workspace=Workspace(str(folder / "state"), str(folder / "run")),
        clock=FakeClock(),
        options=Options(**options),
        mapping=Mapping(),
        name="web",
        survey=survey,
        progress_id="p1",
        carrier=lambda: carrier,
    )
