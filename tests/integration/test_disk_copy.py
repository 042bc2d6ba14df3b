# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""disk_copy between real hosts: equal content, few bytes on the wire, and nothing left behind whatever fails."""

from __future__ import annotations

import time
import typing as t

import pytest

from tests.bench.hosts import stage_module
from tests.integration.ansible_runs import run_module
from tests.integration.copies import (
    IMAGES,
    MIB,
    Running,
    clean,
    far_copy,
    make_raw,
    partials,
    same,
    sh,
    wait_for,
    wire_bytes,
)
from tests.lab.shell import run as run_here

if t.TYPE_CHECKING:
    from tests.lab import Lab

Result = dict[str, t.Any]
NAMES = ["plain.raw", "büro 1 (alt).raw", "-n.raw", 'it\'s "$HOME" & 50%.raw']


@pytest.fixture(scope="session", autouse=True)
def stage(lab: Lab) -> None:
    """The module lies on the first host, so that a test need not start ansible-playbook for each copy."""
    stage_module(lab.hosts[0])


def start(lab: Lab, task: dict[str, t.Any], *, check_mode: bool = False) -> Running:
    """Start disk_copy on the first host, to the second one unless the task says otherwise."""
    defaults = {"destination": f"qemu+ssh://root@{lab.hosts[1].name}/system", "source_format": "raw"}
    return Running(lab.hosts[0], {**defaults, **task}, check_mode=check_mode)


def copy(lab: Lab, *tasks: dict[str, t.Any], check_mode: bool = False) -> list[Result]:
    """The results of several copies, one after another."""
    return [start(lab, task, check_mode=check_mode).finish() for task in tasks]


def both(lab: Lab, task: dict[str, t.Any]) -> Result:
    """The result of one copy, after check mode has announced the same and touched nothing."""
    before = sh(lab.hosts[1], f"ls -lA --time-style=full-iso {IMAGES}")
    (foreseen,) = copy(lab, task, check_mode=True)
    assert sh(lab.hosts[1], f"ls -lA --time-style=full-iso {IMAGES}") == before
    (done,) = copy(lab, task)
    for key in ("failed", "changed", "changes", "diff", "error_code"):
        assert foreseen.get(key) == done.get(key), (foreseen, done)
    clean(lab)
    return done


def test_by_ansible(lab: Lab, hosts: list[str]) -> None:
    """As a person uses it, from the module's own examples: checked, done, and done again."""
    path = f"{IMAGES}/web01.qcow2"
    sh(lab.hosts[0], 'qemu-img create -q -f qcow2 "$1" 20M; qemu-io -f qcow2 -c \'write -P 7 5M 9M\' "$1"', path)
    task = {"source": path, "source_format": "qcow2", "destination": f"qemu+ssh://root@{hosts[1]}/system"}
    runs = [
        run_module(lab.inventory, hosts[0], "disk_copy", task, *words)
        for words in (["--check", "--diff"], ["--diff"], [])
    ]
    assert [run["changed"] for run in runs] == [True, True, False]
    assert runs[0]["changes"] == runs[1]["changes"]
    same(lab, path)
    clean(lab)


@pytest.mark.parametrize("name", NAMES)
def test_a_raw_image_with_any_name(lab: Lab, hosts: list[str], name: str) -> None:
    source, destination = lab.hosts[0], lab.hosts[1]
    make_raw(source, f"{IMAGES}/{name}", 64, data=[0, 1, 7, 40], zeros=[9, 10])
    sh(source, 'chown 64055:kvm "$1"; chmod 0640 "$1"', f"{IMAGES}/{name}")
    done = both(lab, {"source": f"{IMAGES}/{name}"})
    (one,) = done["copies"]
    assert (done["changed"], one["proven"], one["transport"], one["resumed"]) == (True, True, "tls", False)
    assert one["sent_bytes"] == one["data_bytes"] == 4 * MIB
    same(lab, f"{IMAGES}/{name}")
    assert one["allocated"] <= 4 * MIB + 65536
    status = 'stat -c "%u %G %a %s" "$1"'
    assert sh(destination, status, f"{IMAGES}/{name}") == sh(source, status, f"{IMAGES}/{name}")
    assert copy(lab, {"source": f"{IMAGES}/{name}"})[0]["changed"] is False
    clean(lab)


