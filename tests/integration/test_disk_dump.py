# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""disk_dump and disk_restore on real block devices with partitions: equal to what dd makes, all or none, whatever fails."""

from __future__ import annotations

import ast
import json
import pathlib
import time
import typing as t

import pytest
import yaml

from tests.integration.ansible_runs import Started, start_playbook
from tests.lab.shell import run as run_here

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.blocks import BlockDevice
    from tests.lab.host import Host

IMAGES = "/var/lib/libvirt/images"
MIB = 1 << 20
Result = dict[str, t.Any]
Task = tuple[str, dict[str, t.Any]]
#: Data in blocks 1 and 4, a little in block 7, zeros that were written, and nothing at all.
SEED = """
dd if=/dev/urandom of="$1" bs=1M seek=1 count=1 conv=notrunc status=none
dd if=/dev/urandom of="$1" bs=1M seek=4 count=1 conv=notrunc status=none
dd if=/dev/zero of="$1" bs=1M seek=6 count=1 conv=notrunc status=none
printf 'the begin' | dd of="$1" bs=1 seek=7345678 conv=notrunc,fsync status=none
"""
#: Everything on the device was something else before.
STALE = 'head -c "$(blockdev --getsize64 "$1")" /dev/urandom | dd of="$1" bs=1M iflag=fullblock conv=notrunc,fsync status=none'
#: The processes that have a file open, by its path.
HOLDERS = """
import os, sys
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        names = [os.path.realpath(f"/proc/{pid}/fd/{one}") for one in os.listdir(f"/proc/{pid}/fd")]
        if os.path.realpath(sys.argv[1]) in names:
            print(pid, open(f"/proc/{pid}/comm").read().strip())
    except OSError:
        pass
"""


def start(lab: Lab, host: str, *tasks: Task, arguments: t.Sequence[str] = ()) -> Started:
    play = {
        "name": "Dump and restore",
        "hosts": host,
        "gather_facts": False,
        "tasks": [
            {"name": module, f"virtops.kvm.{module}": options, "ignore_errors": True} for module, options in tasks
        ],
    }
    return start_playbook(lab.inventory, [play], *arguments)


def run(lab: Lab, host: str, *tasks: Task, arguments: t.Sequence[str] = ()) -> list[Result]:
    """The results of several tasks in one playbook; a failed one does not end it."""
    found = start(lab, host, *tasks, arguments=arguments).finish()
    results = [
        record["result"] | {"failed": record["status"] == "failed"}
        for record in found.records
        if record.get("action", "").startswith("virtops.kvm.")
    ]
    assert len(results) == len(tasks), found.output
    for result in results:
        assert result["failed"] == ("error_code" in result), result
    return results


def both(lab: Lab, host: str, task: Task) -> Result:
    """The result of one task, after check mode has announced the very same without touching anything."""
    place = lab.host(host)
    before = listing(place)
    foreseen = run(lab, host, task, arguments=["--check", "--diff"])[0]
    assert listing(place) == before
    done = run(lab, host, task, arguments=["--diff"])[0]
    for key in ("failed", "changed", "changes", "diff", "error_code"):
        assert foreseen.get(key) == done.get(key), (foreseen, done)
    return done


def listing(host: Host) -> str:
    """Every file in the image folder with size and time, and a digest of every block device."""
    words = f'ls -lA --time-style=full-iso {IMAGES}; for one in /dev/lab/*; do cksum < "$one"; done'
    return host.run(["sh", "-c", words]).stdout


def sh(host: Host, script: str, *words: str) -> str:
    return host.run(["sh", "-euc", script, "sh", *words]).stdout


def files(host: Host) -> list[str]:
    return sorted(host.run(["ls", "-A", IMAGES]).stdout.splitlines())


def pairs(*wanted: tuple[str, str]) -> list[dict[str, str]]:
    return [{"device": device, "image": image} for device, image in wanted]


@pytest.fixture
def block(lab: Lab, hosts: list[str]) -> BlockDevice:
    """Two partitions of different size, the first with data, the second with something else in every byte."""
    device = lab.block_device(hosts[0], 40, (16, 20), "wéb 1 'disk'")
    sh(lab.host(hosts[0]), SEED, device.partitions[0])
    sh(lab.host(hosts[0]), STALE, device.partitions[1])
    return device


