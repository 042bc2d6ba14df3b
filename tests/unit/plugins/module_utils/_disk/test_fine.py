# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Below the block: runs of data, and hints that find what differs and nothing else."""

from __future__ import annotations

import random

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._disk import fine
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK

G = fine.GRAIN


@pytest.mark.parametrize(
    ("pieces", "length", "runs"),
    [
        ([], 4 * G, []),
        ([(0, 1)], 4 * G, [(0, G)]),
        ([(G - 1, 2)], 4 * G, [(0, 2 * G)]),
        ([(0, 1), (3 * G, 1)], 4 * G, [(0, G), (3 * G, G)]),
        ([(0, 4 * G)], 4 * G, [(0, 4 * G)]),
        ([(2 * G + 5, 1)], 2 * G + 10, [(2 * G, 10)]),
        ([], 2 * G + 10, []),
        ([(5, 1)], 10, [(0, 10)]),
        ([], 0, []),
    ],
)
def test_data_runs(pieces: list[tuple[int, int]], length: int, runs: list[tuple[int, int]]) -> None:
    data = bytearray(length)
    for offset, count in pieces:
        data[offset : offset + count] = b"\x01" * count
    assert list(fine.data_runs(data)) == runs
    assert list(fine.data_runs(bytes(data))) == runs


def compared(own: bytes, theirs: bytes, salt: bytes = b"salt") -> list[tuple[int, int]]:
    """What the sender finds after question and answer."""
    return fine.changed_runs(own, salt, BLOCK, fine.answer(theirs, salt, BLOCK, fine.part_hints(own, salt, BLOCK)))


@pytest.mark.parametrize("length", [BLOCK, BLOCK - 1, 70000, G, 1])
def test_equal_blocks_have_no_changes(length: int) -> None:
    data = random.Random(length).randbytes(length)
    assert compared(data, data) == []


@pytest.mark.parametrize("seed", range(20))
def test_exactly_the_changed_grains_are_found(seed: int) -> None:
    chance = random.Random(seed)
    length = chance.choice([BLOCK, BLOCK, BLOCK - chance.randrange(1, BLOCK)])
    theirs = chance.randbytes(length)
    own = bytearray(theirs)
    places = {chance.randrange(length) for unused_number in range(chance.randrange(1, 30))}
    for place in places:
        own[place] ^= 0xFF
    grains = {place // G for place in places}
    runs = compared(bytes(own), theirs)
    assert {grain for start, count in runs for grain in range(start // G, -(-(start + count) // G))} == grains
    assert all(start + count <= length for start, count in runs)
    patched = bytearray(theirs)
    for start, count in runs:
        patched[start : start + count] = own[start : start + count]
    assert patched == own
    assert runs == sorted(runs)
    assert all(one[0] + one[1] < other[0] for one, other in zip(runs, runs[1:]))


def test_hints_are_short() -> None:
    own, theirs = bytes(BLOCK), b"\x01" + bytes(BLOCK - 1)
    question = fine.part_hints(own, b"", BLOCK)
    assert len(question) == 64
    assert len(fine.answer(theirs, b"", BLOCK, question)) == 2 + 64


def test_another_salt_gives_other_hints() -> None:
    assert fine.part_hints(bytes(BLOCK), b"a", BLOCK) != fine.part_hints(bytes(BLOCK), b"b", BLOCK)
