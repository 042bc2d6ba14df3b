# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.options import OptionFault, effective
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import split_options
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.table import differs, parse_table
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._nfs import samples


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "ro,sync,wdelay,hide,nocrossmnt,secure,root_squash,no_all_squash,no_subtree_check,secure_locks,acl"),
        ("rw", "ro,rw"),
        ("rw,anonuid=65534", "rw"),
        ("anonuid=-2", "anonuid=4294967294"),
        ("fsid=root", "fsid=0"),
        ("fsid=0x1f", "fsid=31"),
        ("fsid=6f1d3c7f-0c1c-54c3-a6bb-5aefba7c0c9c", "fsid=6F1D3C7F:0C1C54C3:A6BB5AEF:BA7C0C9C"),
        ("mp", "mountpoint"),
        ("mp=/srv", "mountpoint=/srv"),
        ("sec=sys", ""),
        ("sec=unix", "sec=sys"),
        ("no_auth_nlm", "insecure_locks"),
        ("rw,sec=krb5:krb5i", "sec=krb5,rw,sec=krb5i,rw"),
        ("sec=krb5,rw,sec=sys,ro", "rw,sec=krb5,sec=sys,ro"),
        ("xprtsec=mtls:tls", "xprtsec=tls:mtls"),
    ],
)
def test_options_that_mean_the_same(one: str, other: str) -> None:
    assert effective(split_options(one)) == effective(split_options(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rw", "ro"),
        ("rw,async", "rw"),
        ("sec=krb5:sys", "sec=sys:krb5"),
        ("sec=krb5,ro,sec=sys,rw", "sec=krb5,rw,sec=sys,rw"),
        ("anonuid=1", ""),
        ("fsid=1", ""),
        ("nordirplus", ""),
    ],
)
def test_options_that_differ(one: str, other: str) -> None:
    assert effective(split_options(one)) != effective(split_options(other))


def test_the_flavours_of_the_defaults_do_not_take_the_options_of_a_client() -> None:
    assert effective(["sec=krb5"], ["rw"]) == effective(["sec=krb5"], [])
    assert effective(["sec=krb5"], ["sec=krb5", "rw"]) == effective(["sec=krb5", "rw"])


def test_who_may_what() -> None:
    assert effective(["rw"]).writable
    assert not effective([]).writable
    assert effective(["sec=krb5", "ro", "sec=sys", "rw"]).writable
    assert effective(["no_root_squash"]).root_is_root
    assert not effective(["no_root_squash", "all_squash"]).root_is_root
    assert effective(["sec=krb5", "no_root_squash", "sec=sys", "root_squash"]).root_is_root


@pytest.mark.parametrize(
    "word",
    ["rW", "", "readonly", "anonuid=", "anonuid=nobody", "anongid=1x", "anonuid=4294967296", "fsid=", "fsid=08", "fsid=abc",
     "sec=", "sec=krb6", "xprtsec=ssl", "refer=", "reexport=maybe", "squash_uids=a", "sync=1", "sec"],
)  # fmt: skip
def test_what_is_no_option(word: str) -> None:
    with pytest.raises(OptionFault):
        effective([word])


def test_its_own_words_mean_the_same() -> None:
    chance = random.Random(4)
    for _number in range(2000):
        meant = effective(samples.options(chance), samples.options(chance))
        assert effective(meant.words()) == meant


TABLE = r"""
/srv/a  client1.example.org(sync,wdelay,hide,no_subtree_check,sec=sys,rw,root_squash,no_all_squash)
/srv/b\040b  10.2.0.1(sync,no_wdelay,hide,no_subtree_check,sec=sys,rw,root_squash,no_all_squash)
/srv/a  10.1.0.0/24(sync,wdelay,hide,no_subtree_check,sec=krb5:sys,rw,root_squash,no_all_squash,sec=krb5p,rw,no_root_squash,no_all_squash)
/srv/q"x  10.3.0.0/255.255.0.0(sync,wdelay,hide,crossmnt,no_subtree_check,sec=sys,ro,root_squash,no_all_squash,xprtsec=tls:mtls)
/srv/a  *(async,wdelay,hide,no_subtree_check,fsid=7,anonuid=-2,sec=sys,ro,secure,root_squash,no_all_squash)
/srv/back\134slash  *(sync,wdelay,hide,sec=sys,rw,insecure,root_squash,no_all_squash)
/srv/new  *(sync,wdelay,hide,no_subtree_check,what_comes_next,sec=sys,rw,root_squash,no_all_squash)
"""


@pytest.mark.parametrize(
    ("row", "path", "client", "asked"),
    [
        (0, "/srv/a", "client1.example.org", "rw,insecure"),
        (1, "/srv/b b", "10.2.0.1", "rw,no_wdelay"),
        (2, "/srv/a", "10.1.0.0/24", "sec=krb5:sys,rw,sec=krb5p,no_root_squash"),
        (3, '/srv/q"x', "10.3.0.0/255.255.0.0", "crossmnt,xprtsec=mtls:tls"),
        (4, "/srv/a", "*", "fsid=7,anonuid=-2,async"),
        (5, "/srv/back\\slash", "*", "rw,subtree_check,insecure"),
    ],
)
def test_what_exportfs_prints_is_what_was_asked(row: int, path: str, client: str, asked: str) -> None:
    found = parse_table(TABLE)[row]
    assert (found.path, found.client) == (path, client)
    assert not differs(effective(split_options(asked)), found)
    assert differs(effective([*split_options(asked), "no_acl"]), found)


def test_without_a_kernel_nothing_is_known_of_the_port_and_with_it_it_counts() -> None:
    rows = parse_table(TABLE)
    assert not differs(effective(["rw"]), rows[0])
    assert differs(effective(["rw", "subtree_check"]), rows[5])


def test_options_of_a_newer_exportfs_are_another_thing_than_any() -> None:
    row = parse_table(TABLE)[6]
    assert row.options is None
    assert differs(effective(["rw"]), row)
