# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What an image holds, block by block, whatever its format: raw, qcow2, or raw inside zstd.

A *content* gives its blocks in rising order and leaves out what is known to be zeros; a *sink* takes them so.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import errno
import os
import subprocess
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.command import Process, find
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import MIB
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import write_all
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import (
    BLOCK,
    BlockDigests,
    FileReader,
    Reader,
    block_numbers,
    digest_of,
    digest_reader,
    threads_for,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.fine import data_runs
from ansible_collections.virtops.kvm.plugins.module_utils._disk.nbdwrite import NbdWriter, make_qcow2
from ansible_collections.virtops.kvm.plugins.module_utils._disk.qemunbd import opened

RAW, QCOW2, ZSTD = "raw", "qcow2", "zstd"
FORMATS = (RAW, QCOW2, ZSTD)
_PROGRAMS: dict[str, tuple[str, ...]] = {RAW: (), QCOW2: ("qemu-img", "qemu-nbd"), ZSTD: ("zstd",)}
_MAGIC = {QCOW2: b"QFI\xfb", ZSTD: b"\x28\xb5\x2f\xfd"}
#: So many blocks are read ahead of the one that is written.
_AHEAD = 8

Blocks = t.Iterator[tuple[int, bytes]]


class Sink(t.Protocol):
    """Where content goes; what is never written is zeros."""

    def write(self, offset: int, data: bytes) -> None:
        """Take one block; offsets rise."""

    def finish(self) -> None:
        """All content was written: complete the image."""

    def close(self) -> None:
        """Let go of it, complete or not."""


def check_programs(form: str) -> None:
    """Raises KvmError PROGRAM_MISSING where this host cannot read or write the format."""
    for program in _PROGRAMS[form]:
        find(program)


def looks_like(head: bytes) -> str:
    """The format whose mark ``head``, the first bytes of a file, bears; raw where it bears none."""
    return next((form for form, magic in _MAGIC.items() if head.startswith(magic)), RAW)


def read_head(path: str, length: int = 4096) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb") as stream:
        return stream.read(length)


def read_at(descriptor: int, offset: int, length: int) -> bytes:
    """``length`` bytes of a file or device; zeros behind its end."""
    data = bytearray(length)
    with memoryview(data) as view:
        FileReader(descriptor, offset + length).read_into(view, offset)
    return bytes(data)


def reader_blocks(reader: Reader) -> Blocks:
    """The blocks that ``reader`` does not know to be zeros."""
    for number in block_numbers(reader.extents()):
        data = bytearray(min(BLOCK, reader.size - number * BLOCK))
        with memoryview(data) as view:
            reader.read_into(view, number * BLOCK)
        yield number, bytes(data)


class Content:
    """The content of an open image, for one reading. ``size`` is None until a compressed one was read to its end."""

    def __init__(self, source: Reader | None, stream: t.IO[bytes] | None, ended: t.Callable[[], None]) -> None:
        self._source = source
        self._stream = stream
        self._ended = ended
        self._size = source.size if source is not None else None

    @property
    def size(self) -> int | None:
        """Bytes."""
        return self._size

    def blocks(self) -> Blocks:
        """All blocks that may hold something else than zeros."""
        if self._source is not None:
            yield from reader_blocks(self._source)
            return
        length = 0
        number = 0
        while data := t.cast("t.IO[bytes]", self._stream).read(BLOCK):
            length += len(data)
            yield number, data
            number += 1
        self._ended()
        self._size = length

    def digests(self) -> BlockDigests:
        """The digests of all blocks."""
        if self._source is not None:
            return digest_reader(self._source)
        digests = {number: digest for number, unused_data, digest in with_digests(self.blocks()) if digest}
        return BlockDigests(self._size or 0, BLOCK, digests)


@contextlib.contextmanager
def open_content(path: str, form: str) -> t.Iterator[Content]:
    """The content of the image ``path``. Raises KvmError IMAGE_INVALID, here or while it is read."""
    if form != ZSTD:
        with opened(path, form) as reader:
            yield Content(reader, None, lambda: None)
        return
    with Process(["zstd", "-d", "-q", "-c", "--", path], stdout=subprocess.PIPE) as zstd:

        def ended() -> None:
            if zstd.wait() != 0:
                raise KvmError(
                    "IMAGE_INVALID",
                    f"The image {path} on this host cannot be read: {_last(zstd.last_words())}.",
                    path=path,
                )

        yield Content(None, zstd.stdout, ended)


def _last(words: str) -> str:
    return words.strip().splitlines()[-1].strip().rstrip(".") if words.strip() else "zstd does not say why"


def digest_image(path: str, form: str) -> BlockDigests:
    """The digests of what an image holds."""
    with open_content(path, form) as content:
        return content.digests()


def with_digests(blocks: Blocks) -> t.Iterator[tuple[int, bytes, bytes]]:
    """(number, data, digest), in the same order; the digests are made in other threads meanwhile. b"" for zeros."""
    waiting: collections.deque[tuple[int, bytes, concurrent.futures.Future[bytes]]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads_for()) as pool:
        for number, data in blocks:
            waiting.append((number, data, pool.submit(digest_of, data)))
            if len(waiting) > _AHEAD:
                first, first_data, digest = waiting.popleft()
                yield first, first_data, digest.result()
        for last, last_data, digest in waiting:
            yield last, last_data, digest.result()


class RawSink:
    """A sparse file."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        os.ftruncate(descriptor, size)

    def write(self, offset: int, data: bytes) -> None:
        """Write what is not zeros."""
        for begin, length in data_runs(data):
            write_all(self._descriptor, data[begin : begin + length], offset + begin)

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """The descriptor is the caller's."""


class Qcow2Sink:
    """A qcow2 image."""

    def __init__(self, path: str, size: int) -> None:
        make_qcow2(path, size)
        self._writer = NbdWriter(path)

    def write(self, offset: int, data: bytes) -> None:
        """Write what is not zeros."""
        for begin, length in data_runs(data):
            self._writer.write(offset + begin, data[begin : begin + length])

    def finish(self) -> None:
        """Bring it to the disk, and complete its tables."""
        self._writer.finish()

    def close(self) -> None:
        """End the server."""
        self._writer.close()


class ZstdSink:
    """The whole content, zeros too, in one zstd stream: ``zstd -dc IMAGE`` gives what dd would have."""

    def __init__(self, descriptor: int, size: int, level: int) -> None:
        self._size = size
        self._position = 0
        words = ["zstd", "-q", "-c", f"-{level}", "-T0", f"--stream-size={size}"]
        self._zstd = Process(words, stdin=subprocess.PIPE, stdout=descriptor)

    def write(self, offset: int, data: bytes) -> None:
        """Write zeros up to ``offset``, and ``data``."""
        self._zeros(offset)
        self._feed(data)

    def _zeros(self, end: int) -> None:
        zeros = bytes(min(BLOCK, max(0, end - self._position)))
        while self._position < end:
            self._feed(zeros[: end - self._position])

    def _feed(self, data: bytes) -> None:
        try:
            self._zstd.stdin.write(data)
        except BrokenPipeError as exc:
            raise self._failure() from exc
        self._position += len(data)

    def finish(self) -> None:
        """Write zeros to the end, and let zstd end."""
        self._zeros(self._size)
        try:
            self._zstd.stdin.close()
        except BrokenPipeError as exc:
            raise self._failure() from exc
        if self._zstd.wait() != 0:
            raise self._failure()

    def _failure(self) -> OSError:
        self._zstd.wait()
        words = self._zstd.last_words()
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in words:
                return OSError(number, os.strerror(number))
        return OSError(errno.EIO, f"zstd failed: {_last(words)}")

    def close(self) -> None:
        """End zstd."""
        self._zstd.close()


def open_sink(path: str, descriptor: int, form: str, size: int, level: int) -> Sink:
    """A sink for a content of ``size`` bytes in the empty file ``path``, which is open as ``descriptor``."""
    if form == QCOW2:
        return Qcow2Sink(path, size)
    if form == ZSTD:
        return ZstdSink(descriptor, size, level)
    return RawSink(descriptor, size)


class Pace:
    """Holds work to a rate: ``bandwidth`` MiB per second, 0 for as fast as it goes."""

    def __init__(self, bandwidth: int, clock: Clock) -> None:
        self._rate = bandwidth * MIB
        self._clock = clock
        self._begin = clock.monotonic()
        self._done = 0

    def spent(self, count: int) -> None:
        """``count`` bytes were moved: wait until more may be."""
        self._done += count
        if self._rate:
            ahead = self._begin + self._done / self._rate - self._clock.monotonic()
            if ahead > 0:
                self._clock.sleep(ahead)
