# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From how libvirt's daemons are to how they should be."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host.daemons import (
    MODULAR,
    MONOLITHIC,
    Decision,
    Step,
    Unit,
    decide,
    digest_of,
    files_of,
    is_stale,
    layout_of,
    listener_of,
    units_of_interest,
)
from ansible_collections.virtops.kvm.plugins.module_utils._host.systemd import parse_units


def host(*names: str, **more: Unit) -> dict[str, Unit]:
    """Units that are as they should be."""
    return {**{name: Unit(name, "enabled", True, 100.0, "a") for name in names}, **more}


def debian() -> dict[str, Unit]:
    units = host(
        "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service", "virtlogd.socket"
    )
    return {**units, "libvirtd-tls.socket": Unit("libvirtd-tls.socket")}


def redhat() -> dict[str, Unit]:
    daemons = ("virtqemud", "virtproxyd", "virtstoraged")
    units = host(*(f"{one}{kind}.socket" for one in daemons for kind in ("", "-ro", "-admin")), "virtlogd.socket")
    services = {f"{one}.service": Unit(f"{one}.service", "enabled", False) for one in daemons}
    # libvirtd is there too, and unused.
    return {
        **units,
        **services,
        "virtproxyd-tls.socket": Unit("virtproxyd-tls.socket"),
        "libvirtd.socket": Unit("libvirtd.socket"),
    }


def steps(decision: Decision) -> list[tuple[str, tuple[str, ...]]]:
    return [(step.verb, step.units) for step in decision.steps]


@pytest.mark.parametrize("units", [debian(), redhat()])
def test_what_is_right_is_left_alone(units: dict[str, Unit]) -> None:
    decision = decide(units, (), tls=None, restart=True)
    assert (decision.steps, decision.changes, decision.interrupts) == ((), (), False)


def test_the_layout_is_that_of_the_distribution() -> None:
    assert layout_of(debian()) == MONOLITHIC
    assert layout_of(redhat()) == MODULAR
    assert (
        layout_of({"libvirtd.socket": Unit("libvirtd.socket"), "virtqemud.socket": Unit("virtqemud.socket")}) == MODULAR
    )
    both = {"libvirtd.socket": Unit("libvirtd.socket", "enabled"), "virtqemud.socket": Unit("virtqemud.socket")}
    assert layout_of(both) == MONOLITHIC
    with pytest.raises(KvmError) as caught:
        layout_of({})
    assert caught.value.error_code == "LIBVIRT_MISSING"


def test_what_runs_counts_before_what_is_to_run_after_the_next_start() -> None:
    # Somebody switched the host from the one to the other, and left the units of the first enabled.
    back = {**redhat(), "libvirtd.socket": Unit("libvirtd.socket", "disabled", True)}
    back = {name: dataclasses.replace(unit, active=name == "libvirtd.socket") for name, unit in back.items()}
    assert layout_of(back) == MONOLITHIC
    forth = {**debian(), "virtqemud.socket": Unit("virtqemud.socket", "disabled", True)}
    forth = {name: dataclasses.replace(unit, active=name == "virtqemud.socket") for name, unit in forth.items()}
    assert layout_of(forth) == MODULAR
    assert (listener_of(MONOLITHIC), listener_of(MODULAR)) == ("libvirtd", "virtproxyd")


#: What libvirt-daemon-kvm brings on RHEL 10 and Fedora: its packages and their units, by libvirt.spec.in of libvirt 11.3 (Requires of
#: daemon-kvm, %files of each). Units for TCP without encryption are left out; nobody is to use them.
RPM_UNITS = {
    "libvirt-daemon-driver-qemu": "virtqemud.service virtqemud.socket virtqemud-ro.socket virtqemud-admin.socket",
    "libvirt-daemon-driver-network": "virtnetworkd.service virtnetworkd.socket virtnetworkd-ro.socket virtnetworkd-admin.socket",
    "libvirt-daemon-driver-nodedev": "virtnodedevd.service virtnodedevd.socket virtnodedevd-ro.socket virtnodedevd-admin.socket",
    "libvirt-daemon-driver-nwfilter": "virtnwfilterd.service virtnwfilterd.socket virtnwfilterd-ro.socket virtnwfilterd-admin.socket",
    "libvirt-daemon-driver-secret": "virtsecretd.service virtsecretd.socket virtsecretd-ro.socket virtsecretd-admin.socket",
    "libvirt-daemon-driver-interface": "virtinterfaced.service virtinterfaced.socket virtinterfaced-ro.socket virtinterfaced-admin.socket",
    "libvirt-daemon-driver-storage-core": "virtstoraged.service virtstoraged.socket virtstoraged-ro.socket virtstoraged-admin.socket",
    "libvirt-daemon-proxy": (
        "virtproxyd.service virtproxyd.socket virtproxyd-ro.socket virtproxyd-admin.socket virtproxyd-tls.socket"
    ),
    "libvirt-daemon-log": "virtlogd.service virtlogd.socket virtlogd-admin.socket",
    "libvirt-daemon-lock": "virtlockd.service virtlockd.socket virtlockd-admin.socket",
}


