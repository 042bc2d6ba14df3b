# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""domain_migration with a stopped guest, on its good days: whatever the domain is made of arrives as it was, and comes back."""

from __future__ import annotations

import json
import typing as t

from tests.integration.moves import move
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.guest import Guest

from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences

Result = dict[str, t.Any]
IMAGES = "/var/lib/libvirt/images"


def definition(lab: Lab, host: str, guest: Guest) -> str:
    return lab.host(host).virsh("dumpxml", "--inactive", "--security-info", guest.uuid)


def autostarts(lab: Lab, host: str, guest: Guest) -> bool:
    return guest.uuid in lab.host(host).virsh("list", "--all", "--autostart", "--uuid")


def sums(lab: Lab, host: str, paths: t.Sequence[str]) -> list[str]:
    """What files or devices of a shut-off guest hold, by a tool that is not ours."""
    return [line.split()[0] for line in lab.host(host).run(["sha256sum", *paths]).stdout.splitlines()]


def arrived(guest: Guest, destination: str, state: str = "running") -> None:
    assert guest.where() == {destination: state}, guest.where()
    if state == "running":
        guest.wait_beating()


def good(result: Result, *, method: str = "offline", outcome: str = "moved") -> Result:
    assert not result.get("failed"), result["msg"]
    assert (result["outcome"], result["method"]) == (outcome, method), result
    for proof in result["move"]["proofs"]:
        assert proof["digest"], proof
    return result


def announced_and_done(lab: Lab, guest: Guest, source: str, destination: str, **options: t.Any) -> Result:
    """Check mode first, then the move; both tell the same changes, and check mode leaves everything as it was."""
    announced = move(lab, guest, source, destination, "--check", "--diff", **options)
    assert not announced.get("failed"), announced["msg"]
    assert guest.where().keys() == {source}
    for file in announced["files"]:
        assert file["size"] > 0, file
        assert file["path"].startswith("/dev/") or file["free"] > file["size"], file
    done = move(lab, guest, source, destination, **options)
    assert not done.get("failed"), done["msg"]
    assert done["changes"] == announced["changes"]
    return done


def clean(lab: Lab, host: str, guest: Guest) -> None:
    """No copy in the making, no saved memory and no process of the guest's move is left on a host."""
    names = lab.host(host).run(["find", "/var/lib/libvirt", "-name", "*.moving*"]).stdout
    assert names == "", names
    assert lab.host(host).run(["pgrep", "-c", "qemu-nbd"], check=False).stdout.strip() == "0"


def test_firmware_tpm_and_three_disks_go_and_come_back(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "three-disks", uefi=True, tpm=True, memory_mib=192, autostart=True)
    before = definition(lab, source, guest)
    variables = f"/var/lib/libvirt/qemu/nvram/{guest.name}_VARS.fd"
    options = {"method": "offline", "may_stop": True}
    refused = move(lab, guest, source, destination, method="offline")
    assert refused["error_code"] == "MAY_NOT_STOP"
    arrived(guest, source)

    there = good(announced_and_done(lab, guest, source, destination, **options))
    assert there["move"]["stopped_seconds"] > 0
    arrived(guest, destination)
    assert differences(before, definition(lab, destination, guest)) == []
    assert autostarts(lab, destination, guest)
    copied = {proof["path"] for proof in there["move"]["proofs"]}
    assert {*guest.disks, variables} <= copied
    assert any("swtpm" in path for path in copied), copied
    assert lab.host(destination).run(["stat", "-c", "%a %U", variables]).stdout.split()[0] == "600"
    assert lab.verify(guest, destination).clean
    clean(lab, destination, guest)
    again = move(lab, guest, source, destination, **options)
    assert not again["changed"], again
    assert again["outcome"] == "already_there"

    back = good(move(lab, guest, destination, source, **options))
    assert {change["action"] for change in back["changes"] if change["object"].startswith("file ")} == {"replace"}
    arrived(guest, source)
    assert differences(before, definition(lab, source, guest)) == []
    assert autostarts(lab, source, guest)
    assert lab.verify(guest, source).clean
    clean(lab, source, guest)


def test_a_chain_is_kept_in_another_folder_and_flattened_when_asked(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "chain")
    before = definition(lab, source, guest)
    guest.stop()
    elsewhere = {"paths": {IMAGES: f"{IMAGES}/moved"}}
    there = good(announced_and_done(lab, guest, source, destination, mapping=elsewhere))
    arrived(guest, destination, "shut off")
    assert len(there["move"]["proofs"]) == 2
    assert there["move"]["stopped_seconds"] is None
    moved = [path.replace(IMAGES, f"{IMAGES}/moved") for path in guest.disks]
    chain = json.loads(
        lab.host(destination).run(["qemu-img", "info", "--backing-chain", "--output=json", moved[0]]).stdout
    )
    assert [layer["filename"].rpartition("/")[0] for layer in chain] == [f"{IMAGES}/moved"] * 2
    guest.start()

    home = {"paths": {f"{IMAGES}/moved": f"{IMAGES}/flat"}}
    good(move(lab, guest, destination, source, method="offline", may_stop=True, mapping=home, chain="flatten"))
    arrived(guest, source)
    flat = guest.disks[0].replace(IMAGES, f"{IMAGES}/flat")
    info = lab.host(source).run(["qemu-img", "info", "-U", "--output=json", flat]).stdout
    assert "backing-filename" not in json.loads(info)
    assert differences(before, definition(lab, source, guest), ignore=["disk_sources"]) == []


