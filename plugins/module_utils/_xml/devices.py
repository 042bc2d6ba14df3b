# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What ties a domain to its host: devices passed through, directories shared, and the rest that nobody migrates."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import HostDevice
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element
from ansible_collections.virtops.kvm.plugins.module_utils._xml.units import pci_address


def parse_host_devices(root: Element) -> tuple[HostDevice, ...]:
    """Every device of the host in the domain; migratable are only those that the guest gives back (teaming)."""
    found: list[HostDevice] = []
    for element in root.iterfind("devices/hostdev"):
        kind = element.get("type", "unknown")
        found.append(HostDevice(kind, _address(kind, element), migratable=kind == "pci" and _gives_back(element)))
    for element in root.iterfind("devices/interface[@type='hostdev']"):
        found.append(HostDevice("pci", _address("pci", element), migratable=_gives_back(element)))
    for element in root.iterfind("devices/interface[@type='vdpa']/source"):
        found.append(HostDevice("vdpa", element.get("dev", "")))
    return tuple(found)


def _gives_back(element: Element) -> bool:
    """A transient member of a team is unplugged before the move and plugged again after it."""
    teaming = element.find("teaming")
    return teaming is not None and teaming.get("type") == "transient"


def _address(kind: str, element: Element) -> str:
    source = element.find("source")
    if source is None:
        return ""
    address = source.find("address")
    if kind == "pci":
        return pci_address(address) if address is not None else ""
    if kind == "usb":
        return _usb(source, address)
    if kind == "mdev":
        return str(address.get("uuid", "")) if address is not None else ""
    if kind == "scsi" and source.get("protocol") == "iscsi":
        return f"iscsi:{source.get('name', '')}"
    if kind == "scsi":
        adapter = source.find("adapter")
        unit = [address.get(key, "0") for key in ("bus", "target", "unit")] if address is not None else []
        return ":".join([adapter.get("name", "") if adapter is not None else "", *unit])
    if kind == "scsi_host":
        return str(source.get("wwpn", ""))
    # mode='capabilities' (containers): the one child names the device.
    return " ".join((child.text or "").strip() for child in source).strip()


def _usb(source: Element, address: Element | None) -> str:
    vendor, product = source.find("vendor"), source.find("product")
    if vendor is not None and product is not None:
        return f"{vendor.get('id', '')}:{product.get('id', '')}".replace("0x", "")
    if address is None:
        return ""
    place = address.get("port") or address.get("device", "0")
    return f"bus {address.get('bus', '0')} {'port' if address.get('port') else 'device'} {place}"


def parse_filesystems(root: Element) -> tuple[str, ...]:
    """Directories of the host in the guest: ``virtiofs /srv/data as data``; 9p where no driver is named."""
    found: list[str] = []
    for element in root.iterfind("devices/filesystem"):
        driver, source, target = element.find("driver"), element.find("source"), element.find("target")
        kind = driver.get("type", "9p") if driver is not None else "9p"
        kind = "9p" if kind in ("path", "handle") else kind
        where = ""
        if source is not None:
            keys = ("dir", "socket", "file", "dev", "name", "usage")
            where = next((source.get(key) for key in keys if source.get(key)), "")
        found.append(f"{kind} {where} as {target.get('dir', '') if target is not None else ''}")
    return tuple(found)


def parse_obstacles(root: Element) -> tuple[str, ...]:
    """What else in the document makes libvirt or QEMU refuse a live migration, one phrase each."""
    found: list[str] = []
    launch = root.find("launchSecurity")
    if launch is not None and launch.get("type") not in (None, "s390-pv"):
        found.append(f"encrypted guest memory ({launch.get('type')})")
    for element in root.iterfind("devices/shmem"):
        if element.get("role") != "master":
            found.append(f"shared memory device '{element.get('name', '')}' without role master")
    if root.find("devices/tpm/backend[@type='passthrough']") is not None:
        found.append("TPM of the host passed through")
    for element in root.iterfind("devices/video/model/acceleration"):
        if element.get("accel3d") == "yes":
            found.append("video with 3D acceleration on the host")
    for element in root.iterfind("devices/memory[@model='nvdimm']/source/path"):
        found.append(f"NVDIMM backed by '{(element.text or '').strip()}'")
    if _invariant_tsc_unpinned(root):
        found.append("CPU feature invtsc without a fixed TSC frequency")
    return tuple(found)


def _invariant_tsc_unpinned(root: Element) -> bool:
    feature = root.find("cpu/feature[@name='invtsc']")
    if feature is None or feature.get("policy", "require") not in ("require", "force"):
        return False
    timers = root.findall("clock/timer[@name='tsc']")
    return not any(timer.get("frequency") for timer in timers)
