# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.conflicts import Rival
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.departed import Departure
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_host import Image
from ansible_collections.virtops.kvm.plugins.modules import qemu_guest
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._qemu.fake_guest import SIZE, UUID, FakeGuests

DISK = {"path": "/srv/a.qcow2"}
NEW = {"path": "/srv/new.raw", "format": "raw", "size": "1M"}
OTHER = "5dea22b3-1d52-d8f3-2516-782e98ab3fa0"


def filled(rules: dict[str, t.Any], given: t.Any) -> t.Any:
    """Options as AnsibleModule fills them in, those inside others too."""
    values = {}
    for option, rule in rules.items():
        value = given.get(option, rule.get("default"))
        if value is not None and "options" in rule:
            inner = rule["options"]
            value = [filled(inner, one) for one in value] if rule["type"] == "list" else filled(inner, value)
        values[option] = value
    return values


def run(gateway: FakeGuests, *, check: bool = False, **options: t.Any) -> t.Any:
    params = filled(qemu_guest.argument_spec(), {"name": "web", **options})
    return qemu_guest.run(params, check, t.cast("t.Any", gateway))


def ensured(gateway: FakeGuests, **options: t.Any) -> t.Any:
    """In check mode, for real, and again."""
    calls = list(gateway.calls)
    announced = run(gateway, check=True, **options)
    assert gateway.calls == calls
    done = run(gateway, **options)
    assert announced.changes == done.changes
    assert announced.diff == done.diff
    assert announced.values["state"] == done.values["state"]
    assert not run(gateway, **options).changes
    return done


def actions(result: t.Any) -> list[str]:
    return [change.action for change in result.changes]


def refused(gateway: FakeGuests, **options: t.Any) -> KvmError:
    """The error in check mode and for real, with nothing done."""
    errors = []
    before = gateway.present, list(gateway.calls)
    for check in (True, False):
        with pytest.raises(KvmError) as caught:
            run(gateway, check=check, **options)
        errors.append(caught.value)
    assert errors[0].message == errors[1].message
    assert (gateway.present, gateway.calls) == before
    return errors[0]


def guest(run_state: str | None = "running", *, started: str = "running", **more: t.Any) -> FakeGuests:
    """A host with the guest ``web`` in QEMU's state ``run_state``."""
    gateway = FakeGuests(**more)
    persistent = run_state is None
    run(gateway, memory="64M", disks=[DISK], state="stopped" if persistent else started, persistent=persistent)
    gateway.present = dataclasses.replace(gateway.present, run_state=run_state)
    gateway.calls.clear()
    return gateway


# ---- a description ----


def test_a_new_guest_is_announced_as_it_is_made() -> None:
    gateway = FakeGuests()
    done = ensured(gateway, memory="64M", disks=[DISK, NEW], nics=[{"type": "bridge", "bridge": "br0"}])
    assert actions(done) == ["create", "define", "start"]
    assert gateway.images["/srv/new.raw"] == Image("raw", SIZE)
    assert (done.values["uuid"], done.values["state"]) == (UUID, "running")
    assert gateway.present.unit is not None
    assert [tap.bridge for tap in gateway.present.unit.taps] == ["br0"]
    assert "-name guest=web" in done.diff["after"]


def test_another_description_is_defined_told_and_taken_only_when_permitted() -> None:
    gateway = guest()
    bigger = {"memory": "128M", "disks": [DISK]}
    done = ensured(gateway, **bigger)
    assert actions(done) == ["redefine"]
    assert done.values["restart_needed"]
    assert done.values["differences"] == ["-m: '64M' -> '128M'"]
    again = run(gateway, **bigger)
    assert again.values["restart_needed"]
    assert "may_restart" in again.msg
    done = ensured(gateway, **bigger, may_restart=True)
    assert actions(done) == ["shut down", "start"]
    assert not done.values["restart_needed"]
    assert not run(gateway, **bigger).values["restart_needed"]


def test_a_guest_that_does_not_shut_down_is_not_restarted() -> None:
    gateway = guest(deaf=True)
    with pytest.raises(KvmError) as caught:
        run(gateway, memory="128M", disks=[DISK], may_restart=True, shutdown_timeout=5)
    assert caught.value.error_code == "SHUTDOWN_TIMEOUT"
    assert gateway.present.run_state == "running"
    assert "define" not in gateway.calls
    assert "start" not in gateway.calls


