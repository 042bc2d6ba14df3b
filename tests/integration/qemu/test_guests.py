# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that scripts started are found and described, on both suites; what hangs, is busy or is libvirt's is told apart."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import monitor, session

from tests.integration.ansible_runs import run_module
from tests.integration.conftest import lab_name, sweep
from tests.lab import Lab
from tests.lab.guest.bare import BareGuest, outside
from tests.lab.guest.shapes import Disk
from tests.lab.host import IMAGES
from tests.lab.shell import wait_for

#: They do not boot, so ten of them cost nothing.
HALTED = ("-S",)
BLOCKER = ("-object", "memory-backend-ram,id=shm,size=1M,share=on", "-device", "ivshmem-plain,memdev=shm,master=off")
COPIED = ("-chardev", "socket,id=charmonitor,path=/run/lab/copied/domain-1-copied.sock,server=on,wait=off")
#: Somebody on the host who speaks with a monitor and does not stop.
HOLD = 'nc -U "$1" > /run/lab/held 2>&1 < /dev/null & echo $!'


@pytest.fixture(scope="module")
def old_lab() -> t.Iterator[Lab]:
    """One bookworm host."""
    lab = Lab.up(name=lab_name("oldq"), hosts=1, suite="bookworm")
    try:
        sweep(lab)
        yield lab
    finally:
        lab.down()


def by_pid(lab: Lab, **options: t.Any) -> dict[int, dict[str, t.Any]]:
    """What the module tells, by pid; it never changes anything."""
    result = run_module(lab.inventory, "kvm1", "qemu_guest_info", options)
    assert not result["failed"], result
    assert result["changed"] is False
    return {guest["process"]["pid"]: guest for guest in result["guests"]}


def pid_of(guest: BareGuest) -> int:
    pid = guest.qemu_pid(guest.lab.host("kvm1"))
    assert pid is not None
    return pid


def disks(guest: dict[str, t.Any]) -> list[tuple[t.Any, ...]]:
    """The disks with something in them, as a row each."""
    keys = ("style", "source", "format", "virtual_size", "readonly", "hot_plugged")
    return [tuple(disk[key] for key in keys) for disk in guest["disks"] if disk["source"]]


