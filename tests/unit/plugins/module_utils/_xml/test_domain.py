# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What domain documents tell, on documents as libvirt writes them."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain, HostDevice, Layer
from ansible_collections.virtops.kvm.plugins.module_utils._xml.domain import parse_domain

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"


def document(inner: str = "", *, root: str = "type='kvm'", devices: str = "", name: str = "web01") -> str:
    """A small but complete document with ``inner`` at the top and ``devices`` among the devices."""
    return f"""<domain {root}>
  <name>{name}</name>
  <uuid>{UUID}</uuid>
  <memory unit='KiB'>2097152</memory>
  {inner}
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{devices}</devices>
</domain>"""


def parsed(inner: str = "", *, root: str = "type='kvm'", devices: str = "") -> Domain:
    """The Domain of ``document`` with the same arguments."""
    return parse_domain(document(inner, root=root, devices=devices))


RUNNING = """<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>büro server ☃</name>
  <uuid>4DEA22B3-1D52-D8F3-2516-782E98AB3FA0</uuid>
  <title>Office &amp; files</title>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/13"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory unit='GiB'>4</memory>
  <currentMemory unit='KiB'>2097152</currentMemory>
  <memoryBacking><hugepages><page size='2' unit='MiB'/></hugepages></memoryBacking>
  <vcpu placement='static' current='2'>8</vcpu>
  <os firmware='efi'>
    <type arch='x86_64' machine='pc-q35-10.0'>hvm</type>
    <loader readonly='yes' secure='yes' type='pflash' format='raw'>/usr/share/OVMF/OVMF_CODE_4M.secboot.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.ms.fd' format='raw'>/var/lib/libvirt/qemu/nvram/b_VARS.fd</nvram>
    <boot dev='hd'/>
  </os>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>EPYC</model>
    <feature policy='require' name='x2apic'/>
  </cpu>
  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap'/>
      <source file='/var/lib/libvirt/images/büro server ☃.qcow2' index='3'/>
      <backingStore type='file' index='4'>
        <format type='qcow2'/>
        <source file='/srv/base/second.qcow2'/>
        <backingStore type='block' index='5'>
          <format type='raw'/>
          <source dev='/dev/vg0/golden'/>
          <backingStore/>
        </backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/>
      <serial>DISK-1</serial>
      <alias name='virtio-disk0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:AB:CD:EF'/>
      <source network='vlans' portid='f3' bridge='br7' portgroup='dmz'/>
      <target dev='vnet3'/>
      <model type='virtio'/>
    </interface>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
  </devices>
  <qemu:commandline><qemu:arg value='-name'/><qemu:arg value='x'/></qemu:commandline>
</domain>"""


def test_running_domain_identity_and_resources() -> None:
    domain = parse_domain(RUNNING)
    assert (domain.name, domain.uuid, domain.title) == ("büro server ☃", UUID, "Office & files")
    assert (domain.state, domain.active, domain.virt_type) == ("running", True, "kvm")
    assert (domain.arch, domain.machine, domain.emulator) == ("x86_64", "pc-q35-10.0", "/usr/bin/qemu-system-x86_64")
    assert (domain.memory, domain.memory_max) == (2 * 1024**3, 4 * 1024**3)
    assert (domain.vcpus, domain.vcpus_max) == (2, 8)
    assert (domain.hugepages, domain.hugepage_kib) == (True, 2048)
    assert domain.tpm == "emulator"


def test_running_domain_cpu_is_text_for_comparison() -> None:
    cpu = parse_domain(RUNNING).cpu
    assert (cpu.mode, cpu.model) == ("custom", "EPYC")
    assert cpu.xml.startswith("<cpu ")
    assert 'name="x2apic"' in cpu.xml


def test_running_domain_firmware() -> None:
    firmware = parse_domain(RUNNING).firmware
    assert (firmware.type, firmware.secure_boot) == ("efi", True)
    assert firmware.loader == "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
    assert firmware.nvram == "/var/lib/libvirt/qemu/nvram/b_VARS.fd"
    assert firmware.nvram_template == "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"


def test_running_domain_disks() -> None:
    disk, cdrom = parse_domain(RUNNING).disks
    assert (disk.target, disk.bus, disk.type, disk.device) == ("vda", "virtio", "file", "disk")
    assert disk.source == "/var/lib/libvirt/images/büro server ☃.qcow2"
    assert (disk.format, disk.cache, disk.serial, disk.readonly) == ("qcow2", "none", "DISK-1", False)
    assert disk.backing_chain == (
        Layer("/srv/base/second.qcow2", "qcow2", "file"),
        Layer("/dev/vg0/golden", "raw", "block"),
    )
    assert (cdrom.device, cdrom.empty, cdrom.readonly, cdrom.source, cdrom.format) == ("cdrom", True, True, None, None)
    assert [copied.target for copied in parse_domain(RUNNING).local_disks()] == ["vda"]