def test_the_version_of_the_machine_and_the_uuid_stay() -> None:
    gateway = guest(None)
    assert gateway.present.unit is not None
    words = [word.replace("10.0", "7.2").replace(UUID, OTHER) for word in gateway.present.unit.arguments]
    old = dataclasses.replace(gateway.present.unit, arguments=tuple(words), uuid=OTHER)
    gateway.present = dataclasses.replace(gateway.present, unit=old)
    run(gateway, memory="64M", disks=[DISK])
    assert "pc-q35-7.2" in gateway.present.arguments
    assert OTHER in gateway.present.arguments


def test_a_list_of_arguments_gets_what_it_lacks() -> None:
    gateway = FakeGuests()
    done = ensured(gateway, arguments=["-m", "64M", "-hda", "/srv/a.img"])
    assert actions(done) == ["define", "start"]
    words = gateway.present.arguments
    assert words[:3] == ("/usr/bin/qemu", "-name", "guest=web")
    assert words[3:5] == ("-uuid", UUID)
    assert words.count("-qmp") == 2
    named = FakeGuests()
    run(named, arguments=["-name", "web,debug-threads=on", "--uuid", OTHER.upper().replace("-", "")])
    assert (named.present.arguments.count("-name"), named.present.arguments.count("-uuid")) == (1, 0)
    assert named.present.unit is not None
    assert named.present.unit.uuid == OTHER


# ---- states ----


STATES: list[tuple[str | None, str, list[str]]] = [
    (None, "running", ["start"]),
    (None, "paused", ["start paused"]),
    (None, "incoming", ["wait for a migration"]),
    (None, "stopped", []),
    ("running", "running", []),
    ("running", "paused", ["pause"]),
    ("running", "stopped", ["shut down", "remove"]),
    ("paused", "running", ["resume"]),
    ("paused", "paused", []),
    ("paused", "stopped", ["resume", "shut down", "remove"]),
    ("suspended", "running", ["wake up"]),
    ("suspended", "stopped", ["wake up", "shut down", "remove"]),
    ("io-error", "running", ["resume"]),
    ("prelaunch", "running", ["resume"]),
    ("prelaunch", "paused", []),
    ("prelaunch", "stopped", ["end", "remove"]),
    ("inmigrate", "incoming", []),
    ("inmigrate", "stopped", ["end", "remove"]),
    ("shutdown", "stopped", ["end", "remove"]),
]


@pytest.mark.parametrize(("run_state", "state", "steps"), STATES)
def test_states(run_state: str | None, state: str, steps: list[str]) -> None:
    assert actions(ensured(guest(run_state), state=state)) == steps


IMPOSSIBLE: list[tuple[str, str, bool, str]] = [
    ("inmigrate", "running", False, "waits for a migration"),
    ("inmigrate", "paused", False, "waits for a migration"),
    ("running", "incoming", False, "only a new process"),
    ("postmigrate", "running", True, "handed over"),
    ("postmigrate", "paused", True, "handed over"),
    ("postmigrate", "stopped", False, "shutdown_action=destroy"),
    ("guest-panicked", "running", True, "panicked"),
    ("guest-panicked", "stopped", False, "shutdown_action=destroy"),
    ("shutdown", "running", True, "shut itself down"),
    ("unknown", "running", True, "does not answer"),
    ("unknown", "stopped", False, "shutdown_action=destroy"),
    ("io-error", "paused", False, "by itself"),
]


@pytest.mark.parametrize(("run_state", "state", "hard", "words"), IMPOSSIBLE)
def test_states_that_cannot_be_reached(run_state: str, state: str, hard: bool, words: str) -> None:
    found = refused(guest(run_state), state=state, shutdown_action="destroy" if hard else "fail")
    assert found.error_code == "STATE_IMPOSSIBLE"
    assert words in found.message


