# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority and the certificates that it signs, with the real openssl and files of their own."""

from __future__ import annotations

import dataclasses
import pathlib
import stat
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import Ownership
from ansible_collections.virtops.kvm.plugins.module_utils._host import openssl
from ansible_collections.virtops.kvm.plugins.module_utils._host.authority import (
    DAY,
    Authority,
    check_common_name,
    check_folder,
    check_names,
    check_request,
    parse_index,
)
from ansible_collections.virtops.kvm.plugins.module_utils._host.hostcert import (
    Place,
    Present,
    Readers,
    Seen,
    ending,
    file_changes,
    reason_for_new,
)

NAMES = ("kvm1.example.com", "192.0.2.11", "2001:db8::1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(str(tmp_path_factory.mktemp("a folder") / "ca"))
    with made.alone():
        made.create("Fläche (test)", 30)
    return made


def ask(folder: pathlib.Path, name: str = "key") -> tuple[str, str]:
    """A key, and a request for it."""
    path = folder / name
    path.write_text(openssl.new_key(), encoding="ascii")
    return path.read_text(encoding="ascii"), openssl.request(str(path))


def test_the_key_of_an_authority_is_its_owner_s_alone(authority: Authority) -> None:
    folder = pathlib.Path(authority.folder)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (modes["ca.key"], modes["ca.pem"], stat.S_IMODE(folder.stat().st_mode)) == (0o600, 0o644, 0o700)
    assert "PRIVATE" not in authority.certificate()
    assert authority.signed() == []


def test_it_signs_for_the_names_that_it_is_told(authority: Authority, tmp_path: pathlib.Path) -> None:
    key, request = ask(tmp_path)
    certificate = authority.sign(check_request(request), NAMES, 365)
    told = openssl.told(certificate)
    assert told is not None
    assert told.names == set(NAMES)
    # libvirt 10.0 and older, and QEMU of then, insist on both.
    assert "X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment" in told.text
    assert openssl.public_of_key(key) is not None
    assert openssl.public_of_key(key) == openssl.public_of_certificate(certificate)
    assert openssl.vouches(authority.certificate(), certificate) == ""
    (signed,) = (one for one in authority.signed() if one.serial == told.serial)
    assert (signed.name, signed.revoked) == (NAMES[0], False)
    # Not longer than the authority itself.
    assert signed.not_after == authority.ends()


def test_another_authority_does_not_vouch(authority: Authority, tmp_path: pathlib.Path) -> None:
    other = Authority(str(tmp_path / "ca"))
    with other.alone():
        other.create("another", 30)
    certificate = other.sign(ask(tmp_path)[1], NAMES, 3)
    assert "issuer" in openssl.vouches(authority.certificate(), certificate)


def test_what_was_taken_back_is_not_vouched_for(authority: Authority, tmp_path: pathlib.Path) -> None:
    good, bad = (authority.sign(ask(tmp_path)[1], ("kvm2",), 3) for _each in range(2))
    serial = getattr(openssl.told(bad), "serial", "")
    authority.revoke([serial])
    revocations = authority.revocations()
    assert openssl.vouches(authority.certificate(), bad) == ""
    assert "revoked" in openssl.vouches(authority.certificate(), bad, revocations)
    assert openssl.vouches(authority.certificate(), good, revocations) == ""
    assert [one.serial for one in authority.signed() if one.revoked] == [serial]


def test_an_expired_certificate_is_found(authority: Authority, tmp_path: pathlib.Path) -> None:
    authority.certificate()
    long_ago = Authority(authority.folder, now=lambda: authority.ends() - 60 * DAY)
    certificate = long_ago.sign(ask(tmp_path)[1], NAMES, 2)
    assert "expired" in openssl.vouches(authority.certificate(), certificate)


def test_an_authority_that_lost_a_half_is_not_replaced(tmp_path: pathlib.Path) -> None:
    lost = Authority(str(tmp_path / "ca"))
    with lost.alone():
        lost.create("lost", 30)
    (tmp_path / "ca" / "ca.key").unlink()
    with pytest.raises(KvmError) as caught:
        lost.certificate()
    assert caught.value.error_code == "AUTHORITY_DAMAGED"


def test_what_is_none_is_none() -> None:
    assert (openssl.told("no"), openssl.public_of_key("no"), openssl.public_of_certificate("no")) == (None, None, None)


@pytest.mark.parametrize(
    "names", [[], [""], ["-x"], ["a b"], ["*.example.com"], ["a,DNS:b"], ["a\nb"], ["a..b"], ["fe80::1%eth0"]]
)
def test_nothing_but_names_gets_into_a_certificate(names: list[str]) -> None:
    with pytest.raises(InputError):
        check_names(names)


def test_names_are_made_alike() -> None:
    assert check_names(["KVM1.example.com.", "kvm1.example.com", "2001:DB8:0::1", "2001:db8::1"]) == (
        "kvm1.example.com",
        "2001:db8::1",
    )


@pytest.mark.parametrize("folder", ["relative", "/", "/a$b", "/a/../b", "/a\nb", "/a#b"])
def test_a_folder_that_openssl_would_misread_is_refused(folder: str) -> None:
    with pytest.raises(InputError):
        check_folder(folder)


@pytest.mark.parametrize("name", ["", "a/CN=b", "x" * 65, "a\nb", "a+b=c"])
def test_a_name_that_openssl_would_misread_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_common_name(name)


def test_a_request_is_nothing_else() -> None:
    with pytest.raises(InputError):
        check_request("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_the_book_of_openssl() -> None:
    text = (
        "V\t360101000000Z\t\t0A\tunknown\t/CN=kvm1\n"
        "R\t20600101000000Z\t260101000000Z\t0b\tunknown\t/CN=kvm2\nbroken line\n"
    )
    first, second = parse_index(text)
    assert (first.serial, first.name, first.revoked, first.not_after) == ("0A", "kvm1", False, 2082758400.0)
    assert (second.serial, second.revoked, second.not_after) == ("0B", True, 2840140800.0)


GOOD = Seen(frozenset({"kvm1", "192.0.2.11"}), 100 * DAY, "AB", "", True)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (GOOD, ""),
        (None, "there is none"),
        (dataclasses.replace(GOOD, fits_key=False), "its key is missing or another one"),
        (dataclasses.replace(GOOD, objection="certificate revoked"), "certificate revoked"),
        (dataclasses.replace(GOOD, names=frozenset({"kvm1"})), "it does not name 192.0.2.11"),
        (dataclasses.replace(GOOD, not_after=29 * DAY), "it ends in less than 30 days"),
    ],
)
def test_why_a_host_needs_another_certificate(seen: Seen | None, reason: str) -> None:
    assert reason_for_new(seen, ["192.0.2.11", "kvm1"], 0.0, 30) == reason


