# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which layer goes where, the source as a whole, and when it has changed."""

from __future__ import annotations

import fcntl
import os
import pathlib
import shutil
import struct

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import parse_qcow2
from ansible_collections.virtops.kvm.plugins.module_utils._disk import chain, digest, source
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import CopyJob, check_job
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import Layer
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._disk.test_header import FORMAT, image


@pytest.fixture
def layers(tmp_path: pathlib.Path) -> pathlib.Path:
    """top -> middle -> base, the middle one named relative and without its format."""
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "base.raw").write_bytes(bytes(4096))
    (tmp_path / "bases" / "middle.qcow2").write_bytes(image(name=b"base.raw"))
    top = image(name=str(tmp_path / "bases" / "middle.qcow2").encode(), extensions=((FORMAT, b"qcow2"),))
    (tmp_path / "top.qcow2").write_bytes(top)
    return tmp_path


def test_a_chain_is_followed(layers: pathlib.Path) -> None:
    found = source.chain_of(str(layers / "top.qcow2"), "qcow2")
    assert [(os.path.basename(one.path), one.format) for one in found] == [
        ("top.qcow2", "qcow2"),
        ("middle.qcow2", "qcow2"),
        ("base.raw", "raw"),
    ]
    assert [one.backing for one in found] == [found[1].path, found[2].path, ""]


def test_a_circle_is_noticed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.qcow2"
    path.write_bytes(image(name=b"a.qcow2", extensions=((FORMAT, b"qcow2"),)))
    with pytest.raises(KvmError, match="circle"):
        source.chain_of(str(path), "qcow2")


@pytest.mark.parametrize(
    ("name", "code"),
    [(b"nbd://host/x", "IMAGE_INVALID"), (b"gone.qcow2", "SOURCE_MISSING"), (b"plain", "IMAGE_INVALID")],
)
def test_a_broken_chain(tmp_path: pathlib.Path, name: bytes, code: str) -> None:
    (tmp_path / "plain").write_bytes(bytes(600))
    (tmp_path / "a.qcow2").write_bytes(image(name=name, extensions=((FORMAT, b"qcow2"),)))
    with pytest.raises(KvmError) as caught:
        source.chain_of(str(tmp_path / "a.qcow2"), "qcow2")
    assert caught.value.error_code == code


def test_layers_become_jobs_with_new_heads(layers: pathlib.Path) -> None:
    job = CopyJob(str(layers / "top.qcow2"), "/dst/new.qcow2", "qcow2", "qcow2", bandwidth=5)
    jobs = chain.jobs_of(job, keep=True, folder="/dst/bases")
    assert [one.destination for one in jobs] == ["/dst/bases/base.raw", "/dst/bases/middle.qcow2", "/dst/new.qcow2"]
    assert [one.source_format for one in jobs] == ["raw", "qcow2", "qcow2"]
    assert {one.bandwidth for one in jobs} == {5}
    assert not any(one.converts for one in jobs)
    names = [parse_qcow2(one.head) if one.head else None for one in jobs]
    assert names[0] is None
    assert [name.backing_path for name in names[1:] if name] == ["/dst/bases/base.raw", "/dst/bases/middle.qcow2"]
    assert [name.backing_format for name in names[1:] if name] == ["raw", "qcow2"]


def test_a_layer_that_finds_its_backing_file_keeps_its_head(tmp_path: pathlib.Path) -> None:
    (tmp_path / "base.raw").write_bytes(bytes(4096))
    (tmp_path / "top.qcow2").write_bytes(image(name=b"base.raw", extensions=((FORMAT, b"raw"),)))
    job = CopyJob(str(tmp_path / "top.qcow2"), "/dst/top.qcow2", "qcow2")
    assert [one.head for one in chain.jobs_of(job, keep=True)] == [None, None]


