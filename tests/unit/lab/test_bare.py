# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines and records of bare guests: the pure parts."""

from __future__ import annotations

import json
import shlex
from typing import Any, cast

import pytest

from tests.lab.guest.bare import Bare, bare_guest, bare_record, bare_shape, command_words, script_text
from tests.lab.guest.shapes import Disk
from tests.lab.guest.talk import sockets
from tests.lab.shell import LabError


class Nowhere:
    name = "lab"


def words_of(shape: Bare) -> list[str]:
    record = json.loads(json.dumps(bare_record(3, "a, b", shape, "kvm1")))
    return command_words(bare_guest(cast(Any, Nowhere()), "a, b", record), shape, kvm=False)


def after(words: list[str], option: str) -> list[str]:
    return [value for word, value in zip(words, words[1:], strict=False) if word == option]


@pytest.mark.parametrize(
    ("options", "option", "values"),
    [
        ({}, "-drive", ["file=/var/lib/libvirt/images/a,, b.qcow2,format=qcow2,if=virtio"]),
        ({"style": "hda"}, "-hda", ["/var/lib/libvirt/images/a, b.qcow2"]),
        ({"style": "blockdev"}, "-device", ["virtio-blk-pci,drive=disk0,id=vd0"]),
        ({"style": "hda"}, "-kernel", ["/opt/lab-guest-ide/vmlinuz"]),
        ({"style": "hda", "machine": "q35"}, "-kernel", ["/opt/lab-guest/vmlinuz"]),
        ({"named": False}, "-name", []),
        ({"with_uuid": False}, "-uuid", []),
        ({"nic": "user"}, "-netdev", ["user,id=net0"]),
        ({"extra": ("-vnc", ":1")}, "-vnc", [":1"]),
    ],
)
def test_a_command_line(options: dict[str, object], option: str, values: list[str]) -> None:
    found = after(words_of(bare_shape(**options)), option)
    assert [value for value in found if not value.startswith("virtio-net-pci")] == values


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [("none", []), ("qmp", ["qmp"]), ("hmp", ["hmp"]), ("both", ["qmp", "hmp"])],
)
def test_monitors_are_found_again(monitor: str, expected: list[str]) -> None:
    words = words_of(bare_shape(monitor=monitor, disks=(Disk(), Disk("raw"))))
    assert sockets(words) == [f"/run/lab/a, b/{kind}.sock" for kind in expected]


def test_a_script_keeps_the_words() -> None:
    words = words_of(bare_shape(style="blockdev", disks=(Disk(), Disk("raw"))))
    assert shlex.split(script_text(words, None).splitlines()[1])[:-1] == words
    assert shlex.split(script_text(words, "vm x"))[-len(words) :] == words


@pytest.mark.parametrize("options", [{"style": "cube"}, {"monitor": "two"}, {"colour": "red"}])
def test_what_there_is_not(options: dict[str, str]) -> None:
    with pytest.raises(LabError):
        bare_shape(**options)
