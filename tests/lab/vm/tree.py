# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a vm host boots: the hosts' root file system with a kernel beside it, as one disk image in the cache.

Packages that a role is to install (NFS) are not in it, but can be: they lie in a package archive of the host's own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ..guest.assets import ON_HOST, assets, cpio, kernel_folders
from ..rootfs import PACKAGES, clean_leftovers, finish, mmdebstrap
from ..shell import CACHE, LabError, locked, run, say

HERE = Path(__file__).parent
KERNEL_SUITE = "trixie"  # Debian's cloud kernel has nfsd, nfs and device mapper since then
MORE_PACKAGES = ("kmod", "udev", "lvm2", "e2fsprogs", "python3-apt", "attr")
STORAGE_DRIVERS = {"trixie": ("libvirt-daemon-driver-storage-logical",), "bookworm": ()}
ARCHIVE = ("nfs-kernel-server", "nfs-common", "rpcbind")  # for a role to install, without network
ARCHIVE_PATH = "opt/lab-packages"
FIRST_MODULES = ("virtio_blk", "failover", "net_failover", "virtio_net")
ROOT_MIB = 6144  # virtual; the image is sparse
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "logrotate.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "systemd-pstore.service", "getty@.service", "getty@tty1.service",
    "serial-getty@ttyS0.service", "console-getty.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "sys-kernel-config.mount", "dev-mqueue.mount", "systemd-importd.socket", "systemd-modules-load.service",
    "ldconfig.service", "systemd-networkd-wait-online.service", "systemd-journal-catalog-update.service",
    "systemd-update-done.service", "systemd-timesyncd.service", "systemd-sysusers.service", "systemd-hwdb-update.service",
    "systemd-remount-fs.service", "systemd-random-seed.service", "systemd-binfmt.service", "user@.service",
    "kmod-static-nodes.service", "modprobe@.service", "systemd-tpm2-setup.service", "systemd-tpm2-setup-early.service",
    "systemd-pcrphase.service", "systemd-journal-flush.service", "lvm2-monitor.service", "libvirt-guests.service",
    "keyboard-setup.service", "console-setup.service", "rsync.service",
)  # fmt: skip
FSTAB = """/dev/vda / ext4 noatime,errors=remount-ro 0 0
/dev/vdb /var/lib/libvirt/images ext4 noatime,discard,nofail 0 0
"""


@dataclass(frozen=True)
class Base:
    """A built image: `disk` (raw ext4, never written to again), `kernel` and `initrd`."""

    path: Path

    @property
    def disk(self) -> Path:
        return self.path / "root.raw"

    @property
    def kernel(self) -> Path:
        return self.path / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.path / "initrd"


def digest(suite: str) -> str:
    """Everything that is in the image, by name."""
    own = [(path.name, path.read_bytes()) for path in sorted((HERE / "inside").iterdir())]
    own += [(name, (HERE / name).read_bytes()) for name in ("init.c", "tree.py")]
    text = repr((suite, PACKAGES, own, assets().name))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def base_image(suite: str) -> Base:
    """The image of a suite; built if it is not in the cache."""
    final = CACHE / f"vm-{suite}-{digest(suite)}"
    if final.is_dir():
        return Base(final)
    guest = assets()
    with locked(CACHE / ".lock", "the cache of root file systems"):
        clean_leftovers()
        if final.is_dir():
            return Base(final)
        say(f"builds the disk image of the {suite} vm hosts (once, some minutes) in {final}")
        began = time.monotonic()
        root = tree(suite)
        building = CACHE / f".building-vm-{suite}-{os.getpid()}"
        building.mkdir()
        kernel = modules_and_kernel()
        shutil.copy2(kernel / "vmlinuz", building / "vmlinuz")
        (building / "initrd").write_bytes(initrd(kernel, building))
        fill_image(root, kernel, guest, building)
        building.rename(final)
        for old in CACHE.glob(f"vm-{suite}-*"):
            if old != final and not in_use(old):
                run(["rm", "-rf", "--one-file-system", str(old)])
        say(f"built it in {time.monotonic() - began:.0f} s")
    return Base(final)