def test_running_domain_nic() -> None:
    (nic,) = parse_domain(RUNNING).nics
    assert (nic.mac, nic.type, nic.source) == ("52:54:00:ab:cd:ef", "network", "vlans")
    assert (nic.model, nic.target, nic.portgroup) == ("virtio", "vnet3", "dmz")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("<memory>1048576</memory>", 1024**3),
        ("<memory unit='b'>512</memory>", 512),
        ("<memory unit='bytes'>512</memory>", 512),
        ("<memory unit='KB'>2</memory>", 2000),
        ("<memory unit='k'>2</memory>", 2048),
        ("<memory unit='KiB'>2</memory>", 2048),
        ("<memory unit='MB'>3</memory>", 3_000_000),
        ("<memory unit='M'>3</memory>", 3 * 1024**2),
        ("<memory unit='GiB'> 5 </memory>", 5 * 1024**3),
        ("<memory unit='TiB' dumpCore='off'>1</memory>", 1024**4),
    ],
)
def test_units_of_memory(text: str, size: int) -> None:
    xml = f"<domain type='qemu'><name>a</name><uuid>{UUID}</uuid>{text}</domain>"
    domain = parse_domain(xml)
    assert (domain.memory, domain.memory_max) == (size, size)


def test_memory_in_an_unknown_unit_is_an_error() -> None:
    with pytest.raises(KvmError, match="'4 barrels' in <memory>") as caught:
        parse_domain(f"<domain><name>a</name><uuid>{UUID}</uuid><memory unit='barrels'>4</memory></domain>")
    assert caught.value.error_code == "XML_INVALID"


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<domain>",
        "<pool type='dir'><name>a</name><uuid>b</uuid></pool>",
        f"<domain><uuid>{UUID}</uuid></domain>",
        "<domain><name>a</name></domain>",
    ],
)
def test_anything_but_a_domain_is_refused(xml: str) -> None:
    with pytest.raises(KvmError) as caught:
        parse_domain(xml)
    assert caught.value.error_code == "XML_INVALID"


def test_entities_are_not_expanded_from_files() -> None:
    xml = (
        "<!DOCTYPE domain [<!ENTITY secret SYSTEM 'file:///etc/hostname'>]>"
        f"<domain><name>a</name><uuid>{UUID}</uuid><title>&secret;</title></domain>"
    )
    assert not parse_domain(xml).title


def test_defaults_of_a_bare_document() -> None:
    domain = parse_domain(f"<domain type='qemu'><name>a</name><uuid>{UUID}</uuid></domain>")
    assert (domain.state, domain.vcpus, domain.memory, domain.cpu.mode, domain.firmware.type) == (
        "shutoff",
        1,
        0,
        None,
        "bios",
    )
    assert (domain.disks, domain.nics, domain.host_devices, domain.obstacles, domain.tpm) == ((), (), (), (), None)


@pytest.mark.parametrize(
    ("inner", "kind", "nvram"),
    [
        ("<os><type>hvm</type></os>", "bios", None),
        ("<os firmware='bios'><type>hvm</type></os>", "bios", None),
        ("<os firmware='efi'><type>hvm</type></os>", "efi", None),
        ("<os><type>hvm</type><loader type='rom'>/usr/share/seabios/bios-256k.bin</loader></os>", "bios", None),
        ("<os><type>hvm</type><loader type='rom'>/usr/share/ovmf/OVMF.fd</loader></os>", "efi", None),
        ("<os><type>hvm</type><loader type='pflash'>/opt/fw/code.bin</loader><nvram>/v</nvram></os>", "efi", "/v"),
        (
            "<os><type>hvm</type><loader type='pflash'>/c</loader><nvram type='file'><source file='/n'/></nvram></os>",
            "efi",
            "/n",
        ),
        (
            "<os><type>hvm</type><loader type='pflash'>/c</loader><nvram type='block'><source dev='/dev/n'/></nvram></os>",
            "efi",
            "/dev/n",
        ),
        (
            "<os><type arch='aarch64'>hvm</type><loader type='rom'>/usr/share/AAVMF/AAVMF_CODE.fd</loader></os>",
            "efi",
            None,
        ),
    ],
)
def test_firmware(inner: str, kind: str, nvram: str | None) -> None:
    firmware = parsed(inner).firmware
    assert (firmware.type, firmware.nvram) == (kind, nvram)