@pytest.mark.parametrize("form", ["raw", "qcow2", "zstd"])
def test_there_and_back_is_what_dd_makes(lab: Lab, hosts: list[str], block: BlockDevice, form: str) -> None:
    host, image = lab.host(hosts[0]), f"{IMAGES}/büro 1 (alt).{form}"
    first, second = block.partitions
    sh(host, 'dd if="$1" of=/tmp/dd.img bs=1M status=none', first)
    dump: Task = ("disk_dump", {"disks": pairs((first, image)), "format": form})
    done = both(lab, hosts[0], dump)
    assert done["changed"] is True
    assert done["disks"][0]["data_bytes"] == 3 * MIB
    assert MIB < done["disks"][0]["image_size"] < 4 * MIB
    plain = {
        "raw": 'cmp "$1" /tmp/dd.img',
        "qcow2": 'qemu-img compare -f qcow2 -F raw "$1" /tmp/dd.img; qemu-img check -q "$1"',
        "zstd": 'zstd -dc -- "$1" | cmp - /tmp/dd.img',
    }
    sh(host, plain[form], image)
    record = json.loads(host.read(image + ".digest"))
    assert (record["image"]["format"], record["device"]["path"]) == (form, first)
    assert record["content"]["digest"] == done["disks"][0]["digest"]
    assert files(host) == [image.rpartition("/")[2], image.rpartition("/")[2] + ".digest"]
    # To a larger device that is full of something else: the image, and zeros behind it.
    restore: Task = ("disk_restore", {"disks": pairs((second, image))})
    assert both(lab, hosts[0], restore)["changed"] is True
    sh(host, 'cmp -n 16777216 "$1" /tmp/dd.img; tail -c +16777217 "$1" | cmp -n 4194304 - /dev/zero', second)
    again = run(lab, hosts[0], dump, restore)
    assert [result["changed"] for result in again] == [False, False]
    assert [result["disks"][0]["action"] for result in again] == ["keep", "keep"]


