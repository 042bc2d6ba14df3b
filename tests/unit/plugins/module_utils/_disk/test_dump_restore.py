# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumping and restoring with files in the place of devices: decisions, transactions, stale data, proofs."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import content, dump, pairs, partial, restore, sidecar
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import Place
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK, digest_file
from ansible_collections.virtops.kvm.plugins.module_utils._disk.pairs import Pair

MIB = 1 << 20


@pytest.fixture
def bench(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Files are devices here, and locks are in a folder of the test."""

    def places(wanted: t.Sequence[Pair], **unused: object) -> list[Place]:
        return [Place(pair.device, pair.device, "block", os.path.getsize(pair.device)) for pair in wanted]

    def opened(place: Place, *, write: bool) -> int:
        return os.open(place.real, os.O_RDWR if write else os.O_RDONLY)

    for module in (dump, restore):
        monkeypatch.setattr(module, "look_at_devices", places)
        monkeypatch.setattr(module, "open_alone", opened)
    locks = str(tmp_path / "locks")
    monkeypatch.setattr(partial.Partial.__init__, "__defaults__", (locks,))
    (tmp_path / "images").mkdir()
    return tmp_path


def device(bench: pathlib.Path, name: str = "dev", mib: int = 4, tail: int = 0) -> pathlib.Path:
    """A device with something in its blocks 0 and 2, and zeros that were written in block 1."""
    path = bench / name
    data = bytearray(mib * MIB + tail)
    data[0:5] = b"begin"
    data[2 * MIB + 7000 : 2 * MIB + 7003] = b"two"
    if tail:
        data[-3:] = b"end"
    path.write_bytes(data)
    return path


def pair(bench: pathlib.Path, name: str = "dev") -> Pair:
    return Pair(str(bench / name), str(bench / "images" / f"{name} é.img"))


def dumped(*wanted: Pair, check: bool = False, **options: t.Any) -> tuple[list[dump.Decision], list[pairs.Outcome]]:
    with dump.Dump(wanted, dump.Options(**options), Clock()) as one:
        decisions = one.survey()
        return decisions, one.foresee(decisions) if check else one.apply(decisions)


def restored(*wanted: Pair, check: bool = False, form: str | None = None) -> list[restore.Decision]:
    with restore.Restore(wanted, form, 0, Clock()) as one:
        decisions = one.survey()
        if not check:
            one.apply(decisions)
        return decisions


def names(bench: pathlib.Path) -> list[str]:
    return sorted(path.name for path in (bench / "images").iterdir())


def test_a_dump_is_equal_sparse_private_and_recorded(bench: pathlib.Path) -> None:
    path, wanted = device(bench, tail=512), pair(bench)
    decisions, outcomes = dumped(wanted)
    image = pathlib.Path(wanted.image)
    assert image.read_bytes() == path.read_bytes()
    assert image.stat().st_blocks * 512 <= 3 * 65536
    assert image.stat().st_mode & 0o777 == 0o600
    assert names(bench) == ["dev é.img", "dev é.img.digest"]
    record = json.loads(pathlib.Path(outcomes[0].sidecar or "").read_text(encoding="utf-8"))
    total = digest_file(str(path)).total
    assert record["content"] == {"size": 4 * MIB + 512, "block": BLOCK, "data_bytes": 2 * MIB + 512, "digest": total}
    assert record["image"] == {"format": "raw", "size": 4 * MIB + 512, "digest": total}
    assert (decisions[0].action, outcomes[0].digest, outcomes[0].data_bytes) == ("dump", total, 2 * MIB + 512)


def test_check_mode_announces_what_then_happens_and_touches_nothing(bench: pathlib.Path) -> None:
    device(bench)
    wanted = pair(bench)
    foreseen = dumped(wanted, check=True)[0]
    assert names(bench) == []
    done = dumped(wanted)[0]
    assert dump.changes_of(foreseen, "raw") == dump.changes_of(done, "raw") != ()
    again, outcomes = dumped(wanted)
    assert dump.changes_of(again, "raw") == ()
    assert outcomes[0].action == "keep"


def test_content_decides_and_not_time(bench: pathlib.Path) -> None:
    path, wanted = device(bench), pair(bench)
    dumped(wanted)
    os.utime(path, (9e9, 9e9))
    assert dumped(wanted)[0][0].action == "keep"
    before = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"BEGIN")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(KvmError, match="holds something else") as caught:
        dumped(wanted)
    assert caught.value.error_code == "DESTINATION_EXISTS"
    assert dumped(wanted, replace=True)[0][0].action == "replace"
    assert pathlib.Path(wanted.image).read_bytes() == path.read_bytes()
    assert names(bench) == ["dev é.img", "dev é.img.digest"]


def test_a_good_image_without_a_record_gets_one(bench: pathlib.Path) -> None:
    path, wanted = device(bench), pair(bench)
    pathlib.Path(wanted.image).write_bytes(path.read_bytes())
    decisions, outcomes = dumped(wanted)
    assert [change.action for change in dump.changes_of(decisions, "raw")] == ["record"]
    assert outcomes[0].digest == digest_file(str(path)).total
    assert dumped(wanted)[0][0].action == "keep"


def test_a_damaged_image_is_not_taken_for_good(bench: pathlib.Path) -> None:
    device(bench)
    wanted = pair(bench)
    dumped(wanted)
    with open(wanted.image, "r+b") as stream:
        stream.seek(3 * MIB)
        stream.write(b"!")
    with pytest.raises(KvmError, match="holds something else"):
        dumped(wanted)
    with pytest.raises(KvmError, match="not what its digest record says") as caught:
        restored(wanted)
    assert caught.value.error_code == "IMAGE_INVALID"
    assert device(bench).read_bytes() == (bench / "dev").read_bytes()


def test_when_one_fails_nothing_is_left(bench: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device(bench, "a")
    device(bench, "b")
    pathlib.Path(pair(bench, "b").image).write_bytes(b"old")
    real, made = content.open_sink, []

    def failing(path: str, *rest: t.Any) -> content.Sink:
        made.append(path)
        if len(made) == 2:
            raise OSError(28, "No space left on device")
        return real(path, *rest)

    monkeypatch.setattr(content, "open_sink", failing)
    with pytest.raises(KvmError) as caught:
        dumped(pair(bench, "a"), pair(bench, "b"), replace=True)
    assert caught.value.error_code == "DESTINATION_FULL"
    assert names(bench) == ["b é.img"]
    assert pathlib.Path(pair(bench, "b").image).read_bytes() == b"old"


def test_when_the_last_name_cannot_be_given_all_names_are_taken_back(
    bench: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device(bench, "a")
    device(bench, "b")
    old = pathlib.Path(pair(bench, "a").image)
    old.write_bytes(b"old")
    real = partial.Partial.show

    def failing(one: partial.Partial) -> None:
        if one.final.endswith("b é.img.digest"):
            raise PermissionError(1, "no")
        real(one)

    monkeypatch.setattr(partial.Partial, "show", failing)
    with pytest.raises(PermissionError):
        dumped(pair(bench, "a"), pair(bench, "b"), replace=True)
    assert names(bench) == ["a é.img"]
    assert old.read_bytes() == b"old"


def test_what_a_killed_run_left_is_taken_over(bench: pathlib.Path) -> None:
    path, wanted = device(bench), pair(bench)
    left = pathlib.Path(partial.partial_path(wanted.image))
    left.write_bytes(b"half" * 9_000_000)
    dumped(wanted)
    assert pathlib.Path(wanted.image).read_bytes() == path.read_bytes()
    assert not left.exists()


def test_two_runs_do_not_write_the_same_image(bench: pathlib.Path) -> None:
    device(bench)
    wanted = pair(bench)
    with partial.Partial(wanted.file), pytest.raises(KvmError) as caught:
        dumped(wanted)
    assert caught.value.error_code == "IMAGE_BUSY"
    dumped(wanted)


def test_a_write_meanwhile_is_noticed(bench: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device(bench)
    counts = iter([1, 2])
    monkeypatch.setattr(dump, "_written", lambda place: next(counts))
    with pytest.raises(KvmError) as caught:
        dumped(pair(bench))
    assert caught.value.error_code == "SOURCE_CHANGED"
    assert names(bench) == []


def test_space_is_counted_exactly_where_it_is_close(bench: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device(bench)
    monkeypatch.setattr(dump, "free_bytes", lambda folder: 2 * MIB)
    dumped(pair(bench))
    device(bench, "b")
    monkeypatch.setattr(dump, "free_bytes", lambda folder: 2 * MIB - 1)
    for check in (True, False):
        with pytest.raises(KvmError, match="free") as caught:
            dumped(pair(bench, "b"), check=check)
        assert (caught.value.error_code, caught.value.details["needed"]) == ("DESTINATION_FULL", 2 * MIB)


def test_a_signal_ends_a_dump_without_a_trace_and_a_restore_with_a_blank_device(bench: pathlib.Path) -> None:
    path, wanted = device(bench), pair(bench)
    answers = iter([False, True])
    with dump.Dump([wanted], dump.Options(), Clock()) as one, pytest.raises(KvmError) as caught:
        one.apply(one.survey(), lambda: next(answers))
    assert (caught.value.error_code, names(bench)) == ("COPY_STOPPED", [])
    dumped(wanted)
    path.write_bytes(b"\xaa" * (4 * MIB))
    with restore.Restore([wanted], None, 0, Clock()) as two, pytest.raises(KvmError) as caught:
        two.apply(two.survey(), lambda: True)
    assert caught.value.details["incomplete"] == [str(path)]
    assert not any(path.read_bytes()[:MIB])


def test_a_lying_disk_is_caught(bench: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device(bench)

    def damage(descriptor: int) -> None:
        os.pwrite(descriptor, b"?", 9)

    monkeypatch.setattr(dump, "settle", damage)
    with pytest.raises(KvmError) as caught:
        dumped(pair(bench))
    assert caught.value.error_code == "PROOF_FAILED"
    assert names(bench) == []


@pytest.mark.parametrize("larger", [0, 1, 512, MIB + 512])
@pytest.mark.parametrize("tail", [0, 512])
def test_a_restore_leaves_nothing_stale(bench: pathlib.Path, larger: int, tail: int) -> None:
    path, wanted = device(bench, tail=tail), pair(bench)
    dumped(wanted)
    whole = path.read_bytes() + bytes(larger)
    path.write_bytes(b"\xaa" * len(whole))
    foreseen = restored(wanted, check=True)
    assert path.read_bytes() == b"\xaa" * len(whole)
    assert restore.changes_of(foreseen) == restore.changes_of(restored(wanted)) != ()
    assert path.read_bytes() == whole
    assert restore.changes_of(restored(wanted)) == ()


def test_only_what_differs_is_written(bench: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, wanted = device(bench), pair(bench)
    dumped(wanted)
    with path.open("r+b") as stream:
        stream.seek(2 * MIB)
        stream.write(b"new")
    written = []
    real = restore.write_all

    def noting(descriptor: int, data: bytes, offset: int) -> None:
        written.append((offset, len(data)))
        real(descriptor, data, offset)

    monkeypatch.setattr(restore, "write_all", noting)
    restored(wanted)
    assert written == [(2 * MIB, MIB), (0, MIB)]


def test_a_restore_that_fails_leaves_nothing_that_looks_complete(
    bench: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = device(bench, "a"), device(bench, "b")
    dumped(pair(bench, "a"), pair(bench, "b"))
    good = a.read_bytes()
    for path in (a, b):
        path.write_bytes(b"\xaa" * len(good))
    real = restore.Restore._prove

    def failing(one: t.Any, index: int, source: restore.Source, **options: t.Any) -> None:
        if index == 1:
            raise KvmError("PROOF_FAILED", "no")
        real(one, index, source, **options)

    with monkeypatch.context() as patch:
        patch.setattr(restore.Restore, "_prove", failing)
        with pytest.raises(KvmError) as caught:
            restored(pair(bench, "a"), pair(bench, "b"))
    assert caught.value.details["incomplete"] == [str(a), str(b)]
    assert not any(a.read_bytes()[:MIB])
    assert not any(b.read_bytes()[:MIB])
    restored(pair(bench, "a"), pair(bench, "b"))
    assert a.read_bytes() == b.read_bytes() == good


def test_a_device_that_is_too_small_is_refused_before_any_is_written(bench: pathlib.Path) -> None:
    a, b = device(bench, "a"), device(bench, "b")
    dumped(pair(bench, "a"), pair(bench, "b"))
    a.write_bytes(b"\xaa" * (4 * MIB))
    b.write_bytes(b"\xaa" * (4 * MIB - 512))
    with pytest.raises(KvmError, match="512 bytes more") as caught:
        restored(pair(bench, "a"), pair(bench, "b"))
    assert caught.value.error_code == "DESTINATION_TOO_SMALL"
    assert a.read_bytes() == b"\xaa" * (4 * MIB)


def test_a_missing_image_is_refused(bench: pathlib.Path) -> None:
    device(bench)
    with pytest.raises(KvmError, match="does not exist"):
        restored(pair(bench))


@pytest.mark.parametrize(
    ("asked", "recorded", "head", "expected"),
    [
        (None, None, b"\0" * 9, "raw"),
        (None, "zstd", b"", "zstd"),
        ("raw", None, b"QFI\xfb", "raw"),
        ("qcow2", "qcow2", b"QFI\xfb", "qcow2"),
        (None, None, b"QFI\xfb", None),
        (None, None, b"\x28\xb5\x2f\xfd", None),
        ("raw", "qcow2", b"QFI\xfb", None),
    ],
)
def test_the_format_is_never_guessed(
    asked: str | None, recorded: str | None, head: bytes, expected: str | None
) -> None:
    if expected is None:
        with pytest.raises(InputError):
            restore.choose_format(asked, recorded, head, "/x")
    else:
        assert restore.choose_format(asked, recorded, head, "/x") == expected


def qcow2_head(backing: bytes = b"", features: int = 0) -> bytes:
    head = bytearray(1024)
    head[0:8] = b"QFI\xfb\0\0\0\3"
    head[24:32] = (4 * MIB).to_bytes(8, "big")
    head[72:80] = features.to_bytes(8, "big")
    head[100:104] = (104).to_bytes(4, "big")
    if backing:
        head[8:20] = (512).to_bytes(8, "big") + len(backing).to_bytes(4, "big")
        head[512 : 512 + len(backing)] = backing
    return bytes(head)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (qcow2_head(b"/etc/shadow"), "not complete without /etc/shadow"),
        (qcow2_head(features=4), "not complete without a data file"),
        (b"nothing", "is no qcow2 image"),
    ],
)
def test_an_image_in_several_files_is_refused(bench: pathlib.Path, head: bytes, words: str) -> None:
    device(bench)
    pathlib.Path(pair(bench).image).write_bytes(head)
    with pytest.raises(KvmError, match=words):
        restored(pair(bench), form="qcow2")


@pytest.mark.parametrize(
    "disks",
    [
        [],
        [{"device": "lv", "image": "/x"}],
        [{"device": "/dev/a", "image": "x"}],
        [{"device": "/dev/a", "image": "/dev/b"}],
        [{"device": "/dev/a", "image": "/x.digest"}],
        [{"device": "/dev/a", "image": "/x.partial-00000000"}],
        [{"device": "/dev/a", "image": "/x"}, {"device": "/dev/a", "image": "/y"}],
        [{"device": "/dev/a", "image": "/x"}, {"device": "/dev/b", "image": "/x"}],
    ],
)
def test_pairs_that_cannot_be_meant_are_refused(disks: list[dict[str, str]]) -> None:
    with pytest.raises(InputError):
        pairs.check_pairs(disks)


def test_bandwidth_is_no_less_than_nothing() -> None:
    assert pairs.check_bandwidth(0) == 0
    with pytest.raises(InputError):
        pairs.check_bandwidth(-1)


class Slow(Clock):
    """Time that passes by waiting."""

    def __init__(self) -> None:
        self.time = 5.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.mark.parametrize(("bandwidth", "seconds"), [(0, 0.0), (2, 4.0), (8, 1.0)])
def test_bandwidth_is_held(bandwidth: int, seconds: float) -> None:
    clock = Slow()
    pace = content.Pace(bandwidth, clock)
    for _block in range(8):
        pace.spent(MIB)
    assert clock.time - 5.0 == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"record": "virtops.kvm image digest", "version": 2}'])
def test_a_record_that_cannot_be_read_is_an_error_and_no_proof(bench: pathlib.Path, text: str) -> None:
    device(bench)
    wanted = pair(bench)
    dumped(wanted)
    pathlib.Path(sidecar.sidecar_path(wanted.image)).write_text(text, encoding="utf-8")
    with pytest.raises(KvmError) as caught:
        restored(wanted)
    assert caught.value.error_code == "SIDECAR_INVALID"
    assert dumped(wanted)[0][0].action == "record"


def test_a_record_is_read_as_it_was_written() -> None:
    one = sidecar.Sidecar(512, MIB, 0, "sha256-blocks:a", "qcow2", 99, "sha256-blocks:b", "/dev/é", 512)
    assert sidecar.from_record(json.loads(sidecar.to_text(one)), "/x") == one
