# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module qemu_guest with real QEMU under real systemd: started, changed, refused, handed over, ended, and nothing lost."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.integration.ansible_runs import run_module, run_playbook
from tests.integration.conftest import lab_name
from tests.lab import Lab
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab.host import Host

IMAGES = "/var/lib/libvirt/images"
SHARED = "/srv/shared"
#: A name that means something to systemd, to QEMU and to people.
NAME = 'wéb 50% "$x", 1'
UNIT = "virtops-kvm-guest-*"
#: Boots the lab's guest; without it there is nobody who could hear the power button.
KERNEL = ["-kernel", "/opt/lab-guest/vmlinuz", "-initrd", "/opt/lab-guest/initrd"]
KERNEL += ["-append", "console=ttyS0 quiet mitigations=off panic=1 lab.ip=10.99.99.99/24"]
CLEAN = f"""
systemctl stop 'virtops-guest-*'
systemctl --quiet kill --signal=KILL '{UNIT}' 2>/dev/null
for unit in $(systemctl list-units --all --plain --no-legend '{UNIT}' | awk '{{ print $1 }}'); do systemctl stop "$unit"; done
rm -rf /etc/systemd/system/{UNIT} /run/systemd/system/{UNIT} /etc/systemd/system/multi-user.target.wants/{UNIT} /var/log/virtops-kvm
systemctl daemon-reload
systemctl --quiet reset-failed
rm -f {IMAGES}/bare-*
"""
#: Sends commands to a QMP socket, one JSON document each, and prints the answers that are no events.
QMP = """
import json, socket, sys
stream = socket.socket(socket.AF_UNIX); stream.settimeout(60); stream.connect(sys.argv[1]); file = stream.makefile("rw")
file.readline()
for command in ["{\\"execute\\": \\"qmp_capabilities\\"}", *sys.argv[2:]]:
    file.write(command + "\\n"); file.flush()
    while True:
        answer = json.loads(file.readline())
        if "event" not in answer:
            break
    print(json.dumps(answer))
"""
Options = dict[str, t.Any]


@pytest.fixture(scope="module")
def old_lab() -> t.Iterator[Lab]:
    """A bookworm host."""
    lab = Lab.up(name=lab_name("qold"), hosts=1, suite="bookworm")
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture
def clean(lab: Lab, hosts: list[str]) -> t.Iterator[list[str]]:
    """The names of the hosts, on which no guest process is left."""
    yield hosts
    for host in lab.hosts:
        host.run(["sh", "-c", CLEAN])


def results(lab: Lab, host: str, *tasks: Options) -> list[Options]:
    """One playbook with one task of qemu_guest after another; ``_check`` runs one in check mode."""
    written = []
    for number, options in enumerate(tasks):
        options = dict(options)
        check = options.pop("_check", None)
        task = {"name": f"Step {number}", "virtops.kvm.qemu_guest": options, "ignore_errors": True}
        written.append(task if check is None else {**task, "check_mode": check})
    play = {"name": "Guest processes", "hosts": host, "gather_facts": False, "tasks": written}
    return run_playbook(lab.inventory, [play], "--diff").results("qemu_guest")


def thrice(options: Options) -> list[Options]:
    """In check mode, for real, and again."""
    return [{**options, "_check": True}, options, options]


def ensured(found: t.Sequence[Options]) -> Options:
    """What was announced happened, and then there is nothing left to do."""
    announced, done, again = found
    assert not done["failed"], done["msg"]
    assert announced["changed"] == done["changed"]
    assert announced["changes"] == done["changes"]
    assert announced["diff"] == done["diff"]
    assert announced["state"] == done["state"] == again["state"]
    assert again["changed"] is False, again
    assert again["pid"] == done["pid"]
    return done


def actions(result: Options) -> list[str]:
    return [change["action"] for change in result["changes"]]


