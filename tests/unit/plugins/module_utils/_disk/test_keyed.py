# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The digest with a key is GMAC as it is published, from any thread; where OpenSSL cannot be had there is none."""

from __future__ import annotations

import concurrent.futures
import os

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._disk import digest, keyed


def made(key: bytes) -> keyed.Gmac:
    found = keyed.keyed(key)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_it_is_what_it_says(kind: type) -> None:
    """GCM's own test case 1 (no data, key and nonce of zeros), and tags that another implementation made."""
    gmac = made(bytes(16))
    assert gmac(kind(b"")).hex() == "58e2fccefa7e3061367f1d57a4e7455a"
    assert gmac(kind(b"abc")).hex() == "258281014dcf7bc2eac3be27cc039fb4"


def test_every_bit_the_length_and_the_key_count() -> None:
    gmac, data = made(os.urandom(16)), bytearray(os.urandom(5000))
    tags = {gmac(data), gmac(data[:-1]), gmac(data + b"\0"), made(os.urandom(16))(data)}
    for place in (0, 4999):
        changed = bytearray(data)
        changed[place] ^= 1
        tags.add(gmac(changed))
    assert len(tags) == 6
    assert gmac(bytearray(data)) == gmac(bytes(data)) == gmac(data)


def test_from_many_threads() -> None:
    gmac = made(b"k" * 16)
    blocks = [bytearray(os.urandom(100_000)) for _unused_number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(gmac, blocks)) == [gmac(block) for block in blocks]


def test_without_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "_hashlib", None)
    assert keyed.keyed(bytes(16)) is None


def test_zeros_and_the_name_of_the_algorithm() -> None:
    gmac = made(bytes(16))
    assert digest.digest_of(bytearray(digest.BLOCK), gmac) == b""
    assert digest.digest_of(bytearray(b"a"), gmac) == gmac(b"a")
    found = digest.BlockDigests(1, digest.BLOCK, {0: gmac(b"a")}, keyed.NAME)
    assert found.total.startswith("gmac-blocks:")
