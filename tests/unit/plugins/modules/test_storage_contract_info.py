# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import time
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._nfs import contract, contract_acts
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.asuser import Silent, User, run_as
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.contract_acts import PREFIX, Storage
from ansible_collections.virtops.kvm.plugins.modules import storage_contract_info

ME = User(os.getuid(), os.getgid(), "me")
HOSTS = ("kvm1", "kvm2", "kvm3")
Report = dict[str, t.Any]


class Gateway:
    """Several hosts on one machine: each has its own view of the path, and all have the same user."""

    def __init__(self, folders: dict[str, pathlib.Path], users: dict[str, User] | None = None) -> None:
        self.folders, self.users = folders, users or {}
        self.here = ""

    def user(self, uid: int | None, gid: int | None) -> User:
        return self.users.get(self.here, ME)

    def storage(self, path: str, run: str, host: str, user: User, seconds: float) -> Storage:
        made = Storage(str(self.folders[host]), run, host, ME, seconds)
        made._state = os.path.join(contract_acts._STATE, f"contract-{host}.json")
        return made


@pytest.fixture
def shared(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[pathlib.Path]:
    """A folder that all hosts share. No process that holds a lock survives."""
    states = tmp_path / "states"
    monkeypatch.setattr(contract_acts, "_STATE", str(states))
    folder = tmp_path / "shared"
    folder.mkdir()
    yield folder
    for state in states.glob("*") if states.is_dir() else ():
        os.kill(contract_acts.read_json(str(state))["pid"], 9)


def stage(gateway: Gateway, host: str, name: str, reports: t.Sequence[Report] = (), check: bool = False) -> t.Any:
    gateway.here = host
    params = {"path": "/srv/shared", "run": "one", "host": host, "stage": name, "reports": list(reports)}
    return storage_contract_info.run(
        {**params, "uid": None, "gid": None, "timeout": 5}, check, t.cast("t.Any", gateway)
    )


@pytest.fixture
def together(shared: pathlib.Path) -> Gateway:
    """Three hosts with the same storage."""
    return Gateway(dict.fromkeys(HOSTS, shared))


def begun(gateway: Gateway) -> list[Report]:
    return [stage(gateway, host, "begin").values["report"] for host in HOSTS]


def ended(gateway: Gateway) -> None:
    for host in HOSTS:
        stage(gateway, host, "end")


def test_storage_that_keeps_the_contract(together: Gateway, shared: pathlib.Path) -> None:
    reports = begun(together)
    assert [report["file"]["uid"] for report in reports] == [ME.uid] * 3
    for host in HOSTS:
        seen = stage(together, host, "observe", reports).values["report"]["seen"]
        assert [(one["host"], one["refused"]) for one in seen] == [(other, True) for other in HOSTS if other != host]
    for host in HOSTS:
        stage(together, host, "rename")
    for host in HOSTS:
        renames = stage(together, host, "settle", reports).values["report"]["renames"]
        assert sorted(one["host"] for one in renames) == [other for other in HOSTS if other != host]
    ended(together)
    assert list(shared.iterdir()) == []
    ended(together)


def test_nobody_holds_a_lock_after_the_end(together: Gateway, shared: pathlib.Path) -> None:
    begun(together)
    holders = [contract_acts.read_json(str(file))["pid"] for file in pathlib.Path(contract_acts._STATE).iterdir()]
    assert all(contract_acts._started(holder) for holder in holders)
    ended(together)
    until = time.monotonic() + 30
    while any(contract_acts._started(holder) for holder in holders) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(contract_acts._started(holder) for holder in holders)


def test_another_storage_at_the_same_path_is_caught(together: Gateway, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    together.folders["kvm2"] = other
    reports = begun(together)
    reports[0]["mount"] = {"type": "nfs4", "source": "10.0.0.1:/srv/images", "options": []}
    reports[1]["mount"] = {"type": "nfs4", "source": "10.0.0.9:/srv/images", "options": []}
    with pytest.raises(KvmError, match="kvm2 does not see") as caught:
        stage(together, "kvm2", "observe", reports)
    assert caught.value.error_code == "NOT_SHARED"
    assert "kvm2 has 10.0.0.9:/srv/images (nfs4) there, kvm1 has 10.0.0.1:/srv/images (nfs4)" in caught.value.message
    assert [breach["code"] for breach in caught.value.details["breaches"]] == ["NOT_SHARED", "NOT_SHARED"]
    ended(together)


def test_a_lock_that_is_not_seen_is_caught(together: Gateway) -> None:
    reports = begun(together)
    stage(together, "kvm1", "end")
    together.folders["kvm1"].joinpath(f"{PREFIX}one").mkdir(exist_ok=True)
    again = Storage(str(together.folders["kvm1"]), "one", "kvm1", ME, 5.0)
    made = again.make()
    os.kill(made["holder"], 9)
    reports[0]["file"] = {name: value for name, value in made.items() if name != "holder"}
    until = time.monotonic() + 30
    while contract_acts._started(made["holder"]) and time.monotonic() < until:
        time.sleep(0.05)
    with pytest.raises(KvmError, match=r"kvm2 was not refused the lock that kvm1 holds") as caught:
        stage(together, "kvm2", "observe", reports)
    assert caught.value.error_code == "LOCKS_NOT_SHARED"
    ended(together)


def test_numbers_that_differ_are_caught(together: Gateway) -> None:
    reports = begun(together)
    reports[2]["user"] = {"uid": 107, "gid": 107, "name": "qemu"}
    with pytest.raises(KvmError, match=r"as 107:107 on kvm3") as caught:
        stage(together, "kvm1", "observe", reports)
    assert caught.value.error_code == "QEMU_USER_DIFFERS"
    ended(together)


def test_a_name_that_stays_old_is_caught(together: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = begun(together)
    monkeypatch.setattr(contract, "_SLACK", 0.3)
    reports[0]["mount"] = {"options": ["actimeo=0"]}
    with pytest.raises(KvmError, match="kvm1 still does not see that kvm2 renamed") as caught:
        stage(together, "kvm1", "settle", reports)
    assert caught.value.error_code == "RENAME_NOT_SEEN"
    ended(together)


def test_check_mode_makes_nothing(together: Gateway, shared: pathlib.Path) -> None:
    assert stage(together, "kvm1", "begin", check=True).values["report"]["host"] == "kvm1"
    assert list(shared.iterdir()) == []


def test_a_folder_that_is_not_there(together: Gateway, tmp_path: pathlib.Path) -> None:
    together.folders["kvm1"] = tmp_path / "missing"
    with pytest.raises(KvmError, match="cannot be looked at") as caught:
        stage(together, "kvm1", "begin")
    assert caught.value.error_code == "QEMU_CANNOT_CREATE"


def test_what_a_refusal_says() -> None:
    qemu = User(64055, 64055, "libvirt-qemu")
    report = {"folder": {"uid": 0, "gid": 0, "mode": "0755"}, "mount": {"type": "nfs4", "source": "stor1:/srv/images"}}
    breach = contract.cannot_create("kvm1", "/srv/shared", qemu, {"error": "Permission denied", "errno": 13}, report)
    assert (
        "libvirt-qemu (64055:64055) on kvm1 cannot make a file in /srv/shared (stor1:/srv/images (nfs4))"
        in breach.message
    )
    assert "belongs to 0:0 with mode 0755" in breach.message
    assert "anonuid=64055" in breach.remedy


@pytest.mark.parametrize(
    ("answer", "outcome", "warned"),
    [
        ({"error": "Permission denied"}, "refused", False),
        ({"uid": 0}, "root", True),
        ({"uid": 64055}, "qemu", False),
        ({"uid": 65534}, "nobody", True),
    ],
)
def test_what_becomes_of_root(answer: dict[str, t.Any], outcome: str, warned: bool) -> None:
    qemu = User(64055, 64055, "libvirt-qemu")
    assert contract.root_outcome(answer, qemu) == outcome
    assert (contract.root_warning("kvm1", "/srv", outcome, qemu) is not None) == warned


@pytest.mark.parametrize(
    ("options", "seconds"),
    [((), 75.0), (("rw", "acdirmax=30"), 45.0), (("actimeo=1",), 16.0), (("noac",), 15.0), (("acdirmax=x",), 75.0)],
)
def test_how_long_a_cache_may_hold_a_name(options: tuple[str, ...], seconds: float) -> None:
    assert contract.cache_seconds(options) == seconds


def test_a_silent_storage_does_not_hold_us() -> None:
    def sleep() -> dict[str, t.Any]:
        time.sleep(60)
        return {}

    with pytest.raises(Silent):
        run_as(ME, sleep, 0.3)


def test_an_error_is_told() -> None:
    def fail() -> dict[str, t.Any]:
        raise PermissionError(13, "Permission denied")

    assert run_as(ME, fail, 20.0) == {"error": "Permission denied", "errno": 13}


@pytest.mark.parametrize("asked", [{"path": "srv"}, {"run": "../x"}, {"run": ""}])
def test_what_is_wrong_is_said(together: Gateway, asked: dict[str, str]) -> None:
    params = {
        "path": "/srv",
        "run": "r",
        "host": "kvm1",
        "stage": "end",
        "reports": [],
        "uid": None,
        "gid": None,
        "timeout": 5,
    }
    with pytest.raises(KvmError) as caught:
        storage_contract_info.run({**params, **asked}, False, t.cast("t.Any", together))
    assert caught.value.error_code == "INVALID_OPTION"
