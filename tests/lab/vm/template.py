# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host without a name, booted once and saved with its memory and disks; every other starts from it in seconds.

An emulated host takes a minute or more to boot, and libvirt as long again to find out what its QEMU can do.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..rootfs import clean_leftovers
from ..shell import CACHE, LabError, locked, say
from ..state import State
from .host import VOLUME_GROUP, VmHost
from .machine import DISKS, Machine, Monitor, make_disk, make_overlay, shape_digest
from .tree import Base

DATA_MIB = 4096  # of the disk with the volume group; virtual
# Read once what every test reads, let libvirt probe its QEMU, then stop what must not know its host before it has a name.
WARM = f"""set -eu
systemctl is-system-running --wait >/dev/null || true
chmod 711 /var/lib/libvirt/images
vgcreate -q {VOLUME_GROUP} /dev/vdc
virsh -q capabilities >/dev/null
virsh -q domcapabilities --virttype qemu --machine q35 >/dev/null
python3 -c 'import libvirt, lxml.etree, jmespath, ctypes, json, zipfile, tempfile, apt'
qemu-img --version >/dev/null
rm -f /var/lib/libvirt/dnsmasq/* || true
systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service
systemctl reset-failed
sync
"""


def template(base: Base, host: VmHost, state: State, disk_mib: int) -> Path:
    """The directory with `memory` and the disks that belong to it; made by `host`, which is off and has no disks yet."""
    kvm = bool(state.facts["kvm"])
    final = base.path / f"template-{shape_digest(base, kvm)}-{disk_mib}"
    if final.is_dir():
        return final
    with locked(CACHE / ".lock", "the cache of root file systems"):
        clean_leftovers()
        if final.is_dir():
            return final
        say("boots a vm host once and keeps its memory, from which all others start")
        began = time.monotonic()
        building = CACHE / f".building-template-{os.getpid()}"
        building.mkdir()
        disks = {name: building / f"{name}.qcow2" for name in DISKS}
        make_overlay(disks["root"], base.disk, "raw")
        make_disk(disks["images"], disk_mib, "images")
        make_disk(disks["data"], DATA_MIB)
        machine = Machine(
            "template", base, disks, "52:54:00:00:00:06", host.monitor, host.directory.parent / "template.log", kvm
        )
        host.launch(state, machine)
        try:
            host.wait_answers()
            say(f"it answers after {time.monotonic() - began:.0f} s")
            done = host.run(["sh", "-c", WARM], check=False)
            if done.returncode:
                raise LabError(f"the first vm host is not well: {done.stderr[-2000:] or done.stdout[-2000:]}")
            with Monitor(host.monitor) as monitor:
                monitor.save_memory(building / "memory")
        finally:
            host.power_off()
        building.rename(final)
        say(f"kept it after {time.monotonic() - began:.0f} s")
    return final
