# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real logical volumes, thick and thin: as pools and volumes, dumped and restored, copied, and moved with the domains that have them.

What was on a volume before never shows through, however little of it is written.
"""

from __future__ import annotations

import typing as t

from tests.integration.copies import IMAGES, MIB, sh
from tests.integration.lvm.volumes import Task, actions, codes, ensured, lv, run, sums, thick, thin
from tests.integration.moves import options as of_move

if t.TYPE_CHECKING:
    from tests.integration.lvm.volumes import Result
    from tests.lab import Lab


POOL: dict[str, t.Any] = {"name": "lvm", "type": "logical", "source_name": "lab"}
DOMAIN = """<domain type='qemu'><name>lvm1</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{}</devices></domain>"""
DISK = """<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source dev='{}'/>
<target dev='{}' bus='virtio'/></disk>"""


def test_a_volume_group_is_a_pool_whose_volumes_grow_and_go_when_asked(pair: Lab) -> None:
    host = pair.hosts[0]

    def volume(**options: t.Any) -> Task:
        return Task(host, "storage_volume", {"pool": "lvm", "name": "data", **options})

    pool = Task(host, "storage_pool", POOL)
    refused = run(
        pair,
        Task(host, "storage_pool", {**POOL, "source_name": "nowhere"}),
        volume(capacity="10M"),
        check=True,
    )
    assert codes(refused) == ["VOLUME_GROUP_MISSING", "POOL_NOT_FOUND"]
    made = ensured(pair, pool, volume(capacity="10M"))
    assert (made[0]["state"], made[0]["path"], actions(made[0])) == ("active", "/dev/lab", ["define", "start"])
    # Whole extents, and what is said is what there is.
    assert (made[1]["capacity"], made[1]["format"], made[1]["path"]) == (12 * MIB, "raw", lv("data"))
    sh(host, 'dd if=/dev/urandom of="$1" bs=1M count=12 conv=fsync status=none', lv("data"))
    (before,) = sums(host, lv("data"))
    thin(host, "hidden", "16M")
    (grown,) = ensured(pair, volume(capacity="17M", grow=True))
    assert grown["changes"][0]["after"] == grown["capacity"] == 20 * MIB
    assert sums(host, lv("data"), length=12 * MIB) == [before]

    sh(host, 'mkfs.ext4 -q "$1"; mount "$1" /mnt', lv("data"))
    wrong = {
        "VOLUME_TOO_LARGE": volume(capacity="8M"),
        "VOLUME_TOO_SMALL": volume(capacity="32M"),
        "INVALID_OPTION": volume(name="new", capacity="8M", allocation="sparse"),
        "POOL_FULL": volume(name="new", capacity="8G"),
        "VOLUME_KEPT": volume(state="absent"),
        "DEVICE_IN_USE": volume(state="absent", may_delete=True),
        # Thin volumes are not to be seen in libvirt's pools.
        "VOLUME_HIDDEN": volume(name="hidden", state="absent", may_delete=True),
        "POOL_CONFLICT": Task(host, "storage_pool", {**POOL, "name": "lvm2"}),
        "POOL_IN_USE": Task(host, "storage_pool", {"name": "lvm", "state": "absent"}),
    }
    announced, found = run(pair, *wrong.values(), check=True), run(pair, *wrong.values())
    assert codes(announced) == codes(found) == list(wrong), found
    assert "data" in found[-1]["msg"]
    sh(host, "umount /mnt")
    stop, start = {"name": "lvm", "state": "inactive"}, {"name": "lvm"}
    ensured(
        pair,
        Task(host, "storage_pool", stop),
        Task(host, "storage_pool", start),
        volume(state="absent", may_delete=True),
        Task(host, "storage_pool", {"name": "lvm", "state": "absent"}),
    )
    assert sh(host, "lvs --noheadings -o lv_name lab").split() == ["hidden", "thin"]


def test_volumes_are_dumped_and_restored_together(pair: Lab) -> None:
    host = pair.hosts[0]
    sources = [thick(host, "system", "12M"), thin(host, "data", "16M")]
    targets = [thick(host, "system2", "16M", stale=True), thick(host, "data2", "16M", stale=True)]
    before = sums(host, *sources)
    images = [f"{IMAGES}/lvm-{number}.qcow2" for number in range(2)]
    dump = [{"device": device, "image": image} for device, image in zip(sources, images, strict=True)]
    back = [{"device": device, "image": image} for device, image in zip(targets, images, strict=True)]
    dumped, restored = ensured(
        pair,
        Task(host, "disk_dump", {"disks": dump, "format": "qcow2"}),
        Task(host, "disk_restore", {"disks": back}),
    )
    assert [one["data_bytes"] for one in dumped["disks"]] == [3 * MIB, 3 * MIB]
    assert [one["action"] for one in restored["disks"]] == ["restore", "restore"]
    assert sums(host, targets[0], length=12 * MIB) + sums(host, targets[1]) == before
    sh(host, 'tail -c +12582913 "$1" | cmp -n 4194304 - /dev/zero', targets[0])
    # A thin volume that has to become what it was: what is zeros takes no room of its pool.
    sh(host, 'dd if=/dev/urandom of="$1" bs=1M count=1 seek=4 conv=fsync status=none', sources[1])
    used = "lvs --noheadings --nosuffix -o data_percent lab/data"
    taken = float(sh(host, used))
    found = run(
        pair,
        Task(host, "disk_restore", {"disks": dump}),
        # The physical volume below them all, and a volume that is mapped into another.
        Task(host, "disk_restore", {"disks": [{"device": "/dev/vdc", "image": images[0]}]}),
        Task(host, "disk_dump", {"disks": [{"device": "/dev/mapper/lab-thin_tdata", "image": f"{IMAGES}/lvm-x"}]}),
    )
    assert codes(found) == ["ok", "DEVICE_IN_USE", "DEVICE_IN_USE"], found
    assert [one["action"] for one in found[0]["disks"]] == ["keep", "restore"]
    assert sums(host, *sources) == before
    assert float(sh(host, used)) == taken < 50


def test_a_volume_is_copied_to_another_host_and_comes_back_by_way_of_an_image(pair: Lab) -> None:
    here, there = pair.hosts[:2]
    source = thick(here, "data", "12M")
    thick(there, "data", "16M", stale=True)
    thick(there, "small", "8M")
    thin(here, "back", "12M", stale=True)
    (before,) = sums(here, source)
    image = f"{IMAGES}/lvm-data.qcow2"

    def copy(**options: t.Any) -> Task:
        return Task(here, "disk_copy", {"source": source, "source_format": "raw", "destination": there.uri, **options})

    (done,) = ensured(pair, copy())
    assert sums(there, lv("data"), length=12 * MIB) == [before]
    # Nothing of what the larger volume held shows behind it.
    sh(there, 'tail -c +12582913 "$1" | cmp -n 4194304 - /dev/zero', lv("data"))
    sh(there, 'printf x | dd of="$1" bs=1 seek=16000000 conv=notrunc,fsync status=none', lv("data"))
    back = {"source": image, "source_format": "qcow2", "destination": here.uri, "destination_format": "raw"}
    found = run(
        pair,
        copy(),
        copy(destination_path=lv("small")),
        copy(destination_path=lv("nowhere")),
        copy(destination_path=image, destination_format="qcow2"),
        Task(there, "disk_copy", {**back, "destination_path": lv("back")}),
    )
    assert codes(found) == ["ok", "DESTINATION_TOO_SMALL", "DEVICE_NOT_FOUND", "ok", "ok"], found
    assert [one.get("changed") for one in found] == [True, False, False, True, True]
    sh(there, 'tail -c +12582913 "$1" | cmp -n 4194304 - /dev/zero; qemu-img check -q "$2"', lv("data"), image)
    assert sums(here, lv("back")) == [before], done


def moved(result: Result) -> Result:
    assert not result.get("failed"), result["msg"]
    assert (result["outcome"], result["method"]) == ("moved", "offline"), result
    assert all(proof["digest"] for proof in result["move"]["proofs"])
    return result


def test_a_domain_moves_with_all_its_volumes_and_by_way_of_images(pair: Lab) -> None:
    here, there = pair.hosts[:2]
    names = ["system", "data", "scratch"]
    disks = dict(zip(["vda", "vdb", "vdc"], names, strict=True))
    paths = [thick(here, "system", "12M"), thick(here, "data", "16M"), thin(here, "scratch", "12M")]
    before = sums(here, *paths)
    here.write("/tmp/lvm1.xml", DOMAIN.format("".join(DISK.format(lv(name), disk) for disk, name in disks.items())))
    here.virsh("define", "/tmp/lvm1.xml")
    thick(there, "system", "12M", stale=True)
    thick(there, "data", "8M", stale=True)
    accept = {"accept": ["IMAGE_EXISTS"]}

    def move(forth: bool = True, **options: t.Any) -> Task:
        source, destination = (here, there) if forth else (there, here)
        return Task(source, "domain_migration", of_move(pair, "lvm1", destination.name, **options))

    (refused,) = run(pair, move(), check=True)
    told = {(one["code"], one["object"]) for one in refused["details"]["findings"]}
    assert told >= {("IMAGE_EXISTS", "vda"), ("DISK_SIZE_MISMATCH", "vdb"), ("DISK_TYPE_UNSUPPORTED", "vdc")}, told
    assert here.virsh("list", "--all", "--name").split() == ["lvm1"]
    sh(there, "lvremove -q -q -f -y lab/data")
    thick(there, "data", "20M", stale=True)
    thin(there, "scratch", "12M", stale=True)
    announced, forth = run(pair, Task(here, "domain_migration", move(**accept).options, check=True), move(**accept))
    assert announced["changes"] == moved(forth)["changes"]
    assert [one["action"] for one in forth["changes"] if one["object"].startswith("device ")] == ["overwrite"] * 3
    assert sums(there, lv("system"), lv("scratch")) == [before[0], before[2]]
    assert sums(there, lv("data"), length=16 * MIB) == [before[1]]
    sh(there, 'tail -c +16777217 "$1" | cmp -n 4194304 - /dev/zero', lv("data"))
    assert sums(here, *paths) == before
    assert there.virsh("list", "--all", "--name").split() == ["lvm1"]
    assert "lvm1" not in here.virsh("list", "--all", "--name")

    # Home as images, and once more to volumes, which hold by then what the first move left.
    as_images = {disk: f"{IMAGES}/lvm-{name}.qcow2" for disk, name in disks.items()}
    as_volumes = {disk: lv(name) for disk, name in disks.items()}
    for name in names:
        sh(there, 'dd if=/dev/urandom of="$1" bs=1M count=1 seek=7 conv=notrunc,fsync status=none', lv(name))
    now = sums(there, *as_volumes.values())
    home, again = run(
        pair,
        move(forth=False, mapping={"disks": as_images}),
        move(mapping={"disks": as_volumes}, **accept),
    )
    moved(home)
    formats = sh(
        here, 'for path; do qemu-img info -f qcow2 "$path" | grep -c "^file format: qcow2"; done', *as_images.values()
    )
    assert formats.split() == ["1"] * 3
    moved(again)
    assert sums(there, *as_volumes.values()) == now
    text = there.virsh("dumpxml", "lvm1")
    assert text.count("type='raw'") == 3
    assert text.count("<disk type='block'") == 3
