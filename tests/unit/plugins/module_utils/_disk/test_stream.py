# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our own sender and our own receiver, over real sockets: inside TLS for whoever has the key, and never for anybody else."""

from __future__ import annotations

import collections.abc
import concurrent.futures
import errno
import os
import pathlib
import socket
import ssl

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._disk.channel import WriteFailed, connect_tcp
from ansible_collections.virtops.kvm.plugins.module_utils._disk.identity import make_identity
from ansible_collections.virtops.kvm.plugins.module_utils._disk.receive import Receiver
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sending import StreamChannel
from ansible_collections.virtops.kvm.plugins.module_utils._disk.stream import Tls, context_of

MIB = 1 << 20
Pair = tuple[StreamChannel, Receiver, pathlib.Path]


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4)
    return listener


def dial(listener: socket.socket, identity: str) -> StreamChannel:
    context = context_of(identity, server=False) if identity else None
    return StreamChannel(connect_tcp("127.0.0.1", listener.getsockname()[1]), context)


def write_now(channel: StreamChannel, data: bytes) -> None:
    channel.write(data, 0, lambda: None)
    channel.flush()


def intrude(listener: socket.socket, stranger: str) -> None:
    if stranger == "nobody":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        channel = StreamChannel(connect_tcp("127.0.0.1", listener.getsockname()[1]), context)
    else:
        channel = dial(listener, make_identity() if stranger == "other" else "")
    write_now(channel, b"data" * 100)


@pytest.fixture(params=["tls", "plain"])
def pair(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> collections.abc.Iterator[Pair]:
    identity = make_identity() if request.param == "tls" else ""
    path = tmp_path / "image"
    with listening() as listener, path.open("w+b") as image:
        image.truncate(20 * MIB)
        context = context_of(identity, server=True) if identity else None
        receiver = Receiver(image.fileno(), listener, context, is_device=False)
        channel = dial(listener, identity)
        try:
            yield channel, receiver, path
        finally:
            channel.close()
            receiver.close()


def test_blocks_arrive(pair: Pair) -> None:
    channel, receiver, path = pair
    receiver.settle()
    done: list[int] = []
    blocks = {3 * MIB: os.urandom(MIB), 10 * MIB + 4096: os.urandom(4096), 19 * MIB: bytearray(os.urandom(MIB))}
    for offset, data in blocks.items():
        channel.write(data, offset, lambda offset=offset: done.append(offset))
    channel.flush()
    assert sorted(done) == sorted(blocks)
    assert channel.idle
    found = path.read_bytes()
    for offset, data in blocks.items():
        assert found[offset : offset + len(data)] == data
    assert found.count(0) >= 17 * MIB


def test_zeros_become_a_hole(pair: Pair) -> None:
    channel, _unused_receiver, path = pair
    channel.write(os.urandom(4 * MIB), 0, lambda: None)
    channel.flush()
    before = path.stat().st_blocks
    channel.zero(MIB, 2 * MIB, lambda: None)
    channel.zero(4 * MIB - 10, 5, lambda: None)
    channel.flush()
    found = path.read_bytes()
    assert found[MIB : 3 * MIB] == bytes(2 * MIB)
    assert found[4 * MIB - 10 : 4 * MIB - 5] == bytes(5)
    assert found[: 4 * MIB].count(0) < 3 * MIB
    assert path.stat().st_blocks <= before - 2 * MIB // 512
    assert path.stat().st_size == 20 * MIB


def test_much_more_than_fits_into_sockets(pair: Pair) -> None:
    channel, _unused_receiver, path = pair
    data = os.urandom(MIB)
    for number in range(20):
        channel.write(data, number * MIB, lambda: None)
    channel.flush()
    assert path.read_bytes() == data * 20


def test_what_cannot_be_written_is_told_with_its_number(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x")
    with listening() as listener, path.open("rb") as image:
        receiver = Receiver(image.fileno(), listener, None, is_device=False)
        channel = dial(listener, "")
        with pytest.raises(WriteFailed) as caught:
            write_now(channel, b"data")
        assert caught.value.errno == errno.EBADF
        channel.close()
        receiver.close()
    assert path.read_bytes() == b"x"


def test_a_receiver_that_ends(pair: Pair) -> None:
    channel, receiver, _unused_path = pair
    write_now(channel, b"data")
    receiver.close()
    with pytest.raises(WriteFailed):
        write_now(channel, b"data")


@pytest.mark.parametrize("stranger", ["other", "plain", "nobody"])
def test_strangers_write_nothing(tmp_path: pathlib.Path, stranger: str) -> None:
    """Another key, no TLS at all, TLS without a certificate."""
    identity, path = make_identity(), tmp_path / "image"
    path.write_bytes(bytes(4096))
    with listening() as listener, path.open("r+b") as image:
        receiver = Receiver(image.fileno(), listener, context_of(identity, server=True), is_device=False)
        with pytest.raises(WriteFailed):
            intrude(listener, stranger)
        # Whoever has the key is still let in.
        good = dial(listener, identity)
        write_now(good, b"good")
        good.close()
        receiver.close()
    assert path.read_bytes() == b"good" + bytes(4092)


def test_the_connection_is_encrypted_for_the_future_too() -> None:
    """What was recorded cannot be opened with the key, should anybody find it later."""
    context = context_of(make_identity(), server=False)
    assert [suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.2"] == [
        "ECDHE-ECDSA-AES128-GCM-SHA256"
    ]


def test_every_identity_is_sound() -> None:
    """OpenSSL checks the key against its certificate, and both ends each other's signature."""
    for _unused_number in range(8):
        identity = make_identity()
        near, far = socket.socketpair()
        ends = [Tls(context_of(identity, server=server), server=server) for server in (True, False)]
        with near, far, concurrent.futures.ThreadPoolExecutor(1) as pool:
            served = pool.submit(ends[0].shake_hands, far)
            ends[1].shake_hands(near)
            served.result()
    assert make_identity() != make_identity()