def describe(lab: Lab, version: str) -> None:
    host, mib = lab.host("kvm1"), 1 << 20
    start = lab.create_bare_guest
    by_hand = start(
        "kvm1",
        "by hand, 1",
        style="hda",
        monitor="hmp",
        iso=True,
        wait=False,
        unit="by-hand",
        disks=(Disk("qcow2", chain=True),),
    )
    drives = start(
        "kvm1",
        "drives",
        style="drive",
        machine="q35",
        wait=False,
        disks=(Disk("raw"), Disk()),
        extra=(*HALTED, *BLOCKER),
    )
    nodes = start(
        "kvm1",
        "nodes",
        style="blockdev",
        monitor="both",
        nic="user",
        wait=False,
        disks=(Disk(), Disk("raw")),
        extra=HALTED,
    )
    nameless = start("kvm1", "x", monitor="none", named=False, with_uuid=False, pidfile=False, wait=False, extra=HALTED)
    busy = start("kvm1", "busy", wait=False, extra=HALTED)
    hung = start("kvm1", "hung", monitor="both", wait=False, extra=HALTED)
    waits = start(
        "kvm1", "waits", monitor="none", wait=False, unit="waits", extra=("-qmp", "unix:/run/lab/waits.sock,server=on")
    )
    copied = start(
        "kvm1", "copied", monitor="none", named=False, wait=False,
        extra=(*HALTED, "-name", "guest=copied,debug-threads=on", *COPIED, "-mon", "chardev=charmonitor,mode=control"),
    )  # fmt: skip
    lab.create_guest("kvm1", "qcow2", "libvirts", start="shutoff")
    host.virsh("start", "libvirts", "--paused")

    plug = f"{IMAGES}/plug.qcow2"
    host.run(["qemu-img", "create", "-q", "-f", "qcow2", plug, "40M"])
    host.run(["qemu-img", "create", "-q", "-f", "raw", f"{IMAGES}/plug.raw", "1M"])
    assert "OK" in by_hand.hmp(f"drive_add 0 if=none,id=later,file={plug},format=qcow2")
    assert by_hand.hmp("device_add virtio-blk-pci,drive=later,id=plugged") == ""
    raw = {"driver": "file", "filename": f"{IMAGES}/plug.raw"}
    nodes.qmp("blockdev-add", **{"driver": "raw", "node-name": "plug", "file": raw})
    nodes.qmp("device_add", driver="virtio-blk-pci", drive="plug", id="vd9")
    nodes.qmp("device_add", driver="virtio-rng-pci")
    nodes.qmp(
        "drive-backup", job_id="slow", device="disk0", target="/run/lab/nodes/copy", format="raw", sync="full", speed=1
    )
    by_hand.wait_beating()
    lab.fault.qemu(hung, "kvm1", "stop")
    holder = host.run(["sh", "-c", HOLD, "sh", busy.socket("qmp")]).stdout.strip()
    ready = "test -S /run/lab/waits.sock && grep -q QMP /run/lab/held"
    wait_for("QEMU to listen, and to be held", lambda: host.run(["sh", "-c", ready], check=False).returncode == 0)
    found = by_pid(lab, timeout=3)
    host.run(["kill", holder])
    assert sorted(found) == sorted(
        pid_of(one) for one in (by_hand, drives, nodes, nameless, busy, hung, waits, copied)
    ), "libvirt's own is left out, everything else is found"

    one = found[pid_of(by_hand)]
    assert (one["name"], one["uuid"], one["told_by"], one["status"]) == ("by hand, 1", by_hand.uuid, "hmp", "running")
    assert (one["machine_asked"], one["machine"]) == ("pc", f"pc-i440fx-{version}")
    assert one["qemu_version"].startswith(f"{version}.")
    assert (one["memory"], one["vcpus"], one["cpu"], one["accelerator"]) == (96 * mib, 1, "qemu64", accelerator(lab))
    assert disks(one) == [
        ("hda", by_hand.disks[0], "qcow2", 128 * mib, False, False),
        ("cdrom", f"{IMAGES}/by hand, 1-seed.iso", "raw", 47104, True, False),
        ("", plug, "qcow2", 40 * mib, False, True),
    ]
    chain = one["disks"][0]["backing_chain"]
    assert [(layer["path"], layer["format"]) for layer in chain] == [(f"{IMAGES}/by hand, 1-base.qcow2", "qcow2")]
    assert one["disks"][0]["node"].startswith("#block")
    assert one["disks"][0]["allocated"] > 0
    assert one["hot_plugged"] == [{"device": "plugged", "driver": "virtio-blk-pci"}]
    assert [(nic["mac"], nic["backend"], nic["interface"]) for nic in one["nics"]] == [
        (by_hand.mac, "tap", by_hand.tap)
    ]
    process = one["process"]
    assert (process["user"], process["unit"], process["taps"]) == ("root", "by-hand.service", [by_hand.tap])
    assert by_hand.disks[0] in process["files"]
    assert process["parent"] == "systemd"
    assert process["words"][:3] == ["/usr/bin/qemu-system-x86_64", "-name", "by hand,, 1"]

    two = found[pid_of(drives)]
    assert (two["told_by"], two["status"], two["machine"]) == ("qmp", "prelaunch", f"pc-q35-{version}")
    assert [disk[:5] for disk in disks(two)] == [
        ("drive", drives.disks[0], "raw", 128 * mib, False),
        ("drive", drives.disks[1], "qcow2", 128 * mib, False),
    ]
    assert (two["hot_plugged"], two["unplugged"], two["jobs"]) == ([], [], [])
    assert any("peer mode" in reason for reason in two["blockers"]), two["blockers"]

    three = found[pid_of(nodes)]
    assert three["told_by"] == "qmp"
    assert [(monitor["kind"], monitor["state"]) for monitor in three["monitors"]] == [
        ("qmp", "answers"), ("hmp", "answers"),
    ]  # fmt: skip
    assert disks(three) == [
        ("blockdev", nodes.disks[0], "qcow2", 128 * mib, False, False),
        ("blockdev", nodes.disks[1], "raw", 128 * mib, False, False),
        ("", f"{IMAGES}/plug.raw", "raw", mib, False, True),
    ]
    assert [disk["node"] for disk in three["disks"]] == ["disk0", "disk1", "plug"]
    assert [disk["device"] for disk in three["disks"]] == ["vd0", "vd1", "vd9"]
    assert [one["driver"] for one in three["hot_plugged"]] == ["virtio-blk-pci", "virtio-rng-pci"]
    assert [(job["id"], job["type"], job["status"]) for job in three["jobs"]] == [("slow", "backup", "running")]
    assert [(nic["backend"], nic["mac"]) for nic in three["nics"]] == [("user", nodes.mac)]

    for guest, kind, state in (
        (nameless, None, None), (busy, "qmp", "busy"), (hung, "qmp", "silent"), (waits, "qmp", "unreachable"),
    ):  # fmt: skip
        dark = found[pid_of(guest)]
        assert (dark["told_by"], dark["status"], dark["machine_asked"], dark["machine"]) == ("argv", None, "pc", "")
        assert dark["unknown"]
        assert [row[:3] for row in disks(dark)] == [("drive", guest.disks[0], "qcow2")]
        shown = [(monitor["kind"], monitor["state"]) for monitor in dark["monitors"]]
        assert shown == ([] if kind is None else [(kind, state)] + ([("hmp", state)] if guest is hung else []))
    assert found[pid_of(hung)]["process"]["state"] == "T"
    assert (found[pid_of(nameless)]["name"], found[pid_of(nameless)]["uuid"]) == ("", "")
    assert len(host.run(["ls", f"/proc/{pid_of(waits)}/task"]).stdout.split()) <= 2, "nobody started the one that waits"
    assert (found[pid_of(copied)]["name"], found[pid_of(copied)]["told_by"]) == ("copied", "qmp")

    lab.fault.qemu(hung, "kvm1", "cont")
    later = by_pid(lab, guests=["Hung", busy.uuid, str(pid_of(nameless))])
    assert sorted(later) == sorted(map(pid_of, (hung, busy, nameless)))
    assert [later[pid_of(one)]["told_by"] for one in (hung, busy, nameless)] == ["qmp", "qmp", "argv"]
    speak(lab, drives, by_hand)
    status = by_hand.status()
    assert status is not None, "nobody disturbed it"
    # The disk that was plugged in while it booted may have come too late for it.
    assert len(status["a"]) in (1, 2)
    assert not any(status["e"])
    for guest in lab.guests:
        guest.remove()


