# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Sends blocks over several connections at once, and has what was written proven behind the writes."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import queue
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._disk import fine, wire
from ansible_collections.virtops.kvm.plugins.module_utils._disk.channel import Channel
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK, Reader, Stop, Stopped, digest_of
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote

#: Blocks of which the differences are asked for at once.
_GROUP = 8
#: Blocks that the other end proves at once: few, so that they are still near its processor.
_PROOF_BATCH = 8

Blocks = t.Mapping[int, bytes]


class Budget:
    """A limit in bytes per second, shared by all threads; 0 is none."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock.monotonic()

    def wait_for(self, count: int) -> float:
        """Seconds to wait before ``count`` bytes may go."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            now = self._clock.monotonic()
            start = max(now, self._free_at)
            self._free_at = start + count / self._rate
            return start - now


@dataclasses.dataclass
class Counters:
    """Bytes, by what happened to them."""

    sent: int = 0
    zeroed: int = 0
    done: int = 0


@dataclasses.dataclass(frozen=True)
class Work:
    """What is to be done. ``there`` is what the destination holds: None for an image that is new, so all holes. ``wanted`` are
    the source's digests where they are known; without them they are found while sending."""

    numbers: t.Iterable[int]
    there: t.Optional[Blocks] = None
    wanted: t.Optional[Blocks] = None
    whole: bool = False


