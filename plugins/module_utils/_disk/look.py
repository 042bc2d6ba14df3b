# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What is at the destination of a copy already, and whether there is room for it. Nothing is changed here."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import wire
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK, BlockDigests, Stop, digest_reader
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import (
    COMPARE,
    CopyJob,
    CopyProgress,
    Known,
    Tell,
    place_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import Source
from ansible_collections.virtops.kvm.plugins.module_utils._disk.transfer import ranges_of, wait_for

#: Blocks of which the other end tells the digests in one answer.
_RANGE = 256

Facts = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Seen:
    """The destination before a copy. ``own`` and ``there`` are the digests of both sides where they were compared; ``tail``: there is
    something behind what the source covers of a device."""

    facts: Facts
    own: t.Optional[BlockDigests] = None
    there: t.Optional[t.Mapping[int, bytes]] = None
    partial: t.Optional[Facts] = None
    free: t.Optional[int] = None
    needed: int = 0
    tail: bool = False

    @property
    def equal(self) -> bool:
        """Whether there is nothing to do."""
        return self.own is not None and self.own.digests == self.there and not self.tail


class Looker:
    """Looks at the destination of one job."""

    def __init__(self, job: CopyJob, remote: Remote, tell: Tell, stop: Stop, known: Known | None = None) -> None:
        self._job = job
        self._known = known
        self._remote = remote
        self._tell = tell
        self._stop = stop

    def look(self, source: Source) -> Seen:
        """What is there. Raises the KvmError that the copy would end with."""
        job, facts = self._job, self._remote.call("stat", path=self._job.destination)
        if job.device and facts.get("kind") != "block":
            raise self._no_device()
        if not facts["exists"]:
            return self._look_at_room(source, facts)
        if facts["kind"] == "block":
            self._check_device(source, facts)
        elif facts["kind"] != "file":
            raise KvmError(
                "DESTINATION_EXISTS",
                f"'{job.destination}' on {self._remote.label} is neither a file nor a block device; choose another path.",
                path=job.destination,
            )
        raw = job.written_format == "raw"
        comparable = facts["size"] == source.reader.size if facts["kind"] == "file" else True
        own, there = self._compared(source, facts) if comparable or not raw else (None, None)
        tail = facts["kind"] == "block" and own is not None and self._tail(source, facts)
        seen = Seen(facts, own, there, needed=source.allocated, tail=tail)
        if facts["kind"] == "file" and not seen.equal and not job.replace:
            raise KvmError(
                "DESTINATION_EXISTS",
                f"'{job.destination}' exists on {self._remote.label} and holds something else than '{job.source}'; remove it, or "
                "permit to replace it.",
                path=job.destination,
            )
        return seen

    def _no_device(self) -> KvmError:
        return KvmError(
            "DEVICE_NOT_FOUND",
            f"There is no block device '{self._job.destination}' on {self._remote.label}; create it first.",
            path=self._job.destination,
        )

    def _check_device(self, source: Source, facts: Facts) -> None:
        job, label = self._job, self._remote.label
        if facts["in_use"]:
            raise KvmError(
                "DEVICE_IN_USE",
                f"The device '{job.destination}' on {label} is in use ({facts['in_use']}); unmount it, or shut off the guest.",
                path=job.destination,
            )
        if job.written_format == "raw" and facts["size"] < source.reader.size:
            raise KvmError(
                "DESTINATION_TOO_SMALL",
                f"The device '{job.destination}' on {label} has {facts['size']} bytes, the source {source.reader.size}; use a "
                "larger one.",
                path=job.destination,
                size=facts["size"],
                needed=source.reader.size,
            )
        if job.written_format != "raw":
            raise KvmError(
                "DEVICE_NEEDS_RAW",
                f"'{job.destination}' on {label} is a block device, and is written as raw only; give the destination format raw.",
                path=job.destination,
            )

    def _tail(self, source: Source, facts: Facts) -> bool:
        answer = self._remote.send("tail", path=facts["path"], begin=source.reader.size)
        return bool(wait_for(answer, self._stop)["filled"])

    def _compared(self, source: Source, facts: Facts) -> tuple[BlockDigests | None, t.Mapping[int, bytes] | None]:
        try:
            return self.compare(source, facts)
        except KvmError as exc:
            # Something else in place of an image cannot be read as one.
            if exc.error_code != "IMAGE_INVALID":
                raise
            return None, None

    def compare(self, source: Source, facts: Facts) -> tuple[BlockDigests | None, t.Mapping[int, bytes] | None]:
        """The digests of both sides, each read by its own host at the same time; none where the sizes differ. Blocks that are known
        to be equal are not read again, if ``facts`` show that nobody wrote to the destination since."""
        size, path = source.reader.size, facts["path"]
        known: t.Mapping[int, bytes] = {}
        if self._known is not None and self._known.place and self._known.place == place_of(facts):
            # Where the length changed, the last block has another one, too.
            whole = size if size == facts["size"] else min(size, facts["size"]) // BLOCK * BLOCK
            known = {number: found for number, found in self._known.blocks.items() if number * BLOCK < whole}
        raw = self._job.written_format == "raw"
        # A device may be larger than the source: what the source covers is compared.
        options = {"size": size} if raw else {}
        read = self._remote.call("read", path=path, image_format=self._job.written_format, **options)
        try:
            if not raw and read["size"] != size:
                return None, None
            total = -(-size // BLOCK)
            answers = ask_digests(self._remote, read["reader"], total, known)
            own = digest_reader(
                source.reader,
                stop=self._stop,
                tell=lambda done: self._tell(CopyProgress(COMPARE, min(done, size), size, 0)),
                known=known,
                hashed=self._remote.hashed,
                algorithm=self._remote.algorithm,
            )
            there = {number: found for number, found in known.items() if found}
            for answer in answers:
                there.update(wire.unpack_digests(wait_for(answer, self._stop)))
        finally:
            end_read(self._remote, read["reader"])
        return own, there

    def _look_at_room(self, source: Source, facts: Facts) -> Seen:
        job, label = self._job, self._remote.label
        if job.destination.startswith("/dev/"):
            raise self._no_device()
        folder = os.path.dirname(job.destination)
        if not self._remote.call("stat", path=folder)["exists"]:
            raise KvmError(
                "FOLDER_MISSING", f"The folder '{folder}' does not exist on {label}; create it first.", path=folder
            )
        partial = self._remote.call("stat", path=f"{job.destination}.partial-{job.key}")
        free = self._remote.call("space", path=job.destination)["free"]
        usable = free + (partial["allocated"] if partial["exists"] else 0)
        if source.allocated > usable:
            raise KvmError(
                "DESTINATION_FULL",
                f"'{job.source}' needs {source.allocated} bytes, and there are {usable} free for '{job.destination}' on {label}; "
                "make room there, or choose another place.",
                path=job.destination,
                needed=source.allocated,
                free=usable,
            )
        return Seen(facts, partial=partial if partial["exists"] else None, free=free, needed=source.allocated)


def ask_digests(
    remote: Remote, reader: int, count: int, known: t.Collection[int] = ()
) -> list[concurrent.futures.Future[t.Any]]:
    """Questions for the digests of all ``count`` blocks of what the other end reads, but for those that are ``known``."""
    numbers = [number for number in range(count) if number not in known]
    return [
        remote.send("digests", reader=reader, ranges=ranges_of(numbers[first : first + _RANGE]))
        for first in range(0, len(numbers), _RANGE)
    ]


def end_read(remote: Remote, reader: int) -> None:
    """Let the other end close it, where it is still there."""
    if remote.lost is None:
        with contextlib.suppress(KvmError):
            remote.call("end_read", reader=reader)
