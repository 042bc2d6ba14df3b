# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a guest's images, straight in the host's image file system."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..host import IMAGES, Host
from ..shell import DATA, run
from .iso import seed
from .shapes import Shape, base_path, device_name, iso_path

if TYPE_CHECKING:
    from ..blocks import Blocks

FILL_AT = 16 << 20  # behind the records, see beat.c


def outside(host: Host, path: str) -> Path:
    """Where a file of the host's image pool or of the shared directory is on this machine."""
    if path.startswith(IMAGES + "/"):
        return host.images / path[len(IMAGES) + 1 :]
    return DATA / host.lab / "shared" / path.rpartition("/")[2]


def make_image(path: Path, format: str, size_mib: int, fill_mib: int) -> None:
    """A sparse image, with random data behind the records if asked."""
    if not fill_mib:
        run(["qemu-img", "create", "-q", "-f", format, str(path), f"{size_mib}M"])
        return
    raw = path if format == "raw" else path.with_name(path.name + ".fill")
    with raw.open("wb") as file:
        file.truncate(size_mib << 20)
        file.seek(FILL_AT)
        for _mib in range(min(fill_mib, size_mib - (FILL_AT >> 20))):
            file.write(os.urandom(1 << 20))
    if format != "raw":
        run(["qemu-img", "convert", "-q", "-f", "raw", "-O", format, str(raw), str(path)])
        raw.unlink()


def place_image(host: Host, path: str, format: str, size_mib: int, fill_mib: int) -> None:
    """An image at a path of the host; what is in it comes from here, since the host may be slow."""
    if not host.own_kernel:
        make_image(outside(host, path), format, size_mib, fill_mib)
    elif not fill_mib:
        host.run(["qemu-img", "create", "-q", "-f", format, path, f"{size_mib}M"])
    else:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "image"
            make_image(made, format, size_mib, fill_mib)
            host.put(made, path)


def remove_file(host: Host, path: str) -> None:
    if host.own_kernel:
        host.run(["rm", "-f", "--", path])
    else:
        outside(host, path).unlink(missing_ok=True)


SPARE_MIB = 8  # the second partition, which nobody may touch


def make_on_device(lab: Blocks, host: Host, name: str, index: int, shape: Shape) -> None:
    """Give the host a device for one disk of the guest; the image is made in a file and written to its partition."""
    form = shape.disks[index].format
    size = shape.size_mib + (8 if form == "qcow2" else 0)  # room for qcow2's tables
    made = lab.block_device(host, 1 + size + SPARE_MIB, (size, SPARE_MIB), device_name(name, index))
    file = f"{IMAGES}/.{device_name(name, index)}.new"
    make_image(outside(host, file), form, shape.size_mib, shape.fill_mib if index == 0 else 0)
    host.run(["dd", f"if={file}", f"of={made.partitions[0]}", "bs=1M", "conv=sparse,fsync", "status=none"])
    outside(host, file).unlink()


def make_images(lab: Blocks, host: Host, name: str, shape: Shape, disks: list[str]) -> list[str]:
    """Make all images of a guest and return every file made, as the host sees them."""
    made = []
    for index, (path, disk) in enumerate(zip(disks, shape.disks, strict=True)):
        fill = shape.fill_mib if index == 0 else 0
        if disk.block:
            make_on_device(lab, host, name, index, shape)
        elif disk.chain:
            base = base_path(path)
            place_image(host, base, disk.format, shape.size_mib, fill)
            words = ["qemu-img", "create", "-q", "-u", "-f", disk.format, "-b", base, "-F", disk.format]
            if host.own_kernel:
                host.run([*words, path, f"{shape.size_mib}M"])
            else:
                run([*words, str(outside(host, path)), f"{shape.size_mib}M"])
            made += [base, path]
        else:
            place_image(host, path, disk.format, shape.size_mib, fill)
            made.append(path)
    if shape.iso and host.own_kernel:
        with tempfile.NamedTemporaryFile() as file:
            file.write(seed(name))
            file.flush()
            host.put(Path(file.name), iso_path(name))
    elif shape.iso:
        outside(host, iso_path(name)).write_bytes(seed(name))
    if shape.iso:
        made.append(iso_path(name))
    return made
