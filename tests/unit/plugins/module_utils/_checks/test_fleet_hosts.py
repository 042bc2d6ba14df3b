# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with single hosts: each is found with its code, its evidence, and what to do."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import (
    EXPIRED,
    LIBVIRT_SERVER,
    NOT_YET,
    UNTRUSTED,
    UNUSABLE,
)
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._checks.fleet_sample import (
    DAY,
    NOW,
    cell,
    certificate,
    codes,
    domain,
    judged,
    member,
)


def test_two_hosts_of_one_uuid() -> None:
    ready = judged(member("kvm1", domain("a"), uuid="u"), member("kvm2", uuid="u"), member("kvm3"))
    (finding,) = ready.findings
    assert (finding.code, finding.object, finding.severity) == ("HOST_UUID_DUPLICATE", "kvm1, kvm2", "blocker")
    assert finding.evidence == {"uuid": "u", "hosts": ["kvm1", "kvm2"]}
    assert "host_uuid in libvirtd.conf" in finding.remedy
    assert (cell(ready, "kvm1", "kvm2").state, cell(ready, "kvm1", "kvm3").state) == ("none", "all")


@pytest.mark.parametrize(
    ("fields", "code", "severity", "words"),
    [
        ({"problem": EXPIRED, "not_after": NOW - DAY}, "CERTIFICATE_EXPIRED", "blocker", "expired on 2027-01-14"),
        ({"not_after": NOW - DAY}, "CERTIFICATE_EXPIRED", "blocker", "expired on 2027-01-14"),
        ({"problem": NOT_YET, "not_before": NOW + DAY}, "CERTIFICATE_NOT_YET_VALID", "blocker", "only from 2027-01-16"),
        ({"not_before": NOW + DAY}, "CERTIFICATE_NOT_YET_VALID", "blocker", "only from 2027-01-16"),
        ({"problem": UNTRUSTED}, "CERTIFICATE_UNTRUSTED", "blocker", "signed by fleet, whom"),
        (
            {"problem": UNUSABLE, "detail": "key values mismatch"},
            "CERTIFICATE_UNUSABLE",
            "blocker",
            "key values mismatch",
        ),
        ({"not_after": NOW + 10 * DAY}, "CERTIFICATE_EXPIRES", "warning", "within 30 days"),
        ({"key_exposed": True}, "KEY_EXPOSED", "warning", "may be read by others"),
    ],
)
def test_a_certificate(fields: dict[str, t.Any], code: str, severity: str, words: str) -> None:
    ready = judged(member("kvm1"), member("kvm2", certificates=(certificate(**fields),)))
    (finding,) = ready.findings
    assert (finding.code, finding.object, finding.severity) == (code, "kvm2", severity)
    assert words in finding.message
    assert finding.evidence["path"] == "/etc/pki/qemu/server-cert.pem"
    assert finding.remedy


def test_a_broken_certificate_forbids_live_moves_where_tls_is_wanted() -> None:
    fleet = (member("kvm1", domain("a")), member("kvm2", certificates=(certificate(problem=EXPIRED),)))
    assert cell(judged(*fleet), "kvm1", "kvm2").state == "all"
    assert cell(judged(*fleet, tls=True), "kvm1", "kvm2").state == "all_by_stop"


def test_hosts_with_two_authorities() -> None:
    other = (certificate(purpose=LIBVIRT_SERVER, authorities=("bb",)),)
    usual = (certificate(purpose=LIBVIRT_SERVER),)
    ready = judged(
        member("kvm1", certificates=usual), member("kvm2", certificates=other), member("kvm3", certificates=usual)
    )
    assert codes(ready) == [("CERTIFICATE_UNTRUSTED", "kvm2")]
    both = (certificate(purpose=LIBVIRT_SERVER, authorities=("aa", "bb")),)
    assert judged(member("kvm1", certificates=usual), member("kvm2", certificates=both)).findings == ()


@pytest.mark.parametrize(
    ("with_tls", "wanted", "severities"),
    [
        ((True, True), True, []),
        ((True, False), False, ["warning"]),
        ((True, False), True, ["blocker"]),
        ((False, False), False, []),
        ((False, False), True, ["blocker"]),
    ],
)
def test_encryption(with_tls: tuple[bool, bool], wanted: bool, severities: list[str]) -> None:
    fleet = [member(f"kvm{at}", tls=has, certificates=()) for at, has in enumerate(with_tls, 1)]
    ready = judged(*fleet, tls=wanted)
    assert [(one.code, one.severity) for one in ready.findings] == [("TLS_UNAVAILABLE", one) for one in severities]


def test_other_ids_of_qemus_user() -> None:
    ready = judged(member("kvm1"), member("kvm2", qemu_uid=107, qemu_gid=107), member("kvm3"))
    (finding,) = ready.findings
    assert (finding.code, finding.object, finding.severity) == ("QEMU_USER_DIFFERS", "kvm2", "blocker")
    assert (finding.evidence["uid"], finding.evidence["usual_uid"]) == (107, 64055)
    assert finding.evidence["shared"] == ["nfs:nas:/x"]
    assert [one.subject for one in ready.drift] == ["QEMU's user:group"]
    alone = judged(member("kvm1", pools=()), member("kvm2", pools=(), qemu_uid=107))
    assert [(one.code, one.severity) for one in alone.findings] == [("QEMU_USER_DIFFERS", "warning")]


@pytest.mark.parametrize(
    ("fields", "severities", "words"),
    [
        ({"time": NOW + 3600}, ["warning"], "at least 3000 s ahead of"),
        ({"time": NOW - 3600}, ["warning"], "at least 3000 s behind"),
        ({"time": NOW + 3.9}, [], ""),
        ({"time": NOW - 3.9}, [], ""),
        ({"time": 0.0}, [], ""),
        ({"time_synchronized": False}, ["info"], "Nothing keeps"),
        ({"time_synchronized": None}, [], ""),
        ({"time": NOW + 3600, "not_before": None, "not_after": None}, [], ""),
    ],
)
def test_clocks(fields: dict[str, t.Any], severities: list[str], words: str) -> None:
    found = [one for one in judged(member("kvm1", **fields)).findings if one.code == "CLOCK_SKEW"]
    assert [one.severity for one in found] == severities
    assert all(words in one.message for one in found)
