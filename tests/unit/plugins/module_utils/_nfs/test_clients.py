# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._nfs import holders
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.clients import (
    check,
    key_of,
    kind_of,
    may_mean,
    means_everyone,
)
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._nfs.fake_server import FakeNames

INFO = """clientid: 0xc4c7b2b9668dc7ac
address: "10.0.0.11:822"
status: confirmed
seconds from last renew: 12
name: "Linux NFSv4.2 kvm1"
minor version: 2
Implementation domain: "kernel.org"
"""
STATES = """- 0xacc7b2b9: { type: open, access: rw, deny: --, superblock: "08:11:131074", filename: "web.qcow2", owner: "open id:x" }
- 0xacc7b2ba: { type: lock, superblock: "08:11:131074", filename: "web.qcow2", owner: "lock id:x" }
- 0xacc7b2bb: { type: open, access: r-, deny: --, superblock: "fd:00:7", owner: "open id:y" }
"""
CACHE = r"""#path domain(flags)
/srv/a\040b	10.0.0.0/24(rw,root_squash,sync,wdelay,no_subtree_check,uuid=1:2:3:4,sec=1)
# /srv/old	*()
/srv/b	*(ro)
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("*", "everyone"),
        ("kvm1.example.org", "host"),
        ("10.0.0.1", "host"),
        ("2001:db8::1", "host"),
        ("10.0.0.0/8", "network"),
        ("10.0.0.0/255.0.0.0", "network"),
        ("2001:db8::/64", "network"),
        ("*.example.org", "wildcard"),
        ("build[0-9]", "wildcard"),
        ("@hosts", "netgroup"),
        ("gss/krb5p", "gss"),
    ],
)
def test_clients_of_all_kinds(name: str, kind: str) -> None:
    assert (kind_of(name), check(name)) == (kind, kind)


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("*", "10.0.0.11", True),
        ("kvm1", "10.0.0.11", True),
        ("kvm1", "2001:db8::11", True),
        ("kvm1", "10.0.0.12", False),
        ("10.0.0.11", "::ffff:10.0.0.11", True),
        ("10.0.0.0/28", "10.0.0.11", True),
        ("10.0.0.0/255.255.255.248", "10.0.0.11", False),
        ("2001:db8::/32", "2001:db8::11", True),
        ("2001:db8::/32", "10.0.0.11", False),
        ("*.example.org", "10.0.0.11", True),
        ("*.example.com", "10.0.0.11", False),
        ("@anything", "10.0.0.11", True),
        ("kvm1", "(unknown)", True),
    ],
)
def test_whom_a_client_means(name: str, address: str, expected: bool) -> None:
    assert may_mean(name, address, FakeNames()) is expected


def test_names_in_the_table() -> None:
    names = FakeNames()
    assert [key_of(name, names) for name in ("", "KVM1", "10.0.0.1", "@A", "*.X")] == [
        "*",
        "kvm1.example.org",
        "10.0.0.1",
        "@a",
        "*.x",
    ]
    assert [means_everyone(name) for name in ("*", "**", "0.0.0.0/0", "::/0", "10.0.0.0/8", "*.org", "@all")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_a_session_and_its_open_files() -> None:
    session = holders.parse_session(INFO, STATES)
    assert session == holders.Session("10.0.0.11", "Linux NFSv4.2 kvm1", (((8, 0x11), "web.qcow2"), ((0xFD, 0), "")))
    assert holders.parse_session(INFO.replace("confirmed", "expirable"), "") is None
    assert holders.parse_session("", "") is None
    other = holders.parse_session(INFO.replace("10.0.0.11:822", "[2001:db8::11]:822"), "")
    assert other is not None
    assert other.address == "2001:db8::11"


def test_who_came_for_what() -> None:
    assert holders.parse_cache(CACHE) == {("/srv/a b", "10.0.0.0/24"), ("/srv/b", "*")}
    assert holders.parse_rmtab("10.0.0.11:/srv/a:0x00000001\nkvm2:/srv/b:0x2\nnonsense\n") == (
        ("10.0.0.11", "/srv/a"),
        ("kvm2", "/srv/b"),
    )


def test_open_files_elsewhere_are_no_evidence_but_files_here_are_certain() -> None:
    session = holders.parse_session(INFO, STATES)
    assert session is not None
    usage = holders.Usage((session,), frozenset({("/srv/b", "*")}))
    names = FakeNames()
    assert holders.holders("/srv/a", (9, 9), ["10.0.0.0/24"], usage, names) == ()
    (holder,) = holders.holders("/srv/a", (8, 0x11), ["kvm2", "10.0.0.0/24"], usage, names)
    assert (holder.certain, holder.client, holder.evidence) == (
        True,
        "10.0.0.0/24",
        "has a file open on that file system (web.qcow2)",
    )


def test_a_host_is_read(tmp_path: pathlib.Path) -> None:
    assert holders.read_usage(str(tmp_path)) == holders.Usage()
    for name, text in {
        "proc/fs/nfsd/clients/3/info": INFO,
        "proc/fs/nfsd/clients/3/states": STATES,
        "proc/net/rpc/nfsd.export/content": CACHE,
        "var/lib/nfs/rmtab": "kvm2:/srv/b:0x2\n",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    usage = holders.read_usage(str(tmp_path))
    assert (len(usage.sessions), len(usage.cached), usage.mounted) == (1, 2, (("kvm2", "/srv/b"),))