def qmp(host: Host, socket: str, *commands: Options) -> list[Options]:
    """The answers of a monitor to ``commands``."""
    words = ["python3", "-c", QMP, socket, *(json.dumps(command) for command in commands)]
    return [json.loads(line) for line in host.run(words, timeout=120).stdout.splitlines()][1:]


def processes(host: Host) -> list[str]:
    """The user of each QEMU process of the host."""
    return host.run(["sh", "-c", "ps -eo user:32,args | awk '/[q]emu-system/ { print $1 }'"]).stdout.split()


def described(**more: t.Any) -> Options:
    return {
        "name": NAME,
        "memory": "128M",
        "accelerator": "tcg",
        "disks": [
            {"path": f"{IMAGES}/bare-a, b.qcow2", "size": "64M", "cache": "writeback"},
            {"path": f"{IMAGES}/bare-b.raw", "size": "16M", "format": "raw", "bus": "ide"},
            {"path": f"{IMAGES}/bare.iso", "device": "cdrom"},
        ],
        "nics": [{"type": "bridge", "bridge": "br0"}, {"type": "user"}],
        "serial": {"type": "file", "path": f"{IMAGES}/bare-serial.log"},
        "vnc": "127.0.0.1:7",
        "extra_arguments": KERNEL,
        **more,
    }


def live(lab: Lab, name: str) -> None:
    """A guest from its first start to its end, on one host."""
    host = lab.host(name)
    host.run(
        ["sh", "-c", f"truncate -s 1M {IMAGES}/bare.iso; install -o libvirt-qemu /dev/null {IMAGES}/bare-serial.log"]
    )
    bigger = described(memory="160M")
    down = {"name": NAME, "state": "stopped", "shutdown_timeout": 600}
    found = results(lab, name, *thrice(described()))
    done = ensured(found)
    assert actions(done) == ["create", "create", "define", "start"]
    assert (done["state"], done["persistent"], done["restart_needed"]) == ("running", False, False)
    assert processes(host) == ["libvirt-qemu"]
    words = host.read(f"/proc/{done['pid']}/cmdline").split("\0")
    assert f"guest={NAME.replace(',', ',,')}" in words
    assert any(word.startswith("pc-q35-") for word in words)
    assert host.read(f"{done['monitors'][0].rpartition('/')[0]}/qemu.pid").strip() == str(done["pid"])
    assert "qcow2" in host.run(["qemu-img", "info", "-U", f"{IMAGES}/bare-a, b.qcow2"]).stdout
    (tap,) = [line.split()[0] for line in host.run(["ip", "-br", "link"]).stdout.splitlines() if line.startswith("vq")]
    assert "br0" in host.run(["ip", "link", "show", tap]).stdout
    (status,) = qmp(host, done["monitors"][1], {"execute": "query-status"})
    assert status["return"]["status"] == "running"
    # Only a guest that has come up hears the power button.
    wait_for("the guest to come up", lambda: "beat" in host.read(f"{IMAGES}/bare-serial.log"), 600, 1)

    found = results(
        lab,
        name,
        *thrice({"name": NAME, "state": "paused"}),
        *thrice({"name": NAME, "state": "running"}),
        *thrice(bigger),
        *thrice({**bigger, "may_restart": True, "state": "paused", "shutdown_timeout": 600}),
        *thrice(bigger),
    )
    steps = [ensured(found[first : first + 3]) for first in range(0, len(found), 3)]
    assert [actions(step) for step in steps] == [
        ["pause"],
        ["resume"],
        ["redefine"],
        ["shut down", "start paused"],
        ["resume"],
    ]
    assert steps[2]["restart_needed"]
    assert steps[2]["differences"] == ["-m: '128M' -> '160M'"]
    assert "may_restart" in steps[2]["msg"]
    assert found[8]["restart_needed"]
    assert not steps[3]["restart_needed"]
    assert steps[3]["pid"] != steps[0]["pid"]

    host.run(["truncate", "-s", "0", f"{IMAGES}/bare-serial.log"])
    wait_for("the guest to come up", lambda: "beat" in host.read(f"{IMAGES}/bare-serial.log"), 600, 1)
    done = ensured(results(lab, name, *thrice(down)))
    assert actions(done) == ["shut down", "remove"]
    assert processes(host) == []
    assert tap not in host.run(["ip", "-br", "link"]).stdout
    assert host.run(["sh", "-c", f"ls -d /run/systemd/system/{UNIT}"], check=False).stdout == ""
    assert host.run(["test", "-f", done["log"]]).returncode == 0
    assert host.run(["qemu-img", "check", f"{IMAGES}/bare-a, b.qcow2"]).returncode == 0


