# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two machines are the same to the guest, or the difference is named."""

from __future__ import annotations

import dataclasses
import json

from ansible_collections.virtops.kvm.plugins.module_utils._qemu import qtree, visible

TREE = """bus: main-system-bus
  type System
  dev: q35-pcihost, id ""
    MCFG = 2952790016 (0xb0000000)
    bus: pcie.0
      type PCIE
      dev: virtio-blk-pci, id "vd0"
        addr = 03.0
        class SCSI controller, addr 00:03.0, pci id 1af4:1001 (sub 1af4:0002)
        bar 0: i/o at 0xc000 [0xc07f]
        bus: virtio-bus
          type virtio-pci-bus
          dev: virtio-blk-device, id ""
            drive = "disk0"
            serial = "one"
"""


def test_what_only_the_host_knows_is_no_difference() -> None:
    there = TREE.replace('"disk0"', '"other"').replace("2952790016 (0xb0000000)", "-1").replace("0xc000", "0xffff")
    assert qtree.differences(TREE, there) == []


def test_a_device_more_or_less_and_another_property() -> None:
    more = TREE + '      dev: virtio-rng-pci, id ""\n        addr = 04.0\n'
    assert qtree.differences(TREE, more) == ["only the destination has virtio-rng-pci at 04.0"]
    assert qtree.differences(more, TREE) == ["only the source has virtio-rng-pci at 04.0"]
    (found,) = qtree.differences(TREE, TREE.replace('"one"', '"two"'))
    assert found == 'virtio-blk-device: serial is "one" on the source and "two" on the destination'


def test_another_version_may_have_other_properties_but_not_another_serial() -> None:
    there = TREE.replace('serial = "one"', 'serial = "one"\n            new = true')
    assert qtree.differences(TREE, there)
    assert qtree.differences(TREE, there, one_version=False) == []
    assert qtree.differences(TREE, TREE.replace('"one"', '"two"'), one_version=False)


def test_machine_processors_and_memory() -> None:
    words = [[1, 0, "EDX", 5]]
    cpu = json.dumps({"type": "qemu64-x86_64-cpu", "model": 6, "feature-words": words, "place": {"core-id": 0}})
    here = visible.Visible("pc-q35-10.0", TREE, (cpu,), {"base-memory": 64}, "10.0.2")
    assert visible.differences(here, here) == []
    nehalem = cpu.replace("qemu64", "Nehalem").replace("5]", "7]")
    (kind, features) = visible.differences(here, dataclasses.replace(here, cpus=(nehalem,)))
    assert "Nehalem" in kind
    assert features == "the processor's features differ in CPUID 0x1/EDX"
    assert "2" in visible.differences(here, dataclasses.replace(here, cpus=(cpu, cpu)))[0]
    assert "128" in visible.differences(here, dataclasses.replace(here, memory={"base-memory": 128}))[0]
    assert "pc-i440fx" in visible.differences(here, dataclasses.replace(here, machine="pc-i440fx-10.0"))[0]


def test_names_that_no_guest_sees_do_not_count_where_that_is_asked() -> None:
    port = """      dev: pcie-root-port, id "rp1"
        addr = 0{place}.0
        bus: rp1
          type PCIE
          dev: virtio-{kind}-pci, id "x{kind}"
            addr = 00.0
"""
    here = TREE + port.format(place=4, kind="rng") + port.format(place=5, kind="net")
    there = here.replace("rp1", "pci.1").replace("xrng", "rng0").replace('"vd0"', '"virtio-disk0"')
    assert qtree.differences(here, there)
    assert qtree.differences(qtree.unnamed(here), qtree.unnamed(there)) == []
    swapped = TREE + port.format(place=4, kind="net") + port.format(place=5, kind="rng")
    assert len(qtree.differences(qtree.unnamed(here), qtree.unnamed(swapped))) == 4, "each is behind the other port"
