# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What lies below a block: runs that are not zeros, and short hints that find the changed part of a block.

Needs the standard library only, because the receiving end of a copy runs it too.
"""

from __future__ import annotations

import hashlib
import typing as t

#: Zeros shorter than this are not looked for.
GRAIN = 4096
#: A block is compared in parts, and a part that differs in grains.
PARTS = 16
GRAINS = 16
#: Bytes of one hint. It only has to find differences: the proof that follows compares whole digests.
HINT = 4

_ZERO_GRAIN = bytes(GRAIN)

Run = tuple[int, int]


def data_runs(data: bytes | bytearray, length: int | None = None) -> t.Iterator[Run]:
    """(offset, length) of all grains in ``data`` that are not zeros, neighbours as one."""
    length = len(data) if length is None else length
    # A grain of zeros begins with one, which is all that is looked at of most others.
    heads = data[:length:GRAIN]
    begun, place = 0, heads.find(0)
    while place >= 0:
        offset = place * GRAIN
        rest = min(GRAIN, length - offset)
        if data.startswith(_ZERO_GRAIN if rest == GRAIN else bytes(rest), offset):
            if begun < offset:
                yield begun, offset - begun
            begun = offset + rest
        place = heads.find(0, place + 1)
    if begun < length:
        yield begun, length - begun


def hints(data: bytes | bytearray, salt: bytes, pieces: int, start: int, length: int) -> bytes:
    """The hints of ``pieces`` equal parts of the ``length`` bytes from ``start`` on; what lies behind the end is empty."""
    base, step = hashlib.sha256(salt), length // pieces
    found = []
    with memoryview(data) as view:
        for number in range(pieces):
            one = base.copy()
            one.update(view[start + number * step : start + (number + 1) * step])
            found.append(one.digest()[:HINT])
    return b"".join(found)


def part_hints(data: bytes | bytearray, salt: bytes, block: int) -> bytes:
    """The hints of the parts of a block, which is what one side sends of it."""
    return hints(data, salt, PARTS, 0, block)


def answer(data: bytes | bytearray, salt: bytes, block: int, asked: bytes) -> bytes:
    """The other side's answer to part_hints: which parts differ (two bytes), and the hints of the grains of each of them."""
    own = part_hints(data, salt, block)
    differing, grains = 0, []
    for part in range(PARTS):
        place = slice(part * HINT, (part + 1) * HINT)
        if own[place] != asked[place]:
            differing |= 1 << part
            grains.append(hints(data, salt, GRAINS, part * (block // PARTS), block // PARTS))
    return differing.to_bytes(2, "big") + b"".join(grains)


def changed_runs(data: bytes | bytearray, salt: bytes, block: int, answered: bytes) -> list[Run]:
    """(offset, length) of what differs from the other side by its answer, neighbours as one."""
    differing, position = int.from_bytes(answered[:2], "big"), 2
    part_size = block // PARTS
    grain = part_size // GRAINS
    runs: list[Run] = []
    for part in range(PARTS):
        if not differing & 1 << part:
            continue
        theirs = answered[position : position + GRAINS * HINT]
        position += GRAINS * HINT
        own = hints(data, salt, GRAINS, part * part_size, part_size)
        for number in range(GRAINS):
            start = part * part_size + number * grain
            place = slice(number * HINT, (number + 1) * HINT)
            if own[place] == theirs[place] or start >= len(data):
                continue
            length = min(grain, len(data) - start)
            if runs and sum(runs[-1]) == start:
                runs[-1] = (runs[-1][0], runs[-1][1] + length)
            else:
                runs.append((start, length))
    return runs