def test_a_guest_lives_on_trixie(lab: Lab, clean: list[str]) -> None:
    live(lab, clean[0])


def test_a_guest_lives_on_bookworm(old_lab: Lab) -> None:
    live(old_lab, "kvm1")


def test_a_guest_waits_for_a_migration_and_is_never_started_twice(lab: Lab, clean: list[str]) -> None:
    here, there = lab.host(clean[0]), lab.host(clean[1])
    uuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
    guest = {"name": "shared 1", "uuid": uuid, "memory": "64M", "accelerator": "tcg"}
    guest["disks"] = [{"path": f"{SHARED}/bare.qcow2", "size": "16M"}]
    first = ensured(results(lab, here.name, *thrice({**guest, "persistent": True, "autostart": True})))
    assert actions(first) == ["create", "define", "set", "start"]
    assert "enabled" in here.run(["sh", "-c", f"systemctl list-unit-files --no-legend '{UNIT}'"]).stdout

    waiting = {**guest, "state": "incoming", "persistent": True}
    found = results(
        lab,
        there.name,
        {**guest, "_check": True},
        guest,
        {**waiting, "autostart": True},
        *thrice(waiting),
        {"name": "shared 1"},
        {"name": "shared 1", "state": "paused"},
    )
    assert [one.get("error_code") for one in found[:3]] == ["DISK_IN_USE", "DISK_IN_USE", "INVALID_OPTION"]
    arrived = ensured(found[3:6])
    assert actions(arrived) == ["define", "wait for a migration"]
    assert [one["error_code"] for one in found[6:]] == ["STATE_IMPOSSIBLE"] * 2
    # The file for one start is gone, so that not even systemd could make it run by another one's data.
    assert there.run(["sh", "-c", f"ls -d /run/systemd/system/{UNIT}"], check=False).stdout == ""

    address = {"execute": "migrate-incoming", "arguments": {"uri": f"tcp:{there.address}:49200"}}
    assert qmp(there, arrived["monitors"][1], address) == [{"return": {}}]
    assert qmp(
        here, first["monitors"][1], {"execute": "migrate", "arguments": {"uri": f"tcp:{there.address}:49200"}}
    ) == [{"return": {}}]

    def state() -> t.Any:
        (answer,) = qmp(here, first["monitors"][1], {"execute": "query-status"})
        return answer["return"]["status"]

    wait_for("the guest to be handed over", lambda: state() == "postmigrate", 120, 0.5)
    handed = results(lab, here.name, guest, {"name": "shared 1", "state": "stopped"})
    assert [one["error_code"] for one in handed] == ["STATE_IMPOSSIBLE"] * 2
    assert "handed over" in handed[0]["msg"]
    assert actions(ensured(results(lab, there.name, *thrice(guest)))) == ["resume"]
    ended = ensured(
        results(lab, here.name, *thrice({"name": "shared 1", "state": "stopped", "shutdown_action": "destroy"}))
    )
    assert actions(ended) == ["end hard"]
    assert processes(here) == []
    assert processes(there) == ["libvirt-qemu"]


