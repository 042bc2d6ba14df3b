# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host itself tells of images: sizes, chains, places."""

from __future__ import annotations

import os
import pathlib
import struct

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import parse_mounts
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.storage_probe import (
    StorageProbe,
    declared_shared,
    is_local,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Layer


def overlay(path: pathlib.Path, size: int, backing: str = "", form: str = "qcow2") -> None:
    """Write a qcow2 header to ``path``."""
    extension = struct.pack(">II", 0xE2792ACA, len(form)) + form.encode() + b"\0" * (-len(form) % 8)
    name = backing.encode()
    head = b"QFI\xfb" + struct.pack(">IQIIQ", 2, 72 + len(extension) + 8 if name else 0, len(name), 16, size)
    path.write_bytes(head.ljust(72, b"\0") + extension + b"\0" * 8 + name)


@pytest.fixture
def probe(tmp_path: pathlib.Path) -> StorageProbe:
    """A probe for which ``shared`` below the test's folder is an NFS mount."""
    mounts = parse_mounts(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n" + f"2 1 0:9 / {tmp_path}/shared rw - nfs4 filer:/x rw,addr=192.0.2.5\n"
    )
    return StorageProbe(mounts, [str(tmp_path / "declared")], "kvm1")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("qemu:///system", True),
        ("qemu+unix:///system?socket=/x", True),
        ("test:///default", True),
        ("qemu+ssh://root@kvm2/system", False),
        ("qemu+tls://kvm2/system", False),
        ("qemu://kvm2/system", False),
    ],
)
def test_is_local(uri: str, expected: bool) -> None:
    assert is_local(uri) is expected


@pytest.mark.parametrize(("version", "expected"), [(9000000, []), (10008000, []), (11003000, ["/srv/shared"])])
def test_an_old_libvirt_does_not_heed_declarations(version: int, expected: list[str]) -> None:
    assert declared_shared({"shared_filesystems": ["/srv/shared"]}, version) == expected


def test_a_chain_is_followed_where_the_definition_does_not_tell_it(tmp_path: pathlib.Path, probe: StorageProbe) -> None:
    os.truncate(os.open(tmp_path / "base.raw", os.O_CREAT | os.O_RDWR), 4096)
    overlay(tmp_path / "middle.qcow2", 4096, "base.raw", "raw")
    overlay(tmp_path / "top.qcow2", 8192, "middle.qcow2")
    disk = probe.complete(Disk("vda", "file", source=str(tmp_path / "top.qcow2"), format="qcow2"))
    assert (disk.virtual_size, disk.shared) == (8192, False)
    assert disk.filesystem == "local:ext4:/dev/sda1:8:1@kvm1"
    assert [(layer.path, layer.format, layer.type) for layer in disk.backing_chain] == [
        (str(tmp_path / "middle.qcow2"), "qcow2", "file"),
        (str(tmp_path / "base.raw"), "raw", "file"),
    ]
    assert disk.backing_chain[1].allocated == 0


def test_a_chain_that_bites_its_tail_ends(tmp_path: pathlib.Path, probe: StorageProbe) -> None:
    overlay(tmp_path / "a.qcow2", 1, "b.qcow2")
    overlay(tmp_path / "b.qcow2", 1, "a.qcow2")
    disk = probe.complete(Disk("vda", "file", source=str(tmp_path / "a.qcow2"), format="qcow2"))
    assert [layer.path for layer in disk.backing_chain] == [str(tmp_path / "b.qcow2")]


def test_a_chain_with_a_missing_or_a_network_layer(tmp_path: pathlib.Path, probe: StorageProbe) -> None:
    overlay(tmp_path / "a.qcow2", 1, "gone.qcow2")
    overlay(tmp_path / "n.qcow2", 1, "nbd://192.0.2.9/base", "raw")
    gone = probe.complete(Disk("vda", "file", source=str(tmp_path / "a.qcow2"), format="qcow2"))
    assert gone.backing_chain == (Layer(str(tmp_path / "gone.qcow2"), "qcow2"),)
    remote = probe.complete(Disk("vda", "file", source=str(tmp_path / "n.qcow2"), format="qcow2"))
    assert remote.backing_chain == (Layer("nbd://192.0.2.9/base", "raw", "network"),)


def test_the_definition_has_the_last_word_on_the_chain(tmp_path: pathlib.Path, probe: StorageProbe) -> None:
    overlay(tmp_path / "a.qcow2", 1, "other.qcow2")
    (tmp_path / "told.raw").write_bytes(b"x" * 5000)
    told = Layer(str(tmp_path / "told.raw"), "raw")
    disk = probe.complete(Disk("vda", "file", source=str(tmp_path / "a.qcow2"), format="qcow2", backing_chain=(told,)))
    assert [layer.path for layer in disk.backing_chain] == [told.path]
    assert disk.backing_chain[0].allocated == os.stat(told.path).st_blocks * 512


def test_a_missing_image_has_no_size_but_a_place(tmp_path: pathlib.Path, probe: StorageProbe) -> None:
    disk = probe.complete(Disk("vda", "file", source=str(tmp_path / "shared" / "gone.raw"), format="raw"))
    assert (disk.virtual_size, disk.allocated, disk.shared, disk.filesystem) == (None, None, True, "nfs:192.0.2.5:/x")


def test_a_link_lies_where_it_points(tmp_path: pathlib.Path, probe: StorageProbe) -> None:
    (tmp_path / "declared").mkdir()
    (tmp_path / "declared" / "a.raw").write_bytes(b"")
    (tmp_path / "link.raw").symlink_to(tmp_path / "declared" / "a.raw")
    disk = probe.complete(Disk("vda", "file", source=str(tmp_path / "link.raw"), format="raw"))
    assert (disk.shared, disk.filesystem) == (True, f"shared:{tmp_path}/declared")


def test_what_is_no_file_is_left_alone(probe: StorageProbe) -> None:
    for disk in (Disk("sda", "file", device="cdrom"), Disk("vda", "network", source="pool/x", shared=True)):
        assert probe.complete(disk) == disk


@pytest.mark.parametrize(("answer", "looked"), [("open", True), ("timeout", False), ("refused", False)])
def test_nobody_looks_where_a_server_does_not_answer(tmp_path: pathlib.Path, answer: str, looked: bool) -> None:
    asked: list[tuple[str, int]] = []

    def connect(address: str, port: int) -> str:
        asked.append((address, port))
        return answer

    line = f"2 1 0:9 / {tmp_path}/shared rw - nfs4 filer:/x rw,proto=tcp,addr=192.0.2.5\n"
    seen = StorageProbe(parse_mounts("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n" + line), [], "kvm1", connect)
    (tmp_path / "shared").mkdir()
    overlay(tmp_path / "shared" / "web.qcow2", 1 << 20)
    disk = seen.complete(Disk("vda", "file", source=f"{tmp_path}/shared/web.qcow2", format="qcow2"))
    assert (disk.shared, disk.filesystem) == (True, "nfs:192.0.2.5:/x")
    assert disk.virtual_size == ((1 << 20) if looked else None)
    assert seen.folder_location(f"{tmp_path}/shared").filesystem == "nfs:192.0.2.5:/x"
    assert seen.silent(f"{tmp_path}/shared") is not looked
    assert not seen.silent(str(tmp_path))
    assert asked == [("192.0.2.5", 2049)]
