# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domain documents as people write them: a generator of varied ones, and examples in the manner of libvirt's documentation.

The same seed gives the same documents. Only the standard library is used, so that a host can run this as it is.
"""

from __future__ import annotations

import random
import typing as t
import xml.etree.ElementTree as ET

NVRAM = "/var/lib/libvirt/qemu/nvram"

MACHINES = ("q35", "pc", "pc-q35-7.2", "pc-i440fx-7.2", None)
CPUS = (
    "",
    "<cpu mode='custom' match='exact'><model fallback='allow'>Nehalem</model></cpu>",
    "<cpu><model>qemu64</model><topology sockets='1' cores='{vcpus}' threads='1'/></cpu>",
    "<cpu mode='custom'><model>Westmere</model><feature policy='require' name='aes'/><feature policy='disable' name='ssse3'/></cpu>",
    "<cpu mode='host-model'/>",
    "<cpu mode='maximum'/>",
)
CLOCKS = (
    "",
    "<clock offset='utc'/>",
    "<clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/></clock>",
    "<clock offset='utc'><timer name='hpet' present='no'/><timer name='rtc' tickpolicy='catchup'/></clock>",
    "<clock offset='variable' adjustment='3600' basis='utc'/>",
    "<clock offset='timezone' timezone='Europe/Berlin'/>",
)
FEATURES = ("", "<features><acpi/><apic/></features>", "<features><pae/><acpi/><vmport state='off'/></features>")
MEMORIES = (
    "<memory unit='MiB'>96</memory>",
    "<memory>131072</memory>",
    "<memory unit='MB'>128</memory><currentMemory unit='M'>100</currentMemory>",
    "<memory unit='KiB'>262144</memory><currentMemory unit='KiB'>131072</currentMemory>",
    "<memory unit='GB'>1</memory>",
    "<memory unit='bytes'>134217728</memory>",
)
TUNES = (
    "",
    "<cputune><period>100000</period><quota>50000</quota><emulatorpin cpuset='0'/></cputune>",
    "<pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='yes'/></pm>",
    "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",
    "<sysinfo type='smbios'><bios><entry name='vendor'>Example</entry></bios></sysinfo>",
    "<idmap><uid start='0' target='1000' count='10'/><gid start='0' target='1000' count='10'/></idmap>",
    "<perf><event name='cmt' enabled='no'/></perf>",
    "<genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>",
    "<blkiotune><device><path>/dev/sda</path><weight>500</weight></device></blkiotune>",
    "<cputune><shares>2048</shares><vcpupin vcpu='0' cpuset='0'/></cputune>",
    "<blkiotune><weight>800</weight></blkiotune>",
    "<memtune><hard_limit unit='G'>2</hard_limit></memtune>",
    "<memoryBacking><nosharepages/><locked/></memoryBacking>",
    "<iothreads>2</iothreads>",
    "<resource><partition>/machine</partition></resource>",
    "<seclabel type='none' model='dac'/>",
)
METADATA = (
    "",
    "<title>Web server</title><description>Serves  two\nsites</description>",
    "<metadata><app:a xmlns:app='http://example.com/app'><app:owner>team one</app:owner><app:tier n='2'/></app:a></metadata>",
    "<metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
    "<libosinfo:os id='http://debian.org/debian/13'/></libosinfo:libosinfo></metadata>",
)
BUSES = {"virtio": "vd", "sata": "sd", "scsi": "sd", "ide": "hd", "usb": "sd"}
NIC_MODELS = ("virtio", "e1000", "rtl8139", None)
DEVICES = (
    "<serial type='pty'/>",
    "<serial type='pty'><target port='0'/></serial><console type='pty'><target type='serial' port='0'/></console>",
    "<serial type='file'><source path='/var/log/{name}.log'/></serial>",
    "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/><protocol type='telnet'/></serial>",
    "<serial type='unix'><source mode='bind' path='/run/{name}.sock'/></serial>",
    "<parallel type='null'/>",
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
    "<channel type='pty'><target type='virtio' name='org.example.pty'/></channel>",
    "<channel type='unix'><source mode='bind' path='/run/{name}.agent'/><target type='virtio' name='org.example.unix'/></channel>",
    "<console type='pty'><target type='virtio'/></console>",
    "<sound model='ich6'><codec type='duplex'/></sound><audio id='1' type='none'/>",
    "<input type='passthrough' bus='virtio'><source evdev='/dev/input/event1'/></input>",
    "<controller type='sata' index='0'/>",
    "<controller type='scsi' index='1' model='lsilogic'/>",
    "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>",
    "<hub type='usb'/>",
    "<filesystem type='mount'><source dir='/srv/other'/><target dir='other'/><readonly/></filesystem>",
    "<serial type='udp'><source mode='bind' host='127.0.0.1' service='4999'/>"
    "<source mode='connect' host='127.0.0.1' service='4998'/></serial>",
    "<serial type='pty'><log file='/var/log/{name}-serial.log' append='on'/></serial>",
    "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
    "<input type='tablet' bus='usb'/>",
    "<input type='keyboard' bus='virtio'/>",
    "<graphics type='vnc' passwd='geheim12'/>",
    "<graphics type='vnc' port='5977' listen='127.0.0.1'/>",
    "<graphics type='vnc'><listen type='address' address='0.0.0.0'/></graphics><video><model type='virtio'/></video>",
    "<graphics type='vnc' autoport='yes' passwd='geheim12' keymap='de'/><video><model type='vga' vram='32768'/></video>",
    "<video><model type='cirrus'/></video>",
    "<video><model type='none'/></video>",
    "<sound model='ich9'/>",
    "<memballoon model='none'/>",
    "<memballoon model='virtio' autodeflate='on'><stats period='10'/></memballoon>",
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
    "<rng model='virtio'><rate period='2000' bytes='1234'/><backend model='random'>/dev/random</backend></rng>",
    "<watchdog model='i6300esb' action='poweroff'/>",
    "<controller type='scsi' model='virtio-scsi'/>",
    "<controller type='scsi' index='0' model='virtio-scsi'><driver queues='4'/></controller>",
    "<controller type='usb' model='none'/>",
    "<controller type='usb' model='qemu-xhci' ports='8'/>",
    "<controller type='virtio-serial' index='0' ports='16'/>",
    "<panic model='isa'/>",
    "<rng model='virtio'><backend model='builtin'/></rng>",
    "<watchdog model='ib700' action='none'/>",
    "<video><model type='virtio' heads='2'><acceleration accel3d='no'/></model></video>",
    "<redirdev bus='usb' type='spicevmc'/>",
    "<filesystem type='mount' accessmode='mapped'><source dir='/srv/data'/><target dir='data'/></filesystem>",
    "<hostdev mode='subsystem' type='usb'><source startupPolicy='optional'><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>",
    "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='6' slot='2' function='0'/></source></hostdev>",
    "<redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' service='4000'/></redirdev>",
    "<vsock model='virtio'><cid auto='yes'/></vsock>",
    "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
    "<emulator>/usr/bin/qemu-system-x86_64</emulator>",
    "<smartcard mode='passthrough' type='spicevmc'/><graphics type='spice' autoport='yes' passwd='geheim12'/>",
    "<shmem name='shared0'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>",
)


def disk(random_: random.Random, name: str, number: int, bus: str | None) -> str:
    """One disk, at most as explicit as people are."""
    letter = "abcdefgh"[number]
    target = f"<target dev='{BUSES[bus or 'virtio']}{letter}'" + (f" bus='{bus}'" if bus else "") + "/>"
    kind = random_.choice(("file", "file", "file", "block", "network", "volume", "empty"))
    form = random_.choice(("qcow2", "raw"))
    driver = random_.choice(
        (
            "",
            f"<driver name='qemu' type='{form}'/>",
            f"<driver name='qemu' type='{form}' cache='none' io='native' discard='unmap'/>",
            f"<driver name='qemu' type='{form}' cache='writeback'/>",
        )
    )
    extra = random_.choice(
        (
            "",
            "",
            f"<serial>SN{number}</serial>",
            "<iotune><total_iops_sec>500</total_iops_sec></iotune>",
            "<shareable/>" if form == "raw" and driver else "",
            "<iotune><read_bytes_sec>1048576</read_bytes_sec><write_bytes_sec>1048576</write_bytes_sec></iotune>",
            "<wwn>5000c50015ea71aa</wwn>"
            if bus in ("scsi", "sata")
            else "<blockio logical_block_size='512' physical_block_size='4096'/>",
        )
    )
    if kind == "empty":
        return f"<disk type='file' device='cdrom'><target dev='sd{letter}' bus='sata'/><readonly/></disk>"
    if kind == "file":
        source = f"<source file='/var/lib/libvirt/images/{name}-{number}.{form}'/>"
    elif kind == "block":
        source, driver = f"<source dev='/dev/vg0/{name}-{number}'/>", "<driver name='qemu' type='raw' cache='none'/>"
    elif kind == "volume":
        source = f"<source pool='default' volume='{name}-{number}.{form}'/>"
    else:
        source = (
            f"<source protocol='nbd' name='{name}'><host name='192.0.2.{number + 1}' port='10809'/></source>"
            if number % 2
            else f"<source protocol='iscsi' name='iqn.2013-07.com.example:{name}/{number}'><host name='example.com'/></source>"
        )
    return f"<disk type='{kind}' device='disk'>{driver}{source}{target}{extra}</disk>"


def nic(random_: random.Random, number: int) -> str:
    """One interface."""
    kind = random_.choice(("network", "bridge", "user", "network"))
    source = {"network": "<source network='lab'/>", "bridge": "<source bridge='br0'/>", "user": ""}[kind]
    mac = f"<mac address='52:54:00:ab:{random_.randrange(256):02x}:{number:02x}'/>" if random_.random() < 0.4 else ""
    model = random_.choice(NIC_MODELS)
    extra = random_.choice(
        ("", "", "<mtu size='1400'/>", "<link state='down'/>", "<bandwidth><inbound average='1000'/></bandwidth>")
    )
    if kind == "user":
        extra = ""
    return f"<interface type='{kind}'>{mac}{source}{f'<model type={model!r}/>' if model else ''}{extra}</interface>"


def document(number: int, seed: int = 3) -> tuple[str, str]:
    """The name and text of the generated document ``number``."""
    random_ = random.Random(f"{seed}-{number}")
    name = f"trial{number}"
    machine = random_.choice(MACHINES)
    vcpus = random_.choice((1, 2, 4))
    usual = ["virtio", "sata", "scsi", "usb", None]
    buses = [random_.choice(usual) for unused in range(random_.randrange(5))]
    disks = "".join(disk(random_, name, place, bus) for place, bus in enumerate(buses))
    nics = "".join(nic(random_, place) for place in range(random_.randrange(4)))
    picked = random_.sample(DEVICES, random_.randrange(7))
    boot = random_.choice(
        (
            "",
            "<boot dev='hd'/>",
            "<boot dev='network'/><boot dev='hd'/>",
            "<boot dev='cdrom'/><boot dev='hd'/><bootmenu enable='yes'/>",
        )
    )
    firmware = random_.random()
    os_attribute, loader = "", ""
    if firmware < 0.15 and machine != "pc" and machine != "pc-i440fx-7.2" and machine is not None:
        os_attribute = " firmware='efi'"
    elif firmware < 0.3 and machine is not None:
        loader = (
            "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"
            f"<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>{NVRAM}/{name}_VARS.fd</nvram>"
        )
    elif firmware < 0.4:
        loader = "<kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd><cmdline>console=ttyS0 quiet</cmdline>"
    parts = [
        random_.choice(MEMORIES),
        f"<vcpu>{vcpus}</vcpu>" if random_.random() < 0.7 else f"<vcpu placement='static' current='1'>{vcpus}</vcpu>",
        f"<os{os_attribute}><type arch='x86_64'{f' machine={machine!r}' if machine else ''}>hvm</type>{loader}{boot}</os>",
        FEATURES[1] if firmware < 0.3 else random_.choice(FEATURES),
        random_.choice(CPUS).replace("{vcpus}", str(vcpus)),
        random_.choice(CLOCKS),
        random_.choice(("", "<on_reboot>destroy</on_reboot>", "<on_crash>preserve</on_crash>")),
        random_.choice(TUNES),
        random_.choice(METADATA),
        "<devices>" + "".join(picked).replace("{name}", name) + disks + nics + "</devices>",
    ]
    return name, f"<domain type='qemu'><name>{name}</name>{''.join(parts)}</domain>"


def documents(count: int, seed: int = 3) -> dict[str, str]:
    """The first ``count`` generated documents, and all examples."""
    return {**EXAMPLES, **dict(document(number, seed) for number in range(count))}


EXAMPLES: dict[str, str] = {
    "bare": "<domain type='qemu'><name>bare</name><memory>65536</memory><os><type>hvm</type></os></domain>",
    "fedora": """<?xml version='1.0'?>