def test_a_qcow2_image_keeps_what_only_a_file_has(lab: Lab, hosts: list[str]) -> None:
    source, destination = lab.hosts[0], lab.hosts[1]
    path = f"{IMAGES}/a.qcow2"
    sh(
        source,
        """qemu-img create -q -f qcow2 "$1" 200M; qemu-io -f qcow2 -c 'write -P 7 5M 9M' "$1" >/dev/null
        qemu-img snapshot -c before "$1"; qemu-io -f qcow2 -c 'write -P 8 6M 3M' "$1" >/dev/null
        qemu-img bitmap --add "$1" daily""",
        path,
    )
    done = both(lab, {"source": path, "source_format": "qcow2"})
    assert done["copies"][0]["proven"] is True
    same(lab, path)
    info = sh(destination, 'qemu-img snapshot -l "$1"; qemu-img info "$1"; qemu-img check -q "$1"', path)
    assert "before" in info
    assert "daily" in info
    # The wrong format is no image.
    make_raw(source, f"{IMAGES}/b.raw", 4, data=[0])
    (wrong,) = copy(lab, {"source": f"{IMAGES}/b.raw", "source_format": "qcow2"})
    assert wrong["error_code"] == "IMAGE_INVALID"
    clean(lab)


CHAIN = """cd "$1"; mkdir -p bases
qemu-img create -q -f raw bases/base.raw 96M; qemu-io -f raw -c 'write -P 1 0 20M' bases/base.raw >/dev/null
qemu-img create -q -f qcow2 -b "$1/bases/base.raw" -F raw bases/middle.qcow2
qemu-io -f qcow2 -c 'write -P 2 10M 5M' bases/middle.qcow2 >/dev/null
qemu-img create -q -f qcow2 -b "$2" -F qcow2 top.qcow2; qemu-io -f qcow2 -c 'write -P 3 12M 2M' top.qcow2 >/dev/null
qemu-io -f qcow2 -c 'write -z 1M 1M' top.qcow2 >/dev/null"""


@pytest.mark.parametrize("backing", [f"{IMAGES}/bases/middle.qcow2", "bases/middle.qcow2"])
def test_a_chain_is_kept_layer_by_layer(lab: Lab, hosts: list[str], backing: str) -> None:
    source, destination = lab.hosts[0], lab.hosts[1]
    sh(source, CHAIN, IMAGES, backing)
    sh(destination, 'mkdir -p "$1/other place"', IMAGES)
    task = {
        "source": f"{IMAGES}/top.qcow2",
        "source_format": "qcow2",
        "destination_path": f"{IMAGES}/new top.qcow2",
        "backing_folder": f"{IMAGES}/other place",
    }
    done = both(lab, task)
    assert [one["path"].rpartition("/")[2] for one in done["copies"]] == ["base.raw", "middle.qcow2", "new top.qcow2"]
    far = far_copy(lab, f"{IMAGES}/new top.qcow2", "raw")
    sh(source, 'qemu-img compare -f qcow2 -F raw "$1" "$2"', f"{IMAGES}/top.qcow2", far)
    info = sh(destination, 'qemu-img info --backing-chain "$1"', f"{IMAGES}/new top.qcow2")
    assert f"{IMAGES}/other place/middle.qcow2" in info
    assert f"{IMAGES}/other place/base.raw" in info
    assert f"{IMAGES}/bases" not in info
    sh(destination, 'qemu-img check -q "$1"', f"{IMAGES}/new top.qcow2")
    assert copy(lab, task)[0]["changed"] is False
    # A second overlay on the same base: the base is there already.
    sh(source, 'cd "$1"; qemu-img create -q -f qcow2 -b bases/middle.qcow2 -F qcow2 second.qcow2', IMAGES)
    second = {**task, "source": f"{IMAGES}/second.qcow2", "destination_path": f"{IMAGES}/second.qcow2"}
    assert [one["changed"] for one in copy(lab, second)[0]["copies"]] == [False, False, True]
    clean(lab)


