# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module domain against a host in memory: what is announced is what is done, and what is not asked for is not done."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.lifecycle import Present
from ansible_collections.virtops.kvm.plugins.modules import domain
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._libvirt.fake_domains import (
    DOCUMENT,
    UUID,
    FakeDomains,
)

SAVED_XML = DOCUMENT.replace("<memory>", f"<uuid>{UUID}</uuid><memory>")


def host(state: str = "shutoff", **values: t.Any) -> FakeDomains:
    deaf = values.pop("deaf", False)
    return FakeDomains(Present("web", UUID, state, **values), SAVED_XML, deaf=deaf)


def run(gateway: FakeDomains, *, check: bool = False, **options: t.Any) -> t.Any:
    defaults = {name: rule.get("default") for name, rule in domain.argument_spec().items()}
    return domain.run({**defaults, **options}, check, t.cast("t.Any", lambda uri: gateway))


def actions(result: t.Any) -> list[str]:
    return [change.action for change in result.changes]


def error(gateway: FakeDomains, **options: t.Any) -> KvmError:
    with pytest.raises(KvmError) as caught:
        run(gateway, **options)
    assert not [call for call in gateway.calls if call not in ("close", "shut down")]
    return caught.value


def test_a_new_domain_is_announced_as_it_is_made() -> None:
    gateway = FakeDomains()
    announced = run(gateway, check=True, xml=DOCUMENT, state="running", autostart=True)
    assert gateway.calls == ["close"]
    done = run(gateway, xml=DOCUMENT, state="running", autostart=True)
    assert announced.changes == done.changes
    assert announced.diff == done.diff
    assert actions(done) == ["define", "set", "start"]
    assert (announced.values["uuid"], announced.values["state"]) == (None, "running")
    assert "(generated)" in done.diff["after"]
    again = run(gateway, xml=DOCUMENT, state="running", autostart=True)
    assert not again.changes
    assert again.values["uuid"] == done.values["uuid"]


def test_a_running_domain_is_redefined_for_its_next_start() -> None:
    gateway = host("running")
    result = run(gateway, xml=DOCUMENT.replace("1024", "2048"))
    assert actions(result) == ["redefine"]
    assert result.values["restart_needed"]
    assert "next start" in result.msg
    assert result.changes[0].after == ["memory: '1024' -> '2048'"]


def test_a_domain_that_is_shut_down_anyway_needs_no_further_restart() -> None:
    result = run(host("running"), xml=DOCUMENT.replace("1024", "2048"), state="shutoff")
    assert actions(result) == ["redefine", "shut down"]
    assert not result.values["restart_needed"]


def test_another_password_is_a_change_that_shows_no_password() -> None:
    result = run(host(), check=True, xml=DOCUMENT.replace("geheim12", "anders12"))
    assert result.changes
    assert "geheim12" not in str(result)
    assert "anders12" not in str(result)
    assert not run(host(), check=True, xml=DOCUMENT).changes


STATES: list[tuple[dict[str, t.Any], str, list[str]]] = [
    ({"state": "shutoff"}, "running", ["start"]),
    ({"state": "shutoff", "managed_save": True}, "running", ["start"]),
    ({"state": "paused"}, "running", ["resume"]),
    ({"state": "pmsuspended"}, "running", ["wake up"]),
    ({"state": "running"}, "running", []),
    ({"state": "blocked"}, "running", []),
    ({"state": "running"}, "paused", ["pause"]),
    ({"state": "shutoff"}, "paused", ["start paused"]),
    ({"state": "paused"}, "paused", []),
    ({"state": "running"}, "saved", ["save"]),
    ({"state": "paused"}, "saved", ["save"]),
    ({"state": "shutoff", "managed_save": True}, "saved", []),
    ({"state": "running"}, "shutoff", ["shut down"]),
    ({"state": "paused"}, "shutoff", ["resume", "shut down"]),
    ({"state": "pmsuspended"}, "shutoff", ["wake up", "shut down"]),
    ({"state": "shutoff"}, "shutoff", []),
    ({"state": "shutoff", "managed_save": True}, "shutoff", []),
    ({"state": "running"}, "defined", []),
    ({"state": "shutoff"}, "absent", ["undefine"]),
]


@pytest.mark.parametrize(("values", "state", "steps"), STATES)
def test_states(values: dict[str, t.Any], state: str, steps: list[str]) -> None:
    gateway = host(**values)
    announced = run(gateway, check=True, name="web", state=state)
    assert gateway.calls == ["close"]
    done = run(gateway, name="web", state=state)
    assert announced.changes == done.changes
    assert announced.diff == done.diff
    assert actions(done) == steps
    assert not run(gateway, name="web", state=state).changes