def test_a_new_host_of_single_daemons_gets_all_of_them_by_their_sockets() -> None:
    names = [name for units in RPM_UNITS.values() for name in units.split()]
    assert set(names) <= set(units_of_interest())
    # After the installation nothing runs yet; presets enabled the sockets of the drivers, and no service.
    fresh = {
        name: Unit(name, "enabled" if name.endswith(".socket") and "-tls" not in name else "disabled") for name in names
    }
    decision = decide(fresh, (), tls=True, restart=True)
    assert decision.layout == MODULAR
    assert not decision.interrupts
    enabled = {name for verb, units in steps(decision) if verb == "enable" for name in units}
    assert enabled == {"virtproxyd-tls.socket", "virtqemud.service", "virtnetworkd.service", "virtstoraged.service"}
    started = [name for verb, units in steps(decision) if verb == "start" for name in units]
    assert len(started) == len(set(started))
    assert set(started) == {name for name in names if name.endswith(".socket")} | enabled
    assert not any(name.startswith("libvirtd") for name in started)


def test_the_proxy_alone_goes_down_for_its_socket_of_tls() -> None:
    units = redhat()
    units.update(host("virtproxyd.service", "virtqemud.service"))
    decision = decide(units, (), tls=True, restart=True)
    assert steps(decision) == [
        ("enable", ("virtproxyd-tls.socket",)),
        ("stop", ("virtproxyd.socket", "virtproxyd-ro.socket", "virtproxyd-admin.socket", "virtproxyd.service")),
        ("start", ("virtproxyd-tls.socket", "virtproxyd.socket", "virtproxyd-ro.socket", "virtproxyd-admin.socket")),
        ("start", ("virtproxyd.service",)),
    ]