@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_a_chain_is_flattened(lab: Lab, hosts: list[str], form: str) -> None:
    source, destination = lab.hosts[0], lab.hosts[1]
    sh(source, CHAIN, IMAGES, "bases/middle.qcow2")
    flat = f"{IMAGES}/flat.{form}"
    task = {
        "source": f"{IMAGES}/top.qcow2",
        "source_format": "qcow2",
        "destination_path": flat,
        "destination_format": form,
        "chain": "flatten",
    }
    done = both(lab, task)
    assert done["copies"][0]["sent_bytes"] == 19 * MIB
    assert "backing" not in sh(destination, 'qemu-img info "$1"', flat)
    sh(source, 'qemu-img compare -f qcow2 -F raw "$1" "$2"', f"{IMAGES}/top.qcow2", far_copy(lab, flat, "raw", form))
    assert copy(lab, task)[0]["changed"] is False
    sh(source, "qemu-io -f qcow2 -c 'write -P 9 30M 64k' -c 'write -z 13M 64k' \"$1\"", f"{IMAGES}/top.qcow2")
    (again,) = copy(lab, {**task, "replace": True})
    assert again["copies"][0]["sent_bytes"] <= 2 * MIB
    sh(source, 'qemu-img compare -f qcow2 -F raw "$1" "$2"', f"{IMAGES}/top.qcow2", far_copy(lab, flat, "raw", form))
    clean(lab)


def test_a_raw_image_becomes_qcow2(lab: Lab, hosts: list[str]) -> None:
    source, destination = lab.hosts[0], lab.hosts[1]
    make_raw(source, f"{IMAGES}/a.raw", 100, data=[0, 50, 99], tail=512)
    task = {"source": f"{IMAGES}/a.raw", "destination_path": f"{IMAGES}/a.qcow2", "destination_format": "qcow2"}
    assert both(lab, task)["copies"][0]["sent_bytes"] <= 3 * MIB + 4096
    sh(destination, 'qemu-img check -q -f qcow2 "$1"', f"{IMAGES}/a.qcow2")
    far = far_copy(lab, f"{IMAGES}/a.qcow2", "raw", "qcow2")
    sh(source, 'qemu-img compare -f raw -F raw "$1" "$2"', f"{IMAGES}/a.raw", far)
    assert copy(lab, task)[0]["changed"] is False
    clean(lab)


def test_on_the_same_host(lab: Lab, hosts: list[str]) -> None:
    source = lab.hosts[0]
    make_raw(source, f"{IMAGES}/a.raw", 20, data=[3])
    task = {"source": f"{IMAGES}/a.raw", "destination_path": f"{IMAGES}/b.raw", "destination": None}
    (done, again, itself) = copy(lab, task, task, {**task, "destination_path": f"{IMAGES}/a.raw"})
    assert (done["changed"], done["copies"][0]["transport"], again["changed"]) == (True, "local", False)
    assert itself["error_code"] == "INVALID_OPTION"
    sh(source, 'cmp "$1/a.raw" "$1/b.raw"', IMAGES)
    clean(lab)


def test_from_and_to_devices_with_old_data(lab: Lab, hosts: list[str]) -> None:
    source, destination = lab.hosts[0], lab.hosts[1]
    near, far = lab.block_device(hosts[0], 40, (16, 20)), lab.block_device(hosts[1], 40, (16, 20), "far")
    sh(source, 'dd if=/dev/urandom of="$1" bs=1M seek=3 count=2 conv=notrunc,fsync status=none', near.partitions[0])
    sh(destination, 'dd if=/dev/urandom of="$1" bs=1M conv=fsync status=none 2>/dev/null || true', far.partitions[1])
    task = {"source": near.partitions[0], "destination_path": far.partitions[1]}
    done = both(lab, task)
    assert done["changed"] is True
    assert done["copies"][0]["sent_bytes"] <= 2 * MIB
    sh(destination, 'dd if="$1" of="$2" bs=1M count=16 status=none', far.partitions[1], f"{IMAGES}/back")
    sh(source, 'dd if="$1" of="$2" bs=1M count=16 status=none', near.partitions[0], f"{IMAGES}/back")
    same(lab, f"{IMAGES}/back")
    assert copy(lab, task)[0]["changed"] is False
    # A device to an image in another format, and a device that is too small.
    image = {"source": near.partitions[1], "destination_path": f"{IMAGES}/lv.qcow2", "destination_format": "qcow2"}
    small = {"source": near.partitions[1], "destination_path": far.partitions[0]}
    missing = {"source": near.partitions[1], "destination_path": "/dev/lab/nothing"}
    results = copy(lab, image, small, missing)
    assert [result.get("error_code") for result in results] == [None, "DESTINATION_TOO_SMALL", "DEVICE_NOT_FOUND"]
    foreseen = copy(lab, small, missing, check_mode=True)
    assert [result["error_code"] for result in foreseen] == ["DESTINATION_TOO_SMALL", "DEVICE_NOT_FOUND"]
    new = destination.images / "fs.new"
    with new.open("wb") as file:
        file.truncate(16 * MIB)
    run_here(["mkfs.ext4", "-q", str(new)])
    sh(
        destination,
        'dd if="$1/fs.new" of="$2" bs=1M conv=fsync status=none; mount "$2" /mnt',
        IMAGES,
        far.partitions[1],
    )
    try:
        refused = both(lab, task)
    finally:
        sh(destination, "umount /mnt")
    assert refused["error_code"] == "DEVICE_IN_USE"
    assert "mounted on /mnt" in refused["msg"]
    clean(lab)


