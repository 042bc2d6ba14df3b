# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person would write to read all domains of a host: a loop, and the obvious call for each fact."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET

import libvirt

libvirt.registerErrorHandler(lambda context, error: None, None)
connection = libvirt.open("qemu:///system")
found = []
for domain in connection.listAllDomains():
    state, reason = domain.state()
    root = ET.fromstring(domain.XMLDesc())
    active = domain.isActive()
    defined = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("cpu") if active else None
    disks = []
    for disk in root.iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target").get("dev")
        filled = source is not None
        size = domain.blockInfo(target) if filled else None
        job = domain.blockJobInfo(target) if filled and active else None
        disks.append({"target": target, "source": dict(source.attrib) if filled else None, "size": size, "job": job})
    found.append(
        {
            "name": domain.name(),
            "uuid": domain.UUIDString(),
            "state": state,
            "reason": reason,
            "persistent": domain.isPersistent(),
            "autostart": domain.autostart(),
            "managed_save": domain.hasManagedSaveImage(),
            "snapshots": domain.snapshotListNames(),
            "checkpoints": [checkpoint.getName() for checkpoint in domain.listAllCheckpoints()],
            "job": domain.jobStats() if active else None,
            "memory": root.findtext("memory"),
            "vcpus": root.findtext("vcpu"),
            "cpu_defined": defined.get("mode") if defined is not None else None,
            "disks": disks,
            "macs": [mac.get("address") for mac in root.iterfind("devices/interface/mac")],
        }
    )
json.dump(found, sys.stdout)
