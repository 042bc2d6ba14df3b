# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a seeding proved is not read again, as long as the copy is what it was; and everything is, once it is not."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import random
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._disk import wire
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK, FileReader, digest_file, sha256
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import CopyJob, Known, place_of
from ansible_collections.virtops.kvm.plugins.module_utils._disk.look import Looker
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import Source

COUNT = 6


class FakeRemote:
    """The other end, which has the file ``path`` and counts the blocks that it is asked for."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self.lost = None
        self.asked: list[int] = []
        self.hashed, self.algorithm = sha256, "sha256"

    def call(self, verb: str, **unused_arguments: t.Any) -> dict[str, t.Any]:
        return {"read": {"reader": 1, "size": self._path.stat().st_size}, "end_read": {}}[verb]

    def send(self, verb: str, *, reader: int, ranges: list[list[int]]) -> concurrent.futures.Future[t.Any]:
        assert (verb, reader) == ("digests", 1)
        numbers = [number for first, count in ranges for number in range(first, first + count)]
        self.asked += numbers
        found = digest_file(str(self._path)).digests
        answer: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        answer.set_result(wire.pack_digests({number: found[number] for number in numbers if number in found}))
        return answer


def facts_of(path: pathlib.Path) -> dict[str, t.Any]:
    status = path.stat()
    return {"path": str(path), "kind": "file", "size": status.st_size, "mtime_ns": status.st_mtime_ns}


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ("", [1, 4, 5]),
        ("time", [0, 1, 2, 3, 4, 5]),
        ("longer", [1, 4, 5]),
        ("device", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_known_blocks(tmp_path: pathlib.Path, change: str, asked: list[int]) -> None:
    chance = random.Random(1)
    source, copy = tmp_path / "source", tmp_path / "copy"
    data = chance.randbytes(COUNT * BLOCK)
    source.write_bytes(data)
    copy.write_bytes(data[: BLOCK * 4] + bytes(BLOCK) + data[BLOCK * 5 :])
    facts = facts_of(copy)
    if change == "device":
        facts["kind"] = "block"
    whole = digest_file(str(source)).digests
    known = Known(place_of(facts), {number: whole[number] for number in (0, 2, 3)})
    if change == "time":
        os.utime(copy, (1, 1))
        facts = facts_of(copy)
    if change == "longer":
        with source.open("ab") as stream:
            stream.truncate(COUNT * BLOCK + 512)
    remote = FakeRemote(copy)
    descriptor = os.open(source, os.O_RDONLY)
    try:
        job = CopyJob(str(source), str(copy), replace=True)
        looker = Looker(job, t.cast(t.Any, remote), lambda progress: None, lambda: False, known)
        own, there = looker.compare(Source(str(source), FileReader(descriptor), 0, {}), facts)
    finally:
        os.close(descriptor)
    assert own is not None
    assert there is not None
    assert own.digests == digest_file(str(source)).digests
    assert [number for number in range(COUNT) if own.digests.get(number) != there.get(number)] == [4]
    assert [number for number in sorted(remote.asked) if number < COUNT] == asked
