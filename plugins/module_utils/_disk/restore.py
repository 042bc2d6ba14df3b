# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Image files back to block devices. Afterwards a device holds what the image holds, and zeros behind it.

A device has no second name to be filled under. So everything that can be checked is checked before the first byte is written;
only what differs is written; and the first block of each device, without which nobody takes it for a disk, is blank
until all devices are complete and proven.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import parse_qcow2
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._disk import content
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import (
    ABSENT,
    FILE,
    Place,
    filled,
    look,
    open_alone,
    reread_partitions,
    settle,
    write_all,
    zero_out,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import (
    BLOCK,
    BlockDigests,
    FileReader,
    digest_file,
    digest_reader,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.pairs import (
    Outcome,
    Pair,
    Stop,
    allocated_bytes,
    check_stop,
    look_at_devices,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sidecar import Sidecar, read_sidecar, sidecar_path
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

RESTORE, KEEP = "restore", "keep"
_HEAD = 64 << 10
_QCOW2_DATA_FILE = 4


@dataclasses.dataclass(frozen=True)
class Source:
    """An image that may be restored. ``digest`` and ``size`` are those of what it holds."""

    pair: Pair
    format: str
    size: int
    digest: str
    data_bytes: int
    recorded: bool


@dataclasses.dataclass(frozen=True)
class Decision:
    """restore or keep. ``before`` is the digest of as many bytes of the device as the image has; ``tail``: what lies behind
    them is not all zeros."""

    source: Source
    action: str
    before: str
    tail: bool


def choose_format(asked: str | None, recorded: str | None, head: bytes, image: str) -> str:
    """The format to read an image by. Raises InputError where it would be a guess: a guest may write any mark into a raw disk."""
    if asked or recorded:
        if asked and recorded and asked != recorded:
            raise InputError("format", f"The image {image} is {recorded}, as its digest record says, and not {asked}.")
        return asked or recorded or content.RAW
    mark = content.looks_like(head)
    if mark != content.RAW:
        raise InputError(
            "format",
            f"The image {image} has no digest record and looks like {mark}, but a raw image may look so too; say its format.",
        )
    return content.RAW


def check_size(source: Source, place: Place) -> None:
    """Raises KvmError DESTINATION_TOO_SMALL."""
    if source.size > place.size:
        raise KvmError(
            "DESTINATION_TOO_SMALL",
            f"The device {place.path} on this host has {format_bytes(place.size)}, and the image {source.pair.image} holds "
            f"{format_bytes(source.size)}: {source.size - place.size} bytes more. Enlarge the device.",
            device=place.path,
            device_size=place.size,
            content_size=source.size,
        )


def decide(source: Source, found: str, tail: bool) -> Decision:
    """Whether the device has to be written."""
    return Decision(source, KEEP if found == source.digest and not tail else RESTORE, found, tail)


def changes_of(decisions: t.Sequence[Decision]) -> tuple[Change, ...]:
    """What the decisions change, in check mode and for real alike."""
    return tuple(
        Change(
            one.source.pair.device,
            RESTORE,
            {"digest": one.before, "zeros_behind": not one.tail},
            {"digest": one.source.digest, "zeros_behind": True, "image": one.source.pair.image},
        )
        for one in decisions
        if one.action == RESTORE
    )


def examine(pair: Pair, asked: str | None) -> Source:
    """Read an image to its last byte. Raises KvmError where it is missing, damaged, or not what its record says."""
    place = look(pair.image)
    if place.kind != FILE:
        what = "does not exist" if place.kind == ABSENT else "is no regular file"
        raise KvmError("IMAGE_NOT_FOUND", f"The image {pair.image} {what} on this host.", image=pair.image)
    sidecar = read_sidecar(place.real)
    head = content.read_head(place.real, _HEAD)
    form = choose_format(asked, sidecar.format if sidecar else None, head, pair.image)
    if form == content.QCOW2:
        _check_whole(pair, head)
    content.check_programs(form)
    if sidecar is not None:
        _check_bytes(pair, place, sidecar)
        return Source(pair, form, sidecar.size, sidecar.digest, sidecar.data_bytes, True)
    found = content.digest_image(place.real, form)
    return Source(pair, form, found.size, found.total, found.data_bytes, False)


def _check_bytes(pair: Pair, place: Place, sidecar: Sidecar) -> None:
    if place.size == sidecar.image_size and digest_file(place.real).total == sidecar.image_digest:
        return
    raise KvmError(
        "IMAGE_INVALID",
        f"The image {pair.image} on this host is not what its digest record says: it is damaged, or was changed after it was "
        f"made. Restore another copy; where the change is meant, remove {sidecar_path(pair.image)} and run again.",
        image=pair.image,
        expected=sidecar.image_digest,
    )


def _check_whole(pair: Pair, head: bytes) -> None:
    """A qcow2 image that lies in several files is not what was dumped; and its header could name any file of the host."""
    facts = parse_qcow2(head)
    if facts is None:
        raise KvmError("IMAGE_INVALID", f"The image {pair.image} on this host is no qcow2 image.", image=pair.image)
    data_file = len(head) >= 80 and head[7] >= 3 and head[79] & _QCOW2_DATA_FILE
    if facts.backing_path or data_file:
        other = facts.backing_path or "a data file"
        raise KvmError(
            "IMAGE_INVALID",
            f"The image {pair.image} on this host is not complete without {other}. Flatten it first (qemu-img convert).",
            image=pair.image,
        )


class Restore:
    """One transaction. Use it as a context: it holds the devices, so that nobody mounts them meanwhile."""

    def __init__(self, pairs: t.Sequence[Pair], asked: str | None, bandwidth: int, clock: Clock) -> None:
        self._pairs = pairs
        self._asked = asked
        self._bandwidth = bandwidth
        self._clock = clock
        self._stack = contextlib.ExitStack()
        self._places: list[Place] = []
        self._descriptors: list[int] = []
        self._found: list[BlockDigests] = []

    def __enter__(self) -> Restore:
        with contextlib.ExitStack() as stack:
            self._places = look_at_devices(self._pairs, writing=True, clock=self._clock)
            for place in self._places:
                descriptor = open_alone(place, write=True)
                stack.callback(os.close, descriptor)
                self._descriptors.append(descriptor)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *unused_details: object) -> None:
        self._stack.close()

    def survey(self) -> list[Decision]:
        """What there is to do. Raises KvmError for everything that can be known to fail."""
        sources = [examine(pair, self._asked) for pair in self._pairs]
        for source, place in zip(sources, self._places):
            check_size(source, place)
        decisions = []
        for source, place, descriptor in zip(sources, self._places, self._descriptors):
            found = digest_reader(FileReader(descriptor, source.size))
            self._found.append(found)
            decisions.append(decide(source, found.total, self._tail_filled(descriptor, source.size, place.size)))
        return decisions

    @staticmethod
    def _tail_filled(descriptor: int, begin: int, end: int) -> bool:
        return next(filled(descriptor, begin, end), None) is not None

    def apply(self, decisions: t.Sequence[Decision], stop: Stop = bool) -> list[Outcome]:
        """Do it: no device can be taken for a disk before all of them are complete and proven."""
        heads: dict[int, bytes] = {}
        begun: list[str] = []
        try:
            for index, one in enumerate(decisions):
                if one.action == RESTORE:
                    begun.append(one.source.pair.device)
                    heads[index] = self._write(index, one.source, stop)
            for index, head in heads.items():
                write_all(self._descriptors[index], head, 0)
            for index in heads:
                self._prove(index, decisions[index].source, blank=False)
        except KvmError as exc:
            exc.details.setdefault("incomplete", begun)
            raise
        except OSError as exc:
            raise KvmError(
                "DEVICE_FAILED",
                f"The device {begun[-1] if begun else '-'} on this host cannot be written: {exc.strerror or exc}. These devices "
                f"hold nothing that can be used now: {', '.join(begun)}. Check the storage below them, and run again.",
                incomplete=begun,
            ) from exc
        for index in heads:
            place = self._places[index]
            if place.node is not None and place.node.parent is None:
                reread_partitions(self._descriptors[index])
        return self.outcomes(decisions)

    def _write(self, index: int, source: Source, stop: Stop) -> bytes:
        """Write what differs, all but the first block, which is made zeros; gives what belongs there."""
        descriptor, found = self._descriptors[index], self._found[index]
        pace = content.Pace(self._bandwidth, self._clock)
        head = b""
        zero_out(descriptor, 0, min(BLOCK, self._places[index].size))
        stale = set(found.digests) - {0}
        with content.open_content(source.pair.file, source.format) as image:
            for number, data, digest in content.with_digests(image.blocks()):
                check_stop(stop, "the devices hold nothing that can be used now")
                if not digest:
                    continue
                stale.discard(number)
                if number == 0:
                    head = data
                elif digest != found.digests.get(number):
                    write_all(descriptor, data, number * BLOCK)
                    pace.spent(len(data))
        for number in sorted(stale):
            zero_out(descriptor, number * BLOCK, min(BLOCK, self._places[index].size - number * BLOCK))
        for begin, length in list(filled(descriptor, source.size, self._places[index].size)):
            zero_out(descriptor, begin, length)
        settle(descriptor)
        self._prove(index, source, blank=True, head=head)
        return head

    def _prove(self, index: int, source: Source, *, blank: bool, head: bytes = b"") -> None:
        """Read the device back. ``blank``: its first block is still zeros, and ``head`` stands for it."""
        descriptor, place = self._descriptors[index], self._places[index]
        if not blank:
            settle(descriptor)
        found = digest_reader(FileReader(descriptor, source.size))
        if blank and head:
            found = BlockDigests(found.size, found.block, {**found.digests, 0: content.digest_of(head)})
        if found.total != source.digest or self._tail_filled(descriptor, source.size, place.size):
            raise KvmError(
                "PROOF_FAILED",
                f"The device {place.path} on this host does not hold what {source.pair.image} holds, as reading it back shows. "
                "Check the storage below it for errors, and run again.",
                device=place.path,
                image=source.pair.image,
            )

    def outcomes(self, decisions: t.Sequence[Decision]) -> list[Outcome]:
        """What is on the devices, or would be."""
        return [
            Outcome(
                device=one.source.pair.device,
                image=one.source.pair.image,
                format=one.source.format,
                action=one.action,
                size=one.source.size,
                sidecar=sidecar_path(one.source.pair.image) if one.source.recorded else None,
                data_bytes=one.source.data_bytes,
                image_size=allocated_bytes(one.source.pair.file),
                digest=one.source.digest,
            )
            for one in decisions
        ]