def test_what_is_there_decides(lab: Lab, hosts: list[str]) -> None:
    source, destination = lab.hosts[0], lab.hosts[1]
    path = f"{IMAGES}/a.raw"
    make_raw(source, path, 20, data=[1, 2])
    make_raw(destination, path, 30, data=[1, 25])
    refused = both(lab, {"source": path})
    assert refused["error_code"] == "DESTINATION_EXISTS"
    replaced = both(lab, {"source": path, "replace": True, "mode": "0600"})
    assert [change["action"] for change in replaced["changes"]] == ["update"]
    same(lab, path)
    results = copy(
        lab,
        {"source": f"{IMAGES}/nothing.raw"},
        {"source": path, "destination_path": f"{IMAGES}/no/folder.raw"},
        {"source": path, "destination_path": f"{IMAGES}/../x.raw"},
        {"source": path, "destination": "root@nowhere.invalid"},
        {"source": path, "mode": "rw"},
    )
    codes = ["SOURCE_MISSING", "FOLDER_MISSING", "INVALID_OPTION", "HOST_UNREACHABLE", "INVALID_OPTION"]
    assert [result["error_code"] for result in results] == codes
    clean(lab)


def test_through_ssh_where_the_ports_are_closed(lab: Lab, hosts: list[str]) -> None:
    make_raw(lab.hosts[0], f"{IMAGES}/a.raw", 40, data=[1, 2, 3])
    lab.fault.close(hosts[1])
    (done,) = copy(lab, {"source": f"{IMAGES}/a.raw"})
    assert (done["copies"][0]["transport"], done["copies"][0]["proven"]) == ("ssh", True)
    same(lab, f"{IMAGES}/a.raw")
    clean(lab)


# ---- what travels ----


def test_a_second_copy_sends_the_change(lab: Lab, hosts: list[str]) -> None:
    """1 % in pieces of 64 KiB all over the image: both counters stay below 2 % more than that."""
    source = lab.hosts[0]
    path = f"{IMAGES}/big.raw"
    make_raw(source, path, 1024, data=list(range(0, 1024, 4)))
    copy(lab, {"source": path})
    change = 1024 * MIB // 100
    sh(
        source,
        """python3 - "$1" "$2" <<'X'
import random, sys
chance, image = random.Random(3), open(sys.argv[1], "r+b")
for place in chance.sample(range(1024 * 16), int(sys.argv[2]) // 65536):
    image.seek(place * 65536); image.write(chance.randbytes(65536))
X""",
        path,
        str(change),
    )
    changed = change // 65536 * 65536
    before = wire_bytes(source)
    (done,) = copy(lab, {"source": path, "replace": True})
    wire = wire_bytes(source) - before
    assert done["copies"][0]["sent_bytes"] == changed
    assert wire <= changed * 1.02
    same(lab, path)
    clean(lab)


#: MiB of an image, and which of them hold something.
SIZE, DATA = 400, range(0, 400, 2)


def interrupted(lab: Lab, path: str) -> tuple[Running, int]:
    """A slow copy that is about half way, and how many bytes of data it has in all."""
    make_raw(lab.hosts[0], path, SIZE, data=DATA)
    running = start(lab, {"source": path, "bandwidth": 20})
    wait_for(lambda: allocated(lab, path) > 100 * MIB, "half of the copy")
    return running, len(DATA) * MIB