<!-- After the example of a QEMU guest in libvirt's documentation. -->
<domain type='qemu'>
  <name>fedora</name>
  <uuid>C7A5FDBD-CDAF-9455-926A-D65C16DB1809</uuid>
  <memory>219200</memory>
  <currentMemory>219200</currentMemory>
  <vcpu>2</vcpu>
  <os>
    <type arch='i686' machine='pc'>hvm</type>
    <boot dev='cdrom'/>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='cdrom'>
      <source file='/home/user/boot.iso'/>
      <target dev='hdc'/>
      <readonly/>
    </disk>
    <disk type='file' device='disk'>
      <source file='/home/user/fedora.img'/>
      <target dev='hda'/>
    </disk>
    <interface type='network'>
      <source network='default'/>
    </interface>
    <graphics type='vnc' port='-1'/>
  </devices>
</domain>""",
    "windows": """<domain type='qemu'>
  <name>windows</name>
  <memory unit='GiB'>2</memory>
  <genid/>
  <vcpu>2</vcpu>
  <os><type machine='q35'>hvm</type></os>
  <features>
    <acpi/><apic/>
    <hyperv><relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='8191'/></hyperv>
  </features>
  <clock offset='localtime'>
    <timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/><timer name='hpet' present='no'/>
    <timer name='hypervclock' present='yes'/>
  </clock>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/windows.qcow2'/><target dev='sda' bus='sata'/>
      <boot order='1'/>
    </disk>
    <interface type='bridge'><source bridge='br0'/><model type='e1000e'/><boot order='2'/></interface>
    <input type='tablet' bus='usb'/>
    <graphics type='vnc' autoport='yes' passwd='geheim12' sharePolicy='force-shared'/>
    <video><model type='vga' vram='16384' heads='1'/></video>
  </devices>