@pytest.mark.parametrize("state", ["running", "paused", "stopped"])
@pytest.mark.parametrize("run_state", ["finish-migrate", "inmigrate", "postmigrate"])
def test_nothing_is_done_during_a_migration(run_state: str, state: str) -> None:
    gateway = guest(run_state)
    gateway.present = dataclasses.replace(gateway.present, migrating=True)
    assert "under way" in refused(gateway, state=state, shutdown_action="destroy").message


def test_a_guest_is_ended_hard_only_when_that_is_said() -> None:
    gateway = guest(deaf=True)
    with pytest.raises(KvmError) as caught:
        run(gateway, state="stopped", shutdown_timeout=35)
    assert caught.value.error_code == "SHUTDOWN_TIMEOUT"
    assert gateway.calls == ["press"] * 4
    run(gateway, state="stopped", shutdown_timeout=35, shutdown_action="destroy")
    assert "end" in gateway.calls
    for run_state in ("postmigrate", "guest-panicked", "unknown"):
        gone = guest(run_state)
        assert actions(ensured(gone, state="stopped", shutdown_action="destroy")) == ["end hard", "remove"]


def test_a_persistent_definition_stays_until_it_is_given_up() -> None:
    gateway = guest(None)
    assert actions(ensured(gateway, autostart=True)) == ["set", "start"]
    assert actions(ensured(gateway, state="stopped")) == ["shut down"]
    assert gateway.present.autostart
    assert actions(ensured(gateway, state="incoming")) == ["set", "wait for a migration"]
    assert not gateway.present.autostart
    assert actions(ensured(gateway, state="stopped", persistent=False)) == ["end", "remove"]
    assert gateway.images["/srv/a.qcow2"]


# ---- refusals ----


REFUSED: list[tuple[dict[str, t.Any], str, str]] = [
    ({"name": "a/b", "memory": "64M"}, "INVALID_OPTION", "no slash"),
    ({"name": " ", "memory": "64M"}, "INVALID_OPTION", "empty"),
    ({"uuid": "x", "memory": "64M"}, "INVALID_OPTION", "no UUID"),
    ({"memory": "much"}, "INVALID_OPTION", "no size"),
    ({"memory": "1000"}, "INVALID_OPTION", "whole number of MiB"),
    ({"memory": "64M", "vcpus": 0}, "INVALID_OPTION", "vcpus"),
    ({"memory": "64M", "machine": "q35,x=y"}, "INVALID_OPTION", "no machine type"),
    ({"memory": "64M", "cpu": "max -S"}, "INVALID_OPTION", "no CPU"),
    ({"memory": "64M", "vnc": "unix:/x"}, "INVALID_OPTION", "no display"),
    ({"memory": "64M", "disks": [{"path": "a.raw"}]}, "INVALID_OPTION", "absolute"),
    ({"memory": "64M", "disks": [{"path": "/srv/../a"}]}, "INVALID_OPTION", "'..'"),
    ({"memory": "64M", "disks": [{"path": "/a\n"}]}, "INVALID_OPTION", "control characters"),
    ({"memory": "64M", "disks": [DISK, DISK]}, "INVALID_OPTION", "two disks"),
    ({"memory": "64M", "disks": [{"path": "/dev/vg/lv", "size": "1M"}]}, "INVALID_OPTION", "is a device"),
    ({"memory": "64M", "disks": [{"path": "/a", "size": "100"}]}, "INVALID_OPTION", "512"),
    ({"memory": "64M", "disks": [{"path": "/a", "size": "1M", "device": "cdrom"}]}, "INVALID_OPTION", "only read"),
    (
        {"memory": "64M", "disks": [{"path": f"/{n}", "device": "cdrom"} for n in range(7)]},
        "INVALID_OPTION",
        "no place",
    ),
    ({"memory": "64M", "nics": [{"type": "user", "mac": "53:54:00:00:00:01"}]}, "INVALID_OPTION", "no MAC address"),
    ({"memory": "64M", "nics": [{"type": "bridge"}]}, "INVALID_OPTION", "needs 'bridge'"),
    ({"memory": "64M", "nics": [{"type": "user", "tap": "t"}]}, "INVALID_OPTION", "has no 'tap'"),
    ({"memory": "64M", "nics": [{"type": "tap", "tap": "a,b"}]}, "INVALID_OPTION", "network interface"),
    ({"memory": "64M", "nics": [{"type": "tap", "tap": "tap9"}]}, "TAP_MISSING", "tap9"),
    ({"memory": "64M", "nics": [{"type": "bridge", "bridge": "tap0"}]}, "BRIDGE_MISSING", "tap0"),
    ({"memory": "64M", "firmware": {"code": "/srv/code.fd", "template": "/srv/t"}}, "INVALID_OPTION", "'vars'"),
    ({"memory": "64M", "firmware": {"code": "/srv/none.fd"}}, "DISK_MISSING", "/srv/none.fd"),
    ({"memory": "64M", "extra_arguments": ["--daemonize"]}, "INVALID_OPTION", "--daemonize"),
    ({"arguments": ["-incoming", "tcp::1"]}, "INVALID_OPTION", "-incoming"),
    ({"arguments": ["-name", "guest=mail"]}, "INVALID_OPTION", "'mail'"),
    ({"arguments": ["-uuid", OTHER], "uuid": UUID}, "INVALID_OPTION", "another UUID"),
    ({"arguments": ["-uuid", "../.."]}, "INVALID_OPTION", "no UUID"),
    ({"arguments": ["-m", "1"], "disks": [DISK]}, "INVALID_OPTION", "cannot go with"),
    ({"disks": [DISK]}, "INVALID_OPTION", "begins with"),
    ({"memory": "64M", "autostart": True}, "INVALID_OPTION", "persistent"),
    ({"memory": "64M", "state": "incoming", "persistent": True, "autostart": True}, "INVALID_OPTION", "elsewhere"),
    ({"memory": "64M", "shutdown_timeout": -1}, "INVALID_OPTION", "negative"),
    ({"memory": "64M", "disks": [{"path": "/srv/none.qcow2"}]}, "DISK_MISSING", "none.qcow2"),
    ({"memory": "64M", "disks": [{"path": "/none/a.raw", "size": "1M"}]}, "FOLDER_MISSING", "/none"),
    ({"memory": "64M", "disks": [{**DISK, "size": "2M"}]}, "DISK_DIFFERS", "size"),
    ({"memory": "64M", "disks": [{**DISK, "format": "raw"}]}, "DISK_DIFFERS", "format"),
    ({}, "GUEST_NOT_FOUND", "memory"),
]


