# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What an image or device holds, as digests of its blocks. Holes are not read, and equal zeros.

Needs the standard library only, because the receiving end of a copy runs it too.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import errno
import hashlib
import os
import queue
import threading
import typing as t

BLOCK = 1 << 20
_ZEROS = bytes(BLOCK)
_ALGORITHM = "sha256"
#: More threads than this only queue up at the disk.
_MOST_THREADS = 4

Stop = t.Callable[[], bool]
Tell = t.Callable[[int], None]
#: Makes the digest of one block.
Hash = t.Callable[[t.Any], bytes]


class Stopped(Exception):
    """The caller's ``stop`` said so."""


class Reader(t.Protocol):
    """Content that can be read at any place, from several threads at once."""

    @property
    def size(self) -> int:
        """Bytes."""

    def extents(self, start: int = 0, end: int | None = None) -> t.Iterator[tuple[int, int]]:
        """(offset, length) of what may hold something else than zeros, in rising order; only between ``start`` and ``end``."""

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill ``view`` from ``offset`` on; what lies behind the end is zeros."""


class FileReader:
    """The bytes of a file or block device."""

    def __init__(self, descriptor: int, size: int | None = None) -> None:
        self.descriptor = descriptor
        self._size = size_of(descriptor) if size is None else size

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def extents(self, start: int = 0, end: int | None = None) -> t.Iterator[tuple[int, int]]:
        """What is no hole."""
        return data_extents(self.descriptor, self._size if end is None else min(end, self._size), start)

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill ``view``; a file that became shorter gives zeros."""
        done = 0
        while done < len(view):
            count = os.preadv(self.descriptor, [view[done:]], offset + done)
            if count == 0:
                view[done:] = bytes(len(view) - done)
                return
            done += count