</domain>""",
    "numa": """<domain type='qemu'>
  <name>numa</name>
  <maxMemory slots='16' unit='MiB'>1024</maxMemory>
  <memory unit='MiB'>256</memory>
  <vcpu>4</vcpu>
  <vcpus>
    <vcpu id='0' enabled='yes' hotpluggable='no' order='1'/>
    <vcpu id='1' enabled='yes' hotpluggable='yes' order='2'/>
    <vcpu id='2' enabled='no' hotpluggable='yes'/>
    <vcpu id='3' enabled='no' hotpluggable='yes'/>
  </vcpus>
  <numatune><memory mode='strict' nodeset='0'/></numatune>
  <os><type machine='q35'>hvm</type></os>
  <cpu mode='custom'><model>Nehalem</model>
    <numa><cell id='0' cpus='0-1' memory='128' unit='MiB'/><cell id='1' cpus='2-3' memory='128' unit='MiB'/></numa>
  </cpu>
</domain>""",
    "virtinstall": """<domain type="qemu">
  <name>virtinstall</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/12"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory>524288</memory>
  <currentMemory>524288</currentMemory>
  <vcpu>2</vcpu>
  <os><type arch="x86_64" machine="q35">hvm</type><boot dev="hd"/></os>
  <features><acpi/><apic/></features>
  <cpu mode="maximum"/>
  <clock offset="utc">
    <timer name="rtc" tickpolicy="catchup"/><timer name="pit" tickpolicy="delay"/><timer name="hpet" present="no"/>
  </clock>
  <pm><suspend-to-mem enabled="no"/><suspend-to-disk enabled="no"/></pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" discard="unmap"/>
      <source file="/var/lib/libvirt/images/virtinstall.qcow2"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    <controller type="usb" model="qemu-xhci" ports="15"/>
    <controller type="pci" model="pcie-root"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <controller type="pci" model="pcie-root-port"/>
    <interface type="network"><source network="default"/><mac address="52:54:00:1b:2c:3d"/><model type="virtio"/></interface>
    <console type="pty"/>
    <channel type="unix"><source mode="bind"/><target type="virtio" name="org.qemu.guest_agent.0"/></channel>
    <input type="tablet" bus="usb"/>
    <graphics type="vnc" port="-1"/>
    <video><model type="virtio"/></video>
    <memballoon model="virtio"/>
    <rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
  </devices>
