# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a copy is asked to do, how far it is, and what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import wire

FORMATS = ("raw", "qcow2")
COMPARE, COPY, PROVE = "compare", "copy", "prove"


@dataclasses.dataclass(frozen=True)
class CopyJob:
    """What is to be copied where. Without a ``destination_format`` (or with the source's) the bytes are copied as they are, so
    that internal snapshots, bitmaps and compressed clusters stay; otherwise the content that a guest sees, and so with ``content``.

    ``head`` replaces the first bytes (of a layer whose backing file has another name there). ``seed`` leaves the partial and
    proves nothing: for a source that is still written to. ``replace`` permits to overwrite another content.
    """

    source: str
    destination: str
    source_format: str = "raw"
    destination_format: str = ""
    content: bool = False
    head: t.Optional[bytes] = None
    owner: t.Optional[str] = None
    mode: t.Optional[int] = None
    device: bool = False
    replace: bool = False
    bandwidth: float = 0
    address: str = ""
    seed: bool = False
    image_options: str = ""

    @property
    def converts(self) -> bool:
        """Whether the content is copied, and not the bytes."""
        return self.content or (self.destination_format or self.source_format) != self.source_format

    @property
    def written_format(self) -> str:
        """The format in which the other end writes: raw for bytes."""
        return (self.destination_format or self.source_format) if self.converts else "raw"

    @property
    def key(self) -> str:
        """Names the partial: the same for the same copy, so that the next try finds it."""
        words = [socket.gethostname(), self.source, self.destination, self.source_format, self.written_format]
        return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:10]


@dataclasses.dataclass(frozen=True)
class Known:
    """What a seeding read on both sides and found equal: the digest of each such block by its number, b"" for zeros. It holds for
    the destination as long as nobody wrote to it, which its ``place`` (path, size, time) tells; of the source only who watches
    it can say for which blocks it still holds."""

    place: tuple[t.Any, ...]
    blocks: t.Mapping[int, bytes]

    def only(self, numbers: t.Container[int]) -> Known:
        """What is known of these blocks."""
        return Known(self.place, {number: found for number, found in self.blocks.items() if number in numbers})


def place_of(facts: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    """What changes when somebody writes to the file that a stat at the destination told of. A device has no such time."""
    return (facts["path"], facts["size"], facts["mtime_ns"]) if facts.get("kind") == "file" else ()


@dataclasses.dataclass(frozen=True)
class CopyProgress:
    """How far a copy is. Bytes; ``done`` counts what is equal on both sides, sent or not."""

    stage: str
    done: int
    total: int
    sent: int


@dataclasses.dataclass(frozen=True)
class CopyResult:
    """What a copy was. Bytes and seconds. ``data_bytes``: length of the blocks (1 MiB) that are not all zeros."""

    path: str
    size: int
    data_bytes: int
    sent_bytes: int
    zeroed_bytes: int
    skipped_bytes: int
    digest: str
    proven: bool
    seconds: float
    resumed: bool
    changed: bool
    allocated: int
    transport: str
    control_bytes: int
    partial: str = ""


Tell = t.Callable[[CopyProgress], None]


def check_job(job: CopyJob) -> None:
    """Raises InputError for a job that cannot be done."""
    wire.checked_path(job.source, "source")
    wire.checked_path(job.destination, "destination")
    for name, value in (("source_format", job.source_format), ("destination_format", job.destination_format or "raw")):
        if value not in FORMATS:
            raise InputError(name, f"The format '{value}' cannot be copied; it is one of {', '.join(FORMATS)}.")
    if job.bandwidth < 0:
        raise InputError("bandwidth", "The bandwidth cannot be negative; 0 is no limit.")
