# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of a move over a human monitor: what is said to it, and what its words (recorded from QEMU 10.0 and 7.2) mean."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import human, tls
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import parse_address
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.human import HumanSession

MIGRATION = """\
globals:
store-global-state: on
clear-bitmap-shift: 18
Migration status: active
total time: 1713 ms
expected downtime: 300 ms
setup: 12 ms
transferred ram: 25600 kbytes
throughput: 134.22 mbps
remaining ram: 2048 kbytes
total ram: 99336 kbytes
duplicate: 21000 pages
transferred disk: 1024 kbytes
remaining disk: 130048 kbytes
total disk: 131072 kbytes
"""
NEWER = """\
Status:                 active
Time (ms):              total=312, setup=3, exp_down=300
RAM info:
  Throughput (Mbps):    939.50
  Sizes:                pagesize=4 KiB, total=4.02 GiB
  Transfers:            transferred=33.3 MiB, remain=3.9 GiB
"""
CPUS = """\
Hotpluggable CPUs:
  type: "qemu64-x86_64-cpu"
  vcpus_count: "1"
  qom_path: "/machine/unattached/device[2]"
  CPUInstance Properties:
    socket-id: "0"
    core-id: "1"
    thread-id: "0"
  type: "qemu64-x86_64-cpu"
  vcpus_count: "1"
  CPUInstance Properties:
    socket-id: "1"
    core-id: "0"
    thread-id: "0"
  type: "qemu64-x86_64-cpu"
  vcpus_count: "1"
  qom_path: "/machine/unattached/device[0]"
  CPUInstance Properties:
    socket-id: "0"
    core-id: "0"
    thread-id: "0"
"""
BLOCKS = """\
virtio0 (#block198): /img/web, 1.qcow2 (qcow2)
    Attached to:      /machine/peripheral-anon/device[0]/virtio-backend
    Cache mode:       writeback
    Backing file:     /img/base.raw (chain depth: 1)

Images:
image: /img/web, 1.qcow2
file format: qcow2
virtual size: 128 MiB (134217728 bytes)
disk size: 196 KiB
backing file: /img/base.raw
backing file format: raw
image: /img/base.raw
file format: raw
virtual size: 128 MiB (134217728 bytes)
disk size: 1 MiB

ide1-cd0: [not inserted]
    Attached to:      /machine/unattached/device[20]
    Removable device: not locked, tray closed
"""
HELP = """\
virtio-blk-pci options:
  addr=<str>             - Slot and optional function number, example: 06.0 or 06 (default: -1)
  busnr=<busnr>
  discard=<bool>         - on/off (default: on)
  iothread=<link<iothread>>
  num-queues=<uint16>    -  (default: 65535)
  rerror=<BlockdevOnError> - Error handling policy, report/ignore/enospc/stop/auto (default: auto)
  serial=<str>
"""


class Spoken:
    """A human monitor that answers from a list, and notes what it was told."""

    version = (10, 0, 2)
    address = parse_address("unix:/run/web.mon")

    def __init__(self, **answers: str) -> None:
        self.answers = {key.replace("_", " "): text for key, text in answers.items()}
        self.lines: list[str] = []

    def hmp(self, line: str, *, timeout: float | None = None) -> str:
        self.lines.append(line)
        return self.answers.get(line, "")

    def close(self) -> None:
        """Nothing to do."""


def session(**answers: str) -> tuple[HumanSession, Spoken]:
    spoken = Spoken(**answers)
    return HumanSession(t.cast("t.Any", spoken)), spoken


def test_what_it_is_told() -> None:
    one, spoken = session()
    one.execute(
        "migrate-set-capabilities",
        {"capabilities": [{"capability": "events", "state": True}, {"capability": "multifd", "state": False}]},
    )
    one.execute("migrate-set-parameters", {"max-bandwidth": 1 << 50, "downtime-limit": 300, "tls-creds": ""})
    one.execute("migrate", {"uri": "tcp:10.0.0.2:49152"})
    one.execute("migrate", {"uri": "tcp:10.0.0.2:49152", "inc": True})
    one.execute("migrate-continue", {"state": "pre-switchover"})
    one.execute("eject", {"device": 'cd "one"', "force": True})
    for plain in ("migrate_cancel", "cont", "quit", "system_powerdown"):
        one.execute(plain)
    assert spoken.lines == [
        "migrate_set_capability events on",
        "migrate_set_capability multifd off",
        "migrate_set_parameter max-bandwidth 1125899906842624B",
        "migrate_set_parameter downtime-limit 300",
        'migrate_set_parameter tls-creds ""',
        'migrate -d "tcp:10.0.0.2:49152"',
        'migrate -d -i "tcp:10.0.0.2:49152"',
        "migrate_continue pre-switchover",
        'eject -f "cd \\"one\\""',
        "migrate_cancel",
        "cont",
        "quit",
        "system_powerdown",
    ]