</domain>""",
    "chain": """<domain type='qemu'>
  <name>chain</name>
  <memory unit='MiB'>64</memory>
  <os><type machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/srv/top.qcow2'/>
      <backingStore type='file'><format type='qcow2'/><source file='/srv/middle.qcow2'/>
        <backingStore type='file'><format type='raw'/><source file='/srv/base.img'/><backingStore/></backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/>
      <auth username='admin'><secret type='ceph' uuid='8c2bd4d4-0f4c-4e8b-9f0a-3b5c2a1d0e9f'/></auth>
      <source protocol='rbd' name='pool/image'><host name='mon1.example.com' port='6789'/>
        <host name='mon2.example.com' port='6789'/></source>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='network' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source protocol='https' name='path/to/file.iso'><host name='example.com' port='443'/>
        <cookies><cookie name='session'>geheim12</cookie></cookies></source>
      <target dev='sda' bus='sata'/><readonly/>
    </disk>
  </devices>
</domain>""",
    "arguments": """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>arguments</name>
  <memory unit='MiB'>64</memory>
  <os><type machine='pc'>hvm</type></os>
  <sysinfo type='smbios'>
    <system><entry name='manufacturer'>Example</entry><entry name='serial'>ds=nocloud</entry></system>
    <oemStrings><entry>first</entry><entry>second</entry></oemStrings>
  </sysinfo>
  <devices/>
  <qemu:commandline>
    <qemu:arg value='-newarg'/><qemu:arg value='parameter'/>
    <qemu:env name='ID' value='wibble'/><qemu:env name='API_TOKEN' value='geheim12'/>
  </qemu:commandline>