def test_direct_kernel_boot() -> None:
    domain = parsed("<os><type>hvm</type><kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd></os>")
    assert (domain.kernel, domain.initrd) == ("/boot/vmlinuz", "/boot/initrd")


@pytest.mark.parametrize(
    ("cpu", "mode", "model"),
    [
        ("", None, None),
        ("<cpu/>", None, None),
        ("<cpu mode='host-passthrough' check='none' migratable='on'/>", "host-passthrough", None),
        ("<cpu mode='maximum'/>", "maximum", None),
        ("<cpu mode='host-model'><topology sockets='1' dies='1' cores='2' threads='1'/></cpu>", "host-model", None),
        ("<cpu match='exact'><model>Nehalem</model></cpu>", "custom", "Nehalem"),
        ("<cpu><model> core2duo </model></cpu>", "custom", "core2duo"),
        ("<cpu><topology sockets='1' cores='2' threads='1'/></cpu>", None, None),
    ],
)
def test_cpu(cpu: str, mode: str | None, model: str | None) -> None:
    found = parsed(cpu).cpu
    assert (found.mode, found.model) == (mode, model)


@pytest.mark.parametrize(
    ("backing", "expected"),
    [
        ("", (False, None)),
        ("<memoryBacking><locked/></memoryBacking>", (False, None)),
        ("<memoryBacking><hugepages/></memoryBacking>", (True, None)),
        (
            "<memoryBacking><hugepages><page size='1' unit='G' nodeset='0'/></hugepages></memoryBacking>",
            (True, 1048576),
        ),
        ("<memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>", (True, 2048)),
    ],
)
def test_hugepages(backing: str, expected: tuple[bool, int | None]) -> None:
    domain = parsed(backing)
    assert (domain.hugepages, domain.hugepage_kib) == expected


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (
            "<hostdev mode='subsystem' type='pci' managed='yes'><source>"
            "<address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source></hostdev>",
            HostDevice("pci", "0000:06:12.5"),
        ),
        (
            "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='6' slot='2' function='0'/></source>"
            "<teaming type='transient' persistent='ua-net0'/></hostdev>",
            HostDevice("pci", "0000:06:02.0", migratable=True),
        ),
        (
            "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1050'/><product id='0x0407'/></source></hostdev>",
            HostDevice("usb", "1050:0407"),
        ),
        (
            "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='4'/></source></hostdev>",
            HostDevice("usb", "bus 1 device 4"),
        ),
        (
            "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
            "<address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>",
            HostDevice("mdev", "c2177883-f1bb-47f0-914d-32a22e3a8804"),
        ),
        (
            "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/>"
            "<address bus='0' target='1' unit='2'/></source></hostdev>",
            HostDevice("scsi", "scsi_host0:0:1:2"),
        ),
        (
            "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.2014-04.x:y/1'>"
            "<host name='store' port='3260'/></source></hostdev>",
            HostDevice("scsi", "iscsi:iqn.2014-04.x:y/1"),
        ),
        (
            "<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.500'/></hostdev>",
            HostDevice("scsi_host", "naa.500"),
        ),
        (
            "<hostdev mode='capabilities' type='misc'><source><char>/dev/input/event3</char></source></hostdev>",
            HostDevice("misc", "/dev/input/event3"),
        ),
        (
            "<interface type='hostdev'><mac address='52:54:00:00:00:01'/><source>"
            "<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x1'/></source></interface>",
            HostDevice("pci", "0000:01:00.1"),
        ),
        (
            "<interface type='hostdev'><mac address='52:54:00:00:00:01'/><source>"
            "<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x1'/></source>"
            "<teaming type='transient' persistent='ua-backup0'/></interface>",
            HostDevice("pci", "0000:01:00.1", migratable=True),
        ),
        (
            "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>",
            HostDevice("vdpa", "/dev/vhost-vdpa-0"),
        ),
    ],
)
def test_host_devices(device: str, expected: HostDevice) -> None:
    assert parsed(devices=device).host_devices == (expected,)


