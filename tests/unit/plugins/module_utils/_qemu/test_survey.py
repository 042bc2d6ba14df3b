# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest is asked by the best monitor that answers, and every other one is a stated fact."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import parse_mounts
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import (
    Guest,
    GuestDisk,
    GuestMonitor,
    GuestProcess,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import discovery, survey
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._qemu.peer import BANNER, Peer, serving

ANSWERS: dict[str, t.Any] = {
    "query-status": {"status": "running"}, "query-name": {"name": "told"}, "query-block": [], "query-jobs": [],
    "query-uuid": {"UUID": "00000000-0000-0000-0000-000000000000"}, "query-cpus-fast": [{"qom-path": "/machine/c"}],
    "query-memory-size-summary": {"base-memory": 7, "plugged-memory": 1}, "qom-list": [],
    "query-migrate": {"status": "failed", "blocked-reasons": ["no"]}, "human-monitor-command": "",
}  # fmt: skip
QOM = {"/machine": "pc-q35-9.2-machine", "/machine/c": "Nehalem-x86_64-cpu"}


def full(peer: Peer) -> None:
    """A QEMU that refuses what an old one does not know."""
    peer.greet()
    while True:
        line = peer.line()
        if not line:
            return
        message = json.loads(line)
        if message["execute"] == "qom-get":
            peer.tell({"id": message["id"], "return": QOM[message["arguments"]["path"]]})
        elif message["execute"] == "query-jobs":
            peer.tell({"id": message["id"], "error": {"class": "CommandNotFound", "desc": "what?"}})
        else:
            peer.tell({"id": message["id"], "return": ANSWERS[message["execute"]]})


def process(*words: str, **more: t.Any) -> GuestProcess:
    return GuestProcess(
        1 << 22, "kvm", ("kvm", "-name", "asked", "-M", "q35", *words), state="S", directory="/", **more
    )


def test_a_guest_with_qmp(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path, full) as path:
        guest = survey.read_guest(process("-monitor", "stdio", "-qmp", f"unix:{path},server=on,wait=off"), 20)
    assert (guest.told_by, guest.name, guest.uuid, guest.status) == ("qmp", "told", "", "running")
    assert (guest.machine_asked, guest.machine, guest.cpu, guest.vcpus) == ("q35", "pc-q35-9.2", "Nehalem", 1)
    assert (guest.memory, guest.migration, guest.blockers, guest.qemu_version) == (8, "failed", ("no",), "10.0.13")
    assert guest.unknown == ()
    assert [(one.kind, one.state, one.reason) for one in guest.monitors] == [
        ("qmp", "answers", ""),
        ("hmp", "unreachable", "it is not on a socket"),
    ]


@pytest.mark.parametrize(
    ("script", "state"),
    [
        (Peer.hang, "silent"),
        (lambda peer: (peer.say(BANNER), peer.hang())[1], "silent"),
        (lambda peer: (peer.say(b"hello\n"), peer.hang())[1], "unreachable"),
        (lambda peer: peer.greet(), "gone"),
    ],
)
def test_a_monitor_that_does_not_answer(tmp_path: pathlib.Path, script: t.Callable[[Peer], None], state: str) -> None:
    with serving(tmp_path, script) as path:
        guest = survey.read_guest(process("-qmp", f"unix:{path},server=on,wait=off"), 0.3)
    assert (guest.told_by, guest.name, guest.status, guest.machine) == ("argv", "asked", None, "")
    assert [one.state for one in guest.monitors] == [state]
    assert guest.monitors[0].reason
    assert len(guest.unknown) == 2


def test_nobody_connects_to_what_is_stopped_or_waits(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("-qmp", f"unix:{tmp_path}/x,server=on")
    stopped = survey.read_guest(dataclasses.replace(process(*words), state="T"), 0.3)
    assert stopped.monitors == (
        GuestMonitor("qmp", f"unix:{tmp_path}/x", "silent", "A signal has stopped the process."),
    )
    monkeypatch.setattr(discovery, "not_started", lambda pid: True)
    waiting = survey.read_guest(process(*words), 0.3)
    assert waiting.monitors[0].state == "unreachable"
    assert "whoever connects starts it" in waiting.monitors[0].reason
    monkeypatch.setattr(discovery, "not_started", lambda pid: False)
    assert survey.read_guest(process(*words), 0.3).monitors[0].state == "gone"


def place_of(one: GuestProcess) -> tuple[Address | None, str]:
    [place] = survey.argvread.monitors_of(survey.argv.parse(one.words))
    return survey.reach(one, place)


def test_the_way_to_a_monitor() -> None:
    pid = 1 << 22
    relative = dataclasses.replace(process("-qmp", "unix:a/../q,server,nowait"), directory="/srv/vm")
    assert place_of(relative)[0] == Address("unix", path="/srv/vm/q", bound="a/../q", pid=pid)
    elsewhere = dataclasses.replace(relative, namespaces=("mnt",))
    assert place_of(elsewhere)[0] == Address("unix", path=f"/proc/{pid}/root/srv/vm/q", bound="a/../q", pid=pid)
    tcp = process("-qmp", "tcp::5,server,nowait")
    assert place_of(tcp)[0] == Address("tcp", host="127.0.0.1", port=5, pid=pid)
    for words in (("-qmp", "tcp::5,server,nowait"), ("-qmp", "unix:x,abstract=on,server,nowait")):
        assert place_of(process(*words, namespaces=("net",))) == (None, "it listens in another network namespace")


def named(pid: int, name: str, uuid: str = "") -> Guest:
    disk = GuestDisk("", source="https://me:secret@host/x")
    words = ("kvm", "-object", "secret,id=s,data=abc")
    return Guest(GuestProcess(pid, "kvm", words), name=name, uuid=uuid, disks=(disk, GuestDisk("empty")))


def test_guests_are_chosen_by_name_uuid_and_pid() -> None:
    all_of_them = [named(1, "Web"), named(2, "web"), named(3, "", "ab-cd"), named(4, "db")]
    assert [guest.process.pid for guest in survey.chosen(all_of_them, [])] == [1, 2, 3, 4]
    assert [guest.process.pid for guest in survey.chosen(all_of_them, ["web", "AB-CD"])] == [1, 2, 3]
    assert [guest.process.pid for guest in survey.chosen(all_of_them, ["4"])] == [4]
    with pytest.raises(KvmError, match="'nobody'; it has Web") as caught:
        survey.chosen(all_of_them, ["db", "nobody"])
    assert caught.value.error_code == "GUEST_UNKNOWN"
    with pytest.raises(KvmError, match="it has none"):
        survey.chosen([], ["x"])


def test_people_do_not_see_secrets() -> None:
    shown = survey.for_people(named(1, "web"))
    assert shown.process.words == ("kvm", "-object", "secret,id=s,data=***")
    assert [disk.source for disk in shown.disks] == ["https://me:***@host/x", None]


@pytest.mark.parametrize(
    ("source", "more", "shared", "filesystem"),
    [
        ("/srv/nfs/a.raw", {}, True, "nfs:192.0.2.5:/export"),
        ("/srv/said/deep/a.raw", {}, True, "shared:/srv/said"),
        ("a.raw", {"directory": "/srv/nfs"}, True, "nfs:192.0.2.5:/export"),
        ("/nowhere/a.raw", {}, False, "local:ext4:/dev/sda1:8:1"),
        ("/srv/nfs/a.raw", {"namespaces": ("mnt",)}, None, None),
        ("nbd://192.0.2.5/a", {}, None, None),
        ("/dev/sdb", {}, None, None),
        (None, {}, None, None),
    ],
)
def test_where_a_disk_lies(
    source: str | None, more: dict[str, t.Any], shared: bool | None, filesystem: str | None
) -> None:
    mounts = parse_mounts(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /srv/nfs rw - nfs4 store:/export rw,addr=192.0.2.5\n"
    )
    one = dataclasses.replace(process(), **more)
    disk = survey.placed(one, GuestDisk("vda", source=source), mounts, ["/srv/said/"])
    assert disk.shared is shared
    assert (disk.filesystem or "").partition("@")[0] == (filesystem or "")