@pytest.mark.parametrize(("options", "code", "words"), REFUSED)
def test_refusals(options: dict[str, t.Any], code: str, words: str) -> None:
    found = refused(FakeGuests(), **options)
    assert (found.error_code, words in found.message) == (code, True), found.message


RIVALS = [
    (Rival("the libvirt domain 'x'", uuid=UUID), "UUID_CONFLICT"),
    (Rival("the QEMU process 7", name="web"), "NAME_CONFLICT"),
    (Rival("the QEMU process 7", writes=frozenset(["/srv/a.qcow2"])), "DISK_IN_USE"),
    (Rival("the QEMU process 7", reads=frozenset(["/srv/a.qcow2"])), "DISK_IN_USE"),
    (Rival("the QEMU process 7", writes=frozenset(["/srv/cd.iso"])), "DISK_IN_USE"),
]


@pytest.mark.parametrize("state", ["running", "paused", "incoming"])
@pytest.mark.parametrize(("rival", "code"), RIVALS)
def test_a_second_copy_is_never_started(rival: Rival, code: str, state: str) -> None:
    disks = [DISK, {"path": "/srv/cd.iso", "device": "cdrom"}]
    found = refused(FakeGuests(rivals=[rival]), memory="64M", disks=disks, state=state)
    assert found.error_code == code
    assert rival.label in found.message


def test_images_in_a_list_of_arguments_count_too() -> None:
    rival = Rival("the QEMU process 7", writes=frozenset(["/srv/a.img"]))
    gateway = FakeGuests(rivals=[rival])
    assert refused(gateway, arguments=["-drive", "file=srv/a.img,format=raw"]).error_code == "DISK_IN_USE"


def test_a_medium_may_be_read_by_many() -> None:
    rival = Rival("the QEMU process 7", reads=frozenset(["/srv/cd.iso"]))
    assert ensured(FakeGuests(rivals=[rival]), memory="64M", disks=[{"path": "/srv/cd.iso", "device": "cdrom"}])