@pytest.mark.parametrize(
    ("interface", "kind", "source"),
    [
        ("<interface type='bridge'><source bridge='br0'/></interface>", "bridge", "br0"),
        ("<interface type='bridge'><source network='lan' portid='f3' bridge='br0'/></interface>", "network", "lan"),
        ("<interface type='direct'><source network='lan' dev='eno1' mode='vepa'/></interface>", "network", "lan"),
        ("<interface type='direct'><source dev='eno1' mode='bridge'/></interface>", "direct", "eno1"),
        ("<interface type='user'><model type='e1000'/></interface>", "user", None),
        ("<interface type='user'><backend type='passt'/><source dev='eno1'/></interface>", "user", "eno1"),
        ("<interface type='ethernet'><target dev='tap7'/></interface>", "ethernet", None),
        (
            "<interface type='vhostuser'><source type='unix' path='/run/v.sock' mode='client'/></interface>",
            "vhostuser",
            "/run/v.sock",
        ),
        ("<interface type='internal'><source name='local'/></interface>", "internal", "local"),
        ("<interface type='mcast'><source address='230.0.0.1' port='5558'/></interface>", "mcast", "230.0.0.1"),
        ("<interface type='null'/>", "null", None),
    ],
)
def test_interfaces(interface: str, kind: str, source: str | None) -> None:
    (nic,) = parsed(devices=interface).nics
    assert (nic.type, nic.source, nic.mac) == (kind, source, "")


@pytest.mark.parametrize(
    ("filesystem", "expected"),
    [
        (
            "<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs' queue='1024'/>"
            "<source dir='/srv/data'/><target dir='data'/></filesystem>",
            "virtiofs /srv/data as data",
        ),
        (
            "<filesystem type='mount'><source dir='/export/to/guest'/><target dir='/import'/></filesystem>",
            "9p /export/to/guest as /import",
        ),
        (
            "<filesystem type='mount'><driver type='path' wrpolicy='immediate'/><source dir='/a'/><target dir='b'/></filesystem>",
            "9p /a as b",
        ),
        (
            "<filesystem type='mount'><driver type='virtiofs'/><source socket='/tmp/s'/><target dir='t'/></filesystem>",
            "virtiofs /tmp/s as t",
        ),
    ],
)
def test_filesystems(filesystem: str, expected: str) -> None:
    assert parsed(devices=filesystem).filesystems == (expected,)


@pytest.mark.parametrize(
    ("inner", "devices", "expected"),
    [
        ("<launchSecurity type='sev'><policy>0x0003</policy></launchSecurity>", "", ("encrypted guest memory (sev)",)),
        ("<launchSecurity type='s390-pv'/>", "", ()),
        (
            "",
            "<shmem name='pool0'><model type='ivshmem-plain'/></shmem>",
            ("shared memory device 'pool0' without role master",),
        ),
        ("", "<shmem name='pool0' role='master'><model type='ivshmem-plain'/></shmem>", ()),
        (
            "",
            "<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
            ("TPM of the host passed through",),
        ),
        (
            "",
            "<video><model type='virtio'><acceleration accel3d='yes'/></model></video>",
            ("video with 3D acceleration on the host",),
        ),
        ("", "<video><model type='virtio'><acceleration accel3d='no'/></model></video>", ()),
        (
            "",
            "<memory model='nvdimm'><source><path>/tmp/nvdimm</path></source></memory>",
            ("NVDIMM backed by '/tmp/nvdimm'",),
        ),
        (
            "<cpu mode='host-model'><feature policy='require' name='invtsc'/></cpu>",
            "",
            ("CPU feature invtsc without a fixed TSC frequency",),
        ),
        (
            "<cpu mode='host-model'><feature policy='require' name='invtsc'/></cpu>"
            "<clock offset='utc'><timer name='tsc' frequency='3504000000'/></clock>",
            "",
            (),
        ),
        ("<cpu mode='host-model'><feature policy='disable' name='invtsc'/></cpu>", "", ()),
    ],
)
def test_obstacles(inner: str, devices: str, expected: tuple[str, ...]) -> None:
    assert parsed(inner, devices=devices).obstacles == expected


def test_copy_and_active_commit_jobs_show_in_the_document() -> None:
    disk = "<disk type='file'><source file='/a'/><target dev='{}'/>{}</disk>"
    devices = "".join(
        [
            disk.format("vda", "<mirror type='file' job='copy' ready='yes'><source file='/b'/></mirror>"),
            disk.format("vdb", "<mirror type='file' job='active-commit'><source file='/c'/></mirror>"),
            disk.format("vdc", ""),
        ]
    )
    assert parsed(devices=devices).block_jobs == ("vda: copy", "vdb: active_commit")
