# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain with something of everything, as libvirt writes it: saved, and running."""

from __future__ import annotations

SAVED = """<domain type='kvm'>
  <name>web 01</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <memory unit='KiB'>1048576</memory>
  <currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu placement='static'>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-10.0'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/lib/libvirt/qemu/nvram/web 01_VARS.fd</nvram>
    <boot dev='hd'/>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='partial'><model fallback='allow'>Nehalem</model></cpu>
  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/><timer name='hpet' present='no'/></clock>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/var/lib/libvirt/images/web 01.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw'/>
      <source dev='/dev/vg0/web01'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='/srv/iso/seed.iso'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <controller type='pci' index='0' model='pcie-root'/>
    <interface type='network'>
      <mac address='52:54:00:00:00:01'/>
      <source network='default'/>
      <model type='virtio'/>
    </interface>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:02'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'>
      <source path='/var/log/guests/web01.log'/>
      <target port='0'/>
    </serial>
    <graphics type='vnc' port='-1' autoport='yes' listen='192.0.2.1' passwd='geheim'>
      <listen type='address' address='192.0.2.1'/>
    </graphics>
  </devices>
</domain>
"""

RUNNING = (
    SAVED.replace("<domain type='kvm'>", "<domain type='kvm' id='7'>")
    .replace(
        "<source file='/var/lib/libvirt/images/web 01.qcow2'/>",
        "<source file='/var/lib/libvirt/images/web 01.qcow2' index='3'/>\n"
        "<backingStore type='file' index='4'><format type='qcow2'/><source file='/var/lib/libvirt/images/base.qcow2'/>"
        "<backingStore/></backingStore>",
    )
    .replace(
        "<source network='default'/>", "<source network='default' portid='77' bridge='virbr0'/>\n<target dev='vnet4'/>"
    )
    .replace(
        "<target dev='vda' bus='virtio'/>",
        "<target dev='vda' bus='virtio'/>\n<alias name='virtio-disk0'/>\n"
        "<address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>",
    )
    .replace("port='-1' autoport", "port='5903' autoport")
    .replace(
        "</devices>\n",
        "<memballoon model='virtio'><alias name='balloon0'/></memballoon></devices>\n"
        "<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+994</label></seclabel>\n",
    )
)
