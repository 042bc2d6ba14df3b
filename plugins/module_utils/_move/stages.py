# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The stages of one move, in their order. Each is told to the journal before it begins; what it makes is in there before it is made."""

from __future__ import annotations

import contextlib
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PAUSED
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import CreatedImage, Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import build_call
from ansible_collections.virtops.kvm.plugins.module_utils._move.places import (
    Claim,
    Waiting,
    take_place,
    take_slot,
    unlimited,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.plan import MovePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.record import new_journal
from ansible_collections.virtops.kvm.plugins.module_utils._move.timeouts import Ramp, time_limit
from ansible_collections.virtops.kvm.plugins.module_utils._move.transfer import Driver, Ended
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences


def aborted(context: Context, during: str) -> KvmError:
    """The error of a move that was ended on request."""
    return KvmError(
        "MOVE_ABORTED",
        f"The move of domain '{context.name}' was aborted ({context.stop.reason}) during {during}; the domain stays on "
        f"{context.gateway.source_host}, and nothing of it is left on {context.gateway.destination_host}.",
        reason=context.stop.reason,
    )


@contextlib.contextmanager
def places(context: Context, uuid: str) -> t.Iterator[t.Callable[[], None]]:
    """Hold a slot on the source and a place on the destination; yields the heartbeat."""
    with contextlib.ExitStack() as held:
        waiting = _waiting(context)
        slot = take_slot(waiting, context.workspace.slots(context.options.source_slots), context.gateway.source_host)
        if slot is not None:
            held.callback(slot.release)
        claim = _destination_claim(context, uuid, held, waiting)
        # The port that was asked for is not free before the memory comes.
        if slot is not None and not context.options.migration_port:
            context.give_way = _Ending(context, held, slot, claim).give_way
        context.place = claim.place if claim is not None else ("", "")
        yield claim.beat if claim is not None else _no_beat


class _Ending:
    """The last phase of a move, in which it hardly needs the link: it gives its places to the next move and takes a slot for
    endings, of which there are as many; so what runs stays limited, and the link is not idle between two moves."""

    def __init__(
        self, context: Context, held: contextlib.ExitStack, slot: statefile.FileLock, claim: Claim | None
    ) -> None:
        self._slots = context.workspace.slots(context.options.source_slots, ending=True)
        self._held = held
        self._slot = slot
        self._claim = claim
        self._given = False

    def give_way(self) -> None:
        """Let the next move begin, unless too many are ending already: then it is tried again at the next look."""
        if self._given:
            return
        for ending in self._slots:
            if ending.try_acquire():
                self._held.callback(ending.release)
                self._given = True
                self._slot.release()
                if self._claim is not None:
                    self._claim.release()
                return


def _no_beat() -> None:
    """Without a claim there is nothing to show."""


def _waiting(context: Context) -> Waiting:
    def check(during: str) -> None:
        if context.check_stop():
            raise aborted(context, during)

    return Waiting(context.clock, lambda note: context.note("claim", note), check)


def _destination_claim(context: Context, uuid: str, held: contextlib.ExitStack, waiting: Waiting) -> Claim | None:
    limit = 1 if context.options.migration_port else context.options.destination_slots
    if not limit:
        return None
    claim = context.gateway.claim(uuid, context.clock)
    held.callback(claim.release)
    if take_place(waiting, claim, limit, context.gateway.destination_host):
        return claim
    context.warnings.append(unlimited(context.gateway.destination_host, limit))
    return None


def open_journal(context: Context, plan: MovePlan, move_id: str) -> None:
    """Begin the record of this move."""
    made = (image.source for image in plan.images if image.create)
    state = PAUSED if plan.paused else "running"
    context.journal = new_journal(context, plan, move_id, source_disks=made, state=state)


def prepare(context: Context, plan: MovePlan) -> None:
    """Create the images on the destination, and note what will appear there besides."""
    gateway = context.gateway
    with context.stage("prepare"):
        if plan.nvram and gateway.find_image(plan.nvram) is None:
            # libvirt makes it from the template; it is ours to remove when the move fails.
            context.record(nvram=plan.nvram)
        for image in plan.images:
            if context.check_stop():
                raise aborted(context, "the preparation")
            if image.create:
                context.note("prepare", f"creates {image.path}")
                made = CreatedImage(image.path, posixpath.dirname(image.path), image.format, image.virtual_size)
                _create(context, made, image.replaces)
        if context.journal is not None and plan.persistent:
            context.record(checkpoints=_checkpoints(context, plan.uuid))


def _create(context: Context, image: CreatedImage, replaces: bool) -> None:
    if context.journal is None:
        return
    before = context.journal.created_images
    if replaces and context.gateway.leftover_image(image.path, context.journal.uuid):
        context.gateway.remove_leftover(image.path, context.journal.uuid)
    if context.gateway.find_image(image.path) is not None:
        raise KvmError(
            "IMAGE_EXISTS",
            f"There is an image {image.path} on {context.gateway.destination_host} already, and it is not overwritten; look at it, "
            "then remove or rename it, or map the disk to another path.",
            path=image.path,
        )
    context.record(created_images=(*before, image))
    try:
        new_folder = context.gateway.create_image(image.path, image.format, image.virtual_size)
    except KvmError as error:
        if error.error_code == "IMAGE_EXISTS":
            # Somebody else made it in this very moment: not ours to remove.
            context.record(created_images=before)
        raise
    if new_folder:
        context.record(folders=(*context.journal.folders, image.pool_path))


def _checkpoints(context: Context, uuid: str) -> tuple[str, ...]:
    try:
        return context.gateway.checkpoints(uuid)
    except KvmError:
        return ()


def transfer(context: Context, plan: MovePlan, address: str, beat: t.Callable[[], None]) -> Ended:
    """The move itself: libvirt's call, driven until it ends."""
    options = context.options
    call = build_call(
        options,
        context.gateway.constant,
        persistent=plan.persistent,
        paused=plan.paused,
        copied=plan.copied,
        address=address,
        live_xml=plan.live_xml,
        persistent_xml=plan.saved_xml,
    )
    limit = time_limit(options.timeout, plan.memory, plan.bytes_copied)
    ramp = Ramp.for_move(
        options.max_downtime, options.downtime_start, options.downtime_steps, options.downtime_delay, plan.memory
    )
    with context.stage("transfer"):
        return Driver(context, plan.uuid, limit, ramp, beat).run(call)


def verify(context: Context, uuid: str, there: Sighting) -> list[str]:
    """It runs there as it ran here, and its saved definition means the same. Gives the differences, which are warnings: the
    guest runs, and nothing that could be undone would be better."""
    journal = context.journal
    with context.stage("verify"):
        if journal is None:
            return []
        if journal.suspended and there.state == PAUSED and journal.state != PAUSED:
            context.gateway.resume(DESTINATION, uuid)
            there = context.gateway.look(DESTINATION, uuid)
        if (there.state == PAUSED) != (journal.state == PAUSED):
            raise KvmError(
                "VERIFY_FAILED",
                f"Domain '{context.name}' was {journal.state} on {journal.source_host} and is {there.state} ({there.reason}) on "
                f"{there.host}; look at it there. It is not on {journal.source_host} any more.",
                state=there.state,
                reason=there.reason,
            )
        if not journal.persistent_xml:
            return []
        now = context.gateway.definition(DESTINATION, uuid, saved=True)
        found = differences(journal.persistent_xml, now)
        if found:
            context.warnings.append(
                f"The saved definition of '{context.name}' on {there.host} differs from what was sent: {'; '.join(found[:5])}."
            )
        return found


def release(context: Context, uuid: str, leftover: str) -> tuple[str, ...]:
    """What remains to be done when the domain is proven to run on the destination. Gives the source disks that were kept."""
    gateway, journal = context.gateway, context.journal
    with context.stage("release"):
        if journal is None:
            return ()
        if journal.autostart:
            gateway.set_autostart(DESTINATION, uuid, True)
        if leftover == "paused":
            gateway.destroy_paused(uuid)
        if leftover:
            seen = gateway.look(SOURCE, uuid)
            if seen.found and not seen.active and seen.persistent:
                gateway.undefine(uuid)
        lost = [xml for xml in journal.checkpoints if not gateway.redefine_checkpoint(uuid, xml)]
        if lost:
            context.warnings.append(
                f"{len(lost)} checkpoint(s) of '{context.name}' did not arrive (their bitmaps move only with qcow2 images); the next "
                "backup has to be a full one."
            )
        kept = put_source_disks_away(context, journal)
    # From here on the images there are the domain's own: no undo may ever know of them.
    context.record(
        stage="done",
        created_images=(),
        folders=(),
        nvram=None,
        persistent_xml="",
        source_xml="",
        checkpoints=(),
        message="",
        error_code=None,
    )
    return kept


def put_source_disks_away(context: Context, journal: Journal) -> tuple[str, ...]:
    """What the policy says of the copied images on the source. Gives those that stay."""
    policy = journal.source_disks_policy
    if policy == "keep":
        for path in journal.source_disks:
            with contextlib.suppress(OSError):
                context.gateway.mark_left(path, journal.uuid, journal.destination_host)
        return journal.source_disks
    others = context.gateway.paths_in_use(journal.uuid) if journal.source_disks else ""
    kept = []
    for path in journal.source_disks:
        if f"'{path}'" in others or f">{path}<" in others:
            context.warnings.append(f"The image {path} stays on {journal.source_host}: another domain names it.")
            kept.append(path)
            continue
        try:
            statefile.put_away(path, delete=policy == "delete")
        except OSError as exc:
            context.warnings.append(f"The image {path} stays on {journal.source_host}: {exc.strerror}.")
            kept.append(path)
    for folder in sorted({posixpath.dirname(path) for path in journal.source_disks}):
        context.gateway.refresh_source_pool(folder)
    return tuple(kept)
