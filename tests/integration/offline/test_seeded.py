# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are copied while the guest runs: only what changed is read in the stop, and nobody's checkpoints suffer from it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._disk import bitmap

from tests.integration.moves import move
from tests.integration.offline.test_moves import IMAGES, arrived, clean, good
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.guest import Guest

TRACK = "virtops-seed-"
BACKUP = """<domainbackup mode='push'><incremental>{point}</incremental><disks>
<disk name='vda' backup='yes' type='file'><target file='{path}'/><driver type='qcow2'/></disk>
<disk name='vdb' backup='no'/><disk name='vdc' backup='no'/></disks></domainbackup>"""


def points(lab: Lab, host: str, guest: Guest) -> list[str]:
    return lab.host(host).virsh("checkpoint-list", guest.uuid, "--name").split()


def bitmaps(lab: Lab, host: str, path: str) -> list[str]:
    """The bitmaps in an image that no guest uses."""
    info = json.loads(lab.host(host).run(["qemu-img", "info", "-U", "--output=json", path]).stdout)
    return [one["name"] for one in info["format-specific"]["data"].get("bitmaps", [])]


def noted(lab: Lab, host: str, guest: Guest) -> dict[str, int]:
    """The bitmaps that the guest's QEMU has, and how many bytes each calls changed."""
    question = {"execute": "query-named-block-nodes", "arguments": {"flat": True}}
    answer = json.loads(lab.host(host).virsh("qemu-monitor-command", guest.uuid, json.dumps(question)))
    return {one["name"]: one["count"] for node in answer["return"] for one in node.get("dirty-bitmaps", [])}


def backup(lab: Lab, host: str, guest: Guest, point: str) -> None:
    """Make an incremental backup of vda since the user's checkpoint."""
    path = f"{IMAGES}/{guest.name}.backup"
    there = lab.host(host)
    there.run(["tee", "/tmp/backup.xml"], input=BACKUP.format(point=point, path=path))
    there.virsh("backup-begin", guest.uuid, "/tmp/backup.xml")
    wait_for("the backup", lambda: "None" in there.virsh("domjobinfo", guest.uuid), 240, 0.5)
    assert "Completed" in there.virsh("domjobinfo", guest.uuid, "--completed")
    there.run(["rm", path])


def test_a_seeded_guest_stops_for_what_it_wrote_last(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "three-disks", fill_mib=48)
    lab.host(source).virsh("checkpoint-create-as", guest.uuid, "since-backup", "--diskspec", "vda")
    options = {"method": "seeded", "may_stop": True}
    announced = move(lab, guest, source, destination, "--check", **options)
    assert [file["delta"] for file in announced["files"]] == ["bitmap", "hashes", "bitmap"]
    assert points(lab, source, guest) == ["since-backup"]
    for here, there in ((source, destination), (destination, source)):
        with lab.watch([guest]) as watcher:
            result = good(move(lab, guest, here, there, **options), method="seeded")
            arrived(guest, there)
            seen = watcher.fresh()["guests"][guest.name]
        assert not seen["two_copies"], seen["evidence"]
        assert result["move"]["warnings"] == []
        deltas = [file["delta"] for file in result["files"]]
        assert (deltas[0], deltas[2]) == ("bitmap", "bitmap")
        assert deltas[1] in ("hashes", "time"), "a raw disk has no bitmap"
        assert result["move"]["stages"]["prepare"] > 0
        assert lab.verify(guest, there, seen["acknowledged"]).clean
        # Our checkpoint is on neither side, neither by libvirt nor in an image; the user's goes on.
        assert bitmaps(lab, here, guest.disks[0]) == ["since-backup"]
        assert points(lab, there, guest) == ["since-backup"]
        changes = noted(lab, there, guest)
        assert changes.keys() == {"since-backup"}
        # The guest's records, and nothing like all of the disk.
        assert 0 < changes["since-backup"] < 24 << 20
        backup(lab, there, guest, "since-backup")
        clean(lab, there, guest)
    assert not move(lab, guest, destination, source, **options)["changed"]


@pytest.mark.parametrize("cluster", ["64k", "4k", "2M"])
def test_unchanged_is_only_what_qemu_did_not_write(tmp_path: pathlib.Path, cluster: str) -> None:
    """Blocks of the file that its bitmap calls unchanged hold what they held before; and they are most of what was not written."""
    path = str(tmp_path / "a.qcow2")

    def do(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True)

    do("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster}", path, "64M")
    do("qemu-io", "-c", "write -P 1 0 40M", path)
    do("qemu-img", "bitmap", "--add", path, f"{TRACK}1")
    before = pathlib.Path(path).read_bytes()
    writes = ("write -P 2 5M 1k", "write -P 3 20000k 3M", "discard 30M 2M", "write 50M 1M", "write -z 9M 64k")
    do("qemu-io", *(word for write in writes for word in ("-c", write)), path)
    dirty = bitmap.read(path, f"{TRACK}1")
    do("qemu-img", "bitmap", "--remove", path, f"{TRACK}1")
    assert bitmap.names(path) == ()
    after = pathlib.Path(path).read_bytes()
    found = bitmap.unchanged(path, dirty)
    for number in found:
        assert before[number << 20 : (number + 1) << 20] == after[number << 20 : (number + 1) << 20]
    # With small clusters every other block holds a table as well.
    assert (14 if cluster == "4k" else 26) <= len(found) < 36