def test_a_block_device_goes_to_a_device_and_to_a_file(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "block")
    before = definition(lab, source, guest)
    device = lab.block_device(destination, 200, partitions=1)
    try:
        mapping = {"disks": {"vda": device.partitions[0]}}
        lab.host(destination).run(
            ["dd", "if=/dev/urandom", f"of={device.partitions[0]}", "bs=1M", "count=16", "seek=64"]
        )
        options = {"method": "offline", "may_stop": True, "mapping": mapping}
        refused = move(lab, guest, source, destination, **options)
        assert refused["error_code"] == "IMAGE_EXISTS", refused
        arrived(guest, source)
        there = good(move(lab, guest, source, destination, accept=["IMAGE_EXISTS"], **options))
        assert [change["action"] for change in there["changes"] if change["object"].startswith("device ")] == [
            "overwrite"
        ]
        arrived(guest, destination)
        assert lab.host(destination).run(["ls", device.partitions[0]]).returncode == 0
        guest.stop()

        as_file = {"disks": {"vda": f"{IMAGES}/from-device.qcow2"}}
        good(move(lab, guest, destination, source, mapping=as_file))
        arrived(guest, source, "shut off")
        changed = differences(before, definition(lab, source, guest))
        assert any("from-device.qcow2" in line for line in changed)
        assert all(line.startswith("devices/disk[vda]") for line in changed), changed
        guest.start()
        lab.host(source).run(["qemu-img", "info", "-U", f"{IMAGES}/from-device.qcow2"])
    finally:
        guest.destroy()
        lab.remove_block_device(device)


def test_saved_memory_and_snapshots_travel_with_a_shut_off_domain(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    saved = lab.create_guest(source, "qcow2")
    boot = saved.status()
    lab.host(source).virsh("managedsave", saved.uuid)
    snapshots = lab.create_guest(source, "snapshots")
    digests = sums(lab, source, snapshots.disks)
    names = lab.host(source).virsh("snapshot-list", snapshots.uuid, "--topological", "--name").split("\n")
    current = lab.host(source).virsh("snapshot-current", snapshots.uuid, "--name")

    for here, there in ((source, destination), (destination, source)):
        good(move(lab, saved, here, there))
        assert saved.where() == {there: "shut off"}
        info = lab.host(there).virsh("dominfo", saved.uuid)
        assert "Managed save:   yes" in info, info
        result = good(move(lab, snapshots, here, there))
        assert snapshots.where() == {there: "shut off"}
        assert sums(lab, there, snapshots.disks) == digests, result
        assert lab.host(there).virsh("snapshot-list", snapshots.uuid, "--topological", "--name").split("\n") == names
        assert lab.host(there).virsh("snapshot-current", snapshots.uuid, "--name") == current
        lab.host(there).run(
            [
                "qemu-img",
                "convert",
                "-l",
                "snapshot.name=snapshot 1",
                "-O",
                "raw",
                snapshots.disks[0],
                "/tmp/snapshot.raw",
            ]
        )
        read = lab.host(there).run(["qemu-io", "-f", "raw", "-c", "read -P 1 16M 1M", "/tmp/snapshot.raw"])
        assert "verification failed" not in read.stdout + read.stderr
    saved.start()
    status = saved.status()
    assert boot is not None
    assert status is not None
    assert status["b"] == boot["b"], "it booted again instead of going on"
    assert status["c"] > boot["c"]
    assert "Managed save:   no" in lab.host(source).virsh("dominfo", saved.uuid)
    assert lab.verify(saved, source).clean


def test_suspended_guest_continues_where_it_was(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "three-disks", tpm=True)
    options = {"method": "suspended", "may_stop": True}
    with lab.watch([guest]) as watcher:
        boot = guest.status()
        there = good(announced_and_done(lab, guest, source, destination, **options), method="suspended")
        arrived(guest, destination)
        after = guest.status()
        assert boot is not None
        assert after is not None
        assert after["b"] == boot["b"], "it booted again"
        assert after["c"] > boot["c"]
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert seen["boots"] == [boot["b"]], seen
    assert there["move"]["memory_bytes"] > 0
    assert lab.verify(guest, destination, seen["acknowledged"]).clean
    clean(lab, destination, guest)

    lab.host(destination).virsh("suspend", guest.uuid)
    good(move(lab, guest, destination, source, **options), method="suspended")
    arrived(guest, source, "paused")
    lab.host(source).virsh("resume", guest.uuid)
    guest.wait_beating()
    status = guest.status()
    assert status is not None
    assert status["b"] == boot["b"]
    assert not move(lab, guest, destination, source, **options)["changed"]


def test_shared_disks_stay_and_a_name_that_is_taken_is_told(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "shared")
    guest.stop()
    lab.host(destination).run(["sh", "-c", "virsh pool-info shared >/dev/null 2>&1 || true"])
    result = good(move(lab, guest, source, destination))
    assert result["move"]["sent_bytes"] == 0
    assert result["files"] == []
    arrived(guest, destination, "shut off")
    guest.start()

    other = lab.create_guest(source, "shutoff")
    lab.host(destination).run(["tee", other.disks[0]], input="somebody's")
    refused = move(lab, other, source, destination)
    assert refused["error_code"] == "IMAGE_EXISTS", refused
    assert lab.host(destination).run(["cat", other.disks[0]]).stdout == "somebody's"
    assert other.where() == {source: "shut off"}


def test_a_guest_that_does_not_shut_down_goes_on_at_home(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    lab.host(source).virsh("suspend", guest.uuid)
    refused = move(lab, guest, source, destination, method="offline", may_stop=True)
    assert refused["error_code"] == "METHOD_UNSUITABLE"
    lab.host(source).virsh("resume", guest.uuid)
    wait_for("it to beat again", guest.beats, 120, 0.5)
