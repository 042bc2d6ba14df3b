# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests without a process, read from their units: what runs, what left, and what is no guest of ours is not among them."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import Guest, GuestProcess
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.offguests import read_off
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import Tap, Unit, render, unit_name


def written(folder: pathlib.Path, name: str, image: pathlib.Path) -> None:
    disk = f"file={image},format=raw,if=none,id=drive0"
    words = (
        "/usr/bin/qemu-system-x86_64",
        "-m",
        "64M",
        "-smp",
        "2",
        "-machine",
        "q35",
        "-drive",
        disk,
        "-device",
        "virtio-blk,drive=drive0",
    )
    made = Unit(name, f"AAAA-{name}", "qemu", words, (Tap("tap0", "br0"),))
    (folder / unit_name(name)).write_text(render(made, "/usr/sbin/ip", persistent=True), encoding="utf-8")


def departed(state: pathlib.Path, name: str, **fields: object) -> None:
    (state / "moves").mkdir(exist_ok=True)
    record = {"name": name, "uuid": "", "destination_host": "kvm2", "stage": "done", **fields}
    (state / "moves" / f"guest-{name}.json").write_text(json.dumps(record), encoding="utf-8")


def test_those_of_ours_that_are_off_and_here(tmp_path: pathlib.Path) -> None:
    image = tmp_path / "a.raw"
    image.write_bytes(bytes(4096))
    for name in ("still one", "runs", "left", "back", "other"):
        written(tmp_path, name, image)
    (tmp_path / "virtops-kvm-guest-foreign.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    (tmp_path / "else.service").write_text("[Service]\n", encoding="utf-8")
    departed(tmp_path, "left")
    departed(tmp_path, "back", returned=True)
    running = [
        Guest(GuestProcess(7, "kvm", ("kvm",)), name="runs"),
        Guest(GuestProcess(8, "kvm", ("kvm",)), name="renamed", uuid="aaaa-other"),
    ]
    found = read_off(running, str(tmp_path), str(tmp_path))
    assert [guest.name for guest in found] == ["back", "still one"]
    still = found[1]
    assert (still.status, still.uuid, still.memory, still.vcpus) == ("stopped", "aaaa-still one", 64 << 20, 2)
    assert (still.process.pid, still.process.user, still.process.unit) == (0, "qemu", unit_name("still one"))
    assert still.accelerator == "tcg", "it starts also where there is no KVM"
    (disk,) = still.disks
    assert (disk.drive, disk.source, disk.virtual_size) == ("drive0", str(image), 4096)


def test_an_image_that_is_gone_has_no_size(tmp_path: pathlib.Path) -> None:
    written(tmp_path, "web", tmp_path / "nothing")
    (guest,) = read_off([], str(tmp_path), str(tmp_path))
    assert [disk.virtual_size for disk in guest.disks] == [None]


def test_where_nobody_can_tell_who_left_nobody_is_told(tmp_path: pathlib.Path) -> None:
    assert read_off([], str(tmp_path), str(tmp_path)) == []
    written(tmp_path, "web", tmp_path / "a")
    departed(tmp_path, "web")
    (tmp_path / "moves" / "guest-web.json").write_text("{", encoding="utf-8")
    with pytest.raises(KvmError) as caught:
        read_off([], str(tmp_path), str(tmp_path))
    assert caught.value.error_code == "STATE_UNREADABLE"
