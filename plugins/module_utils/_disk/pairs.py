# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Devices and their images, as the user names them; what dumping and restoring check alike before they begin."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import Place, check_path, look_at_device
from ansible_collections.virtops.kvm.plugins.module_utils._disk.inuse import check_free, related
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sidecar import SUFFIX

OPTION = "disks"
Stop = t.Callable[[], bool]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A device and an image, as the user wrote them."""

    device: str
    image: str

    @property
    def file(self) -> str:
        """The image without links."""
        return os.path.realpath(self.image)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One pair, done. Sizes are bytes; ``image_size`` is what the file takes on its file system. None: not known yet."""

    device: str
    image: str
    format: str
    action: str
    size: int
    sidecar: t.Optional[str] = None
    data_bytes: t.Optional[int] = None
    image_size: t.Optional[int] = None
    digest: t.Optional[str] = None


def check_pairs(disks: t.Sequence[t.Mapping[str, str]]) -> list[Pair]:
    """The pairs that the user names. Raises InputError where they cannot be meant."""
    if not disks:
        raise InputError(OPTION, "disks names no device; give at least one pair of device and image.")
    pairs = [Pair(check_path(one["device"], OPTION), check_path(one["image"], OPTION)) for one in disks]
    for pair in pairs:
        if pair.image.startswith("/dev/"):
            raise InputError(OPTION, f"The image '{pair.image}' lies in /dev; an image is a file on a file system.")
        if pair.image.endswith(SUFFIX) or ".partial-" in os.path.basename(pair.image):
            raise InputError(OPTION, f"The name '{pair.image}' is kept for what belongs to an image; choose another.")
    check_twice([pair.device for pair in pairs], "device")
    check_twice([pair.image for pair in pairs], "image")
    return pairs


def check_bandwidth(bandwidth: int) -> int:
    """``bandwidth`` in MiB/s. Raises InputError for one below zero."""
    if bandwidth < 0:
        raise InputError("bandwidth", f"bandwidth is {bandwidth}; it is a number of MiB per second, or 0 for no limit.")
    return bandwidth


def check_twice(paths: t.Sequence[str], what: str) -> None:
    """Raises InputError where two paths are one file."""
    seen: set[str] = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            raise InputError(OPTION, f"The {what} '{path}' is named twice in disks.")
        seen.add(real)


def look_at_devices(pairs: t.Sequence[Pair], *, writing: bool, clock: Clock) -> list[Place]:
    """The devices of all pairs, none of them in use, none of them part of another. Raises KvmError."""
    places = [look_at_device(pair.device) for pair in pairs]
    for number, place in enumerate(places):
        for other in places[:number]:
            if place.node and other.node and place.node.numbers in related(other.node):
                raise InputError(
                    OPTION,
                    f"The devices '{other.path}' and '{place.path}' are parts of the same disk, one within the other.",
                )
        if place.size == 0:
            raise KvmError(
                "DEVICE_NOT_FOUND",
                f"The device {place.path} on this host has no size: nothing is attached to it.",
                device=place.path,
            )
    for place in places:
        check_free(place, writing=writing, clock=clock)
    return places


def allocated_bytes(path: str) -> int:
    """What a file takes on its file system."""
    return os.stat(path).st_blocks * 512


def free_bytes(folder: str) -> int:
    """What may still be written to the file system of ``folder``."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def full(folder: str, needed: int | None, free: int | None) -> KvmError:
    """The error for a file system without room."""
    if needed is None:
        words = "became full while the images were written; everything that was made is removed again"
    else:
        words = f"has {format_bytes(free)} free, and the images need {format_bytes(needed)}"
    return KvmError(
        "DESTINATION_FULL",
        f"The file system of {folder} on this host {words}. Make room, or write the images elsewhere.",
        folder=folder,
        needed=needed,
        free=free,
    )


def check_stop(stop: Stop, left: str) -> None:
    """Raises KvmError COPY_STOPPED when somebody asks to end; ``left`` says what is left behind."""
    if stop():
        raise KvmError(
            "COPY_STOPPED", f"The work was stopped by a signal before it was complete: {left}. Run it again."
        )
