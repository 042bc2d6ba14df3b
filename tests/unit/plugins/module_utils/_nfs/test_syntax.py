# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import Client, Entry, parse, render
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._nfs import samples


def read(data: bytes) -> list[Entry]:
    return [placed.entry for placed in parse(data, "/etc/exports")]


def test_what_is_rendered_is_read_back() -> None:
    for entry in samples.entries(3000):
        assert read(render(entry)) == [entry]


def test_a_file_of_many_entries_with_comments_is_read_back() -> None:
    some = list(samples.entries(300, seed=7))
    data = b"# the first\n\n" + b"".join(b"\t" + render(entry) + b" # \xff(\n# -\n" for entry in some)
    assert read(data) == some
    assert read(data.rstrip(b"\n")) == some


def test_each_entry_knows_its_bytes_and_its_line() -> None:
    data = b"# one\n/srv/a *(ro) # two\n\n  /srv/b \\\n   host(rw) \\\n other\n/srv/c"
    placed = parse(data, "/etc/exports")
    assert [(one.line, data[one.start : one.end]) for one in placed] == [
        (2, b"/srv/a *(ro)"),
        (4, b"/srv/b \\\n   host(rw) \\\n other"),
        (7, b"/srv/c"),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"# nothing\n   # at all", []),
        (b"/a h(rw)", [Entry("/a", (Client("h", ("rw",)),))]),
        (b"/a h(rw) i", [Entry("/a", (Client("h", ("rw",)), Client("i")))]),
        # Nobody named means everybody; so do options that stand alone, as those behind a blank do.
        (b"/a", [Entry("/a", (Client("*"),))]),
        (b"/a (rw)", [Entry("/a", (Client("*", ("rw",)),))]),
        (b"/a h (rw)", [Entry("/a", (Client("h"), Client("*", ("rw",))))]),
        (b'"/a b" h(rw)', [Entry("/a b", (Client("h", ("rw",)),))]),
        (b'/a" "b h(rw)', [Entry("/a b", (Client("h", ("rw",)),))]),
        (rb"/a\040b h(rw)", [Entry("/a b", (Client("h", ("rw",)),))]),
        (rb"/a\134040b h", [Entry("/a b", (Client("h"),))]),
        (rb"/a\777 h", [Entry("/a\\777", (Client("h"),))]),
        (b"/a#b h # c", [Entry("/a#b", (Client("h"),))]),
        (b"/a\t h(rw)\r\n/b i\r\n", [Entry("/a", (Client("h", ("rw",)),)), Entry("/b", (Client("i"),))]),
        (
            b"/a -sync,rw h @g -ro 2001:db8::/64(rw)",
            [
                Entry(
                    "/a",
                    (
                        Client("h", (), (("sync", "rw"),)),
                        Client("@g", (), (("sync", "rw"),)),
                        Client("2001:db8::/64", ("rw",), (("sync", "rw"), ("ro",))),
                    ),
                )
            ],
        ),
        # Defaults with nobody behind them.
        (b"/a -rw", [Entry("/a", (Client("*", (), (("rw",),)),))]),
        (b"/a h -rw\n/b", [Entry("/a", (Client("h"), Client("*", (), (("rw",),)))), Entry("/b", (Client("*"),))]),
        (b"/a h(ro,) i()", [Entry("/a", (Client("h", ("ro",)), Client("i")))]),
        (
            b"/a h(squash_uids=0-15,20,rw,anonuid=-2)",
            [Entry("/a", (Client("h", ("squash_uids=0-15,20", "rw", "anonuid=-2")),))],
        ),
        (b"/\xff\xc3\xbc h", [Entry("/\udcffü", (Client("h"),))]),
    ],
)
def test_as_exportfs_reads_it(data: bytes, expected: list[Entry]) -> None:
    assert read(data) == expected


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"/a h(rw\n", 1, "do not end"),
        (b"/a *\n/b h(rw)x\n", 2, "do not end"),
        (b"/a *\n\r\n/b *", 2, "control character"),
        (b"/a " + b"x" * 512, 1, "longer than 511"),
        (b"/" + b"x" * 1024, 1, "longer than 1024"),
        (b'/a\n/b "h\n/c i', 2, "quoted"),
    ],
)
def test_where_exportfs_would_stop_reading_there_is_an_error(data: bytes, line: int, why: str) -> None:
    with pytest.raises(KvmError, match=why) as caught:
        parse(data, "/etc/exports.d/x.exports")
    assert caught.value.error_code == "EXPORTS_DAMAGED"
    assert caught.value.details == {"file": "/etc/exports.d/x.exports", "line": line}


def test_a_backslash_before_digits_survives() -> None:
    entry = Entry("/a\\040 \\1 \\12 \\400\\", (Client("*"),))
    assert render(entry) == rb"/a\13404\060\040\1341\040\13412\040\13440\060\134 *"
    assert read(render(entry)) == [entry]


def test_defaults_that_do_not_grow_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="do not continue"):
        render(Entry("/a", (Client("h", (), (("rw",),)), Client("i", (), (("ro",),)))))