@dataclasses.dataclass(frozen=True)
class BlockDigests:
    """``digests`` has one entry per block that holds something: its number -> its digest. All others are zeros."""

    size: int
    block: int
    digests: t.Mapping[int, bytes]
    algorithm: str = _ALGORITHM

    @property
    def count(self) -> int:
        """How many blocks there are, zeros included."""
        return -(-self.size // self.block)

    @property
    def data_bytes(self) -> int:
        """The length of all blocks that hold something."""
        return sum(min(self.block, self.size - number * self.block) for number in self.digests)

    @property
    def total(self) -> str:
        """One digest of the whole content. Neither holes nor the format of an image have a say in it."""
        whole = hashlib.new(_ALGORITHM, f"virtops-kvm {self.algorithm} {self.block} {self.size}\n".encode())
        for number in sorted(self.digests):
            whole.update(number.to_bytes(8, "big") + self.digests[number])
        return f"{self.algorithm}-blocks:{whole.hexdigest()}"

    def differing(self, other: BlockDigests) -> list[int]:
        """The numbers of the blocks that are not equal in both."""
        numbers = self.digests.keys() | other.digests.keys()
        return sorted(number for number in numbers if self.digests.get(number) != other.digests.get(number))


def size_of(descriptor: int) -> int:
    """The length of a file or block device."""
    return os.lseek(descriptor, 0, os.SEEK_END)


def data_extents(descriptor: int, size: int, start: int = 0) -> t.Iterator[tuple[int, int]]:
    """(offset, length) of all from ``start`` to ``size`` that is no hole; everything where the file system does not tell."""
    position = start
    while position < size:
        try:
            found = os.lseek(descriptor, position, os.SEEK_DATA)
            end = os.lseek(descriptor, found, os.SEEK_HOLE)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                return
            if exc.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            found, end = position, size
        if found >= size:
            return
        yield found, min(end, size) - found
        position = end


def block_numbers(extents: t.Iterable[tuple[int, int]], block: int = BLOCK) -> t.Iterator[int]:
    """The numbers of the blocks that ``extents`` touch, rising, each once."""
    following = 0
    for offset, length in extents:
        first = max(following, offset // block)
        following = max(following, -(-(offset + length) // block))
        yield from range(first, following)


def sha256(data: bytes | bytearray) -> bytes:
    """The digest that anybody may compute at any time."""
    return hashlib.new(_ALGORITHM, data).digest()


def digest_of(data: bytes | bytearray, hashed: Hash = sha256) -> bytes:
    """The digest of one block; b"" for zeros."""
    if data == (_ZEROS if len(data) == BLOCK else bytes(len(data))):
        return b""
    return hashed(data)


def threads_for(count: int | None = None) -> int:
    """How many threads read and digest at once."""
    return max(1, min(_MOST_THREADS, count or os.cpu_count() or 1))


def iter_digests(
    reader: Reader,
    numbers: t.Iterable[int],
    block: int = BLOCK,
    *,
    threads: int | None = None,
    stop: Stop | None = None,
    hashed: Hash = sha256,
) -> t.Iterator[tuple[int, bytes]]:
    """(number, digest) of the blocks ``numbers``, in no order; b"" for zeros. Raises Stopped."""
    team = _Team(reader, iter(numbers), block, stop, hashed)
    busy = threads_for(threads)
    with concurrent.futures.ThreadPoolExecutor(busy) as pool:
        members = [pool.submit(team.work) for unused_number in range(busy)]
        try:
            while busy:
                found = team.results.get()
                if found is None:
                    busy -= 1
                else:
                    yield found
        finally:
            team.ended = True
            while busy:
                # Whoever waits for room in the queue gets it.
                busy -= team.results.get() is None
    for member in members:
        member.result()


class _Team:
    """Threads that share one list of blocks."""

    def __init__(self, reader: Reader, numbers: t.Iterator[int], block: int, stop: Stop | None, hashed: Hash) -> None:
        self.results: queue.Queue[tuple[int, bytes] | None] = queue.Queue(maxsize=256)
        self.ended = False
        self._reader = reader
        self._numbers = numbers
        self._block = block
        self._stop = stop
        self._hashed = hashed
        self._lock = threading.Lock()

    def work(self) -> None:
        """Digest one block after another until there is none left."""
        buffer = bytearray(self._block)
        finished = False
        try:
            while not self.ended:
                number = self._next()
                if number is None:
                    break
                self.results.put((number, self._digest(number, buffer)))
            finished = True
        finally:
            self.ended = self.ended or not finished
            self.results.put(None)

    def _next(self) -> int | None:
        with self._lock:
            if self._stop is not None and self._stop():
                raise Stopped
            return next(self._numbers, None)

    def _digest(self, number: int, buffer: bytearray) -> bytes:
        length = min(self._block, self._reader.size - number * self._block)
        with memoryview(buffer) as view:
            self._reader.read_into(view[:length], number * self._block)
        return digest_of(buffer if length == self._block else buffer[:length], self._hashed)


def digest_reader(
    reader: Reader,
    block: int = BLOCK,
    *,
    threads: int | None = None,
    stop: Stop | None = None,
    tell: Tell | None = None,
    known: t.Mapping[int, bytes] | None = None,
    hashed: Hash = sha256,
    algorithm: str = _ALGORITHM,
) -> BlockDigests:
    """The digests of all that ``reader`` holds; blocks that are ``known`` are not read. ``tell`` hears now and then how many bytes
    have been digested."""
    known = known or {}
    digests = {number: digest for number, digest in known.items() if digest}
    done = 0
    numbers = (number for number in block_numbers(reader.extents(), block) if number not in known)
    for number, digest in iter_digests(reader, numbers, block, threads=threads, stop=stop, hashed=hashed):
        if digest:
            digests[number] = digest
        done += block
        if tell is not None:
            tell(done)
    return BlockDigests(reader.size, block, digests, algorithm)


def digest_file(
    path_or_descriptor: str | int,
    size: int | None = None,
    block: int = BLOCK,
    stop: Stop | None = None,
    tell: Tell | None = None,
) -> BlockDigests:
    """The digests of a file or block device; with ``size`` only of its first bytes. Raises OSError and Stopped."""
    if isinstance(path_or_descriptor, int):
        return digest_reader(FileReader(path_or_descriptor, size), block, stop=stop, tell=tell)
    descriptor = os.open(path_or_descriptor, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return digest_reader(FileReader(descriptor, size), block, stop=stop, tell=tell)
    finally:
        os.close(descriptor)
