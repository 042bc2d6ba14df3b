# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What travels between the two ends arrives as it was, and only plain paths do."""

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import wire


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@pytest.mark.parametrize("numbers", [[], [0], [5], [0, 1, 2], [0, 2, 3, 9], [3, 2, 1], list(range(100))])
def test_digests(numbers: list[int]) -> None:
    digests = {number: digest(number) for number in numbers}
    packed = json.loads(json.dumps(wire.pack_digests({**digests, 1000: b""})))
    assert wire.unpack_digests(packed) == digests


def test_neighbours_are_one_run() -> None:
    assert [run[0] for run in wire.pack_digests({number: digest(number) for number in (1, 2, 3, 7)})] == [1, 7]


@pytest.mark.parametrize("path", ["/a", "/a/b c/ü.img", "/-n", "/a//b", "/a/b..c", '/it\'s "$x"'])
def test_plain_paths(path: str) -> None:
    assert wire.checked_path(path) == path.replace("//", "/")


@pytest.mark.parametrize("path", ["", "a", "/", "./a", "/a/../b", "/..", "/a\nb", "/a\0b", "../a"])
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        wire.checked_path(path)