def test_refusals_change_nothing(lab: Lab, clean: list[str]) -> None:
    host = lab.host(clean[0])
    domain = lab.create_guest(host.name, "qcow2", "domain 1", start="shutoff")
    disk = f"{IMAGES}/domain 1.qcow2"
    host.run(["sh", "-c", f"cd {IMAGES} && qemu-img create -q -f qcow2 bare-root.qcow2 1M"])
    guest = {"name": "bare", "memory": "32M", "accelerator": "tcg"}
    image = {"path": f"{IMAGES}/bare.raw", "size": "1M", "format": "raw"}
    listed = {"name": "bare", "arguments": ["-machine", "pc", "-m", "32M", "-display", "none", "-accel", "tcg"]}
    bad = [
        ({**guest, "uuid": domain.uuid}, "UUID_CONFLICT"),
        ({**guest, "name": "domain 1"}, "NAME_CONFLICT"),
        ({**guest, "disks": [{"path": disk}]}, "DISK_IN_USE"),
        ({**guest, "disks": [{"path": f"{IMAGES}/none.qcow2"}]}, "DISK_MISSING"),
        ({**guest, "disks": [{"path": f"{IMAGES}/bare-root.qcow2"}]}, "ACCESS_DENIED"),
        ({**guest, "user": "root", "disks": [{"path": f"{IMAGES}/bare-root.qcow2", "size": "2M"}]}, "DISK_DIFFERS"),
        ({**guest, "user": "root", "disks": [{"path": f"{IMAGES}/bare-root.qcow2", "format": "raw"}]}, "DISK_DIFFERS"),
        ({**guest, "disks": [{"path": "/nowhere/a.qcow2", "size": "1M"}]}, "FOLDER_MISSING"),
        ({**guest, "nics": [{"type": "bridge", "bridge": "br9"}]}, "BRIDGE_MISSING"),
        ({**guest, "nics": [{"type": "tap", "tap": "tap9"}]}, "TAP_MISSING"),
        ({**guest, "machine": "pc-q35-99"}, "INVALID_OPTION"),
        ({**guest, "extra_arguments": ["-daemonize"]}, "INVALID_OPTION"),
        ({"name": "bare"}, "GUEST_NOT_FOUND"),
    ]
    wrong = {**guest, "disks": [image], "extra_arguments": ["-device", "no-such-device"]}
    before = host.run(["sh", "-c", f"ls -l {IMAGES} /etc/systemd/system /run/systemd/system; ip -br link"]).stdout
    found = results(lab, host.name, *[options for options, _code in bad], wrong, {**bad[0][0], "_check": True})
    assert [one.get("error_code") for one in found] == [
        *(code for _options, code in bad),
        "START_FAILED",
        "UUID_CONFLICT",
    ]
    assert "no-such-device" in found[-2]["msg"]
    assert all("\n" not in one["msg"] for one in found)
    assert (
        host.run(["sh", "-c", f"ls -l {IMAGES} /etc/systemd/system /run/systemd/system; ip -br link"]).stdout == before
    )
    assert processes(host) == []

    # Nobody in it hears the power button, so only a hard end ends it; and while it runs, no second one has its disk.
    down = {"name": "bare", "state": "stopped"}
    found = results(
        lab,
        host.name,
        {**guest, "disks": [image], "persistent": True},
        {**guest, "name": "other", "disks": [image]},
        {**down, "shutdown_timeout": 2},
        *thrice({**down, "shutdown_timeout": 2, "shutdown_action": "destroy"}),
        *thrice({**down, "persistent": False}),
        *thrice(listed),
    )
    assert found[0]["changed"], found[0]
    assert (found[1]["error_code"], found[2]["error_code"]) == ("DISK_IN_USE", "SHUTDOWN_TIMEOUT")
    steps = [ensured(found[first : first + 3]) for first in range(3, len(found), 3)]
    assert [actions(step) for step in steps] == [["shut down"], ["remove"], ["define", "start"]]
    assert (steps[0]["persistent"], steps[1]["persistent"]) == (True, False)
    assert host.run(["test", "-f", f"{IMAGES}/bare.raw"]).returncode == 0

    # One that hangs is not hung on to.
    host.run(["kill", "-STOP", str(steps[2]["pid"])])
    hung = results(lab, host.name, listed, *thrice({**down, "shutdown_action": "destroy"}))
    assert (hung[0]["error_code"], "does not answer" in hung[0]["msg"]) == ("STATE_IMPOSSIBLE", True)
    assert actions(ensured(hung[1:])) == ["end hard", "remove"]
    assert processes(host) == []


