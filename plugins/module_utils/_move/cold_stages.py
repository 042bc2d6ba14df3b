# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The stages of a move with a stopped guest, in their order. Each is in the journal before it begins."""

from __future__ import annotations

import contextlib
import dataclasses
import posixpath
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.volumes import marker_name
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import SUSPENDED
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Piece, Progress, SnapshotRecord
from ansible_collections.virtops.kvm.plugins.module_utils._move import cold_files
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_plan import (
    OFF,
    PAUSED_THERE,
    RUNNING,
    SAVED,
    SMALL,
    ColdPlan,
    owned_image,
    save_piece,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import Carrier, ColdGateway
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.progress import Meter
from ansible_collections.virtops.kvm.plugins.module_utils._xml.travel import travel, travel_record

_POLL = 0.25
#: Guests overlook the button while they boot, so it is pressed again.
_PRESS_AGAIN = 20.0
_TELL_SECONDS = 0.5
_WATCH_SECONDS = 3.0


@dataclasses.dataclass
class Cold:
    """What the stages of one move share."""

    context: Context
    gateway: ColdGateway
    carrier: Carrier
    plan: ColdPlan

    @property
    def uuid(self) -> str:
        """The domain's UUID."""
        return self.plan.uuid


def ended(context: Context, during: str) -> KvmError:
    """The error of a move that was ended on request; what became of it is told by whoever takes it back."""
    return KvmError(
        "MOVE_ABORTED",
        f"The move of domain '{context.name}' was aborted ({context.stop.reason}) during {during}.",
        reason=context.stop.reason,
    )


def open_journal(cold: Cold, move_id: str, before: Journal | None) -> None:
    """Begin the record of this move; of an interrupted one that stopped the guest it keeps that it did."""
    context, plan = cold.context, cold.plan
    now = context.clock.now()
    stopped = before if before is not None and before.stopped and not plan.active else None
    context.journal = Journal(
        id=move_id,
        domain=plan.name,
        uuid=plan.uuid,
        source_host=context.gateway.source_host,
        destination_uri=context.gateway.destination_uri,
        destination_host=context.gateway.destination_host,
        method=plan.method,
        stage="claim",
        started=now,
        updated=now,
        autostart=plan.autostart,
        source_disks=tuple(piece.source for piece in plan.pieces if owned_image(piece)),
        source_disks_policy=context.options.source_disks,
        persistent_xml=plan.saved_xml,
        state="paused" if plan.arrival == PAUSED_THERE else "running" if plan.arrival == RUNNING else "shutoff",
        arrival=plan.arrival,
        stopped=stopped is not None,
        stopped_at=stopped.stopped_at if stopped is not None else 0.0,
        source_autostart=plan.source_autostart,
        pieces=plan.pieces,
    )
    context.record()


# -- stop ----------------------------------------------------------------------------------------------------------------


def stop(cold: Cold) -> None:
    """The guest does not run any more, its files are sealed, and its host does not start it by itself."""
    context, plan = cold.context, cold.plan
    with context.stage("stop"):
        if plan.source_autostart:
            cold.gateway.set_autostart(SOURCE, cold.uuid, False)
        if plan.active:
            context.record(stopped=True)
            if plan.method == SUSPENDED:
                context.record(stopped_at=context.clock.now())
                _save(cold)
            else:
                _shut_down(cold)
                context.record(stopped_at=context.clock.now())
        context.record(seals=cold_files.seal(piece.source for piece in plan.pieces if piece.kind != "tpm"))


def _shut_down(cold: Cold) -> None:
    context, options = cold.context, cold.context.options
    began = pressed = context.clock.monotonic()
    cold.gateway.shut_down(cold.uuid)
    while True:
        seen = cold.gateway.look(SOURCE, cold.uuid)
        if seen.reachable and not seen.active:
            return
        now = context.clock.monotonic()
        context.note("stop", f"shutting down for {now - began:.0f} s")
        if context.check_stop():
            raise ended(context, "the shutdown")
        if now - began >= options.shutdown_timeout:
            if options.shutdown_action == "destroy":
                context.warnings.append(
                    f"Domain '{context.name}' did not shut down within {options.shutdown_timeout:g} s, and was ended, as asked."
                )
                cold.gateway.power_off(cold.uuid)
                return
            raise KvmError(
                "SHUTDOWN_TIMEOUT",
                f"Domain '{context.name}' did not shut down within {options.shutdown_timeout:g} s. Look at its console; give it "
                "more time by shutdown_timeout, move it by method suspended, or permit to end it hard by shutdown_action=destroy.",
                seconds=options.shutdown_timeout,
            )
        if now - pressed >= _PRESS_AGAIN:
            pressed = now
            with contextlib.suppress(KvmError):
                cold.gateway.shut_down(cold.uuid)
        context.clock.sleep(_POLL)


def _save(cold: Cold) -> None:
    """Save the memory; the call blocks, so it has a thread, and a wish to end aborts its job."""
    context = cold.context
    failure: list[KvmError] = []
    done = threading.Event()

    def work() -> None:
        try:
            cold.gateway.save(cold.uuid)
        except KvmError as error:
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name="save", daemon=True).start()
    asked = False
    while not done.wait(_POLL):
        context.note("stop", "saving its memory")
        if not asked and context.check_stop():
            asked = True
            cold.gateway.abort_job(cold.uuid)
    if failure:
        raise ended(context, "the saving of its memory") if asked else failure[0]