def allocated(lab: Lab, path: str) -> int:
    found = sh(lab.hosts[1], 'for one in "$1"*; do stat -c "%b" "$one" 2>/dev/null || true; done', path)
    return sum(int(line) for line in found.split()) * 512


def resumes(lab: Lab, path: str, total: int) -> None:
    """The next run sends what was missing and at most a tenth of what was there again."""
    there = allocated(lab, path)
    (done,) = copy(lab, {"source": path})
    assert done["copies"][0]["resumed"] is True
    assert done["copies"][0]["sent_bytes"] <= total - there + there // 10
    same(lab, path)
    assert partials(lab) == []
    clean(lab)


def kill(host: t.Any, pattern: str, signal: str = "KILL") -> None:
    """Send a signal to what runs on one host, by the pids found there."""
    pids = sh(host, 'pgrep -f -- "$1" | grep -vx "$$" || true', pattern).split()
    assert pids, pattern
    host.run(["kill", f"-{signal}", *pids], check=False)


RECEIVER = "^python3 -c import sys, zlib"
SENDER = "^python3 -m .*disk_copy"


@pytest.mark.parametrize(
    ("host", "pattern"),
    [
        pytest.param(1, RECEIVER, id="receiver"),
        pytest.param(0, SENDER, id="sender"),
        pytest.param(0, "^(/usr/bin/)?ssh .*import sys, zlib", id="ssh"),
    ],
)
def test_a_killed_end_leaves_a_partial_and_nothing_else(lab: Lab, hosts: list[str], host: int, pattern: str) -> None:
    path = f"{IMAGES}/a.raw"
    running, total = interrupted(lab, path)
    kill(lab.hosts[host], pattern)
    failed = running.finish()
    if pattern != SENDER:
        assert failed["error_code"] == "CONNECTION_LOST"
        assert failed["details"]["partial"].startswith(path)
    clean(lab)
    assert len(partials(lab)) == 1
    resumes(lab, path, total)


def test_a_killed_server_of_a_format(lab: Lab, hosts: list[str]) -> None:
    """What is converted is written by a qemu-nbd; without it the copy fails, and the next one finds or makes a sound image."""
    path, far = f"{IMAGES}/a.raw", f"{IMAGES}/a.qcow2"
    make_raw(lab.hosts[0], path, 100, data=range(0, 100, 2))
    task = {"source": path, "destination_path": far, "destination_format": "qcow2"}
    running = start(lab, {**task, "bandwidth": 10})
    wait_for(lambda: allocated(lab, far) > 10 * MIB, "the beginning of the copy")
    kill(lab.hosts[1], "^(/usr/bin/)?qemu-nbd")
    assert running.finish()["error_code"] == "CONNECTION_LOST"
    clean(lab)
    assert len(partials(lab)) == 1
    (done,) = copy(lab, task)
    assert (done["changed"], done["copies"][0]["proven"]) == (True, True)
    sh(lab.hosts[0], 'qemu-img compare -f raw -F raw "$1" "$2"', path, far_copy(lab, far, "raw"))
    clean(lab)


def test_a_stop_that_is_asked_for(lab: Lab, hosts: list[str]) -> None:
    path = f"{IMAGES}/a.raw"
    running, total = interrupted(lab, path)
    kill(lab.hosts[0], SENDER, "TERM")
    assert running.finish()["error_code"] == "COPY_STOPPED"
    clean(lab)
    assert len(partials(lab)) == 1
    resumes(lab, path, total)


def test_the_link_is_down_for_20_seconds(lab: Lab, hosts: list[str]) -> None:
    path = f"{IMAGES}/a.raw"
    running, _unused_total = interrupted(lab, path)
    lab.fault.link(hosts[1], False)
    time.sleep(20)
    lab.fault.link(hosts[1], True)
    done = running.finish()
    assert (done["failed"], done["changed"]) == (False, True)
    same(lab, path)
    clean(lab)


def test_the_link_is_down_for_good(lab: Lab, hosts: list[str]) -> None:
    path = f"{IMAGES}/a.raw"
    running, total = interrupted(lab, path)
    lab.fault.link(hosts[1], False)
    failed = running.finish()
    assert failed["error_code"] == "CONNECTION_LOST"
    # The other side finds out by itself.
    clean(lab)
    lab.fault.link(hosts[1], True)
    resumes(lab, path, total)


