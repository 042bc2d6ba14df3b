# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One image or device becomes equal on another host: what differs is sent, everything is proven, then it gets its name."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import failure, wire
from ansible_collections.virtops.kvm.plugins.module_utils._disk.agentimage import name_of_owner
from ansible_collections.virtops.kvm.plugins.module_utils._disk.channel import WriteFailed
from ansible_collections.virtops.kvm.plugins.module_utils._disk.connect import Link, connected
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import (
    BLOCK,
    BlockDigests,
    Stop,
    Stopped,
    block_numbers,
    threads_for,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.failure import FULL
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import (
    COPY,
    PROVE,
    CopyJob,
    CopyProgress,
    CopyResult,
    Known,
    Tell,
    check_job,
    place_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.look import Looker, Seen, ask_digests, end_read
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import (
    Source,
    check_free,
    open_source,
    source_changed,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.transfer import (
    Blocks,
    Budget,
    Counters,
    Transfer,
    Work,
    ranges_of,
    wait_for,
)


def copy_disk(
    job: CopyJob,
    remote: Remote,
    *,
    tell: Tell | None = None,
    stop: Stop | None = None,
    clock: Clock | None = None,
    known: Known | None = None,
) -> CopyResult:
    """Make the destination equal to the source, and prove it. What is ``known`` of both since a seeding is not read again.

    Raises KvmError: DESTINATION_EXISTS, DESTINATION_FULL, DESTINATION_TOO_SMALL, DEVICE_IN_USE, SOURCE_CHANGED, SOURCE_MISSING,
    PROOF_FAILED, COPY_STOPPED, COPY_RUNNING, CONNECTION_LOST, IMAGE_INVALID, PROGRAM_MISSING, MISSING_LIBRARY.
    """
    check_job(job)
    return _Copy(job, remote, tell or _say_nothing, stop or _never, clock or Clock(), known).run()


def seed_disk(
    job: CopyJob,
    remote: Remote,
    *,
    tell: Tell | None = None,
    stop: Stop | None = None,
    clock: Clock | None = None,
) -> tuple[CopyResult, Known]:
    """Bring the destination near to a source that is being written, and tell of which blocks both sides were the same. Raises what
    copy_disk raises."""
    check_job(job)
    copy = _Copy(job, remote, tell or _say_nothing, stop or _never, clock or Clock())
    return copy.run(), copy.known


def foresee(job: CopyJob, remote: Remote, *, tell: Tell | None = None, stop: Stop | None = None) -> Seen:
    """What copy_disk would find at the destination. Changes nothing, and raises what copy_disk would raise before it begins."""
    check_job(job)
    if not job.seed:
        check_free(job.source)
    with _opened(job) as source:
        return Looker(job, remote, tell or _say_nothing, stop or _never).look(source)


def _say_nothing(unused_progress: CopyProgress) -> None:
    pass


def _never() -> bool:
    return False


def _opened(job: CopyJob) -> contextlib.AbstractContextManager[Source]:
    return open_source(job.source, job.source_format, content=job.converts, head=job.head)


class _Copy:
    """One run."""

    def __init__(
        self, job: CopyJob, remote: Remote, tell: Tell, stop: Stop, clock: Clock, known: Known | None = None
    ) -> None:
        self.job = job
        self.known = Known((), {})
        self.remote = remote
        self.stop = stop
        self.clock = clock
        self.begun = clock.monotonic()
        self.control = remote.sent + remote.received
        self.image: int | None = None
        self.resumed = False
        self.work = ""
        self.transport = ""
        self.counters = Counters()
        self._shown: dict[int, bytes] = {}
        self._tell = tell
        self._looker = Looker(job, remote, tell, self._stopping, known)
        self._budget = Budget(job.bandwidth * (1 << 20), clock)

    def run(self) -> CopyResult:
        try:
            if not self.job.seed:
                check_free(self.job.source)
            with _opened(self.job) as source:
                return self._copy(source)
        except Stopped as exc:
            raise KvmError(
                "COPY_STOPPED",
                f"The copy of '{self.job.source}' was stopped, as asked; run again, what was copied is not sent again.",
                path=self.job.source,
                partial=self.work,
            ) from exc
        except WriteFailed as exc:
            raise self._write_error(exc) from exc
        except KvmError as exc:
            if exc.error_code == "DESTINATION_FULL":
                self._abandon()
                self._remove_partial()
            exc.details.setdefault("partial", self.work if exc.error_code != "DESTINATION_FULL" else "")
            raise
        finally:
            self._leave()

    def _copy(self, source: Source) -> CopyResult:
        seen = self._looker.look(source)
        own, there = seen.own, seen.there
        if own is not None and seen.equal:
            self._know(own, there or {}, range(own.count), seen.facts["path"])
            return self._result(own, seen.facts["path"], changed=False, allocated=seen.facts["allocated"])
        opened = self.remote.call(
            "open",
            path=self.job.destination,
            key=self.job.key,
            size=source.reader.size,
            format=self.job.written_format,
            replace=self.job.replace,
            options=self.job.image_options,
        )
        self.image, self.work, self.resumed = opened["image"], opened["work"], opened["existing"]
        if opened["existing"] and there is None:
            own, there = self._looker.compare(source, seen.partial or self.remote.call("stat", path=self.work))
            if there is None:
                raise KvmError(
                    "IMAGE_INVALID", f"'{self.work}' has a wrong size; remove it, and run again.", path=self.work
                )
        own = self._send(source, own, there if opened["existing"] else None)
        if self.job.seed:
            self.remote.call("sync", image=self.image)
            numbers = range(own.count) if opened["existing"] else tuple(self._shown)
            self._know(own, {**(there or {}), **self._shown}, numbers, self.work)
            return self._result(own, self.work, changed=True, allocated=0)
        if opened["device"]:
            wait_for(self.remote.send("blank_tail", image=self.image), self._stopping)
        source.check_unchanged()
        done = self.remote.call("finish", image=self.image, **self._owner())
        self.image = None
        return self._result(own, done["path"], changed=True, allocated=done["allocated"])

    def _stopping(self) -> bool:
        if self.remote.lost is not None:
            raise self.remote.lost
        return self.stop()

    # ---- sending ----

    def _send(self, source: Source, own: BlockDigests | None, there: Blocks | None) -> BlockDigests:
        reader, raw = source.reader, self.job.written_format == "raw"
        if there is None:
            total = sum(length for unused_offset, length in reader.extents())
            work = Work(block_numbers(reader.extents()))
        else:
            own = own or BlockDigests(reader.size, BLOCK, {}, self.remote.algorithm)
            numbers = own.differing(BlockDigests(reader.size, BLOCK, there))
            total = len(numbers) * BLOCK
            work = Work(numbers, there, own.digests, whole=not raw)
        with connected(self.remote, t.cast(int, self.image), self.job.address, threads_for(), raw=raw) as link:
            self.transport = link.transport
            transfer = self._transfer(source, raw)
            try:
                transfer.run(link.channels, work, lambda: self._tell_copy(transfer, total))
                own = self._judge(source, transfer, work, own, link)
            finally:
                self.counters = transfer.counters
                self._end_transfer(transfer)
            if not raw:
                link.flush()
        if not raw and not self.job.seed:
            self.remote.call("stop_serving", image=self.image)
            self._prove_content(source, own)
        return own

    def _transfer(self, source: Source, prove: bool) -> Transfer:
        far_reader = -1
        if self.job.written_format == "raw":
            size = source.reader.size
            far_reader = self.remote.call("read", path=self.work, image_format="raw", size=size)["reader"]
        return Transfer(
            source.reader,
            self.remote,
            far_reader=far_reader,
            budget=self._budget,
            clock=self.clock,
            stop=self._stopping,
            prove=prove,
        )

    def _end_transfer(self, transfer: Transfer) -> None:
        if transfer.far_reader >= 0:
            end_read(self.remote, transfer.far_reader)

    def _judge(
        self, source: Source, transfer: Transfer, work: Work, own: BlockDigests | None, link: Link
    ) -> BlockDigests:
        """The source's digests, after it has been shown that the destination's are the same."""
        if work.wanted is not None and own is not None:
            if transfer.found and not self.job.seed:
                raise source_changed(self.job.source)
            own = BlockDigests(own.size, BLOCK, {**own.digests, **transfer.found}, own.algorithm)
        else:
            own = BlockDigests(source.reader.size, BLOCK, dict(transfer.found), self.remote.algorithm)
        if not transfer.prove:
            return own
        if self.job.seed:
            self._shown = dict(transfer.proven)
            return own
        proven = dict(work.there or {})
        proven.update(transfer.proven)
        if work.there is None:
            proven.update(self._prove_rest(transfer, own))
        wrong = _differing(own, proven)
        again = [number for number in wrong if number in transfer.patched]
        if again and len(again) == len(wrong):
            # Two different pieces had the same short hint. That is rare, and the whole block cures it.
            again_work = Work(again, work.there, own.digests, whole=True)
            transfer.run(link.channels, again_work, lambda: None)
            proven.update(transfer.proven)
            wrong = _differing(own, proven)
        self._check_proof(wrong)
        return own

    def _prove_rest(self, transfer: Transfer, own: BlockDigests) -> dict[int, bytes]:
        """What was not written must be holes: the destination was new."""
        rest = ranges_of(number for number in range(own.count) if number not in transfer.proven)
        self._tell(CopyProgress(PROVE, own.size, own.size, transfer.counters.sent))
        answer = self.remote.send("digests", reader=transfer.far_reader, ranges=rest)
        return wire.unpack_digests(wait_for(answer, self._stopping))

    def _prove_content(self, source: Source, own: BlockDigests) -> None:
        """The content of an image in a format: it can only be read when nobody writes any more."""
        size = source.reader.size
        read = self.remote.call("read", path=self.work, image_format=self.job.written_format, size=size)
        try:
            proven: dict[int, bytes] = {}
            for answer in ask_digests(self.remote, read["reader"], own.count):
                proven.update(wire.unpack_digests(wait_for(answer, self._stopping)))
                self._tell(CopyProgress(PROVE, len(proven) * BLOCK, own.data_bytes, self.counters.sent))
        finally:
            end_read(self.remote, read["reader"])
        self._check_proof(_differing(own, proven))

    def _check_proof(self, wrong: list[int]) -> None:
        if wrong:
            raise failure.unproven(self.work, self.remote, wrong)

    def _know(self, own: BlockDigests, there: Blocks, numbers: t.Iterable[int], path: str) -> None:
        """After a seeding: of what of the destination it is known that it is what was read here."""
        if self.job.seed and self.job.written_format == "raw":
            read = ((number, own.digests.get(number, b"")) for number in numbers)
            blocks = {number: found for number, found in read if there.get(number, b"") == found}
            self.known = Known(place_of(self.remote.call("stat", path=path)), blocks)

    def _tell_copy(self, transfer: Transfer, total: int) -> None:
        done = min(transfer.counters.done, total)
        self._tell(CopyProgress(COPY, done, total, transfer.counters.sent))

    # ---- the end ----

    def _owner(self) -> dict[str, t.Any]:
        """As asked; else as the source has it, by name."""
        status = os.stat(self.job.source)
        mode = self.job.mode if self.job.mode is not None else status.st_mode & 0o777
        return {"owner": self.job.owner or name_of_owner(status), "mode": mode}

    def _write_error(self, exc: WriteFailed) -> KvmError:
        if exc.errno in FULL:
            self._abandon()
            self._remove_partial()
            return failure.full(self.job, self.remote)
        return failure.lost(self.job, self.remote, self.image, self.work, exc, self.clock)

    def _abandon(self) -> None:
        """Remove what was begun."""
        image, self.image = self.image, None
        if image is not None:
            with contextlib.suppress(KvmError):
                self.remote.call("abandon", image=image)

    def _remove_partial(self) -> None:
        """Also what an earlier try left: it is of no use where there is no room."""
        if self.remote.lost is None:
            with contextlib.suppress(KvmError):
                self.remote.call("remove", path=f"{self.job.destination}.partial-{self.job.key}")

    def _leave(self) -> None:
        """Let go of the image; its partial stays for the next try."""
        image, self.image = self.image, None
        if image is not None and self.remote.lost is None:
            with contextlib.suppress(KvmError):
                self.remote.call("leave", image=image)

    def _result(self, own: BlockDigests, path: str, *, changed: bool, allocated: int) -> CopyResult:
        return CopyResult(
            path=path,
            size=own.size,
            data_bytes=own.data_bytes,
            sent_bytes=self.counters.sent,
            zeroed_bytes=self.counters.zeroed,
            skipped_bytes=max(0, own.data_bytes - self.counters.sent),
            digest=own.total,
            proven=not self.job.seed,
            seconds=round(self.clock.monotonic() - self.begun, 3),
            resumed=self.resumed,
            changed=changed,
            allocated=allocated,
            transport=self.transport,
            control_bytes=self.remote.sent + self.remote.received - self.control,
            partial=path if self.job.seed else "",
        )


def _differing(own: BlockDigests, proven: t.Mapping[int, bytes]) -> list[int]:
    return own.differing(BlockDigests(own.size, BLOCK, {number: found for number, found in proven.items() if found}))