def test_a_socket_for_tls_is_opened_with_the_daemon_down() -> None:
    decision = decide(debian(), (), tls=True, restart=True)
    assert steps(decision) == [
        ("enable", ("libvirtd-tls.socket",)),
        ("stop", ("libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service")),
        ("start", ("libvirtd-tls.socket", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")),
        ("start", ("libvirtd.service",)),
    ]
    assert [(one.object, one.action) for one in decision.changes] == [
        ("libvirtd-tls.socket", "enable"),
        ("libvirtd.service", "restart"),
        ("libvirtd-tls.socket", "start"),
    ]
    assert decision.interrupts


def test_a_daemon_that_sleeps_is_not_interrupted() -> None:
    units = {**debian(), "libvirtd.service": Unit("libvirtd.service", "enabled", False)}
    decision = decide(units, ("libvirtd.service",), tls=True, restart=True)
    assert not decision.interrupts
    assert steps(decision)[1:] == [("start", ("libvirtd-tls.socket",)), ("start", ("libvirtd.service",))]


def test_a_socket_for_tls_is_closed() -> None:
    units = {**debian(), "libvirtd-tls.socket": Unit("libvirtd-tls.socket", "enabled", True)}
    assert decide(units, (), tls=None, restart=True).steps == ()
    assert decide(units, (), tls=True, restart=True).steps == ()
    decision = decide(units, (), tls=False, restart=True)
    assert ("libvirtd-tls.socket", "stop") in [(one.object, one.action) for one in decision.changes]
    assert "libvirtd-tls.socket" in decision.steps[1].units
    assert "libvirtd-tls.socket" not in decision.steps[2].units


def test_with_single_daemons_the_proxy_listens() -> None:
    decision = decide(redhat(), (), tls=True, restart=True)
    assert steps(decision) == [("enable", ("virtproxyd-tls.socket",)), ("start", ("virtproxyd-tls.socket",))]


def test_only_a_daemon_with_older_settings_is_restarted() -> None:
    decision = decide(debian(), ("libvirtd.service",), tls=None, restart=True)
    assert steps(decision) == [("restart", ("libvirtd.service",))]
    left = decide(debian(), ("libvirtd.service",), tls=None, restart=False)
    assert (left.steps, left.stale) == ((), ("libvirtd.service",))


def test_helpers_are_started_and_never_restarted() -> None:
    units = {**debian(), "virtlogd.socket": Unit("virtlogd.socket", "disabled", False), **host("virtlogd.service")}
    decision = decide(units, ("virtlogd.service",), tls=None, restart=True)
    assert steps(decision) == [("enable", ("virtlogd.socket",)), ("start", ("virtlogd.socket",))]


def test_what_cannot_be_done_is_refused() -> None:
    masked = {
        **debian(),
        "libvirtd.socket": Unit("libvirtd.socket", "masked", False),
        "libvirtd.service": Unit("x", "enabled", True),
    }
    without = {name: unit for name, unit in debian().items() if name != "libvirtd-tls.socket"}
    for units, code in ((masked, "SOCKETS_MASKED"), (without, "TLS_SOCKET_MISSING")):
        with pytest.raises(KvmError) as caught:
            decide(units, (), tls=True, restart=True)
        assert caught.value.error_code == code


@pytest.mark.parametrize(
    ("change", "written", "seen", "stale"),
    [
        ({}, [99.0, None], {}, False),
        ({}, [99.0, 101.0], {}, True),
        ({"active": False}, [101.0], {}, False),
        ({"started": None}, [101.0], {}, False),
        # A file was touched, or the clock was set back: our record of this start knows better.
        ({}, [101.0], {"run": "a", "digest": "d"}, False),
        ({}, [99.0], {"run": "a", "digest": "older"}, True),
        ({}, [101.0], {"run": "an earlier start", "digest": "d"}, True),
    ],
)
def test_stale(change: dict[str, t.Any], written: list[t.Any], seen: dict[str, t.Any], stale: bool) -> None:
    unit = dataclasses.replace(Unit("libvirtd.service", "enabled", True, 100.0, "a"), **change)
    assert is_stale(unit, written, "d", seen) is stale


def test_the_files_of_a_daemon() -> None:
    tls = {"libvirtd-tls.socket", "virtproxyd-tls.socket"}
    assert files_of("libvirtd.service", {"cert_file": "/x.pem"}, tls) == (
        "/etc/libvirt/libvirtd.conf",
        "/etc/libvirt/qemu.conf",
        "/etc/libvirt/network.conf",
        "/etc/pki/CA/cacert.pem",
        "/etc/pki/CA/cacrl.pem",
        "/x.pem",
        "/etc/pki/libvirt/private/serverkey.pem",
    )
    assert files_of("virtqemud.service", {}, tls) == ("/etc/libvirt/virtqemud.conf", "/etc/libvirt/qemu.conf")
    assert len(files_of("virtproxyd.service", {}, tls)) == 5
    assert len(files_of("virtproxyd.service", {}, ())) == 1
    assert digest_of({"a": "1", "b": None}) == digest_of({"a": "1"}) != digest_of({"a": "2"})


def test_what_systemctl_shows() -> None:
    text = (
        "Id=libvirtd.service\nLoadState=loaded\nUnitFileState=enabled\nActiveState=active\nInvocationID=ab\n"
        "ExecMainStartTimestampMonotonic=2500000\n\n"
        "Id=virtqemud.socket\nLoadState=not-found\nUnitFileState=\nActiveState=inactive\n\n"
        "Id=libvirtd.socket\nLoadState=masked\nUnitFileState=masked\nActiveState=inactive\n"
    )
    assert parse_units(text, 1000.0) == {
        "libvirtd.service": Unit("libvirtd.service", "enabled", True, 1002.5, "ab"),
        "libvirtd.socket": Unit("libvirtd.socket", "masked", False, None, ""),
    }


def test_a_decision_is_made_of_steps() -> None:
    assert (
        Step("restart", ("libvirtd.service",)) in decide(debian(), ("libvirtd.service",), tls=None, restart=True).steps
    )