def test_the_destination_is_full(lab: Lab, hosts: list[str]) -> None:
    path = f"{IMAGES}/a.raw"
    make_raw(lab.hosts[0], path, 200, data=list(range(100)))
    lab.fault.fill(hosts[1], leave_mib=20)
    assert both(lab, {"source": path})["error_code"] == "DESTINATION_FULL"
    lab.fault.unfill(hosts[1])
    # It becomes full while the copy runs.
    running = start(lab, {"source": path, "bandwidth": 20})
    wait_for(lambda: allocated(lab, path) > 10 * MIB, "the beginning of the copy")
    lab.fault.fill(hosts[1], leave_mib=30)
    failed = running.finish()
    assert failed["error_code"] == "DESTINATION_FULL"
    assert partials(lab) == []
    clean(lab)
    lab.fault.unfill(hosts[1])
    assert copy(lab, {"source": path})[0]["changed"] is True
    same(lab, path)


def test_the_source_changes_meanwhile(lab: Lab, hosts: list[str]) -> None:
    path = f"{IMAGES}/a.raw"
    running, _unused_total = interrupted(lab, path)
    sh(lab.hosts[0], 'printf x | dd of="$1" bs=1 seek=5000 conv=notrunc status=none', path)
    failed = running.finish()
    assert failed["error_code"] == "SOURCE_CHANGED"
    assert sh(lab.hosts[1], 'ls "$1"', IMAGES).split() == [name.rpartition("/")[2] for name in partials(lab)]
    assert copy(lab, {"source": path})[0]["changed"] is True
    same(lab, path)
    clean(lab)


def test_a_source_in_use_is_refused(lab: Lab, hosts: list[str]) -> None:
    path = f"{IMAGES}/a.raw"
    make_raw(lab.hosts[0], path, 20, data=[1])
    user = lab.hosts[0].start(["qemu-nbd", "-f", "raw", "-k", "/run/user-of-image", "-t", path])
    try:
        wait_for(lambda: sh(lab.hosts[0], "ls /run").find("user-of-image") >= 0, "the user of the image")
        assert copy(lab, {"source": path})[0]["error_code"] == "SOURCE_IN_USE"
    finally:
        kill(lab.hosts[0], "user-of-image", "TERM")
        user.wait(60)


def test_a_corrupted_byte_is_caught(lab: Lab, hosts: list[str]) -> None:
    """One byte is another before the proof of its block is asked for: the sender sleeps meanwhile."""
    path = f"{IMAGES}/a.raw"
    # So few blocks are proven together, at the end.
    make_raw(lab.hosts[0], path, 60, data=list(range(0, 14, 2)))
    running = start(lab, {"source": path, "bandwidth": 1})
    wait_for(lambda: allocated(lab, path) >= 3 * MIB, "the first blocks")
    kill(lab.hosts[0], SENDER, "STOP")
    assert allocated(lab, path) < 7 * MIB
    sh(lab.hosts[1], 'printf x | dd of="$(ls "$1".partial-*)" bs=1 seek=567 conv=notrunc status=none', path)
    running.wake()
    failed = running.finish()
    assert failed["error_code"] == "PROOF_FAILED"
    assert failed["details"]["blocks"] == [0]
    assert sh(lab.hosts[1], 'ls "$1"', IMAGES).split() == [name.rpartition("/")[2] for name in partials(lab)]
    (again,) = copy(lab, {"source": path})
    assert (again["changed"], again["copies"][0]["sent_bytes"] <= MIB) == (True, True)
    same(lab, path)
    clean(lab)


def test_two_copies_to_one_place_wait_for_each_other(lab: Lab, hosts: list[str]) -> None:
    path = f"{IMAGES}/a.raw"
    make_raw(lab.hosts[0], path, 60, data=list(range(0, 60, 2)))
    running = [start(lab, {"source": path, "bandwidth": 10}) for unused_number in range(2)]
    codes = [one.finish().get("error_code") for one in running]
    assert codes.count(None) >= 1
    assert set(codes) <= {None, "DESTINATION_EXISTS"}
    same(lab, path)
    clean(lab)