</domain>""",
    "microvm": """<domain type='qemu'>
  <name>microvm</name>
  <memory unit='MiB'>64</memory>
  <os><type machine='microvm'>hvm</type><kernel>/boot/vmlinuz</kernel></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>""",
    "twocards": """<domain type='qemu'>
  <name>twocards</name>
  <memory unit='MiB'>64</memory>
  <os><type machine='q35'>hvm</type></os>
  <devices>
    <interface type='network'><source network='lab'/><model type='virtio'/></interface>
    <interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
    <interface type='network'><source network='default'/><model type='e1000'/></interface>
    <serial type='pty'/><serial type='file'><source path='/tmp/x.log'/></serial>
  </devices>
</domain>""",
}


#: Siblings whose order means something: first video, names of serial ports, indexes of controllers, what is tried first.
_ORDERED = frozenset(
    {"boot", "arg", "entry", "host", "listen", "controller", "serial", "console", "model", "video", "initarg"}
)


def variants(text: str) -> t.Iterator[tuple[str, str]]:
    """The same document written otherwise: a label, and the text."""
    root = ET.fromstring(text)
    for element in root.iter():
        element.attrib = dict(reversed(list(element.attrib.items())))
    yield "attributes turned round", written(root)
    root = ET.fromstring(text)
    ET.indent(root, space="\t\t")
    yield "indented, with comments", "<!-- one -->" + written(root).replace("<devices>", "<devices><!-- two -->")
    root = ET.fromstring(text)
    _turn(root)
    yield "elements turned round", written(root)
    root = ET.fromstring(text)
    for tag in ("memory", "currentMemory"):
        size = root.find(tag)
        if size is not None and size.get("unit", "KiB") == "KiB":
            size.text, size.attrib = str(int(size.text or "0") * 1024), {"unit": "bytes"}
    yield "other units", written(root)


def _turn(element: ET.Element) -> None:
    if element.tag == "metadata":
        return
    for child in element:
        _turn(child)
    free = [child for child in element if str(child.tag).rpartition("}")[2] not in _ORDERED]
    element[:] = [*reversed(free), *(child for child in element if child not in free)]


def written(root: ET.Element) -> str:
    """The document as text."""
    return ET.tostring(root, encoding="unicode")
