# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of real files: holes equal zeros, one changed byte shows, and every way to read gives the same answer."""

from __future__ import annotations

import itertools
import os
import pathlib
import random
import threading
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._disk import digest
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK, BlockDigests, digest_file

KIB = 1 << 10


def write(path: pathlib.Path, size: int, pieces: dict[int, bytes]) -> pathlib.Path:
    """A sparse file of ``size`` bytes with ``pieces`` at their offsets."""
    with path.open("wb") as stream:
        stream.truncate(size)
        for offset, data in pieces.items():
            stream.seek(offset)
            stream.write(data)
    return path


def noise(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


@pytest.mark.parametrize("size", [0, 1, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 5 * BLOCK + 512])
def test_holes_written_zeros_and_nothing_are_the_same(tmp_path: pathlib.Path, size: int) -> None:
    hole = digest_file(str(write(tmp_path / "hole", size, {})))
    zeros = digest_file(str(write(tmp_path / "zeros", size, {0: bytes(size)})))
    assert hole == zeros
    assert (hole.size, hole.digests, hole.data_bytes, hole.total) == (size, {}, 0, zeros.total)


@pytest.mark.parametrize("offset", [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 77, 5 * BLOCK + 511])
def test_every_byte_counts(tmp_path: pathlib.Path, offset: int) -> None:
    size = 5 * BLOCK + 512
    plain = digest_file(str(write(tmp_path / "plain", size, {BLOCK: noise(2 * BLOCK)})))
    other = bytearray(noise(2 * BLOCK))
    pieces = {BLOCK: bytes(other)}
    if BLOCK <= offset < 3 * BLOCK:
        other[offset - BLOCK] ^= 1
        pieces = {BLOCK: bytes(other)}
    else:
        pieces[offset] = b"\x01"
    changed = digest_file(str(write(tmp_path / "changed", size, pieces)))
    assert plain.differing(changed) == changed.differing(plain) == [offset // BLOCK]
    assert plain.total != changed.total


def test_the_size_counts(tmp_path: pathlib.Path) -> None:
    one = digest_file(str(write(tmp_path / "one", BLOCK, {0: b"x"})))
    two = digest_file(str(write(tmp_path / "two", BLOCK + 1, {0: b"x"})))
    assert one.total != two.total


def test_blocks_that_change_places_count(tmp_path: pathlib.Path) -> None:
    first, second = noise(BLOCK, 1), noise(BLOCK, 2)
    one = digest_file(str(write(tmp_path / "one", 2 * BLOCK, {0: first + second})))
    two = digest_file(str(write(tmp_path / "two", 2 * BLOCK, {0: second + first})))
    assert one.total != two.total


def test_the_printed_digest_stays_the_same(tmp_path: pathlib.Path) -> None:
    """It stands in sidecars that older versions wrote."""
    found = digest_file(str(write(tmp_path / "x", 3 * BLOCK, {BLOCK: b"virtops"})))
    assert found.total == "sha256-blocks:a56f001d56fb59ddcba8cb24a9a1c1f6e0bdbc6d5125573407e3fe264a4b346b"


@pytest.mark.parametrize("seed", range(5))
def test_all_ways_to_read_agree(tmp_path: pathlib.Path, seed: int) -> None:
    chance = random.Random(seed)
    size = chance.randrange(1, 20 * BLOCK)
    pieces = {
        offset: chance.randbytes(min(chance.randrange(1, 3 * BLOCK), size - offset))
        for offset in (chance.randrange(size) for unused_number in range(4))
    }
    path = write(tmp_path / "image", size, pieces)
    dense = tmp_path / "dense"
    dense.write_bytes(path.read_bytes())
    whole = digest_file(str(path))
    with path.open("rb") as stream:
        reader = digest.FileReader(stream.fileno())
        assert digest_file(stream.fileno()) == whole == digest_file(str(dense))
        for threads in (1, 2, 7):
            assert digest.digest_reader(reader, threads=threads) == whole
        numbers = range(whole.count)
        assert {number: found for number, found in digest.iter_digests(reader, numbers) if found} == whole.digests


def test_only_the_first_bytes(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "long", 4 * BLOCK, {0: noise(4 * BLOCK)})
    short = write(tmp_path / "short", BLOCK + 5, {0: noise(4 * BLOCK)[: BLOCK + 5]})
    assert digest_file(str(path), size=BLOCK + 5).total == digest_file(str(short)).total


def test_another_block_size(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "image", 2 * BLOCK, {70 * KIB: b"x"})
    assert list(digest_file(str(path), block=64 * KIB).digests) == [1]
    assert list(digest_file(str(path), block=4 * BLOCK).digests) == [0]


def test_extents_follow_the_holes(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "image", 64 * BLOCK, {0: b"x", 32 * BLOCK: noise(BLOCK)})
    with path.open("rb") as stream:
        found = list(digest.data_extents(stream.fileno(), 64 * BLOCK))
        assert found == sorted(found)
        assert sum(length for unused_offset, length in found) < 4 * BLOCK
        assert {0, 32} <= set(digest.block_numbers(found)) < set(range(64))
        assert list(digest.data_extents(stream.fileno(), 0)) == []
        assert list(digest.data_extents(stream.fileno(), 1)) == [(0, 1)]


@pytest.mark.parametrize(
    ("extents", "numbers"),
    [
        ([], []),
        ([(0, 1)], [0]),
        ([(0, 10)], [0]),
        ([(9, 2)], [0, 1]),
        ([(1, 1), (5, 1), (12, 20)], [0, 1, 2, 3]),
        ([(10, 10), (30, 1)], [1, 3]),
    ],
)
def test_block_numbers(extents: list[tuple[int, int]], numbers: list[int]) -> None:
    assert list(digest.block_numbers(extents, 10)) == numbers


def test_it_stops_when_asked(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "image", 64 * BLOCK, {0: noise(16 * BLOCK)})
    asked = itertools.count()
    with pytest.raises(digest.Stopped):
        digest_file(str(path), stop=lambda: next(asked) > 3)


def test_an_error_of_a_thread_is_the_callers() -> None:
    class Broken:
        size = 300 * BLOCK

        def extents(self) -> t.Iterator[tuple[int, int]]:
            yield 0, self.size

        def read_into(self, view: memoryview, offset: int) -> None:
            if offset > 3 * BLOCK:
                raise OSError(5, "Input/output error")
            view[0] = 1

    before = threading.active_count()
    with pytest.raises(OSError, match="Input/output"):
        digest.digest_reader(Broken(), threads=3)
    assert threading.active_count() == before


def test_a_caller_that_goes_leaves_no_thread(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "image", 400 * BLOCK, {0: b"x", 399 * BLOCK: b"x"})
    before = threading.active_count()
    with path.open("rb") as stream:
        running = digest.iter_digests(digest.FileReader(stream.fileno()), range(400), threads=4)
        next(running)
        running.close()
    assert threading.active_count() == before


def test_progress_is_told(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "image", 8 * BLOCK, {0: noise(8 * BLOCK)})
    told: list[int] = []
    digest_file(str(path), tell=told.append)
    assert told == sorted(told)
    assert told[-1] == 8 * BLOCK


def test_a_file_that_shrinks_gives_zeros(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "image", BLOCK, {0: b"x" * BLOCK})
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = digest.FileReader(descriptor, 3 * BLOCK)
        buffer = bytearray(b"y" * BLOCK)
        reader.read_into(memoryview(buffer), 2 * BLOCK)
        assert buffer == bytes(BLOCK)
    finally:
        os.close(descriptor)


def test_differing_is_about_content_only() -> None:
    one = BlockDigests(3 * BLOCK, BLOCK, {0: b"a", 1: b"b"})
    two = BlockDigests(3 * BLOCK, BLOCK, {1: b"b", 2: b"c"})
    assert one.differing(two) == [0, 2]
    assert one.differing(one) == []
    assert one.data_bytes == 2 * BLOCK