def test_flattened_or_alone_it_is_one_job(layers: pathlib.Path) -> None:
    job = CopyJob(str(layers / "top.qcow2"), "/dst/new.qcow2", "qcow2")
    (flat,) = chain.jobs_of(job, keep=False)
    assert (flat.converts, flat.written_format) == (True, "qcow2")
    (layers / "alone.qcow2").write_bytes(image())
    alone = CopyJob(str(layers / "alone.qcow2"), "/dst/new.qcow2", "qcow2")
    assert chain.jobs_of(alone, keep=False) == chain.jobs_of(alone, keep=True) == [alone]
    raw = CopyJob("/a", "/b", "raw", "qcow2")
    assert chain.jobs_of(raw, keep=True) == [raw]


def test_two_layers_of_one_name() -> None:
    layers = [Layer("/a/x", "qcow2"), Layer("/b/y", "qcow2"), Layer("/c/y", "raw")]
    with pytest.raises(InputError, match="same path"):
        chain.places_in(layers, "/dst/x")


def test_a_copied_tree_needs_no_new_heads(layers: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shutil.copy(layers / "bases" / "base.raw", layers / "base.raw")
    found = source.chain_of(str(layers / "top.qcow2"), "qcow2")
    places = {one.path: one.path for one in found}
    assert not chain.needs_new_head(found[0], found[1], places)
    # The format of the base was not said, and always is from now on.
    assert chain.needs_new_head(found[1], found[2], places)


@pytest.mark.parametrize(
    ("job", "option"),
    [
        (CopyJob("a", "/b"), "source"),
        (CopyJob("/a", "/b/../c"), "destination"),
        (CopyJob("/a", "/b", "vmdk"), "source_format"),
        (CopyJob("/a", "/b", "raw", "vmdk"), "destination_format"),
        (CopyJob("/a", "/b", bandwidth=-1), "bandwidth"),
    ],
)
def test_jobs_that_are_refused(job: CopyJob, option: str) -> None:
    with pytest.raises(InputError) as caught:
        check_job(job)
    assert caught.value.details["option"] == option


def test_the_key_names_the_copy() -> None:
    keys = {
        CopyJob(*words).key
        for words in (("/a", "/b"), ("/a", "/b", "qcow2"), ("/a", "/b", "raw", "qcow2"), ("/a", "/c"), ("/b", "/b"))
    }
    # The bytes of an image are bytes, whatever they are called: only what is written there differs.
    assert len(keys) == 5
    assert CopyJob("/a", "/b").key == CopyJob("/a", "/b", "raw", "raw", bandwidth=3, seed=True, replace=True).key


def test_a_replaced_head_is_read_as_if_it_were_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"a" * 10000)
    whole = tmp_path / "whole"
    whole.write_bytes(b"H" * 4096 + b"a" * 5904)
    with path.open("rb") as stream:
        reader = source.PatchedReader(digest.FileReader(stream.fileno()), b"H" * 4096)
        assert digest.digest_reader(reader) == digest.digest_file(str(whole))
        assert list(reader.extents(0, 100)) == [(0, 100)]
        view = bytearray(10)
        reader.read_into(memoryview(view), 4090)
        assert view == b"HHHHHHaaaa"


def test_a_change_is_noticed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"a" * 10000)
    before = source.stamp_of(str(path))
    assert source.stamp_of(str(path)) == before
    os.utime(path, ns=(1, 1))
    assert source.stamp_of(str(path)) != before
    with pytest.raises(KvmError, match="cannot be read"):
        source.stamp_of(str(tmp_path / "nothing"))


@pytest.mark.parametrize(("byte", "writes"), [(None, False), (100, False), (101, True), (103, False)])
def test_a_writer_is_known_by_its_lock(tmp_path: pathlib.Path, byte: int | None, writes: bool) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(4096))
    with path.open("r+b") as stream:
        if byte is not None:
            lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0)
            fcntl.fcntl(stream.fileno(), fcntl.F_OFD_SETLK, lock)
        assert source.has_writer(str(path)) is writes
        if writes:
            with pytest.raises(KvmError) as caught:
                source.check_free(str(path))
            assert caught.value.error_code == "SOURCE_IN_USE"
        else:
            source.check_free(str(path))
