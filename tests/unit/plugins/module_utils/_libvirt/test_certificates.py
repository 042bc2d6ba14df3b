# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What certificates say of themselves, and what a handshake says of them."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.x509 import read_der, read_pem
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.certificates import (
    Place,
    places,
    read_certificates,
    verify,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import (
    EXPIRED,
    LIBVIRT_CLIENT,
    LIBVIRT_SERVER,
    MIGRATION,
    NOT_YET,
    UNTRUSTED,
    UNUSABLE,
)
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._libvirt import pki_sample as pki

_YEAR_2020, _YEAR_2120 = 1577836800.0, 4733510400.0


def put(folder: pathlib.Path, **texts: str) -> dict[str, str]:
    """Files with these texts; their paths."""
    paths = {}
    for name, text in texts.items():
        path = folder / f"{name}.pem"
        path.write_text(text, encoding="ascii")
        path.chmod(0o600)
        paths[name] = str(path)
    return paths


def test_a_certificate_tells_names_and_times() -> None:
    one, two = read_pem(pki.KVM1 + "anything between\n" + pki.CA_TWO)
    assert (one.subject, one.issuer) == ("kvm1", "authority one")
    assert (one.not_before, one.not_after) == (_YEAR_2020, _YEAR_2120)
    assert (two.subject, two.issuer) == ("authority two", "authority two")
    assert len(one.fingerprint) == 64
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x03\x02\x01", b"\x30\x82\xff\xff\x00", b"no certificate at all"])
def test_what_is_no_certificate_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="certificate"):
        read_der(data)


@pytest.mark.parametrize(
    ("certificate", "key", "authority", "client", "problem"),
    [
        (pki.KVM1, pki.KVM1_KEY, pki.CA_ONE, False, ""),
        (pki.KVM1, pki.KVM1_KEY, pki.CA_TWO + pki.CA_ONE, False, ""),
        (pki.ADMIN, pki.ADMIN_KEY, pki.CA_ONE, True, ""),
        (pki.LATE, pki.LATE_KEY, pki.CA_ONE, False, EXPIRED),
        (pki.EARLY, pki.EARLY_KEY, pki.CA_ONE, False, NOT_YET),
        (pki.KVM1, pki.KVM1_KEY, pki.CA_TWO, False, UNTRUSTED),
        (pki.ADMIN, pki.ADMIN_KEY, pki.CA_TWO, True, UNTRUSTED),
        (pki.ADMIN, pki.ADMIN_KEY, pki.CA_ONE, False, UNUSABLE),
        (pki.KVM1, pki.LATE_KEY, pki.CA_ONE, False, UNUSABLE),
        (pki.KVM1, "", pki.CA_ONE, False, UNUSABLE),
        (pki.KVM1, pki.KVM1_KEY, "", False, UNUSABLE),
    ],
)
def test_a_handshake_proves_a_certificate(
    tmp_path: pathlib.Path, certificate: str, key: str, authority: str, client: bool, problem: str
) -> None:
    at = put(tmp_path, certificate=certificate, key=key, authority=authority)
    found, detail = verify(at["certificate"], at["key"], at["authority"], client=client)
    assert found == problem, detail
    assert bool(detail) == bool(problem)


def test_certificates_are_read_where_libvirt_and_qemu_look(tmp_path: pathlib.Path) -> None:
    for name, text in {
        "etc/pki/CA/cacert.pem": pki.CA_ONE,
        "etc/pki/libvirt/servercert.pem": pki.KVM1,
        "etc/pki/libvirt/private/serverkey.pem": pki.KVM1_KEY,
        "own/server-cert.pem": pki.LATE,
        "own/server-key.pem": pki.LATE_KEY,
        "own/ca-cert.pem": pki.CA_ONE,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
        (tmp_path / name).chmod(0o640 if name.endswith("server-key.pem") else 0o600)
    found = places({"default_tls_x509_cert_dir": "/own"}, {}, str(tmp_path))
    assert [place.purpose for place in found] == [LIBVIRT_SERVER, LIBVIRT_CLIENT, MIGRATION]
    server, migration = read_certificates(found, str(tmp_path))
    assert (server.purpose, server.problem, server.key_exposed) == (LIBVIRT_SERVER, "", False)
    assert server.authorities == (read_pem(pki.CA_ONE)[0].fingerprint,)
    assert (migration.purpose, migration.subject, migration.problem) == (MIGRATION, "late", EXPIRED)
    assert (migration.path, migration.key_exposed) == ("/own/server-cert.pem", True)


def test_the_daemon_may_have_its_certificates_elsewhere() -> None:
    own = {"ca_file": "/a/ca.pem", "cert_file": "/a/cert.pem", "key_file": "/a/key.pem"}
    assert places({}, own)[0] == Place(LIBVIRT_SERVER, "/a/cert.pem", "/a/key.pem", "/a/ca.pem")


def test_a_key_without_a_certificate_is_a_problem(tmp_path: pathlib.Path) -> None:
    at = put(tmp_path, key=pki.KVM1_KEY)
    place = Place(MIGRATION, "/certificate.pem", at["key"][len(str(tmp_path)) :], "/authority.pem")
    (found,) = read_certificates([place], str(tmp_path))
    assert (found.problem, found.not_after) == (UNUSABLE, None)
    assert "no certificate" in found.detail
