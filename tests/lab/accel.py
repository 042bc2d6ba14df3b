# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does /dev/kvm run guests here? Its presence proves nothing, so a lab guest is booted with it."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import time
from pathlib import Path

from .guest.assets import ON_HOST
from .rootfs import isolated
from .shell import CACHE, locked, say

PATIENCE = 30.0
PROBE = (
    'set -e; mount --bind /dev "$1/dev"; mount --bind "$2" "$1' + ON_HOST + '"; '
    'exec chroot "$1" qemu-system-x86_64 -accel kvm -machine q35 -cpu host -m 128 -nodefaults -display none '
    f"-serial stdio -no-reboot -kernel {ON_HOST}/vmlinuz -initrd {ON_HOST}/initrd -append 'console=ttyS0 quiet panic=-1'"
)


def machine() -> str:
    """Kernel and CPU: the answer holds as long as these stay the same."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = next((line for line in info.splitlines() if line.startswith("model name")), "")
    return hashlib.sha256(f"{os.uname().release} {os.uname().version} {model}".encode()).hexdigest()[:12]


def kvm_works(root: Path, guest: Path) -> bool:
    """The answer, from the cache or by booting."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    answer = CACHE / f"kvm-{machine()}"
    with locked(CACHE / ".lock-kvm", "the KVM probe"):
        if not answer.exists():
            works = probe(root, guest)
            say(f"/dev/kvm {'runs guests; the lab uses it' if works else 'runs no guest here; the lab emulates (TCG)'}")
            answer.write_text("yes\n" if works else "no\n", encoding="utf-8")
        return answer.read_text(encoding="utf-8").strip() == "yes"


def probe(root: Path, guest: Path) -> bool:
    process = subprocess.Popen(
        isolated(["sh", "-c", PROBE, "sh", str(root), str(guest)]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen, deadline = b"", time.monotonic() + PATIENCE
    try:
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([process.stdout], [], [], left)[0]:
                break
            data = os.read(process.stdout.fileno(), 4096)
            seen += data
            if b"beat: ready" in seen:
                return True
            if not data:
                break
        return False
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