def test_a_locked_image_is_for_one_that_waits_alone() -> None:
    gateway = FakeGuests()
    gateway.images["/srv/a.qcow2"] = Image("qcow2", SIZE, locked=True)
    assert refused(gateway, memory="64M", disks=[DISK]).error_code == "DISK_IN_USE"
    assert actions(ensured(gateway, memory="64M", disks=[DISK], state="incoming")) == ["define", "wait for a migration"]


@pytest.mark.parametrize("path", ["/srv/a.qcow2", "/srv"])
def test_what_the_user_may_not_use_is_told_before(path: str) -> None:
    gateway = FakeGuests()
    gateway.denied.add(path)
    assert refused(gateway, memory="64M", disks=[DISK, NEW]).error_code == "ACCESS_DENIED"


def test_a_guest_that_does_not_start_leaves_nothing() -> None:
    gateway = FakeGuests(broken="no such device")
    with pytest.raises(KvmError):
        run(gateway, memory="64M", disks=[DISK, NEW])
    assert gateway.present.unit is None
    assert "/srv/new.raw" not in gateway.images


def test_a_guest_that_does_not_start_again_keeps_its_definition() -> None:
    gateway = guest(None)
    before = gateway.present
    gateway.broken = "no such device"
    with pytest.raises(KvmError):
        run(gateway, memory="128M", disks=[DISK, NEW], autostart=True)
    assert gateway.present == before
    assert "/srv/new.raw" not in gateway.images


def test_another_uuid_is_another_guest() -> None:
    assert refused(guest(), memory="64M", disks=[DISK], uuid=OTHER).error_code == "UUID_CONFLICT"


def test_stopping_what_is_not_there_is_nothing_to_do() -> None:
    result = run(FakeGuests(), state="stopped")
    assert not result.changes
    assert (result.values["uuid"], result.values["state"]) == (None, "stopped")


# ---- one that moved away ----


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (Departure("web", OTHER, "kvm2"), "it moved to kvm2"),
        (Departure("renamed", UUID.upper(), "kvm2"), "move it back with qemu_migration on kvm2"),
        (Departure(UUID, "", "kvm2"), "it moved to kvm2"),
        (
            Departure("other", OTHER, "kvm2", images=("/srv/a.qcow2",)),
            "the guest 'other', which left it here, moved to kvm2",
        ),
        (Departure("web", UUID, "kvm2", certain=False), "run qemu_migration again"),
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"state": "paused"}, {"state": "stopped", "persistent": True, "autostart": True}]
)
def test_a_guest_that_moved_away_is_not_started(gone: Departure, words: str, options: dict[str, t.Any]) -> None:
    gateway = guest(None)
    gateway.departed = [Departure("none of it", OTHER, "kvm3", images=("/srv/b.qcow2",)), gone]
    error = refused(gateway, **options)
    assert (error.error_code, error.details["host"]) == ("GUEST_MOVED_AWAY", "kvm2")
    assert words in error.message
    assert not run(gateway, state="stopped").changes


def test_what_somebody_accepted_is_this_hosts_again() -> None:
    gateway = guest(None)
    other = Departure("other", OTHER, "kvm2", images=("/srv/a.qcow2",))
    gateway.departed = [Departure("web", UUID, "kvm2"), other]
    assert actions(run(gateway, check=True, accept=["GUEST_MOVED_AWAY"])) == ["start"]
    assert len(gateway.departed) == 2
    assert actions(ensured(gateway, accept=["GUEST_MOVED_AWAY"])) == ["start"]
    # That another guest's disk was used is no word about that guest.
    assert gateway.departed == [other]


def test_a_guest_that_comes_back_by_a_migration_is_this_hosts_again() -> None:
    gateway = guest(None)
    gateway.departed = [Departure("web", UUID, "kvm2")]
    assert actions(ensured(gateway, state="incoming")) == ["wait for a migration"]
    assert gateway.departed
    gateway.present = dataclasses.replace(gateway.present, run_state="paused")
    assert actions(ensured(gateway)) == ["resume"]
    assert not gateway.departed
    assert actions(ensured(gateway, state="stopped", persistent=True)) == ["shut down"]
    assert actions(ensured(gateway)) == ["start"]
