# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lab guests write to their disks (see guest/beat.c), read back and judged. Pure."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

RECORD = 512
HEADER_AT = 1 << 20
RECORDS_AT = HEADER_AT + 4096
CAPACITY = 16384
AREA = 4096 + CAPACITY * RECORD  # from HEADER_AT on
MAGIC = b"VKR1"
HEADER_MAGIC = b"VKLBEAT1"


@dataclass(frozen=True)
class Record:
    sequence: int
    disk: int
    boot: int
    counter: int
    time_ns: int


@dataclass(frozen=True)
class Verdict:
    """What became of the records of one guest; lost and torn count acknowledged records only."""

    lost: int
    torn: int
    acknowledged: int
    disks: list[dict[str, object]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return self.lost == 0 and self.torn == 0


def parse(block: bytes) -> Record | None:
    """The record in a 512 byte block, or None when there is none or its checksum is wrong."""
    if len(block) != RECORD or block[:4] != MAGIC:
        return None
    if struct.unpack_from("<I", block, 4)[0] != zlib.crc32(block[8:]):
        return None
    sequence, disk, _zero, boot, counter, time_ns = struct.unpack_from("<QIIQQQ", block, 8)
    return Record(sequence, disk, boot, counter, time_ns)


def make(record: Record) -> bytes:
    """A block as the guest writes it (the padding is free)."""
    body = struct.pack("<QIIQQQ", record.sequence, record.disk, 0, record.boot, record.counter, record.time_ns)
    body = body.ljust(RECORD - 8, b"\xa5")
    return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def judge(area: bytes, acknowledged: int, disk: int) -> dict[str, object]:
    """Judge the area of one disk (header first): every acknowledged record that was not overwritten must be there.

    A slot may hold a later record than the acknowledged one: the guest went on after the last beat that we saw.
    """
    header = area[: len(HEADER_MAGIC)] == HEADER_MAGIC
    lost: list[int] = []
    torn: list[int] = []
    for sequence in range(max(1, acknowledged - CAPACITY + 1), acknowledged + 1):
        at = 4096 + (sequence % CAPACITY) * RECORD
        block = area[at : at + RECORD]
        record = parse(block)
        if record is None:
            (torn if block[:4] == MAGIC else lost).append(sequence)
        elif record.disk != disk or record.sequence < sequence or (record.sequence - sequence) % CAPACITY:
            lost.append(sequence)
    last = 0
    for at in range(4096, min(len(area), AREA), RECORD):
        record = parse(area[at : at + RECORD])
        if record is not None:
            last = max(last, record.sequence)
    return {
        "disk": disk, "header": header, "acknowledged": acknowledged, "last_on_disk": last,
        "lost": len(lost), "torn": len(torn), "examples": (lost + torn)[:10],
    }  # fmt: skip


def verdict(areas: list[bytes], acknowledged: list[int]) -> Verdict:
    """The sum over all disks of a guest."""
    disks = [judge(area, last, index) for index, (area, last) in enumerate(zip(areas, acknowledged, strict=True))]
    return Verdict(
        lost=sum(int(str(disk["lost"])) for disk in disks),
        torn=sum(int(str(disk["torn"])) for disk in disks),
        acknowledged=sum(acknowledged),
        disks=disks,
    )