def test_a_whole_disk_goes_with_its_partitions(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host, image = lab.host(hosts[0]), f"{IMAGES}/disk.img"
    other = lab.block_device(hosts[0], 40, 0, "other")
    sh(host, STALE, other.path)
    results = run(
        lab,
        hosts[0],
        ("disk_dump", {"disks": pairs((block.path, image))}),
        ("disk_restore", {"disks": pairs((other.path, image))}),
        ("disk_dump", {"disks": pairs((block.path, image), (block.partitions[0], f"{image}2"))}),
    )
    assert [result["changed"] for result in results[:2]] == [True, True]
    assert "parts of the same disk" in results[2]["msg"]
    sh(host, 'cmp "$1" "$2"', block.path, other.path)


def test_content_decides(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host, image = lab.host(hosts[0]), f"{IMAGES}/a.img"
    dump: Task = ("disk_dump", {"disks": pairs((block.partitions[0], image))})
    sh(host, 'dd if="$1" of="$2" bs=1M status=none', block.partitions[0], image)
    # What dd made is good; only the record is missing.
    assert [change["action"] for change in both(lab, hosts[0], dump)["changes"]] == ["record"]
    sh(host, 'printf x | dd of="$1" bs=1 seek=1500000 conv=notrunc,fsync status=none', block.partitions[0])
    refused = both(lab, hosts[0], dump)
    assert refused["error_code"] == "DESTINATION_EXISTS"
    replaced = both(lab, hosts[0], ("disk_dump", {**dump[1], "replace": True}))
    assert [change["action"] for change in replaced["changes"]] == ["replace"]
    sh(host, 'cmp "$1" "$2"', block.partitions[0], image)
    assert files(host) == ["a.img", "a.img.digest"]


def test_a_mounted_device_is_refused(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host, (first, second) = lab.host(hosts[0]), block.partitions
    new = host.images / "fs.new"
    with new.open("wb") as file:
        file.truncate(16 * MIB)
    run_here(["mkfs.ext4", "-q", str(new)])
    sh(host, f'dd if={IMAGES}/fs.new of="$1" bs=1M conv=fsync status=none; rm {IMAGES}/fs.new; mount "$1" /mnt', first)
    tasks: list[Task] = [
        ("disk_dump", {"disks": pairs((first, f"{IMAGES}/a.img"))}),
        ("disk_dump", {"disks": pairs((block.path, f"{IMAGES}/a.img"))}),
        ("disk_dump", {"disks": pairs((second, f"{IMAGES}/a.img"))}),
        ("disk_restore", {"disks": pairs((first, f"{IMAGES}/a.img"))}),
        # All or none: the second device is free.
        ("disk_dump", {"disks": pairs((second, f"{IMAGES}/b.img"), (first, f"{IMAGES}/c.img"))}),
    ]
    try:
        foreseen = run(lab, hosts[0], *tasks, arguments=["--check"])
        results = run(lab, hosts[0], *tasks)
    finally:
        sh(host, "umount /mnt")
    for result, other in zip(results, foreseen):
        assert other["failed"] == result["failed"]
    for result in (results[0], results[1], results[3], results[4]):
        assert result["error_code"] == "DEVICE_IN_USE"
        assert "mounted on /mnt (ext4)" in result["msg"]
        assert {use["kind"] for use in result["details"]["uses"]} == {"mount"}
    assert (results[2]["failed"], results[2]["changed"]) == (False, True)
    assert files(host) == ["a.img", "a.img.digest"]


def test_the_disk_of_a_running_guest_is_refused_and_of_a_stopped_one_comes_back_whole(
    lab: Lab, hosts: list[str]
) -> None:
    guest, host = lab.create_guest(hosts[0], "block", "wéb 01"), lab.host(hosts[0])
    disk, image = guest.disks[0], f"{IMAGES}/wéb 01.qcow2"
    dump: Task = ("disk_dump", {"disks": pairs((disk, image)), "format": "qcow2"})
    restore: Task = ("disk_restore", {"disks": pairs((disk, image))})
    with lab.watch([guest]) as watcher:
        for result in run(lab, hosts[0], dump, restore):
            assert result["error_code"] == "DEVICE_IN_USE"
            assert "guest wéb 01" in result["msg"]
            assert {use["kind"] for use in result["details"]["uses"]} >= {"process", "domain"}
        acknowledged = watcher.fresh()["guests"][guest.name]["acknowledged"]
    guest.stop()
    assert files(host) == []
    assert run(lab, hosts[0], dump)[0]["changed"] is True
    sh(host, STALE, disk)
    assert run(lab, hosts[0], restore)[0]["changed"] is True
    verdict = lab.verify(guest, hosts[0], acknowledged)
    assert verdict.clean, verdict
    guest.start()


def test_what_cannot_fit_is_refused_and_leaves_nothing(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host, (first, second) = lab.host(hosts[0]), block.partitions
    dump: Task = ("disk_dump", {"disks": pairs((second, f"{IMAGES}/a.img"))})
    assert run(lab, hosts[0], dump)[0]["changed"] is True
    small = run(lab, hosts[0], ("disk_restore", {"disks": pairs((first, f"{IMAGES}/a.img"))}))[0]
    assert small["error_code"] == "DESTINATION_TOO_SMALL"
    assert small["details"] | {"device": first} == small["details"]
    host.run(["rm", f"{IMAGES}/a.img", f"{IMAGES}/a.img.digest"])
    lab.fault.fill(hosts[0], leave_mib=8)
    before = files(host)
    # 3 MiB of data in 16 fit into 8, 20 in 20 do not; with zstd that shows only on the way.
    fits = run(lab, hosts[0], ("disk_dump", {"disks": pairs((first, f"{IMAGES}/a.img"))}))[0]
    assert fits["changed"] is True
    host.run(["rm", f"{IMAGES}/a.img", f"{IMAGES}/a.img.digest"])
    for form in ("raw", "qcow2", "zstd"):
        tasks: Task = (
            "disk_dump",
            {"disks": pairs((first, f"{IMAGES}/a.img"), (second, f"{IMAGES}/b.img")), "format": form},
        )
        result = run(lab, hosts[0], tasks)[0]
        assert result["error_code"] == "DESTINATION_FULL", result
        assert files(host) == before


def test_the_second_of_two_fails_and_none_is_left(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host, (first, second) = lab.host(hosts[0]), block.partitions
    sh(host, "mkdir -p /mnt/small; mount -t tmpfs -o size=2m none /mnt/small")
    wanted = pairs((first, f"{IMAGES}/a.zst"), (second, "/mnt/small/b.zst"))
    try:
        result = run(lab, hosts[0], ("disk_dump", {"disks": wanted, "format": "zstd"}))[0]
        assert result["error_code"] == "DESTINATION_FULL"
        assert host.run(["ls", "-A", "/mnt/small"]).stdout == ""
        assert files(host) == []
    finally:
        sh(host, "umount /mnt/small")
    results = run(lab, hosts[0], ("disk_dump", {"disks": wanted[:1]}), ("disk_restore", {"disks": wanted}))
    assert results[1]["error_code"] == "IMAGE_NOT_FOUND"


def holder(host: Host, path: str) -> int | None:
    """Pid of the module that has a file open, as the host sees it."""
    found = host.run(["python3", "-c", HOLDERS, path]).stdout.split()
    return int(found[0]) if found else None


def kill_when(host: Host, path: str, started: Started, ready: t.Callable[[], bool]) -> None:
    """kill -9 the module as soon as it has ``path`` open and ``ready`` says so."""
    end = time.monotonic() + 300
    while True:
        pid = holder(host, path)
        if pid is not None and ready():
            host.run(["kill", "-KILL", str(pid)])
            break
        assert started.process.poll() is None, started.output()
        assert time.monotonic() < end, started.output()
        time.sleep(0.05)
    assert started.finish().recap


@pytest.mark.parametrize("form", ["raw", "qcow2", "zstd"])
def test_a_killed_dump_leaves_a_partial_that_the_next_run_takes_over(
    lab: Lab, hosts: list[str], block: BlockDevice, form: str
) -> None:
    host, image = lab.host(hosts[0]), f"{IMAGES}/a b.{form}"
    options = {"disks": pairs((block.partitions[1], image)), "format": form}
    started = start(lab, hosts[0], ("disk_dump", {**options, "bandwidth": 1}))

    def ready() -> bool:
        return any(".partial-" in name for name in files(host))

    kill_when(host, block.partitions[1], started, ready)
    left = files(host)
    assert len(left) == 1
    assert left[0].startswith(f"a b.{form}.partial-")
    wait_gone(host, f"{IMAGES}/{left[0]}")
    again = run(lab, hosts[0], ("disk_dump", options), ("disk_dump", options))
    assert [result["changed"] for result in again] == [True, False]
    assert files(host) == [f"a b.{form}", f"a b.{form}.digest"]


def wait_gone(host: Host, path: str) -> None:
    """Until what the killed module had started has ended as well."""
    end = time.monotonic() + 120
    while holder(host, path) is not None:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_killed_restore_leaves_no_device_that_looks_complete(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host, second, image = lab.host(hosts[0]), block.partitions[1], f"{IMAGES}/a.img"
    other = lab.block_device(hosts[0], 21, 1, "other")
    assert run(lab, hosts[0], ("disk_dump", {"disks": pairs((second, image))}))[0]["changed"] is True
    sh(host, STALE, other.partitions[0])
    sh(host, STALE, second)
    head = sh(host, 'head -c 1048576 "$1" | cksum', other.partitions[0])
    restore = {"disks": pairs((other.partitions[0], image))}
    started = start(lab, hosts[0], ("disk_restore", {**restore, "bandwidth": 1}))
    kill_when(
        host,
        other.partitions[0],
        started,
        lambda: sh(host, 'head -c 1048576 "$1" | cksum', other.partitions[0]) != head,
    )
    sh(host, 'cmp -n 1048576 "$1" /dev/zero', other.partitions[0])
    again = run(lab, hosts[0], ("disk_restore", restore), ("disk_restore", restore))
    assert [result["changed"] for result in again] == [True, False]
    sh(host, 'cmp "$1" "$2"', other.partitions[0], image)


@pytest.mark.parametrize("form", ["raw", "qcow2", "zstd"])
def test_a_damaged_image_is_caught(lab: Lab, hosts: list[str], block: BlockDevice, form: str) -> None:
    host, (first, second), image = lab.host(hosts[0]), block.partitions, f"{IMAGES}/a.{form}"
    options = {"disks": pairs((first, image)), "format": form}
    assert run(lab, hosts[0], ("disk_dump", options))[0]["changed"] is True
    sh(host, 'printf "\\377\\125" | dd of="$1" bs=1 seek=1500000 conv=notrunc,fsync status=none', image)
    before = listing(host)
    results = run(
        lab,
        hosts[0],
        ("disk_restore", {"disks": pairs((second, image))}),
        ("disk_dump", options),
    )
    assert [result["error_code"] for result in results] == ["IMAGE_INVALID", "DESTINATION_EXISTS"]
    assert "damaged" in results[0]["msg"]
    assert listing(host) == before
    assert run(lab, hosts[0], ("disk_dump", {**options, "replace": True}))[0]["changed"] is True


@pytest.mark.parametrize(
    ("device", "image", "code", "words"),
    [
        ("/dev/VolGroup00/lv001", f"{IMAGES}/a.img", "DEVICE_NOT_FOUND", "lvchange -ay"),
        ("/etc/hostname", f"{IMAGES}/a.img", "NO_BLOCK_DEVICE", "regular file"),
        ("/dev/null", f"{IMAGES}/a.img", "NO_BLOCK_DEVICE", "no block device"),
        ("lv001", f"{IMAGES}/a.img", "INVALID_OPTION", "absolute"),
        ("/dev/lab/../sda", f"{IMAGES}/a.img", "INVALID_OPTION", "plain path"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    lab: Lab, hosts: list[str], device: str, image: str, code: str, words: str
) -> None:
    result = run(lab, hosts[0], ("disk_dump", {"disks": pairs((device, image))}), arguments=["--check"])[0]
    assert result["error_code"] == code, result
    assert words in result["msg"]


def test_bad_images_and_numbers_are_refused(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host, device = lab.host(hosts[0]), block.partitions[0]
    sh(host, f"qemu-img create -q -f qcow2 {IMAGES}/base.qcow2 8M")
    sh(
        host,
        f"qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 {IMAGES}/top.qcow2; head -c 9000 /dev/urandom > {IMAGES}/x.zst",
    )
    cases: list[tuple[Task, str, str]] = [
        (("disk_dump", {"disks": pairs((device, "/nowhere/a.img"))}), "FOLDER_MISSING", "/nowhere"),
        (("disk_dump", {"disks": pairs((device, "/srv/shared"))}), "DESTINATION_EXISTS", "no regular file"),
        (("disk_dump", {"disks": pairs((device, "/srv/a")), "bandwidth": -1}), "INVALID_OPTION", "bandwidth"),
        (("disk_dump", {"disks": pairs((device, "/srv/a")), "compression_level": 22}), "INVALID_OPTION", "19"),
        (("disk_dump", {"disks": []}), "INVALID_OPTION", "at least one"),
        (("disk_restore", {"disks": pairs((device, f"{IMAGES}/base.qcow2"))}), "INVALID_OPTION", "say its format"),
        (
            ("disk_restore", {"disks": pairs((device, f"{IMAGES}/top.qcow2")), "format": "qcow2"}),
            "IMAGE_INVALID",
            "base.qcow2",
        ),
        (("disk_restore", {"disks": pairs((device, f"{IMAGES}/x.zst")), "format": "zstd"}), "IMAGE_INVALID", "x.zst"),
    ]
    for (_task, code, words), result in zip(cases, run(lab, hosts[0], *(case[0] for case in cases))):
        assert result["error_code"] == code, result
        assert words in result["msg"]


def test_a_missing_program_is_named(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host = lab.host(hosts[0])
    sh(host, "mv /usr/bin/zstd /usr/bin/zstd.away")
    try:
        options = {"disks": pairs((block.partitions[0], f"{IMAGES}/a.zst")), "format": "zstd"}
        result = both(lab, hosts[0], ("disk_dump", options))
        assert result["error_code"] == "PROGRAM_MISSING"
        assert files(host) == []
    finally:
        sh(host, "mv /usr/bin/zstd.away /usr/bin/zstd")


def examples(module: str) -> list[Task]:
    """The tasks that the documentation shows."""
    path = pathlib.Path(__file__).resolve().parents[2] / "plugins" / "modules" / f"{module}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    text = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES"
    )
    return [(module, task[f"virtops.kvm.{module}"]) for task in yaml.safe_load(text)]


def test_the_examples_of_the_documentation_run(lab: Lab, hosts: list[str], block: BlockDevice) -> None:
    host = lab.host(hosts[0])
    more = lab.block_device(hosts[0], 17, (8, 8), "more")
    names = zip(("lv001", "web01-system", "web01-data", "web02"), (*block.partitions, *more.partitions))
    image = "/srv/images/debian-13-generic-amd64.qcow2"
    sh(host, f"mkdir -p /dev/VolGroup00 /srv/dumps /srv/images; qemu-img create -q -f qcow2 {image} 8M")
    try:
        for name, device in names:
            host.run(["ln", "-s", device, f"/dev/VolGroup00/{name}"])
        host.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 1M 1M", image])
        results = run(lab, hosts[0], *examples("disk_dump"), *examples("disk_restore"))
        assert [result["failed"] for result in results] == [False] * 6
        assert [result["changed"] for result in results] == [True] * 3 + [False, False, True]
    finally:
        sh(host, "rm -rf /dev/VolGroup00 /srv/dumps /srv/images")