# -- transfer ------------------------------------------------------------------------------------------------------------


def add_memory(cold: Cold) -> None:
    """The saved memory becomes one more piece, and its document is rewritten."""
    saved = cold.gateway.saved_state(cold.uuid)
    if saved is None:
        raise KvmError(
            "SAVED_STATE_MISSING",
            f"libvirt on {cold.context.gateway.source_host} has no saved memory of domain '{cold.plan.name}'; somebody may have "
            "removed it. Run again to move it as it is now.",
        )
    file = cold_files.near_file(saved.path)
    if file is None:
        raise KvmError(
            "SAVED_STATE_UNREADABLE", f"There is no saved memory at {saved.path}; run again.", path=saved.path
        )
    xml = travel(saved.xml, cold.context.mapping, flattened=_flattened(cold))
    pieces = (*(piece for piece in cold.plan.pieces if piece.kind != "save"), save_piece(cold.uuid, saved.path, file))
    cold.plan = dataclasses.replace(cold.plan, pieces=pieces)
    journal = t.cast(Journal, cold.context.journal)
    cold.context.record(
        pieces=pieces,
        state_xml=xml,
        managed_save=saved.ran,
        seals={**journal.seals, **cold_files.seal([saved.path])},
    )


def _flattened(cold: Cold) -> list[str]:
    return [piece.target for piece in cold.plan.pieces if piece.kind == "disk" and piece.source_format != "bytes"]


def transfer(cold: Cold) -> None:
    """Every piece is copied and proven under its second name; only then all get their names."""
    context = cold.context
    with context.stage("transfer"):
        make_folders(cold)
        watch = Watch(cold)
        meter = Shown(cold)
        for number, piece in enumerate(cold.plan.pieces):
            claim_old_copy(cold, piece)
            copied = _carry(cold, piece, watch, meter)
            finished = dataclasses.replace(
                piece, digest=copied.digest, sent=piece.sent + copied.sent, proven=copied.proven, present=copied.present
            )
            meter.finished(finished)
            _keep(cold, number, finished)
        check_source(cold)
        publish(cold)


def _carry(cold: Cold, piece: Piece, watch: Watch, meter: Shown) -> t.Any:
    if piece.kind in SMALL:
        return cold.carrier.put(piece)
    try:
        copied = cold.carrier.copy(piece, meter.tell(piece), watch)
    except KvmError as error:
        if error.error_code == "COPY_STOPPED":
            watch.explain()
            raise ended(cold.context, "the copy") from error
        if error.error_code == "DESTINATION_EXISTS":
            raise KvmError("IMAGE_EXISTS", error.message, **error.details) from error
        raise
    if piece.backing is not None and piece.backing_format is not None:
        cold.carrier.rebase(piece.staged, piece.backing, piece.backing_format)
    return copied


def _keep(cold: Cold, number: int, piece: Piece) -> None:
    pieces = (*cold.plan.pieces[:number], piece, *cold.plan.pieces[number + 1 :])
    cold.plan = dataclasses.replace(cold.plan, pieces=pieces)
    cold.context.record(pieces=pieces)


def make_folders(cold: Cold) -> None:
    """The folders that the copies need; those that are new are in the journal."""
    context = cold.context
    for folder in sorted({posixpath.dirname(piece.path) for piece in cold.plan.pieces if not piece.device}):
        made = cold.carrier.make_folder(folder)
        if made and context.journal is not None:
            context.record(folders=(*context.journal.folders, *made))


def claim_old_copy(cold: Cold, piece: Piece) -> None:
    """An old copy of ours becomes the beginning of the new one, so that only what changed since is sent."""
    if not piece.replaces or piece.kind in SMALL:
        return
    seen = cold.carrier.look((piece.path, piece.staged))
    old = seen[piece.path]
    if old.exists and not seen[piece.staged].exists:
        cold.carrier.adopt(piece.path, piece.staged)
        cold.carrier.remove(marker_name(piece.path, cold.uuid, old.mtime))


def publish(cold: Cold) -> None:
    """All copies get their names; the first that cannot stops it."""
    for piece in cold.plan.pieces:
        if piece.staged != piece.path:
            cold.carrier.adopt(piece.staged, piece.path)
    for folder in {posixpath.dirname(piece.path) for piece in cold.plan.pieces if piece.kind in ("disk", "layer")}:
        cold.gateway.refresh_pool_there(folder)


class Watch:
    """Looks now and then whether the copy is to end: on request, or because somebody started the domain."""

    def __init__(self, cold: Cold) -> None:
        self._cold = cold
        self._next = 0.0
        self._started = False

    def __call__(self) -> bool:
        """Whether the copy is to end."""
        context = self._cold.context
        now = context.clock.monotonic()
        if not self._started and now >= self._next:
            self._next = now + _WATCH_SECONDS
            seen = self._cold.gateway.look(SOURCE, self._cold.uuid)
            self._started = seen.active
        return self._started or context.check_stop()

    def explain(self) -> None:
        """Raises DOMAIN_STARTED where that was the reason."""
        if self._started:
            raise started_meanwhile(self._cold)