class Transfer:
    """One pass over blocks that are to become equal on the other side."""

    def __init__(
        self,
        reader: Reader,
        remote: Remote,
        *,
        far_reader: int,
        budget: Budget,
        clock: Clock,
        stop: Stop,
        prove: bool,
    ) -> None:
        self.counters = Counters()
        self.found: dict[int, bytes] = {}
        self.proven: dict[int, bytes] = {}
        self.patched: set[int] = set()
        self._reader = reader
        self._remote = remote
        self.far_reader = far_reader
        self._budget = budget
        self._clock = clock
        self._stop = stop
        self.prove = prove
        self._salt = os.urandom(8)
        self._lock = threading.Lock()
        self._written: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._ended = False

    def run(self, channels: t.Sequence[Channel], work: Work, tell: t.Callable[[], None]) -> None:
        """Do it. Raises WriteFailed, Stopped, OSError and KvmError."""
        numbers = iter(work.numbers)
        with concurrent.futures.ThreadPoolExecutor(len(channels)) as pool:
            members = [pool.submit(self._member, channel, work, numbers) for channel in channels]
            try:
                self._follow(len(members), tell)
            finally:
                self._ended = True
        for member in members:
            member.result()

    # ---- the main thread: what is written is proven ----

    def _follow(self, busy: int, tell: t.Callable[[], None]) -> None:
        batch: list[int] = []
        answers: list[concurrent.futures.Future[t.Any]] = []
        while busy:
            number = self._next_written()
            if number is None:
                busy -= 1
            elif number >= 0:
                batch.append(number)
            if self.prove and (len(batch) >= _PROOF_BATCH or not busy):
                answers += self._ask_proof(batch)
                batch = []
            while answers and answers[0].done():
                self.proven.update(wire.unpack_digests(answers.pop(0).result()))
            tell()
        for answer in answers:
            self.proven.update(wire.unpack_digests(self._wait(answer)))
            tell()

    def _next_written(self) -> int | None:
        """The number of a block that is written, -1 where there is none at present, None when a member ended."""
        try:
            return self._written.get(timeout=0.25)
        except queue.Empty:
            return -1

    def _ask_proof(self, batch: list[int]) -> list[concurrent.futures.Future[t.Any]]:
        if not batch:
            return []
        for number in batch:
            self.proven[number] = b""
        return [self._remote.send("digests", reader=self.far_reader, ranges=ranges_of(batch))]

    def _wait(self, answer: concurrent.futures.Future[t.Any]) -> t.Any:
        return wait_for(answer, self._stop)

    # ---- the members: read, digest, send ----

    def _member(self, channel: Channel, work: Work, numbers: t.Iterator[int]) -> None:
        buffers: list[bytearray] = []
        finished = False
        try:
            while not self._ended:
                group = self._take(numbers, 1 if work.there is None or work.whole else _GROUP)
                if not group:
                    break
                self._send_group(channel, work, group, buffers)
                while channel.busy:
                    self._pump(channel)
            while not channel.idle:
                self._pump(channel)
            finished = True
        finally:
            self._ended = self._ended or not finished
            self._written.put(None)

    def _take(self, numbers: t.Iterator[int], count: int) -> list[int]:
        with self._lock:
            return [number for unused_place, number in zip(range(count), numbers)]

    def _pump(self, channel: Channel) -> None:
        channel.pump()
        if self._stop():
            raise Stopped
        if self._remote.lost is not None:
            raise self._remote.lost

    def _send_group(self, channel: Channel, work: Work, group: list[int], buffers: list[bytearray]) -> None:
        asked: dict[str, str] = {}
        held: list[tuple[int, bytearray]] = []
        for number in group:
            data = self._read(number, buffers)
            own = digest_of(data, self._remote.hashed)
            if work.wanted is not None and work.wanted.get(number, b"") != own:
                # Somebody writes to the source. Whoever wants it unchanged looks at its stamps.
                self.found[number] = own
            elif work.wanted is None and own:
                self.found[number] = own
            there = b"" if work.there is None else work.there.get(number, b"")
            if own == there and not work.whole:
                self._done(number, data, buffers, 0)
            elif work.whole or not own or not there:
                self._send_runs(channel, number, data, buffers, self._plan(data, own, bool(there) or work.whole))
            else:
                asked[str(number)] = wire.encode(fine.part_hints(data, self._salt, BLOCK))
                held.append((number, data))
        if held:
            self._send_changes(channel, asked, held, buffers)

    def _send_changes(
        self, channel: Channel, asked: dict[str, str], held: list[tuple[int, bytearray]], buffers: list[bytearray]
    ) -> None:
        question = self._remote.send("answers", reader=self.far_reader, salt=wire.encode(self._salt), asked=asked)
        while not question.done():
            self._pump(channel) if not channel.idle else self._clock.sleep(0.001)
            if self._stop():
                raise Stopped
        answers = question.result()
        for number, data in held:
            runs = fine.changed_runs(data, self._salt, BLOCK, wire.decode(answers[str(number)]))
            self.patched.add(number)
            pieces = [(offset + start, length, True) for offset, length in runs for start, length in ((0, length),)]
            self._send_runs(channel, number, data, buffers, self._split(data, pieces))

    def _split(self, data: bytearray, runs: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
        """The runs, divided into those that hold something and those that are zeros."""
        pieces: list[tuple[int, int, bool]] = []
        for start, length, _unused_data in runs:
            position = start
            for offset, count in fine.data_runs(data[start : start + length]):
                if start + offset > position:
                    pieces.append((position, start + offset - position, False))
                pieces.append((start + offset, count, True))
                position = start + offset + count
            if position < start + length:
                pieces.append((position, start + length - position, False))
        return pieces

    def _plan(self, data: bytearray, own: bytes, zeros_too: bool) -> list[tuple[int, int, bool]]:
        """(offset, length, whether it holds something) of what is to be sent of a block."""
        if not own:
            return [(0, len(data), False)] if zeros_too else []
        if zeros_too:
            return self._split(data, [(0, len(data), True)])
        return [(offset, length, True) for offset, length in fine.data_runs(data)]

    def _read(self, number: int, buffers: list[bytearray]) -> bytearray:
        length = min(BLOCK, self._reader.size - number * BLOCK)
        data = buffers.pop() if buffers and length == BLOCK else bytearray(length)
        with memoryview(data) as view:
            self._reader.read_into(view, number * BLOCK)
        return data

    def _send_runs(
        self,
        channel: Channel,
        number: int,
        data: bytearray,
        buffers: list[bytearray],
        pieces: list[tuple[int, int, bool]],
    ) -> None:
        sent = sum(length for unused_offset, length, holds in pieces if holds)
        zeroed = sum(length for unused_offset, length, holds in pieces if not holds)
        self._slow_down(channel, sent)
        left = [len(pieces)]

        def one_done() -> None:
            left[0] -= 1
            if left[0] == 0:
                self._done(number, data, buffers, len(data))
                self._written.put(number)

        with self._lock:
            self.counters.sent += sent
            self.counters.zeroed += zeroed
        if not pieces:
            self._done(number, data, buffers, 0)
            return
        view = memoryview(data)
        for offset, length, holds in pieces:
            if holds:
                whole = length == len(data)
                channel.write(data if whole else view[offset : offset + length], number * BLOCK + offset, one_done)
            else:
                channel.zero(number * BLOCK + offset, length, one_done)

    def _slow_down(self, channel: Channel, count: int) -> None:
        wait = self._budget.wait_for(count)
        end = self._clock.monotonic() + wait
        while wait > 0 and self._clock.monotonic() < end:
            if not channel.idle:
                channel.pump(10)
            else:
                self._clock.sleep(min(0.05, max(0.0, end - self._clock.monotonic())))
            if self._stop():
                raise Stopped

    def _done(self, number: int, data: bytearray, buffers: list[bytearray], unused_count: int) -> None:
        with self._lock:
            self.counters.done += len(data)
        if len(data) == BLOCK:
            buffers.append(data)


def ranges_of(numbers: t.Iterable[int]) -> list[list[int]]:
    """[first, count] of all neighbours in ``numbers``."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and sum(ranges[-1]) == number:
            ranges[-1][1] += 1
        else:
            ranges.append([number, 1])
    return ranges


def wait_for(answer: concurrent.futures.Future[t.Any], stop: Stop) -> t.Any:
    """The answer, as long as nobody asks to stop. Raises Stopped, and what the other end raised."""
    while True:
        try:
            return answer.result(0.25)
        except concurrent.futures.TimeoutError:
            if answer.done():
                raise
            if stop():
                raise Stopped from None