def test_certificates_go_by_both_kinds_of_monitor() -> None:
    one, spoken = session(**{"qom-list_/objects": "type (string)\nvirtops-tls (child<tls-creds-x509>)\n"})
    tls.add(one.execute, tls.CLIENT, "/etc/pki/a,b", "kvm1")
    assert spoken.lines == [
        "qom-list /objects",
        'migrate_set_parameter tls-creds ""',
        'migrate_set_parameter tls-hostname ""',
        'object_del "virtops-tls"',
        "object_add tls-creds-x509,id=virtops-tls,endpoint=client,dir=/etc/pki/a,,b,verify-peer=on",
        'migrate_set_parameter tls-creds "virtops-tls"',
    ]
    line = "object_add tls-creds-x509,id=virtops-tls,endpoint=server,dir=/none,verify-peer=on"
    one, _spoken = session()
    _spoken.answers[line] = "Error: Unable to access credentials /none/ca-cert.pem: No such file or directory\n"
    with pytest.raises(KvmError, match="kvm2 cannot use the certificates in /none") as caught:
        tls.add(one.execute, tls.SERVER, "/none", "kvm2")
    assert caught.value.error_code == "TLS_UNAVAILABLE"


def test_what_it_cannot_do_is_refused() -> None:
    one, _spoken = session(info_status="VM status: running\n", cont="Error: it burns\n")
    for command in ("blockdev-mirror", "set-action"):
        assert not one.has_command(command)
    with pytest.raises(KvmError, match="no blockdev-mirror") as caught:
        one.execute("blockdev-mirror", {})
    assert caught.value.error_code == "MONITOR_REFUSED"
    with pytest.raises(KvmError, match="it burns"):
        one.execute("cont")
    with pytest.raises(KvmError, match="it printed"):
        one.execute("qom-get", {"path": "/machine", "property": "type"})
    assert one.execute("query-status") == {"status": "running"}
    assert one.execute("query-jobs") == one.execute("query-named-block-nodes") == []


@pytest.mark.parametrize(
    ("words", "old"), [("migrate [-d] [-b] [-i] [-r] uri -- ...", True), ("migrate [-d] [-r] uri", False)]
)
def test_whether_migrate_copies_disks(words: str, old: bool) -> None:
    one, _spoken = session(help_migrate=words)
    assert one.schema().has_argument("migrate", "blk") is old
    assert not one.schema().has_argument("migrate", "detach")


def test_migrations() -> None:
    assert human.migration("globals:\nstore-global-state: on\n") == {}
    found = human.migration(MIGRATION)
    assert found["status"] == "active"
    assert found["ram"] == {"transferred": 25600 << 10, "remaining": 2048 << 10, "total": 99336 << 10}
    assert found["disk"] == {"transferred": 1024 << 10, "remaining": 130048 << 10, "total": 131072 << 10}
    done = human.migration("Migration status: completed\ntotal time: 100 ms\ndowntime: 77 ms\n")
    assert (done["status"], done["downtime"]) == ("completed", 77)
    failed = human.migration("Migration status: failed (Failed to connect to '127.0.0.1:1': Connection refused)\n")
    assert failed["error-desc"].endswith("Connection refused")
    newer = human.migration(NEWER)
    assert (newer["status"], newer["ram"]["transferred"]) == ("active", int(33.3 * (1 << 20)))
    assert newer["ram"]["remaining"] == int(3.9 * (1 << 30))
    blocked = human.migration("Outgoing migration blocked:\n  Migration is disabled when 'x'\n")
    assert blocked == {"blocked-reasons": ["Migration is disabled when 'x'"]}


def test_machines() -> None:
    assert human.processors(CPUS) == [
        {"qom-path": "/machine/unattached/device[0]", "props": {"socket-id": 0, "core-id": 0, "thread-id": 0}},
        {"qom-path": "/machine/unattached/device[2]", "props": {"socket-id": 0, "core-id": 1, "thread-id": 0}},
    ]
    assert human.memory("base memory: 67108864\nplugged memory: 0\n") == {"base-memory": 67108864, "plugged-memory": 0}
    assert human.capabilities("xbzrle: off\npause-before-switchover: on\n")[1] == {
        "capability": "pause-before-switchover",
        "state": True,
    }
    assert human.listed("type (string)\nvd0 (child<virtio-blk-pci>)\n") == [
        {"name": "type", "type": "string"},
        {"name": "vd0", "type": "child<virtio-blk-pci>"},
    ]


def test_disks() -> None:
    disk, tray = human.blocks(BLOCKS)
    assert (disk["device"], disk["removable"], disk["inserted"]["ro"]) == ("virtio0", False, False)
    assert (disk["inserted"]["file"], disk["inserted"]["drv"]) == ("/img/web, 1.qcow2", "qcow2")
    assert disk["inserted"]["image"] == {
        "virtual-size": 128 << 20,
        "backing-image": {"filename": "/img/base.raw", "format": "raw"},
    }
    assert (tray["device"], tray["removable"], "inserted" in tray) == ("ide1-cd0", True, False)


def test_properties_of_devices() -> None:
    found = {one["name"]: one for one in human.properties(HELP)}
    assert found["discard"] == {"name": "discard", "type": "bool", "default-value": True}
    assert found["num-queues"]["default-value"] == 65535
    assert found["rerror"]["default-value"] == "auto"
    assert found["addr"]["default-value"] == -1
    assert found["serial"] == {"name": "serial", "type": "str"}
    assert found["iothread"]["type"] == "link<iothread>"
