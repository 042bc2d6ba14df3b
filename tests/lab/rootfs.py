# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One root file system per Debian suite, built once by mmdebstrap and kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from pathlib import Path

from .shell import CACHE, LabError, locked, run, say

SUITES = ("trixie", "bookworm")
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "ca-certificates",
    "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "qemu-utils", "ovmf",
    "python3", "python3-libvirt", "python3-lxml", "python3-jmespath",
    "iproute2", "nftables", "iputils-ping", "procps", "netcat-openbsd",
    "libnbd-bin", "python3-libnbd", "swtpm", "swtpm-tools", "zstd", "fdisk", "rsync",
)  # fmt: skip
# Units that cost time or make no sense in a container.
MASKED = (
    # Without cgroups systemd cannot end a user manager, and logins wait two minutes for it.
    "user@.service",
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "logrotate.timer",
    "e2scrub_all.timer", "systemd-pstore.service", "getty@tty1.service", "console-getty.service",
    "dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-importd.socket",
    "systemd-modules-load.service", "ldconfig.service", "systemd-networkd-wait-online.service",
    "systemd-journal-catalog-update.service", "systemd-update-done.service", "systemd-timesyncd.service",
    "systemd-sysusers.service",
)  # fmt: skip
EXCLUDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")


def mirror(sources: str | None = None) -> str:
    """The Debian mirror that this machine uses, if it is a Debian machine; else Debian's own."""
    if sources is None:
        files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.[ls]*")]
        sources = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())
    for line in sources.splitlines():
        if line.lstrip().startswith("#"):
            continue
        found = re.search(r"https?://\S+?/debian(?=/?(\s|$))", line)
        if found and re.match(r"\s*(deb\s|URIs:)", line):
            return found.group(0)
    return MIRROR


def keyring() -> list[str]:
    """Keys that prove Debian's archives, wherever this machine keeps them."""
    folder = Path("/usr/share/keyrings")
    found = sorted(str(file) for file in folder.glob("debian-archive-*") if file.suffix in (".gpg", ".pgp"))
    return [f"--keyring={file}" for file in found if "removed" not in file]


def recipe_hash(suite: str) -> str:
    text = "\n".join([suite, *PACKAGES, "--", *MASKED, "--", *EXCLUDED, "2"])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def isolated(command: list[str]) -> list[str]:
    """A build that dies as a whole, with its mounts, when we do."""
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *command,
    ]  # fmt: skip


def mmdebstrap(suite: str, target: Path, packages: tuple[str, ...], *options: str) -> None:
    run(
        isolated(
            [
                "mmdebstrap", "--mode=root", "--format=directory", *keyring(),
                "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\"",
                "--aptopt=Acquire::Retries \"5\"",
                "--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={path}" for path in EXCLUDED),
                f"--include={','.join(packages)}", *options, suite, str(target), mirror(),
            ]
        )
    )  # fmt: skip


def clean_leftovers() -> None:
    """Remove half-built trees; call with the build lock held, so that nobody can be building them."""
    for path in CACHE.glob(".building-*"):
        run(["rm", "-rf", "--one-file-system", str(path)])


def clean_if_idle() -> None:
    """Remove half-built trees unless somebody builds just now, who will then do it."""
    if not CACHE.is_dir():
        return
    with (CACHE / ".lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        clean_leftovers()


def prune(suite: str, keep: Path) -> None:
    """Remove trees that an older recipe built and no lab uses."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    for path in CACHE.glob(f"rootfs-{suite}-*"):
        if path != keep and f"lowerdir={path}," not in mounts:
            run(["rm", "-rf", "--one-file-system", str(path)])


def rootfs(suite: str) -> Path:
    """The cached root file system of a suite; builds it if it is not there."""
    if suite not in SUITES:
        raise LabError(f"unknown suite {suite}; there are {', '.join(SUITES)}")
    final = CACHE / f"rootfs-{suite}-{recipe_hash(suite)}"
    if final.is_dir():
        return final
    with locked(CACHE / ".lock", "the cache of root file systems"):
        clean_leftovers()
        if final.is_dir():
            return final
        say(f"builds the root file system of the {suite} hosts (once, a minute or two) in {final}")
        began = time.monotonic()
        building = CACHE / f".building-{suite}-{os.getpid()}"
        mmdebstrap(suite, building, PACKAGES, "--variant=minbase")
        finish(building)
        building.rename(final)
        prune(suite, final)
        say(f"built it in {time.monotonic() - began:.0f} s")
    return final


def finish(root: Path, masked: tuple[str, ...] = MASKED, keep_lists: bool = False) -> None:
    """What is the same for every host of every lab."""
    units = root / "etc/systemd/system"
    for unit in masked:
        link = units / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for path in ("etc/hostname", "etc/machine-id", "var/lib/dbus/machine-id", "etc/resolv.conf"):
        (root / path).unlink(missing_ok=True)
    (root / "etc/machine-id").touch()
    for path in ("opt/lab-guest", "srv/shared"):
        (root / path).mkdir(parents=True, exist_ok=True)
    for path in () if keep_lists else ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / path, ignore_errors=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True, exist_ok=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
    # hosts must come up the same way every time: rebuild the linker cache here, not at each boot
    run(["chroot", str(root), "ldconfig"])
    run(["chroot", str(root), "journalctl", "--update-catalog"], check=False)
