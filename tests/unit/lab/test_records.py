# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that lab guests write, and the verdict over them."""

from __future__ import annotations

from tests.lab.records import AREA, CAPACITY, HEADER_MAGIC, RECORD, Record, judge, make, parse, verdict


def area_with(sequences: list[int], disk: int = 0) -> bytearray:
    area = bytearray(AREA)
    area[: len(HEADER_MAGIC)] = HEADER_MAGIC
    for sequence in sequences:
        at = 4096 + (sequence % CAPACITY) * RECORD
        area[at : at + RECORD] = make(Record(sequence, disk, 7, sequence * 5, 1))
    return area


def slot(sequence: int) -> int:
    return 4096 + (sequence % CAPACITY) * RECORD


def test_a_record_survives_being_written_and_read() -> None:
    record = Record(sequence=42, disk=1, boot=2**63, counter=9, time_ns=123456789)
    assert parse(make(record)) == record


def test_a_changed_byte_is_noticed() -> None:
    block = bytearray(make(Record(1, 0, 1, 1, 1)))
    block[300] ^= 1
    assert parse(bytes(block)) is None


def test_an_empty_block_and_a_short_one_are_no_records() -> None:
    assert parse(bytes(RECORD)) is None
    assert parse(b"VKR1") is None


def test_all_there_is_clean_even_with_more_than_acknowledged() -> None:
    found = judge(bytes(area_with(list(range(1, 15)))), 10, 0)
    assert (found["lost"], found["torn"], found["last_on_disk"]) == (0, 0, 14)


def test_a_missing_record_is_lost() -> None:
    found = judge(bytes(area_with([1, 2, 4, 5])), 5, 0)
    assert (found["lost"], found["torn"], found["examples"]) == (1, 0, [3])


def test_a_half_written_record_is_torn() -> None:
    area = area_with([1, 2, 3])
    area[slot(2) + 256 : slot(2) + RECORD] = bytes(256)
    found = judge(bytes(area), 3, 0)
    assert (found["lost"], found["torn"], found["examples"]) == (0, 1, [2])


def test_the_area_wraps_and_older_records_are_not_missed() -> None:
    last = CAPACITY * 2 + 100
    area = area_with(list(range(last - CAPACITY + 1, last + 1)))
    assert judge(bytes(area), last - 3, 0)["lost"] == 0


def test_a_stale_copy_of_an_area_that_wrapped_is_lost() -> None:
    area = area_with(list(range(1, CAPACITY + 1)))
    assert judge(bytes(area), CAPACITY + 5, 0)["lost"] == 5


def test_a_record_of_another_disk_is_lost() -> None:
    assert judge(bytes(area_with([1, 2], disk=1)), 2, 0)["lost"] == 2


def test_the_verdict_sums_over_disks() -> None:
    found = verdict([bytes(area_with([1, 2])), bytes(area_with([1], disk=1))], [2, 2])
    assert (found.lost, found.torn, found.acknowledged, found.clean) == (1, 0, 4, False)