def accelerator(lab: Lab) -> str:
    return "kvm" if lab.state.facts["kvm"] else "tcg"


def speak(lab: Lab, quick: BareGuest, human: BareGuest) -> None:
    """The sessions themselves, with a QEMU that answers, one that hangs, and one that is killed."""
    host = lab.host("kvm1")
    address = f"unix:{outside(host, quick.socket('qmp'))}"
    with session.connect(address, timeout=60) as one:
        assert one.has_command("migrate")
        assert one.oob
        assert "prelaunch" in one.hmp("info status")
        one.execute("cont")
        assert one.wait_event("RESUME", 60).name == "RESUME"
        one.execute("stop")
        assert "STOP" in [event.name for event in one.events]
        with pytest.raises(KvmError, match="refused device_add") as caught:
            one.execute("device_add", {"driver": "no-such"})
        assert caught.value.error_code == "MONITOR_REFUSED"
        with pytest.raises(KvmError) as caught:
            monitor.connect(address, timeout=1)
        assert caught.value.error_code in ("MONITOR_BUSY", "MONITOR_SILENT")
        lab.fault.qemu(quick, "kvm1", "stop")
        with pytest.raises(KvmError, match="query-status") as caught:
            one.execute("query-status", timeout=1)
        assert caught.value.error_code == "MONITOR_SILENT"
        lab.fault.qemu(quick, "kvm1", "cont")
        assert one.execute("query-status")["status"] == "paused"
        lab.fault.qemu(quick, "kvm1", "kill")
        with pytest.raises(KvmError) as caught:
            one.execute("query-status")
        assert caught.value.error_code == "MONITOR_GONE"
    with monitor.connect(f"unix:{outside(host, human.socket('hmp'))}", timeout=60) as other:
        assert (other.kind, other.order("info status")) == ("hmp", "VM status: running\n")
        with pytest.raises(KvmError, match="refused frobnicate"):
            other.order("frobnicate now")


def test_guests_of_scripts(lab: Lab, hosts: list[str]) -> None:
    describe(lab, "10.0")


def test_guests_of_scripts_with_an_old_qemu(old_lab: Lab) -> None:
    describe(old_lab, "7.2")
