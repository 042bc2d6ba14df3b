# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""libvirt domain XML -> Domain: everything that the document tells about a domain."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import (
    RUNNING,
    SHUTOFF,
    Cpu,
    Domain,
    Firmware,
    Nic,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.devices import (
    parse_filesystems,
    parse_host_devices,
    parse_obstacles,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.disks import parse_disk
from ansible_collections.virtops.kvm.plugins.module_utils._xml.units import bytes_of, pci_address

#: What names the thing an interface is plugged into, per interface type: an attribute of <source>.
_NIC_SOURCES = {
    "network": "network",
    "bridge": "bridge",
    "direct": "dev",
    "vdpa": "dev",
    "user": "dev",
    "vhostuser": "path",
    "internal": "name",
    "vds": "switchid",
    "server": "address",
    "client": "address",
    "mcast": "address",
    "udp": "address",
}
_EFI_NAMES = ("ovmf", "edk2", "aavmf", "efi", "seabios-uefi")


def parse_domain(live_xml: str) -> Domain:
    """The Domain that ``live_xml`` describes.

    What only a daemon knows (state and its reason, autostart, sizes on disk, jobs ...) keeps its default; ``state`` is
    running where the document has an id, shutoff elsewhere. Raises KvmError XML_INVALID for anything but a domain.
    """
    root = parse(live_xml, "domain definition")
    name, uuid = root.findtext("name"), root.findtext("uuid")
    if root.tag != "domain" or not name or not uuid:
        message = "The document is no definition of a domain: it lacks name or UUID."
        raise KvmError("XML_INVALID", message, root=root.tag)
    os_type = root.find("os/type")
    memory_max = bytes_of(root.find("memory"))
    current = root.find("currentMemory")
    vcpus_max = int(root.findtext("vcpu", "1").strip() or 1)
    current_vcpus = root.find("vcpu").get("current") if root.find("vcpu") is not None else None
    hugepages, hugepage_kib = _hugepages(root)
    disks = [parse_disk(element) for element in root.iterfind("devices/disk")]
    return Domain(
        name=name,
        uuid=uuid.strip().lower(),
        state=RUNNING if root.get("id") is not None else SHUTOFF,
        title=root.findtext("title"),
        virt_type=root.get("type", "kvm"),
        arch=os_type.get("arch", "x86_64") if os_type is not None else "x86_64",
        machine=os_type.get("machine", "") if os_type is not None else "",
        emulator=root.findtext("devices/emulator"),
        memory=bytes_of(current) if current is not None else memory_max,
        memory_max=memory_max,
        vcpus=int(current_vcpus) if current_vcpus else vcpus_max,
        vcpus_max=vcpus_max,
        hugepages=hugepages,
        hugepage_kib=hugepage_kib,
        cpu=_cpu(root),
        firmware=_firmware(root),
        tpm=_tpm(root),
        kernel=root.findtext("os/kernel"),
        initrd=root.findtext("os/initrd"),
        disks=tuple(disks),
        nics=tuple(_nic(element) for element in root.iterfind("devices/interface")),
        host_devices=parse_host_devices(root),
        filesystems=parse_filesystems(root),
        obstacles=parse_obstacles(root),
        block_jobs=_mirrors(root),
    )


def parse_cpu(xml: str) -> Cpu:
    """The CPU in a definition. Raises KvmError XML_INVALID for what is no XML."""
    return _cpu(parse(xml, "domain definition"))


def _hugepages(root: Element) -> tuple[bool, int | None]:
    element = root.find("memoryBacking/hugepages")
    if element is None:
        return False, None
    page = element.find("page")
    if page is None or not page.get("size"):
        return True, None
    return True, bytes_of(page, attribute="size") // 1024


def _cpu(root: Element) -> Cpu:
    element = root.find("cpu")
    if element is None:
        return Cpu()
    model = element.findtext("model")
    # A <cpu> without a mode is a custom one: so libvirt's documentation.
    mode = element.get("mode") or ("custom" if model or element.get("match") else None)
    return Cpu(mode=mode, model=model.strip() if model else None, xml=render(element))


def _firmware(root: Element) -> Firmware:
    loader, nvram = root.find("os/loader"), root.find("os/nvram")
    path = (loader.text or "").strip() or None if loader is not None else None
    kind = root.find("os").get("firmware") if root.find("os") is not None else None
    if kind is None:
        pflash = loader is not None and loader.get("type") == "pflash"
        named = path is not None and any(word in path.rsplit("/", 1)[-1].lower() for word in _EFI_NAMES)
        kind = "efi" if pflash or named else "bios"
    secure = loader is not None and loader.get("secure") == "yes"
    if nvram is None:
        return Firmware(type=kind, loader=path, secure_boot=secure)
    source = nvram.find("source")
    store = (nvram.text or "").strip() or None
    if source is not None:
        store = source.get("file") or source.get("dev") or source.get("name")
    return Firmware(type=kind, loader=path, nvram=store, nvram_template=nvram.get("template"), secure_boot=secure)


def _tpm(root: Element) -> str | None:
    backend = root.find("devices/tpm/backend")
    return backend.get("type") if backend is not None else None


def _nic(element: Element) -> Nic:
    kind = element.get("type", "user")
    source, model, target, mac = (element.find(tag) for tag in ("source", "model", "target", "mac"))
    if source is not None and source.get("network"):
        # A live document shows what the network gave (a bridge, a device); what counts for a move is the network.
        kind = "network"
    return Nic(
        mac=(mac.get("address", "") if mac is not None else "").lower(),
        type=kind,
        source=_nic_source(kind, source),
        model=model.get("type") if model is not None else None,
        target=target.get("dev") if target is not None else None,
        portgroup=source.get("portgroup") if source is not None else None,
    )


def _nic_source(kind: str, source: Element | None) -> str | None:
    if source is None:
        return None
    if kind == "hostdev":
        address = source.find("address")
        return pci_address(address) if address is not None else None
    return source.get(_NIC_SOURCES.get(kind, "dev")) or None


def _mirrors(root: Element) -> tuple[str, ...]:
    """Copy and active commit jobs, which alone leave a trace in the document; pulls do not."""
    jobs: list[str] = []
    for disk in root.iterfind("devices/disk"):
        mirror, target = disk.find("mirror"), disk.find("target")
        if mirror is not None and target is not None:
            jobs.append(f"{target.get('dev')}: {mirror.get('job', 'copy').replace('-', '_')}")
    return tuple(jobs)
