# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a command line says that memory lies, and how much of it takes huge pages."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.backing import (
    Backing,
    backings_of,
    huge_pages,
    pages_needed,
)

MIB, GIB = 1 << 20, 1 << 30
JSON = '{"qom-type":"memory-backend-file","id":"m","size":1073741824,"mem-path":"/dev/hugepages","share":true}'


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("-m 2G", []),
        ("-m 2G -mem-path /dev/hugepages", [Backing(2 * GIB, "/dev/hugepages")]),
        ("-m 64 -object memory-backend-file,id=m,size=64M,mem-path=/srv/a,,b", [Backing(64 * MIB, "/srv/a,b")]),
        (f"-m 1G -object {JSON}", [Backing(GIB, "/dev/hugepages")]),
        ("-object memory-backend-memfd,id=m,size=1G,hugetlb=on,hugetlbsize=2M", [Backing(GIB, page_kib=2048)]),
        ("-object memory-backend-memfd,id=m,size=1G,hugetlb=on", [Backing(GIB)]),
        ("-object memory-backend-memfd,id=m,size=1G -object memory-backend-ram,id=n,size=1G", []),
        ("-object rng-random,id=r", []),
    ],
)
def test_what_is_no_plain_memory(words: str, found: list[Backing]) -> None:
    assert list(backings_of(parse(["qemu", *words.split()]))) == found


@pytest.mark.parametrize(
    ("backings", "pages", "size"),
    [
        ([], {}, (False, None)),
        ([Backing(GIB, "/big")], {1 << 20: GIB}, (True, 1 << 20)),
        ([Backing(GIB + 1, "/small")], {2048: GIB + 2 * MIB}, (True, 2048)),
        ([Backing(GIB, "/plain")], {}, (False, None)),
        ([Backing(GIB, "/nowhere")], {}, (False, None)),
        (
            [Backing(GIB, page_kib=2048), Backing(GIB, "/small"), Backing(GIB, "/big")],
            {2048: 2 * GIB, 1 << 20: GIB},
            (True, 2048),
        ),
        ([Backing(GIB)], {16384: GIB}, (True, None)),
    ],
)
def test_how_much_of_it_takes_huge_pages(
    backings: list[Backing], pages: dict[int, int], size: tuple[bool, t.Optional[int]]
) -> None:
    folders = {"/big": 1 << 20, "/small": 2048, "/plain": None}
    assert pages_needed(backings, folders, 16384) == pages
    assert huge_pages(backings, folders) == size


def test_a_host_without_huge_pages_has_no_size_of_its_own() -> None:
    assert pages_needed([Backing(GIB)], {}, None) == {}
