# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a guest's disks back: is every record there that the guest acknowledged?"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .host import Host
from .records import AREA, HEADER_AT, Verdict, verdict

if TYPE_CHECKING:
    from .guest.guest import Guest


def disk_sources(xml: str) -> list[tuple[str, str]]:
    """(path, format) of the writable virtio disks in a definition, in the guest's order."""
    found = []
    for disk in ElementTree.fromstring(xml).iterfind("./devices/disk"):
        target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
        if (
            disk.get("device", "disk") != "disk"
            or target is None
            or source is None
            or disk.find("readonly") is not None
        ):
            continue
        path = source.get("file") or source.get("dev")
        if target.get("bus") == "virtio" and path:
            found.append((target.get("dev", ""), path, "raw" if driver is None else driver.get("type", "raw")))
    return [(path, format) for _target, path, format in sorted(found)]


def quoted(value: str) -> str:
    return value.replace(",", ",,")


def read_area(host: Host, path: str, format: str) -> bytes:
    """The records' area of an image, read on the host by its own qemu-img, whatever the format or backing chain."""
    temporary = f"/tmp/lab-verify-{uuid.uuid4().hex}"
    protocol = "host_device" if path.startswith("/dev/") else "file"
    outer = f"driver=raw,offset={HEADER_AT},size={AREA},file.driver={format},file.file.driver={protocol}"
    if format == "raw":
        outer = f"driver=raw,offset={HEADER_AT},size={AREA},file.driver={protocol}"
        outer += f",file.filename={quoted(path)}"
    else:
        outer += f",file.file.filename={quoted(path)}"
    try:
        host.run(["qemu-img", "convert", "-U", "--image-opts", outer, "-O", "raw", temporary])
        return host.fetch(temporary)
    finally:
        host.run(["rm", "-f", temporary], check=False)


def verify(guest: Guest, host: Host, acknowledged: list[int] | None = None, pause: bool = True) -> Verdict:
    """Judge the guest's disks on a host.

    `acknowledged` is what a watcher heard; without it a running guest is asked now. A running guest is paused while
    its images are read, so that QEMU has written out everything, and resumed afterwards.
    """
    if acknowledged is None:
        status = guest.status()
        acknowledged = [] if status is None else [int(number) for number in status["a"]]
    sources = guest.disk_sources(host)
    if not acknowledged:
        acknowledged = [0] * len(sources)
    with guest.still(host) if pause else contextlib.nullcontext():
        areas = [read_area(host, path, format) for path, format in sources]
    return verdict(areas, acknowledged)
