# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What capabilities, domain capabilities, pools and networks tell."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Machines, Network, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._xml.host import (
    parse_capabilities,
    parse_domain_capabilities,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.storage import parse_network, parse_pool

CAPABILITIES = """<capabilities>
  <host>
    <uuid>DDD573F0-65b5-594a-86b3-01f21662a349</uuid>
    <cpu>
      <arch>x86_64</arch><model>EPYC</model><vendor>AMD</vendor>
      <topology sockets='1' dies='1' cores='2' threads='1'/>
    </cpu>
  </host>
  <guest>
    <os_type>hvm</os_type>
    <arch name='i686'>
      <emulator>/usr/bin/qemu-system-i386</emulator>
      <machine maxCpus='255'>isapc</machine>
      <domain type='qemu'/>
    </arch>
  </guest>
  <guest>
    <os_type>hvm</os_type>
    <arch name='x86_64'>
      <wordsize>64</wordsize>
      <emulator>/usr/bin/qemu-system-x86_64</emulator>
      <machine maxCpus='255'>pc-i440fx-10.0</machine>
      <machine canonical='pc-i440fx-10.0' maxCpus='255'>pc</machine>
      <machine canonical='pc-q35-10.0' maxCpus='4096'>q35</machine>
      <domain type='qemu'/>
      <domain type='kvm'>
        <emulator>/usr/bin/kvm</emulator>
        <machine canonical='pc-q35-9.2' maxCpus='255'>q35</machine>
      </domain>
    </arch>
  </guest>
  <guest><os_type>xen</os_type><arch name='x86_64'><domain type='xen'/></arch></guest>
</capabilities>"""


def test_capabilities() -> None:
    found = parse_capabilities(CAPABILITIES)
    assert found.uuid == "ddd573f0-65b5-594a-86b3-01f21662a349"
    assert (found.arch, found.cpu_model, found.cpu_vendor) == ("x86_64", "EPYC", "AMD")
    assert found.emulator == "/usr/bin/qemu-system-x86_64"
    assert found.virt_types == ("kvm", "qemu")
    assert found.machines == (
        Machines("kvm", ("pc-q35-9.2", "q35"), {"q35": "pc-q35-9.2"}),
        Machines(
            "qemu",
            ("pc", "pc-i440fx-10.0", "pc-q35-10.0", "q35"),
            {"pc": "pc-i440fx-10.0", "q35": "pc-q35-10.0"},
        ),
    )


def test_a_host_without_emulator_offers_nothing() -> None:
    found = parse_capabilities(
        "<capabilities><host><uuid>a</uuid><cpu><arch>aarch64</arch></cpu></host></capabilities>"
    )
    assert (found.arch, found.virt_types, found.emulator, found.cpu_model) == ("aarch64", (), None, None)


DOMAIN_CAPABILITIES = """<domainCapabilities>
  <path>/usr/bin/qemu-system-x86_64</path><domain>kvm</domain><machine>pc-i440fx-10.0</machine><arch>x86_64</arch>
  <os supported='yes'>
    <enum name='firmware'><value>efi</value></enum>
    <loader supported='yes'><enum name='type'><value>rom</value><value>pflash</value></enum></loader>
  </os>
  <cpu>
    <mode name='host-passthrough' supported='yes'/>
    <mode name='host-model' supported='{supported}'>
      <model fallback='forbid'>EPYC</model><vendor>AMD</vendor><maxphysaddr mode='passthrough' limit='46'/>
      <feature policy='require' name='x2apic'/><feature policy='disable' name='svm'/>
    </mode>
    <mode name='custom' supported='yes'>
      <model usable='yes' vendor='unknown'>qemu64</model>
      <model usable='no' vendor='AMD'>EPYC-Milan</model>
      <blockers model='EPYC-Milan'><feature name='erms'/></blockers>
      <model usable='unknown' vendor='Intel'>Broadwell</model>
      <model usable='yes' vendor='AMD'>EPYC</model>
    </mode>
  </cpu>
</domainCapabilities>"""


def test_domain_capabilities() -> None:
    found = parse_domain_capabilities(DOMAIN_CAPABILITIES.format(supported="yes"))
    assert found.firmwares == ("bios", "efi")
    assert found.cpu_models == ("EPYC", "qemu64")
    assert found.host_model_xml.startswith('<cpu mode="custom" match="exact">')
    assert '<feature policy="disable" name="svm"/>' in found.host_model_xml
    assert "maxphysaddr" not in found.host_model_xml


def test_a_host_model_that_is_not_supported_is_empty() -> None:
    assert parse_domain_capabilities(DOMAIN_CAPABILITIES.format(supported="no")).host_model_xml == ""


def test_other_architectures_have_no_bios_by_nature() -> None:
    assert parse_domain_capabilities("<domainCapabilities><arch>aarch64</arch></domainCapabilities>").firmwares == ()


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (
            "<pool type='dir'><name>büro</name><capacity unit='bytes'>100</capacity><available unit='bytes'>40</available>"
            "<target><path>/srv/a b</path></target></pool>",
            Pool("büro", "dir", "/srv/a b", capacity=100, available=40),
        ),
        ("<pool type='rbd'><name>r</name><capacity>9</capacity></pool>", Pool("r", "rbd", capacity=9)),
        (
            "<pool type='logical'><name>vg</name><available unit='KiB'>2</available><target><path>/dev/vg</path></target></pool>",
            Pool("vg", "logical", "/dev/vg", available=2048),
        ),
    ],
)
def test_pool(xml: str, expected: Pool) -> None:
    assert parse_pool(xml) == expected


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<network><name>alone</name><bridge name='virbr1'/></network>", Network("alone", bridge="virbr1")),
        ("<network><name>n</name><forward/></network>", Network("n", forward="nat")),
        (
            "<network><name>b</name><forward mode='bridge'/><bridge name='br0'/></network>",
            Network("b", forward="bridge", bridge="br0"),
        ),
        (
            "<network><name>v</name><forward mode='bridge'/><portgroup name='a' default='yes'/><portgroup name='b'/></network>",
            Network("v", forward="bridge", portgroups=("a", "b")),
        ),
    ],
)
def test_network(xml: str, expected: Network) -> None:
    assert parse_network(xml) == expected
