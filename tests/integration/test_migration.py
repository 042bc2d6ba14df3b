# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""domain_migration on its good days: every shape of guest arrives as it was, a second call changes nothing, check mode tells
the truth, and bad input changes nothing."""

from __future__ import annotations

import os
import signal
import typing as t

import pytest

from tests.integration.ansible_runs import run_module
from tests.integration.moves import (
    arrived,
    mirroring,
    move,
    nothing_left,
    slow_guest,
    stage,
    start_move,
    still_here,
    wait_mirroring,
)
from tests.integration.moves import options as move_options
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.guest import Guest

from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences


def definition(lab: Lab, host: str, guest: Guest) -> str:
    return lab.host(host).virsh("dumpxml", "--inactive", "--security-info", guest.uuid)


def same_definition(before: str, after: str) -> None:
    """Equal in everything but the chain, which a copy flattens."""
    assert differences(before, after) == []


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("qcow2", None),
        ("raw", "raw with spaces äöü"),
        ("three-disks", None),
        ("chain", None),
        ("pc", None),
        ("autostart", None),
    ],
)
def test_a_guest_goes_and_comes_back_as_it_was(lab: Lab, hosts: list[str], shape: str, name: str | None) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, shape, name)
    before = definition(lab, source, guest)
    there = move(lab, guest, source, destination)

    assert not there.get("failed"), there["msg"]
    assert there["changed"]
    assert there["outcome"] == "moved"
    assert there["method"] == "live_block"
    assert there["move"]["downtime_ms"] is not None
    arrived(guest, destination)
    same_definition(before, definition(lab, destination, guest))
    again = move(lab, guest, source, destination)
    assert not again["changed"], again
    assert again["outcome"] == "already_there"

    back = move(lab, guest, destination, source)
    assert not back.get("failed"), back["msg"]
    assert {change["action"] for change in back["changes"] if change["object"].startswith("image ")} == {"replace"}
    arrived(guest, source)
    same_definition(before, definition(lab, source, guest))
    wanted = shape == "autostart"
    assert (f"{guest.uuid}" in lab.host(source).virsh("list", "--all", "--autostart", "--uuid")) == wanted
    assert lab.verify(guest, source).clean
    assert lab.host(source).virsh("pool-list", "--all", "--name").split() == ["default"]
    assert "virtops" not in lab.host(source).virsh("secret-list") + lab.host(destination).virsh("secret-list")


def test_uefi_guest_takes_its_variables_along(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "uefi")
    result = move(lab, guest, source, destination)
    assert not result.get("failed"), result["msg"]
    arrived(guest, destination)


def test_paused_guest_stays_paused(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "paused")
    result = move(lab, guest, source, destination)
    assert not result.get("failed"), result["msg"]
    assert guest.where() == {destination: "paused"}


def test_shared_disk_is_not_copied(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "shared")
    result = move(lab, guest, source, destination)
    assert not result.get("failed"), result["msg"]
    assert result["method"] == "live_shared"
    assert result["move"]["disk_bytes"] == 0
    arrived(guest, destination)


def test_check_mode_announces_what_then_happens(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "three-disks", autostart=True)
    mapping = {"disks": {"vdb": "/var/lib/libvirt/images/elsewhere.raw"}, "graphics_listen": "127.0.0.1"}
    host = lab.host(destination)
    files = host.run(
        ["find", "/var/lib", "/run/virtops-kvm", "-newer", "/proc/1", "-name", "*virtops*"], check=False
    ).stdout
    announced = move(lab, guest, source, destination, "--check", "--diff", mapping=mapping, source_disks="rename")
    assert announced["changed"]
    assert "elsewhere.raw" in announced["diff"]["after"]
    assert "elsewhere.raw" not in announced["diff"]["before"]
    still_here(guest, source)
    nothing_left(lab, guest, destination)
    assert (
        host.run(
            ["find", "/var/lib", "/run/virtops-kvm", "-newer", "/proc/1", "-name", "*virtops*"], check=False
        ).stdout
        == files
    )

    done = move(lab, guest, source, destination, mapping=mapping, source_disks="rename")
    assert not done.get("failed"), done["msg"]
    assert done["changes"] == announced["changes"]
    arrived(guest, destination)
    left = lab.host(source).run(["ls", "/var/lib/libvirt/images"]).stdout.split()
    assert [name for name in left if name.startswith(guest.name) and not name.endswith(".migrated")] == []
    assert any(name.endswith(".migrated") for name in left)


def test_source_disks_are_deleted_only_when_asked(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    assert not move(lab, guest, source, destination, source_disks="delete").get("failed")
    arrived(guest, destination)
    assert guest.name not in lab.host(source).run(["ls", "/var/lib/libvirt/images"]).stdout


BAD: list[tuple[str, dict[str, t.Any], str]] = [
    ("unknown domain", {"name": "nobody"}, "DOMAIN_NOT_FOUND"),
    ("unreachable destination", {"destination": "qemu+ssh://root@203.0.113.9/system"}, "HOST_UNREACHABLE"),
    ("no URI", {"destination": "kvm2"}, "INVALID_OPTION"),
    ("wrong method for the disks", {"method": "live_shared"}, "METHOD_UNSUITABLE"),
    ("negative bandwidth", {"bandwidth": -1}, "INVALID_OPTION"),
    ("a disk that is not there", {"mapping": {"disks": {"vdz": "/var/lib/libvirt/images/z"}}}, "INVALID_OPTION"),
    ("a network that is not there", {"mapping": {"networks": {"nowhere": "lab"}}}, "INVALID_OPTION"),
    ("an unknown key", {"mapping": {"disk": {"vda": "/x"}}}, "INVALID_OPTION"),
    (
        "path traversal",
        {"mapping": {"disks": {"vda": "/var/lib/libvirt/images/../../../etc/passwd"}}},
        "INVALID_OPTION",
    ),
    ("relative path", {"mapping": {"disks": {"vda": "x.qcow2"}}}, "INVALID_OPTION"),
    ("unknown disk to copy", {"disks": ["vdz"]}, "INVALID_OPTION"),
    ("post-copy without permission", {"timeout_action": "postcopy"}, "INVALID_OPTION"),
    ("progress in a folder", {"progress_id": "../x"}, "INVALID_OPTION"),
]


def test_bad_input_is_told_and_changes_nothing(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    before = definition(lab, source, guest)
    for what, options, code in BAD:
        wanted = {**move_options(lab, guest, destination), **options}
        result = run_module(lab.inventory, source, "domain_migration", wanted)
        assert result.get("failed"), what
        assert result["error_code"] == code, f"{what}: {result}"
        assert not result["changed"], what
    still_here(guest, source)
    nothing_left(lab, guest, destination)
    assert definition(lab, source, guest) == before


def test_second_caller_attaches_to_the_move_that_runs(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    first = start_move(lab, guest, source, destination, bandwidth=6)
    wait_mirroring(lab, guest, source, first)
    second = move(lab, guest, source, destination)
    assert not second.get("failed"), second["msg"]
    assert second["outcome"] in ("attached", "already_there")
    assert first.finish().status == 0
    arrived(guest, destination)


def test_a_killed_module_is_attached_to_and_its_work_finished(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source, autostart=True)
    first = start_move(lab, guest, source, destination, bandwidth=3)
    wait_mirroring(lab, guest, source, first)
    holders = (
        lab.host(source).run(["sh", "-c", "fuser /run/virtops-kvm/locks/*.lock 2>/dev/null || true"]).stdout.split()
    )
    modules = lab.host(source).run(["pgrep", "-f", "AnsiballZ_domain_migratio[n]"], check=False).stdout.split()
    assert modules or holders
    lab.host(source).run(["kill", "-9", *(modules or holders)])
    first.process.kill()
    first.process.wait()
    assert mirroring(lab, guest, source)
    result = move(lab, guest, source, destination)
    assert not result.get("failed"), result["msg"]
    assert result["outcome"] == "attached"
    arrived(guest, destination)
    assert guest.uuid in lab.host(destination).virsh("list", "--all", "--autostart", "--uuid")
    assert not move(lab, guest, source, destination)["changed"]


def test_ctrl_c_leaves_the_guest_here_and_the_destination_clean(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    pid = guest.qemu_pid(lab.host(source))
    started = start_move(lab, guest, source, destination, bandwidth=2, progress_interval=1)
    wait_mirroring(lab, guest, source, started)
    wait_for("a line of progress", lambda: "MiB/s" in started.output(), 60, 0.5)
    os.kill(started.process.pid, signal.SIGINT)
    ended = started.finish()
    assert ended.status != 0
    wait_for("the journal to say so", lambda: stage(lab, source, guest) == "undone", 120, 0.5)
    still_here(guest, source, pid)
    nothing_left(lab, guest, destination)
    assert not move(lab, guest, source, destination).get("failed")
    arrived(guest, destination)


def test_places_on_the_destination_are_kept_in_line(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guests = [slow_guest(lab, source), slow_guest(lab, source)]
    one = start_move(lab, guests[0], source, destination, bandwidth=4, destination_slots=1, source_slots=0)
    wait_mirroring(lab, guests[0], source, one)
    two = start_move(lab, guests[1], source, destination, destination_slots=1, source_slots=0, progress_interval=1)
    wait_for("the second one to say that it waits", lambda: "waits for one of 1 places" in two.output(), 120, 0.5)
    assert not mirroring(lab, guests[1], source)
    assert one.finish().status == 0
    assert two.finish().status == 0
    for guest in guests:
        arrived(guest, destination)