IMPOSSIBLE: list[tuple[dict[str, t.Any], dict[str, t.Any], str, str]] = [
    ({"state": "shutoff"}, {"state": "saved"}, "STATE_IMPOSSIBLE", "has no running state"),
    ({"state": "pmsuspended"}, {"state": "saved"}, "STATE_IMPOSSIBLE", "suspended itself"),
    ({"state": "running", "persistent": False}, {"state": "saved"}, "STATE_IMPOSSIBLE", "transient"),
    ({"state": "running", "persistent": False}, {"autostart": True}, "DOMAIN_TRANSIENT", "transient"),
    ({"state": "shutdown"}, {"state": "running"}, "STATE_IMPOSSIBLE", "shutting down"),
    ({"state": "crashed"}, {"state": "shutoff"}, "STATE_IMPOSSIBLE", "shutdown_action=destroy"),
    ({"state": "running"}, {"state": "absent"}, "DOMAIN_ACTIVE", "may_stop=true"),
    ({"nvram": "/n"}, {"state": "absent"}, "DOMAIN_HAS_MORE", "nvram=delete"),
    ({"tpm": True}, {"state": "absent"}, "DOMAIN_HAS_MORE", "tpm=delete"),
    ({"managed_save": True}, {"state": "absent"}, "DOMAIN_HAS_MORE", "managed_save=delete"),
    ({"snapshots": ("a", "b")}, {"state": "absent"}, "DOMAIN_HAS_MORE", "2 snapshots (a, b; snapshots=delete"),
    ({"checkpoints": ("a",)}, {"state": "absent"}, "DOMAIN_HAS_MORE", "1 checkpoint (a; checkpoints=delete"),
    ({}, {"mapping": {"networks": {"a": "b"}}}, "INVALID_OPTION", "mapping"),
    ({}, {"shutdown_timeout": -1}, "INVALID_OPTION", "negative"),
]


@pytest.mark.parametrize(("values", "options", "code", "words"), IMPOSSIBLE)
@pytest.mark.parametrize("check", [True, False])
def test_refusals(values: dict[str, t.Any], options: dict[str, t.Any], code: str, words: str, check: bool) -> None:
    found = error(host(**values), name="web", check=check, **options)
    assert found.error_code == code
    assert words in found.message


def test_each_leftover_goes_by_its_own_option_alone() -> None:
    values = {"nvram": "/n", "tpm": True, "managed_save": True, "snapshots": ("a",), "checkpoints": ("a",)}
    everything = dict.fromkeys(values, "delete")
    for name in values:
        gateway = host(**values)
        with pytest.raises(KvmError) as caught:
            run(gateway, name="web", state="absent", **{**everything, name: "refuse"})
        assert f"{name}=delete" in caught.value.message
        assert gateway.domain is not None
    gateway = host(**values)
    assert actions(run(gateway, name="web", state="absent", **everything)) == ["undefine"]
    assert gateway.domain is None


def test_absent_twice_and_absent_of_a_running_one() -> None:
    gateway = host("running")
    assert actions(run(gateway, name="web", state="absent", may_stop=True)) == ["shut down", "undefine"]
    assert not run(gateway, name="web", state="absent").changes


def test_a_deaf_guest_is_never_killed_unasked() -> None:
    gateway = host("running", deaf=True)
    found = error(gateway, name="web", state="shutoff", shutdown_timeout=35)
    assert found.error_code == "SHUTDOWN_TIMEOUT"
    assert "shutdown_action=destroy" in found.message
    assert gateway.calls.count("shut down") == 4
    assert run(gateway, name="web", state="shutoff", shutdown_timeout=1, shutdown_action="destroy").changes
    assert "kill" in gateway.calls


def test_a_document_that_libvirt_refuses_is_refused_in_check_mode_too() -> None:
    for check in (True, False):
        gateway = FakeDomains()
        gateway.refuses = "unsupported configuration: geheim12"
        found = error(gateway, xml=DOCUMENT, check=check)
        assert found.error_code == "DEFINITION_REFUSED"
        assert "geheim12" not in found.message


def test_conflicts_of_name_and_uuid() -> None:
    other = SAVED_XML.replace("4dea22b3", "5dea22b3")
    assert error(host(), xml=other).error_code == "NAME_CONFLICT"
    assert error(host(), xml=SAVED_XML.replace(">web<", ">mail<")).error_code == "UUID_CONFLICT"
    assert error(host(), xml=DOCUMENT, name="mail").error_code == "INVALID_OPTION"
    assert error(host(), xml=SAVED_XML, name=UUID.replace("4", "6")).error_code == "INVALID_OPTION"
    assert error(FakeDomains(), name="web").error_code == "DOMAIN_NOT_FOUND"


def test_a_transient_domain_gets_a_definition() -> None:
    gateway = host("running", persistent=False)
    assert actions(run(gateway, xml=DOCUMENT)) == ["define"]
    assert not run(gateway, xml=DOCUMENT).changes


def test_where_libvirt_cannot_be_asked_there_is_a_warning_and_rules() -> None:
    gateway = host()
    gateway.reason = "no driver"
    result = run(gateway, xml=DOCUMENT)
    assert not result.changes
    assert "no driver" in result.warnings[0]
    assert run(gateway, check=True, xml=DOCUMENT.replace("1024", "2048")).changes


def test_what_the_schema_objects_to_is_a_warning() -> None:
    gateway = host()
    gateway.ignored = "Extra element\n devices"
    assert "Extra element devices" in run(gateway, xml=DOCUMENT).warnings[0]


def test_a_saved_state_is_dropped_only_when_asked_for() -> None:
    gateway = host(managed_save=True)
    assert actions(run(gateway, name="web", state="shutoff", managed_save="delete")) == ["delete the saved state"]
    assert gateway.domain == dataclasses.replace(Present("web", UUID, "shutoff"))
