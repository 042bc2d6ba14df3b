# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt_settings, libvirt_daemon, certificate_authority and host_certificate as wholes."""

from __future__ import annotations

import json
import pathlib
import stat
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host import openssl
from ansible_collections.virtops.kvm.plugins.module_utils._host.authority import DAY, Authority
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.modules import (
    certificate_authority,
    host_certificate,
    libvirt_daemon,
    libvirt_settings,
)
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._host.fake_host import (
    Certificates,
    FakeDaemons,
    files_below,
)

NAMES = ["kvm1.example.com", "192.0.2.11"]
KEYS = ("etc/pki/libvirt/private/serverkey.pem", "etc/pki/libvirt/private/clientkey.pem", "etc/pki/qemu/server-key.pem")


def test_settings_are_set_once_and_the_file_keeps_its_mode(tmp_path: pathlib.Path) -> None:
    files = files_below(tmp_path, qemu_conf="# ours\n")
    path = tmp_path / "etc/libvirt/qemu.conf"
    path.chmod(0o640)
    asked = {"file": "qemu.conf", "settings": {"migration_port_min": 50000}}
    announced = libvirt_settings.run(asked, True, files)
    assert path.read_text(encoding="utf-8") == "# ours\n"
    first = libvirt_settings.run(asked, False, files)
    assert announced.changes == first.changes != ()
    assert path.read_text(encoding="utf-8") == "# ours\nmigration_port_min = 50000\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert libvirt_settings.run(asked, False, files).changes == ()


def test_a_new_settings_file_is_root_s_alone(tmp_path: pathlib.Path) -> None:
    libvirt_settings.run({"file": "virtqemud.conf", "settings": {"max_clients": 7}}, False, files_below(tmp_path))
    path = tmp_path / "etc/libvirt/virtqemud.conf"
    assert (path.read_text(encoding="utf-8"), stat.S_IMODE(path.stat().st_mode)) == ("max_clients = 7\n", 0o600)


def test_a_setting_that_libvirt_does_not_show_is_told(tmp_path: pathlib.Path) -> None:
    text = "".join(f"#known_{number} = {number}\n" for number in range(9))
    result = libvirt_settings.run(
        {"file": "qemu.conf", "settings": {"knwon_1": 1}}, True, files_below(tmp_path, qemu_conf=text)
    )
    assert "knwon_1" in result.warnings[0]


def daemon(host: FakeDaemons, *, check_mode: bool = False, **asked: t.Any) -> t.Any:
    return libvirt_daemon.run({"tls": None, "restart": True, **asked}, check_mode, t.cast("t.Any", host))


def test_tls_is_opened_once() -> None:
    host = FakeDaemons()
    announced = daemon(host, check_mode=True, tls=True)
    assert host.steps == []
    assert daemon(host, tls=True).changes == announced.changes != ()
    assert host.state["libvirtd-tls.socket"].active
    assert daemon(host, tls=True).changes == ()


def test_a_daemon_is_restarted_once_for_a_file_whatever_the_clock_does() -> None:
    host = FakeDaemons()
    assert daemon(host).changes == ()
    # Written in a future that the clock has not come to.
    host.times["/etc/libvirt/qemu.conf"] = 1e12
    assert [change.action for change in daemon(host).changes] == ["restart"]
    assert daemon(host).changes == ()
    host.texts["/etc/libvirt/qemu.conf"] = "# other\n"
    assert [change.action for change in daemon(host).changes] == ["restart"]


def test_nothing_is_restarted_while_something_migrates() -> None:
    host = FakeDaemons(working=["web01"])
    assert daemon(host).changes == ()
    host.times["/etc/libvirt/qemu.conf"] = 150.0
    for check_mode in (True, False):
        with pytest.raises(KvmError) as caught:
            daemon(host, check_mode=check_mode)
        assert (caught.value.error_code, caught.value.details["jobs"]) == ("DAEMON_BUSY", ["web01"])
    assert host.steps == []


def test_a_restart_that_is_not_allowed_is_told() -> None:
    host = FakeDaemons(working=["web01"])
    host.times["/etc/libvirt/qemu.conf"] = 150.0
    result = daemon(host, restart=False)
    assert (result.changes, result.values["stale"]) == ((), ["libvirtd.service"])
    assert "libvirtd.service" in result.warnings[0]


