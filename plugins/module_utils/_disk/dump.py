# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Block devices to image files: all devices of a guest, or none. Every image is read back and compared before it is visible.

``decide`` (pure) says what to do; ``Dump`` reads, refuses and does it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import MIB
from ansible_collections.virtops.kvm.plugins.module_utils._disk import content
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import (
    Place,
    open_alone,
    settle,
    written_sectors,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import (
    BLOCK,
    BlockDigests,
    FileReader,
    digest_file,
    digest_reader,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.images import Image, look_at_image
from ansible_collections.virtops.kvm.plugins.module_utils._disk.inuse import check_free
from ansible_collections.virtops.kvm.plugins.module_utils._disk.pairs import (
    Outcome,
    Pair,
    Stop,
    allocated_bytes,
    check_stop,
    free_bytes,
    full,
    look_at_devices,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.partial import Partial, Publication, partial_path
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sidecar import Sidecar, describe, sidecar_path, to_text
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

DUMP, REPLACE, RECORD, KEEP = "dump", "replace", "record", "keep"
_SIDECAR_MODE = 0o644


@dataclasses.dataclass(frozen=True)
class Options:
    """How to dump. ``bandwidth`` is in MiB/s, 0 for no limit; ``level`` is zstd's."""

    format: str = content.RAW
    level: int = 3
    bandwidth: int = 0
    replace: bool = False


@dataclasses.dataclass(frozen=True)
class Decision:
    """What happens to one pair: dump, replace, record (the image is good, its digest record is not) or keep.

    ``before`` and ``after`` are digests of contents; None where they are not known yet.
    """

    pair: Pair
    action: str
    size: int
    before: t.Optional[str] = None
    after: t.Optional[str] = None
    sidecar: t.Optional[Sidecar] = None


def decide(pair: Pair, size: int, image: Image | None, digest: str | None, replace: bool) -> Decision:
    """What to do for one pair; ``digest`` is that of the device, known where there is an image.

    Raises KvmError DESTINATION_EXISTS for an image that holds something else, unless ``replace`` allows to lose it.
    """
    if image is None:
        return Decision(pair, DUMP, size)
    if image.digest is not None and image.digest == digest:
        return Decision(pair, KEEP if image.sidecar else RECORD, size, digest, digest, image.sidecar)
    if replace:
        return Decision(pair, REPLACE, size, image.digest, digest)
    what = "is no image of the wanted format" if image.digest is None else f"holds something else than {pair.device}"
    raise KvmError(
        "DESTINATION_EXISTS",
        f"The file {pair.image} on this host exists and {what}. Move it away, or allow to replace it (replace).",
        image=pair.image,
        device=pair.device,
        image_digest=image.digest,
        device_digest=digest,
    )


def changes_of(decisions: t.Sequence[Decision], form: str) -> tuple[Change, ...]:
    """What the decisions change, in check mode and for real alike."""
    found = []
    for one in decisions:
        if one.action == RECORD:
            found.append(Change(sidecar_path(one.pair.image), RECORD, None, {"digest": one.after}))
        elif one.action == REPLACE:
            after = {"device": one.pair.device, "format": form, "size": one.size, "digest": one.after}
            found.append(Change(one.pair.image, REPLACE, {"digest": one.before}, after))
        elif one.action == DUMP:
            found.append(
                Change(one.pair.image, DUMP, None, {"device": one.pair.device, "format": form, "size": one.size})
            )
    return tuple(found)


def room_for(data: int, form: str) -> int:
    """Upper bound of what an image with so much data takes: qcow2 adds its tables."""
    return data + (MIB + data // 2048 if form == content.QCOW2 else 0)


def changed(place: Place) -> KvmError:
    """The error for a device that was written to while it was read."""
    return KvmError(
        "SOURCE_CHANGED",
        f"The device {place.path} on this host was written to while it was dumped; nothing was kept. Shut off what uses it, "
        "and run again.",
        device=place.path,
    )


class Dump:
    """One transaction. Use it as a context: it holds the devices, so that nobody mounts them meanwhile."""

    def __init__(self, pairs: t.Sequence[Pair], options: Options, clock: Clock) -> None:
        self._pairs = pairs
        self._options = options
        self._clock = clock
        self._stack = contextlib.ExitStack()
        self._places: list[Place] = []
        self._descriptors: list[int] = []
        self._written: list[int | None] = []

    def __enter__(self) -> Dump:
        with contextlib.ExitStack() as stack:
            self._places = look_at_devices(self._pairs, writing=False, clock=self._clock)
            for place in self._places:
                descriptor = open_alone(place, write=False)
                stack.callback(os.close, descriptor)
                # What a file system that is unmounted by now left to the kernel to write is written, and not counted below.
                os.fsync(descriptor)
                self._descriptors.append(descriptor)
            self._written = [_written(place) for place in self._places]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *unused_details: object) -> None:
        self._stack.close()

    def _device_digests(self, index: int) -> BlockDigests:
        return digest_reader(FileReader(self._descriptors[index], self._places[index].size))

    def survey(self) -> list[Decision]:
        """What there is to do. Raises KvmError for everything that can be known to fail."""
        content.check_programs(self._options.format)
        decisions: list[Decision] = []
        data: dict[int, int] = {}
        for index, pair in enumerate(self._pairs):
            image = look_at_image(pair, self._options.format)
            digest = None
            if image is not None:
                read = self._device_digests(index)
                digest, data[index] = read.total, read.data_bytes
            decisions.append(decide(pair, self._places[index].size, image, digest, self._options.replace))
        self._check_space(decisions, data)
        return decisions

    def _check_space(self, decisions: t.Sequence[Decision], data: dict[int, int]) -> None:
        """Raises KvmError DESTINATION_FULL where the images cannot fit. Devices are read for it only where it is close."""
        form = self._options.format
        groups: dict[int, list[int]] = {}
        for index, one in enumerate(decisions):
            if one.action in (DUMP, REPLACE):
                groups.setdefault(os.stat(os.path.dirname(one.pair.file)).st_dev, []).append(index)
        for indices in groups.values():
            folder = os.path.dirname(decisions[indices[0]].pair.file)
            # What a killed run left is thrown away first.
            free = free_bytes(folder) + sum(_left(decisions[index].pair.file) for index in indices)
            if form == content.ZSTD or sum(room_for(decisions[index].size, form) for index in indices) <= free:
                continue
            for index in indices:
                if index not in data:
                    data[index] = self._device_digests(index).data_bytes
            needed = sum(room_for(data[index], form) for index in indices)
            if needed > free:
                raise full(folder, needed, free)

    def apply(self, decisions: t.Sequence[Decision], stop: Stop = bool) -> list[Outcome]:
        """Do it: all images complete and proven before the first is visible; nothing is left behind where one fails."""
        ready: list[tuple[Partial, Partial]] = []
        sidecars = [one.sidecar for one in decisions]
        for index, one in enumerate(decisions):
            if one.action == KEEP:
                continue
            try:
                if one.action == RECORD:
                    sidecars[index] = self._record_of(index, one.pair.file)
                else:
                    image = self._stack.enter_context(Partial(one.pair.file))
                    sidecars[index] = self._make(index, one, image, stop)
                record = self._stack.enter_context(Partial(sidecar_path(one.pair.file)))
                record.write_text(to_text(t.cast(Sidecar, sidecars[index])), _SIDECAR_MODE)
            except OSError as exc:
                if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise full(os.path.dirname(one.pair.image), None, None) from exc
                raise
            ready.append((image if one.action != RECORD else record, record))
        self._check_untouched()
        check_stop(stop, "no image was made")
        _publish(ready)
        return [self._outcome(one, sidecar) for one, sidecar in zip(decisions, sidecars)]

    def _make(self, index: int, decision: Decision, partial: Partial, stop: Stop) -> Sidecar:
        """Fill one partial image, and prove it."""
        place, form = self._places[index], self._options.format
        wanted = self._fill(index, partial, stop)
        settle(partial.descriptor)
        if decision.after is not None and wanted.total != decision.after:
            raise changed(place)
        file = digest_file(partial.descriptor)
        proven = file if form == content.RAW else content.digest_image(partial.path, form)
        if proven.total != wanted.total:
            raise KvmError(
                "PROOF_FAILED",
                f"The image {decision.pair.image} on this host does not hold what {place.path} gave, as reading it back shows; "
                "nothing was kept. Check the storage below it for errors, and run again.",
                image=decision.pair.image,
                blocks=proven.differing(wanted)[:20],
            )
        return describe(wanted, form, file, place.path, place.size)

    def _fill(self, index: int, partial: Partial, stop: Stop) -> BlockDigests:
        place = self._places[index]
        pace = content.Pace(self._options.bandwidth, self._clock)
        sink = content.open_sink(
            partial.path, partial.descriptor, self._options.format, place.size, self._options.level
        )
        digests: dict[int, bytes] = {}
        with contextlib.closing(sink):
            source = content.reader_blocks(FileReader(self._descriptors[index], place.size))
            for number, data, digest in content.with_digests(source):
                check_stop(stop, "no image was made")
                if digest:
                    sink.write(number * BLOCK, data)
                    digests[number] = digest
                pace.spent(len(data))
            sink.finish()
        return BlockDigests(place.size, BLOCK, digests)

    def _record_of(self, index: int, image: str) -> Sidecar:
        """The record of an image that is known to hold what the device holds."""
        place = self._places[index]
        return describe(self._device_digests(index), self._options.format, digest_file(image), place.path, place.size)

    def _check_untouched(self) -> None:
        for place, before in zip(self._places, self._written):
            if _written(place) != before:
                raise changed(place)
            check_free(place, writing=False, clock=self._clock)

    def foresee(self, decisions: t.Sequence[Decision]) -> list[Outcome]:
        """What apply would give, as far as it is known."""
        return [self._outcome(one, one.sidecar) for one in decisions]

    def _outcome(self, one: Decision, sidecar: Sidecar | None) -> Outcome:
        known = sidecar is not None
        return Outcome(
            device=one.pair.device,
            image=one.pair.image,
            format=self._options.format,
            action=one.action,
            size=one.size,
            sidecar=sidecar_path(one.pair.image),
            data_bytes=sidecar.data_bytes if sidecar else None,
            image_size=allocated_bytes(one.pair.file) if known else None,
            digest=sidecar.digest if sidecar else one.after,
        )


def _written(place: Place) -> int | None:
    return written_sectors(place.node.numbers) if place.node else None


def _left(image: str) -> int:
    path = partial_path(image)
    return allocated_bytes(path) if os.path.exists(path) else 0


def _publish(ready: t.Sequence[tuple[Partial, Partial]]) -> None:
    """Make all images and their records visible, or none."""
    publication = Publication()
    try:
        for image, record in ready:
            if image is not record:
                publication.show(image)
            publication.show(record)
    except BaseException:
        publication.undo()
        raise
    publication.keep()