def in_use(path: Path) -> bool:
    """Whether a process of this machine has a file of it open: the disks of running hosts stand on it."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(entry).startswith(f"{path}/"):
                return True
        except OSError:
            continue
    return False


def tree(suite: str) -> Path:
    """The root file system as a directory, kept: the image is made from it again when only our own part changed."""
    packages = (*PACKAGES, *MORE_PACKAGES, *STORAGE_DRIVERS[suite])
    name = hashlib.sha256(repr((suite, packages, ARCHIVE, "2")).encode()).hexdigest()[:12]
    final = CACHE / f"vmtree-{suite}-{name}"
    if final.is_dir():
        return final
    building = CACHE / f".building-vmtree-{suite}-{os.getpid()}"
    fetch = (
        f'chroot "$1" apt-get clean && chroot "$1" apt-get -y -q install --download-only --no-install-recommends {" ".join(ARCHIVE)}'
        f' && mkdir -p "$1/{ARCHIVE_PATH}" && mv "$1"/var/cache/apt/archives/*.deb "$1/{ARCHIVE_PATH}/"'
    )
    mmdebstrap(suite, building, packages, "--variant=minbase", f"--customize-hook={fetch}")
    make_archive(building)
    building.rename(final)
    for old in CACHE.glob(f"vmtree-{suite}-*"):
        if old != final:
            run(["rm", "-rf", "--one-file-system", str(old)])
    return final


def make_archive(root: Path) -> None:
    """Make the packages that were fetched a source for apt, the only one of the host."""
    entries = []
    for file in sorted((root / ARCHIVE_PATH).glob("*.deb")):
        control = run(["chroot", str(root), "dpkg-deb", "--field", f"/{ARCHIVE_PATH}/{file.name}"]).stdout
        data = file.read_bytes()
        entries.append(
            f"{control.strip()}\nFilename: ./{file.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        )
    if not entries:
        raise LabError(f"apt fetched none of {', '.join(ARCHIVE)}")
    (root / ARCHIVE_PATH / "Packages").write_text("\n".join(entries), encoding="utf-8")
    sources = root / "etc/apt/sources.list"
    sources.write_text(f"deb [trusted=yes] file:/{ARCHIVE_PATH} ./\n", encoding="utf-8")
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    run(["chroot", str(root), "apt-get", "-q", "update"])


def modules_and_kernel() -> Path:
    """Debian's cloud kernel with all its modules, which are unpacked: a host that is emulated is slow at that."""
    final = CACHE / f"vmkernel-{KERNEL_SUITE}"
    if final.is_dir():
        return final
    building = CACHE / f".building-vmkernel-{os.getpid()}"
    kept = CACHE / f".building-vmkernel-kept-{os.getpid()}"
    mmdebstrap(KERNEL_SUITE, building, ("linux-image-cloud-amd64",), "--variant=extract")
    kept.mkdir()
    shutil.copy2(next((building / "boot").glob("vmlinuz-*")), kept / "vmlinuz")
    found = next((building / "usr/lib/modules").iterdir())
    (kept / "modules").mkdir()
    shutil.copytree(found, kept / "modules" / found.name, symlinks=True)
    run(["find", str(kept / "modules"), "-name", "*.ko.xz", "-exec", "xz", "--decompress", "{}", "+"])
    run(["rm", "-rf", "--one-file-system", str(building)])
    kept.rename(final)
    return final


def initrd(kernel: Path, building: Path) -> bytes:
    program = building / "init"
    run(["gcc", "-O2", "-Wall", "-static", "-o", str(program), str(HERE / "init.c")])
    run(["strip", str(program)], check=False)
    modules = {}
    for name in FIRST_MODULES:
        pattern = re.compile(name.replace("_", "[_-]") + r"\.ko")
        file = next((path for path in (kernel / "modules").rglob("*.ko") if pattern.fullmatch(path.name)), None)
        if file is not None:  # else it is built in
            modules[f"{name}.ko"] = file.read_bytes()
    return cpio([*kernel_folders(modules), ("root", 0o040755, b""), ("init", 0o100755, program.read_bytes())])


def fill_image(root: Path, kernel: Path, guest: Path, building: Path) -> None:
    """Write tree, modules, guest kernel and our own units into one file system."""
    staged = building / "staged"
    run(["cp", "-a", "--reflink=auto", str(root), str(staged)])
    finish(staged, MASKED, keep_lists=True)
    shutil.copytree(kernel / "modules", staged / "usr/lib/modules", dirs_exist_ok=True)
    release = next((kernel / "modules").iterdir()).name
    run(["chroot", str(staged), "depmod", release])
    shutil.copytree(guest, staged / ON_HOST[1:], dirs_exist_ok=True)
    (staged / ON_HOST[1:]).chmod(0o755)
    own = staged / "opt/lab"
    own.mkdir(parents=True)
    for file in (HERE / "inside").iterdir():
        place = staged / "etc/systemd/system" if file.suffix == ".service" else own
        shutil.copy2(file, place / file.name)
    named = staged / "etc/systemd/system/ssh.service.d/lab.conf"  # a host without a name has no keys
    named.parent.mkdir(exist_ok=True)
    named.write_text("[Unit]\nConditionPathExists=/etc/lab-host\n", encoding="utf-8")
    run(["systemctl", f"--root={staged}", "enable", "lab-agent.service", "lab-network.service", "ssh.service"])
    (staged / "etc/fstab").write_text(FSTAB, encoding="utf-8")
    disk = building / "root.raw"
    options = ["-O", "^metadata_csum,^64bit,^orphan_file", "-J", "size=16", "-m", "0", "-E", "nodiscard"]
    run(["mke2fs", "-q", "-F", "-t", "ext4", *options, "-L", "root", "-d", str(staged), str(disk), f"{ROOT_MIB}M"])
    run(["rm", "-rf", "--one-file-system", str(staged)])
