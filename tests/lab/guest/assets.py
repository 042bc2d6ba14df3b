# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel and initramfs of the lab guest, built once and kept in the cache; every host sees them in /opt/lab-guest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ..rootfs import clean_leftovers, mmdebstrap
from ..shell import CACHE, LabError, locked, run, say

HERE = Path(__file__).parent
ON_HOST = "/opt/lab-guest"
KERNEL_SUITE = "bookworm"  # one kernel for every suite of hosts, so that guests can move between suites
MODULES = (
    "virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk",
    "failover", "net_failover", "virtio_net", "evdev", "button",
)  # fmt: skip
IDE_MODULES = ("scsi_common", "scsi_mod", "sd_mod", "libata", "ata_piix")  # for few guests, since they take time


def cpio_entry(name: str, mode: int, data: bytes, inode: int, device: tuple[int, int] = (0, 0)) -> bytes:
    """One member of a cpio archive in the `newc` format, which is what the kernel unpacks."""
    path = name.encode() + b"\0"
    numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(path), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def cpio(members: Iterable[tuple[str, int, bytes]]) -> bytes:
    out = b""
    for inode, (name, mode, data) in enumerate(members, start=1):
        out += cpio_entry(name, mode, data, inode)
    out += cpio_entry("dev/console", 0o020600, b"", 9999, (5, 1))
    out += cpio_entry("TRAILER!!!", 0, b"", 0)
    return out + b"\0" * (-len(out) % 512)


def kernel_folders(modules: dict[str, bytes]) -> list[tuple[str, int, bytes]]:
    """Mount points, and the modules with the order to load them in."""
    members = [(name, 0o040755, b"") for name in ("dev", "proc", "sys", "modules")]
    members += [(f"modules/{name}", 0o100644, data) for name, data in modules.items()]
    members.append(("modules/order", 0o100644, "".join(f"{name}\n" for name in modules).encode()))
    return members


def initramfs(program: bytes, modules: dict[str, bytes]) -> bytes:
    return cpio([*kernel_folders(modules), ("init", 0o100755, program)])


def kernel_tree() -> Path:
    """Debian's cloud kernel, unpacked but not installed anywhere."""
    final = CACHE / f"kernel-{KERNEL_SUITE}-ide"
    if final.is_dir():
        return final
    clean_leftovers()
    say("fetches Debian's cloud kernel for the lab guests (once)")
    building = CACHE / f".building-kernel-{os.getpid()}"
    mmdebstrap(KERNEL_SUITE, building, ("linux-image-cloud-amd64",), "--variant=extract")
    kept = CACHE / f".building-kept-{os.getpid()}"
    kept.mkdir()
    image = next((building / "boot").glob("vmlinuz-*"))
    run(["cp", str(image), str(kept / "vmlinuz")])
    for name in (*MODULES, *IDE_MODULES):
        found = [file for file in building.rglob(f"{name.replace('_', '[_-]')}.ko*") if file.is_file()]
        if not found:
            raise LabError(f"Debian's cloud kernel has no module {name}")
        run(["cp", str(found[0]), str(kept / f"{name}.ko{found[0].suffix if found[0].suffix != '.ko' else ''}")])
        if found[0].suffix == ".xz":
            run(["xz", "-d", str(kept / f"{name}.ko.xz")])
    run(["rm", "-rf", "--one-file-system", str(building)])
    kept.rename(final)
    return final


def assets() -> Path:
    """The directory with `vmlinuz` and `initrd`; built when the guest program or the kernel changed."""
    source = HERE / "beat.c"
    digest = hashlib.sha256(source.read_bytes() + "\n".join((KERNEL_SUITE, *MODULES)).encode()).hexdigest()[:12]
    final = CACHE / f"guest-{digest}"
    if final.is_dir():
        return final
    with locked(CACHE / ".lock", "the cache of root file systems"):
        if final.is_dir():
            return final
        tree = kernel_tree()
        building = CACHE / f".building-guest-{os.getpid()}"
        building.mkdir(exist_ok=True)
        program = building / "beat"
        run(["gcc", "-O2", "-Wall", "-static", "-pthread", "-o", str(program), str(source)])
        run(["strip", str(program)], check=False)
        modules = {f"{name}.ko": (tree / f"{name}.ko").read_bytes() for name in MODULES}
        (building / "initrd").write_bytes(initramfs(program.read_bytes(), modules))
        run(["cp", str(tree / "vmlinuz"), str(building / "vmlinuz")])
        building.chmod(0o755)
        building.rename(final)
    return final


def ide_assets() -> Path:
    """Like `assets`, for guests with IDE disks: the same kernel, and drivers that are loaded first."""
    source, plain = HERE / "ide.c", assets()
    digest = hashlib.sha256(source.read_bytes() + "\n".join((plain.name, *IDE_MODULES)).encode()).hexdigest()[:12]
    final = CACHE / f"guest-ide-{digest}"
    if final.is_dir():
        return final
    with locked(CACHE / ".lock", "the cache of root file systems"):
        if final.is_dir():
            return final
        tree = kernel_tree()
        building = CACHE / f".building-guest-ide-{os.getpid()}"
        building.mkdir(exist_ok=True)
        program = building / "ide"
        run(["gcc", "-O2", "-Wall", "-static", "-o", str(program), str(source)])
        run(["strip", str(program)], check=False)
        modules, drivers = (
            {f"{name}.ko": (tree / f"{name}.ko").read_bytes() for name in names} for names in (MODULES, IDE_MODULES)
        )
        members = kernel_folders(modules)
        members += [("ide", 0o040755, b""), *((f"ide/{name}", 0o100644, data) for name, data in drivers.items())]
        members.append(("ide/order", 0o100644, "".join(f"{name}\n" for name in drivers).encode()))
        members += [("beat", 0o100755, (plain / "beat").read_bytes()), ("init", 0o100755, program.read_bytes())]
        (building / "initrd").write_bytes(cpio(members))
        # The kernel of the tree, since its drivers fit no other one.
        run(["cp", str(tree / "vmlinuz"), str(building / "vmlinuz")])
        building.chmod(0o755)
        building.rename(final)
    return final
