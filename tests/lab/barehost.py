# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system of a host that nobody has set up yet: sshd, Python, and an archive of packages that apt can install from."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from .rootfs import EXCLUDED, MASKED, PACKAGES, clean_leftovers, finish, mmdebstrap
from .shell import CACHE, locked, run, say
from .vm.tree import ARCHIVE_PATH, make_archive

BARE = ("systemd", "systemd-sysv", "dbus", "openssh-server", "python3")
#: For roles to install, without network. python3-apt is for Ansible, which gets it by itself; firewalls are what users have there before.
ARCHIVE = (*PACKAGES, "openssl", "python3-apt", "firewalld", "ufw")


def bare_rootfs(suite: str) -> Path:
    """The cached tree of a suite; builds it if it is not there."""
    text = repr((suite, BARE, ARCHIVE, MASKED, EXCLUDED, "1"))
    final = CACHE / f"bare-{suite}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if final.is_dir():
        return final
    with locked(CACHE / ".lock", "the cache of root file systems"):
        clean_leftovers()
        if final.is_dir():
            return final
        say(f"builds the root file system of bare {suite} hosts (once, a minute or two) in {final}")
        began = time.monotonic()
        building = CACHE / f".building-bare-{suite}-{os.getpid()}"
        fetch = (
            f'mkdir -p "$1/{ARCHIVE_PATH}/partial" && chroot "$1" apt-get -y -q install --download-only --no-install-recommends '
            f"-o Dir::Cache::archives=/{ARCHIVE_PATH} {' '.join(ARCHIVE)}"
        )
        mmdebstrap(suite, building, BARE, "--variant=minbase", f"--customize-hook={fetch}")
        make_archive(building)
        finish(building, keep_lists=True)
        building.rename(final)
        for old in CACHE.glob(f"bare-{suite}-*"):
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
            if old != final and f"lowerdir={old}," not in mounts:
                run(["rm", "-rf", "--one-file-system", str(old)])
        say(f"built it in {time.monotonic() - began:.0f} s")
    return final