class Clocked(certificate_authority.Gateway):
    """An authority whose day is another."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead

    def now(self) -> float:
        return super().now() + self.ahead


def authority(folder: pathlib.Path, *, check_mode: bool = False, ahead: float = 0.0, **asked: t.Any) -> t.Any:
    params = {name: rule.get("default") for name, rule in certificate_authority.argument_spec().items()}
    return certificate_authority.run({**params, "directory": str(folder), **asked}, check_mode, Clocked(ahead))


def certificate(folder: pathlib.Path, *, check_mode: bool = False, **asked: t.Any) -> t.Any:
    params = {name: rule.get("default") for name, rule in host_certificate.argument_spec().items()}
    return host_certificate.run({**params, "names": NAMES, **asked}, check_mode, Certificates(str(folder)))


def enrol(folder: pathlib.Path, *, fresh: bool = True) -> t.Any:
    """A host, from nothing to its certificate; gives what the authority tells."""
    kept = authority(folder / "ca")
    trusted = {"authority": kept.values["certificate"], "revocations": kept.values["revocations"]}
    asked = certificate(folder / "host", **trusted)
    assert bool(asked.values["request"]) is fresh
    if fresh:
        signed = authority(folder / "ca", request=asked.values["request"], names=NAMES)
        certificate(folder / "host", certificate=signed.values["issued"], **trusted)
    return authority(folder / "ca").values


def test_an_authority_is_made_once(tmp_path: pathlib.Path) -> None:
    announced = authority(tmp_path / "ca", check_mode=True)
    assert (announced.values["certificate"], list(tmp_path.iterdir())) == ("", [])
    first = authority(tmp_path / "ca")
    assert [change.action for change in (*announced.changes, *first.changes)] == ["create", "create"]
    again = authority(tmp_path / "ca")
    assert (again.changes, again.values) == ((), first.values)
    assert "PRIVATE" not in json.dumps(to_data(first.values))


def test_a_host_gets_its_certificate_and_a_second_run_asks_for_nothing(tmp_path: pathlib.Path) -> None:
    kept = enrol(tmp_path)
    trusted = kept["certificate"]
    again = certificate(tmp_path / "host", authority=trusted)
    assert (again.changes, again.values["request"], again.values["reason"]) == ((), "", "")
    assert again.values["serial"] == kept["signed"][0].serial
    keys = {(tmp_path / "host" / path).read_text(encoding="ascii") for path in KEYS}
    assert len(keys) == 1
    assert {stat.S_IMODE((tmp_path / "host" / path).stat().st_mode) for path in KEYS} == {0o600}
    assert not (tmp_path / "host/etc/pki/libvirt/private/requested-key.pem").exists()
    assert "PRIVATE" not in json.dumps(to_data(again.values))


def test_check_mode_makes_no_key(tmp_path: pathlib.Path) -> None:
    result = certificate(tmp_path / "host", check_mode=True, authority="")
    assert [(change.action, change.before) for change in result.changes] == [("request", "there is none")]
    assert (result.values["request"], list(tmp_path.iterdir())) == ("", [])


def test_what_is_changed_by_hand_is_put_right(tmp_path: pathlib.Path) -> None:
    trusted = enrol(tmp_path)["certificate"]
    qemu = tmp_path / "host/etc/pki/qemu"
    (qemu / "ca-cert.pem").write_text("another\n", encoding="ascii")
    (qemu / "server-key.pem").chmod(0o644)
    (qemu / "client-cert.pem").unlink()
    asked = certificate(tmp_path / "host", authority=trusted)
    assert sorted((pathlib.Path(one.object).name, one.action) for one in asked.changes) == [
        ("ca-cert.pem", "replace"),
        ("client-cert.pem", "write"),
        ("server-key.pem", "give"),
    ]
    assert certificate(tmp_path / "host", authority=trusted).changes == ()


def test_a_certificate_that_ends_is_renewed_with_another_key(tmp_path: pathlib.Path) -> None:
    trusted = enrol(tmp_path)["certificate"]
    before = (tmp_path / "host" / KEYS[0]).read_text(encoding="ascii")
    asked = certificate(tmp_path / "host", authority=trusted, renew_days=400)
    assert asked.values["reason"] == "it ends in less than 400 days"
    # The old one is in use until the new one is there.
    assert (tmp_path / "host" / KEYS[0]).read_text(encoding="ascii") == before
    signed = authority(tmp_path / "ca", request=asked.values["request"], names=NAMES, host_days=800)
    certificate(tmp_path / "host", authority=trusted, certificate=signed.values["issued"])
    assert (tmp_path / "host" / KEYS[0]).read_text(encoding="ascii") != before
    assert certificate(tmp_path / "host", authority=trusted, renew_days=400).changes == ()


def test_a_certificate_that_was_taken_back_is_replaced(tmp_path: pathlib.Path) -> None:
    serial = to_data(enrol(tmp_path))["signed"][0]["serial"]
    revoked = authority(tmp_path / "ca", revoked=[serial.lower()])
    assert [change.action for change in revoked.changes] == ["revoke"]
    assert authority(tmp_path / "ca", revoked=[serial]).changes == ()
    trusted = {"authority": revoked.values["certificate"], "revocations": revoked.values["revocations"]}
    asked = certificate(tmp_path / "host", check_mode=True, **trusted)
    assert "revoked" in asked.values["reason"]
    enrol(tmp_path)
    assert certificate(tmp_path / "host", **trusted).changes == ()
    assert (tmp_path / "host/etc/pki/qemu/ca-crl.pem").read_text(encoding="ascii") == revoked.values["revocations"]
    with pytest.raises(KvmError) as caught:
        authority(tmp_path / "ca", revoked=["00FF"])
    assert caught.value.error_code == "CERTIFICATE_UNKNOWN"


def test_an_authority_that_ends_is_told_and_one_that_ended_signs_nothing(tmp_path: pathlib.Path) -> None:
    authority(tmp_path / "ca", days=100)
    assert authority(tmp_path / "ca", ahead=20 * DAY).warnings != ()
    with pytest.raises(KvmError) as caught:
        authority(tmp_path / "ca", ahead=101 * DAY)
    assert caught.value.error_code == "AUTHORITY_EXPIRED"


def test_what_a_user_brings_is_installed_or_refused(tmp_path: pathlib.Path) -> None:
    trusted = authority(tmp_path / "ca").values["certificate"]
    key = tmp_path / "mine.key"
    key.write_text(openssl.new_key(), encoding="ascii")
    signed = authority(tmp_path / "ca", request=openssl.request(str(key)), names=NAMES).values["issued"]
    brought = {"authority": trusted, "certificate": signed.strip(), "key": key.read_text(encoding="ascii")}
    for wrong in ({"key": openssl.new_key()}, {"names": ["other.example.com"]}, {"certificate": "nothing"}):
        with pytest.raises(KvmError) as caught:
            certificate(tmp_path / "host", **{**brought, **wrong})
        assert caught.value.error_code == "CERTIFICATE_REJECTED"
    assert certificate(tmp_path / "host", **brought).changes != ()
    again = certificate(tmp_path / "host", **brought)
    assert (again.changes, again.warnings) == ((), ())
    assert "bring another one" in certificate(tmp_path / "host", **brought, renew_days=400).warnings[0]
    with pytest.raises(InputError):
        certificate(tmp_path / "host", authority=trusted, key=brought["key"])


def test_a_list_of_the_authority_that_somebody_put_there_stays(tmp_path: pathlib.Path) -> None:
    trusted = enrol(tmp_path)["certificate"]
    there = tmp_path / "host/etc/pki/CA/cacrl.pem"
    for folder, left in (("ca", True), ("another", False)):
        kept = Authority(str(tmp_path / folder))
        if not left:
            authority(tmp_path / folder)
        kept.revoke([])
        there.write_text(kept.revocations(), encoding="ascii")
        # Without ours, who was shut out would be let in again; with that of another, nobody would be.
        certificate(tmp_path / "host", authority=trusted)
        assert there.exists() is left
        assert certificate(tmp_path / "host", authority=trusted).changes == ()


def test_certificates_go_where_the_daemon_that_listens_looks(tmp_path: pathlib.Path) -> None:
    kept = authority(tmp_path / "ca").values["certificate"]
    names = {"libvirtd": "mono", "virtproxyd": "single"}
    for daemon_, name in names.items():
        files_below(tmp_path / "host", **{f"{daemon_}_conf": f'cert_file = "/etc/pki/{name}.pem"\n'})
    for daemon_, name in names.items():
        gateway = Certificates(str(tmp_path / "host"), daemon_)
        params = {one: rule.get("default") for one, rule in host_certificate.argument_spec().items()}
        asked = host_certificate.run({**params, "names": NAMES, "authority": kept}, True, gateway)
        assert asked.changes[0].object == f"/etc/pki/{name}.pem"