def moved(lab: Lab, source: str, destination: str, name: str) -> Options:
    """Let ``qemu_migration`` take the guest to the other host."""
    options = {
        "name": name,
        "destination": f"root@{lab.host(destination).address}",
        "destination_label": destination,
        "source_label": source,
    }
    found = run_module(lab.inventory, source, "qemu_migration", options)
    assert found.get("outcome") == "moved", found
    return found


def ended(host: Host, monitor: str) -> None:
    """Have the guest's process end as if it had shut down."""
    qmp(host, monitor, {"execute": "quit"})
    wait_for("the process to end", lambda: processes(host) == [], 60, 0.5)


def test_a_guest_that_moved_away_is_not_started_until_it_is_back(lab: Lab, clean: list[str]) -> None:
    here, there = lab.host(clean[0]), lab.host(clean[1])
    disk = {"path": f"{IMAGES}/bare-t.qcow2", "size": "16M"}
    guest = {"name": "traveller 1", "memory": "64M", "accelerator": "tcg", "disks": [disk], "nics": [{"type": "user"}]}
    guest = {**guest, "persistent": True, "autostart": True}
    second = {**guest, "name": "second"}
    alone, accepted = {"name": guest["name"]}, {**guest, "accept": ["GUEST_MOVED_AWAY"]}
    first = ensured(results(lab, here.name, *thrice(guest)))

    moved(lab, here.name, there.name, guest["name"])
    assert (processes(here), processes(there)) == ([], ["libvirt-qemu"])
    enabled = ["sh", "-c", f"systemctl list-unit-files --no-legend --state=enabled '{UNIT}'"]
    assert here.run(enabled, check=False).stdout == ""
    asked = [guest, alone, {**guest, "state": "paused"}, {**guest, "state": "stopped"}, second]
    found = results(lab, here.name, *({**one, "_check": check} for one in asked for check in (True, False)))
    assert [one.get("error_code") for one in found] == ["GUEST_MOVED_AWAY"] * len(found)
    assert all(f"to {there.name}" in one["msg"] for one in found)
    assert here.run(enabled, check=False).stdout == ""
    assert processes(here) == []
    assert not ensured(results(lab, here.name, *thrice({**alone, "state": "stopped"})))["changed"]

    # Home again, by a move, as the user that it is run as: its folders are this user's. Its old image makes way.
    moved(lab, there.name, here.name, guest["name"])
    assert (processes(here), processes(there)) == (["libvirt-qemu"], [])
    ended(here, first["monitors"][1])
    assert actions(ensured(results(lab, here.name, *thrice(guest)))) == ["set", "start"]

    # Away for good: somebody has to say so, once.
    moved(lab, here.name, there.name, guest["name"])
    ended(there, first["monitors"][1])
    assert [one["error_code"] for one in results(lab, here.name, guest)] == ["GUEST_MOVED_AWAY"]
    assert actions(ensured(results(lab, here.name, *thrice(accepted)))) == ["set", "start"]
    down = {**alone, "state": "stopped", "shutdown_timeout": 2, "shutdown_action": "destroy"}
    assert actions(ensured(results(lab, here.name, *thrice(down)))) == ["shut down"]
    assert actions(ensured(results(lab, here.name, *thrice(guest)))) == ["start"]