def test_a_certificate_that_ends_with_its_authority_is_not_renewed_at_each_run() -> None:
    seen = dataclasses.replace(GOOD, not_after=20 * DAY)
    assert reason_for_new(seen, ["kvm1"], 0.0, 30, 21 * DAY) == "it ends in less than 30 days"
    assert reason_for_new(seen, ["kvm1"], 0.0, 30, 20 * DAY) == ""


def test_who_brought_a_certificate_is_told_in_time() -> None:
    assert ending(GOOD, 0.0, 30) == ending(None, 0.0, 30) == ()
    assert "ends in 29 days" in ending(GOOD, 71 * DAY, 30)[0]


def test_whose_list_it_is(authority: Authority, tmp_path: pathlib.Path) -> None:
    other = Authority(str(tmp_path / "ca"))
    with other.alone():
        # Of the same name, and so told apart by its key alone.
        other.create("Fläche (test)", 30)
        other.revoke([])
    assert openssl.signed_list(other.certificate(), other.revocations())
    assert not openssl.signed_list(authority.certificate(), other.revocations())
    assert not openssl.signed_list(authority.certificate(), "nothing")


PLACES = [Place("/c", "certificate"), Place("/k", "key"), Place("/q/k", "key", True), Place("/r", "revocations")]
WANTED = {"certificate": "C\n", "key": "secret\n", "revocations": ""}


def present(**other: t.Any) -> dict[str, Present]:
    root, key = Ownership(0, 0, 0o644), Ownership(0, 0, 0o600)
    there = {
        "/c": Present("C\n", root),
        "/k": Present("secret\n", key),
        "/q/k": Present("secret\n", Ownership(64055, 64055, 0o600)),
    }
    return {**there, **other}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, []),
        ({"/c": Present("other\n", Ownership(0, 0, 0o644))}, [("/c", "replace")]),
        ({"/k": Present("secret\n", Ownership(0, 0, 0o640))}, [("/k", "give")]),
        ({"/q/k": Present("secret\n", Ownership(0, 0, 0o600))}, [("/q/k", "give")]),
        ({"/r": Present("old\n", Ownership(0, 0, 0o644))}, [("/r", "remove")]),
    ],
)
def test_files_that_differ(other: dict[str, Present], told: list[tuple[str, str]]) -> None:
    found = [change for _place, change in file_changes(PLACES, present(**other), WANTED, Readers((64055, 64055)))]
    assert [(change.object, change.action) for change in found] == told
    assert "secret" not in repr(found)


def test_files_that_are_missing() -> None:
    found = file_changes(PLACES, {}, {**WANTED, "revocations": "R\n"}, Readers((1, 1)))
    assert [(change.object, change.action) for _place, change in found] == [(place.path, "write") for place in PLACES]