class Shown:
    """Tells how far all pieces together are."""

    def __init__(self, cold: Cold, stage: str = "transfer", note: str = "") -> None:
        self._cold = cold
        self._stage = stage
        self._note = note
        self._meter = Meter()
        self._total = max(1, sum(piece.allocated for piece in cold.plan.pieces))
        self._done = 0
        self._told = -_TELL_SECONDS

    def tell(self, piece: Piece) -> t.Callable[[int, int], None]:
        """The listener for one piece."""
        context = self._cold.context

        def told(done: int, total: int) -> None:
            elapsed = context.elapsed()
            if elapsed - self._told < _TELL_SECONDS:
                return
            self._told = elapsed
            now = self._done + piece.allocated * min(done, total) // max(1, total)
            self._meter.add(elapsed, now)
            context.tell(
                Progress(
                    context.name,
                    context.method,
                    self._stage,
                    round(elapsed, 2),
                    disk_total=self._total,
                    disk_done=min(now, self._total),
                    rate=self._meter.rate,
                    eta=self._meter.eta(max(0, self._total - now)),
                    note=self._note or f"copies {posixpath.basename(piece.path)}",
                )
            )

        return told

    def finished(self, piece: Piece) -> None:
        """A piece is done."""
        self._done += piece.allocated


# -- switch --------------------------------------------------------------------------------------------------------------


def check_source(cold: Cold) -> None:
    """Nobody started the domain or wrote to its files since it was stopped. Raises DOMAIN_STARTED, SOURCE_CHANGED."""
    context = cold.context
    seen = cold.gateway.look(SOURCE, cold.uuid)
    if seen.active:
        raise started_meanwhile(cold)
    broken = cold_files.broken_seals(context.journal.seals) if context.journal is not None else ()
    if broken:
        raise KvmError(
            "SOURCE_CHANGED",
            f"{', '.join(broken)} of domain '{context.name}' changed on {seen.host} while it was copied, although the domain does not "
            "run; find out what writes to it, and run again.",
            paths=list(broken),
        )


def started_meanwhile(cold: Cold) -> KvmError:
    """The error when somebody started the domain on the source in the middle of its move."""
    context = cold.context
    return KvmError(
        "DOMAIN_STARTED",
        f"Domain '{context.name}' was started on {context.gateway.source_host} while it was being moved, so its copy is out of date; "
        "it goes on there. Find out who started it, and run again.",
    )


def switch(cold: Cold) -> None:
    """The destination has the domain, and runs it if the source did."""
    context, plan = cold.context, cold.plan
    check_source(cold)
    snapshots = cold.gateway.snapshots(cold.uuid)
    checkpoints = cold.gateway.checkpoints(cold.uuid)
    mapping = context.mapping
    context.record(
        defined=True,
        snapshots=tuple(SnapshotRecord(travel_record(one.xml, mapping), one.current) for one in snapshots),
        checkpoints=tuple(travel_record(xml, mapping) for xml in checkpoints),
    )
    cold.gateway.define(plan.saved_xml)
    _redefine(cold)
    with context.stage("switch"):
        context.note("switch", "starts it on the destination" if plan.arrival in (RUNNING, PAUSED_THERE) else "")
        bring_up(cold)


def _redefine(cold: Cold) -> None:
    journal = t.cast(Journal, cold.context.journal)
    lost = [one for one in journal.snapshots if not cold.gateway.redefine_snapshot(cold.uuid, one)]
    if lost:
        cold.context.warnings.append(
            f"{len(lost)} snapshot(s) of '{cold.context.name}' could not be told to libvirt on the destination; the images hold them."
        )
    points = [xml for xml in journal.checkpoints if not cold.gateway.redefine_checkpoint(cold.uuid, xml)]
    if points:
        cold.context.warnings.append(
            f"{len(points)} checkpoint(s) of '{cold.context.name}' could not be told to libvirt on the destination; the next backup "
            "has to be a full one."
        )


def bring_up(cold: Cold) -> None:
    """Start or restore it there, as it was here. Nothing is started for a domain that was shut off."""
    journal = t.cast(Journal, cold.context.journal)
    saves = [piece for piece in journal.pieces if piece.kind == "save"]
    arrival = journal.arrival
    if saves and arrival in (RUNNING, PAUSED_THERE, SAVED):
        path = saves[0].path
        cold.gateway.restore(path, journal.state_xml, running=arrival == RUNNING)
        if arrival == SAVED:
            cold.gateway.keep_state(cold.uuid, running=journal.managed_save)
        cold.carrier.remove(path)
    elif arrival == RUNNING:
        cold.gateway.start(DESTINATION, cold.uuid)
    elif arrival != OFF:
        raise KvmError(
            "SAVED_STATE_MISSING", f"The saved memory of domain '{cold.context.name}' is not there any more."
        )
