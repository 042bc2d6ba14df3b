# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module that changes anything runs in check mode against a gateway whose mutators raise; and it announces a change.

A new module needs a case here, or the first test fails.
"""

from __future__ import annotations

import importlib
import inspect
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._disk import dump, restore
from ansible_collections.virtops.kvm.plugins.module_utils._disk.look import Seen
from ansible_collections.virtops.kvm.plugins.module_utils._disk.pairs import Pair
from ansible_collections.virtops.kvm.plugins.module_utils._host.files import Files
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_run
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.modules import domain_migration, qemu_migration
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._checks import fleet_sample
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._host.fake_host import (
    Certificates,
    FakeDaemons,
    FakeFirewalls,
)
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._libvirt.fake_domains import DOCUMENT, FakeDomains
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._libvirt.fake_pools import FakePools, FakeVolumes
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.bare_fake import FakeFar, plan, running
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import FakeGateway, context_for
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._nfs.fake_server import FakeServer
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._qemu.fake_guest import FakeGuests
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._report import samples

MODULES = pathlib.Path(inspect.getfile(domain_migration)).parent


class Touched(AssertionError):
    """A mutator was called in check mode."""


class Guard:
    """A gateway of which only ``reads`` may be used."""

    def __init__(self, gateway: t.Any, reads: t.Iterable[str]) -> None:
        self._gateway, self._reads = gateway, frozenset(reads)

    def __getattr__(self, name: str) -> t.Any:
        value = getattr(self._gateway, name)
        if name in self._reads or not callable(value):
            return value

        def refuse(*unused_arguments: t.Any, **unused_options: t.Any) -> t.NoReturn:
            raise Touched(f"{name} was called in check mode")

        return refuse


class Case(t.NamedTuple):
    """Options that ask for a change, and the gateway with what may be called on it."""

    params: dict[str, t.Any]
    gateway: t.Callable[[pathlib.Path], t.Any]
    reads: tuple[str, ...]


class ClosableGateway(FakeGateway):
    """As the real one, which is closed at the end."""

    def close(self) -> None:
        """Nothing to do."""


class Cordons:
    """A host without a cordon."""

    def read(self) -> None:
        return None

    def now(self) -> float:
        return 1.0

    def write(self, cordon: t.Any) -> None:
        """Would set it."""

    def remove(self) -> None:
        """Would take it away."""


class Leftovers:
    """A host with a copy in the making that no move goes on with."""

    def has_copy(self, path: str, uuid: str) -> bool:
        return True

    def remove_copy(self, path: str, uuid: str) -> None:
        """Would remove it."""


class NoFiles:
    """A directory without files."""

    def read(self, path: str) -> None:
        return None

    def write(self, path: str, text: str) -> None:
        """Would write."""

    def now(self) -> float:
        return 0.0


class Disk:
    """A device that differs from its image."""

    def __init__(self, decision: t.Any) -> None:
        self._decision = decision

    def open(self, *unused_options: t.Any) -> None:
        return None

    def survey(self) -> list[t.Any]:
        return [self._decision]

    def foresee(self, decisions: list[t.Any]) -> list[t.Any]:
        return []

    def apply(self, decisions: list[t.Any]) -> list[t.Any]:
        """Would write."""
        return []

    def close(self) -> None:
        """Nothing to do."""


class Copies:
    """A source, and a destination that has nothing yet."""

    def owner(self, path: str) -> str:
        return "root:root"

    def jobs(self, job: t.Any, **unused_options: t.Any) -> list[t.Any]:
        return [job]

    def connect(self, destination: str) -> str:
        return "kvm2"

    def before(self, jobs: list[t.Any]) -> list[t.Any]:
        return [{"exists": False, "path": job.destination} for job in jobs]

    def foresee(self, jobs: list[t.Any]) -> list[t.Any]:
        return [Seen({"exists": False, "path": job.destination}, free=1, needed=1) for job in jobs]

    def copy(self, jobs: list[t.Any]) -> list[t.Any]:
        """Would copy."""
        return []

    def close(self) -> None:
        """Nothing to do."""


class NoAuthority:
    """A folder without an authority; itself the gateway that opens it."""

    folder = "/nowhere/ca"

    def open(self, folder: str) -> t.Any:
        return Guard(self, ("certificate", "signed", "revocations"))

    def now(self) -> float:
        return 0.0

    def certificate(self) -> str:
        return ""

    def revocations(self) -> str:
        return ""

    def alone(self) -> None:
        """Would make the folder."""


PAIR = Pair("/dev/vg/lv", "/srv/lv.img")
DISKS = {"disks": [{"device": PAIR.device, "image": PAIR.image}]}


def defaults(name: str) -> dict[str, t.Any]:
    """The module's options as AnsibleModule fills them in."""
    spec = module(name).argument_spec()
    return {option: rule.get("default") for option, rule in spec.items()}


def module(name: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.virtops.kvm.plugins.modules.{name}")


CASES = {
    "certificate_authority": Case(
        {"directory": "/nowhere/ca"},
        lambda folder: NoAuthority(),
        ("open", "now", "certificate", "signed", "revocations"),
    ),
    "disk_copy": Case(
        {"source": "/a.raw", "source_format": "raw", "destination": "root@kvm2", "chain": "keep"},
        lambda folder: Copies(),
        ("owner", "jobs", "connect", "before", "foresee", "close"),
    ),
    "disk_dump": Case(
        {**DISKS, "format": "raw"},
        lambda folder: Disk(dump.Decision(PAIR, dump.DUMP, 512)),
        ("open", "survey", "foresee", "close"),
    ),
    "disk_restore": Case(
        DISKS,
        lambda folder: Disk(
            restore.Decision(restore.Source(PAIR, "raw", 512, "a", 0, True), restore.RESTORE, "b", False)
        ),
        ("open", "survey", "foresee", "close"),
    ),
    "domain": Case(
        {"xml": DOCUMENT, "state": "running", "autostart": True},
        lambda folder: FakeDomains(),
        ("find", "unknown", "definition", "state", "exact", "objection", "normalize", "close"),
    ),
    "domain_migration": Case(
        {"name": "web", "destination": FakeGateway.destination_uri},
        lambda folder: ClosableGateway(),
        (
            "look",
            "one_host",
            "definition",
            "job_stats",
            "checkpoints",
            "find_image",
            "leftover_image",
            "constant",
            "close",
        ),
    ),
    "evacuation_report": Case(
        {"plan": to_data(samples.plan(samples.move("a"))), "results": {}, "directory": "/nowhere"},
        lambda folder: NoFiles(),
        ("read",),
    ),
    "firewall_opening": Case(
        {"owner": "libvirt_host", "ports": ["16514"], "firewalld_zone": None},
        lambda folder: FakeFirewalls(),
        ("running", "ruleset", "rules_file", "try_rules"),
    ),
    "fleet_readiness": Case(
        {"facts": [to_data(fleet_sample.member("kvm1"))], "directory": "/nowhere"},
        lambda folder: NoFiles(),
        ("read", "now"),
    ),
    "host_certificate": Case(
        {"authority": "A", "names": ["kvm1"]},
        lambda folder: Certificates(str(folder)),
        ("now", "text", "places", "present", "readers", "judge"),
    ),
    "libvirt_daemon": Case({"tls": True}, lambda folder: FakeDaemons(), ("units", "text", "written", "seen", "jobs")),
    "libvirt_settings": Case(
        {"file": "qemu.conf", "settings": {"user": "root"}}, lambda folder: Files(str(folder)), ("read",)
    ),
    "nfs_export": Case(
        {"path": "/srv/a", "clients": [{"client": "10.0.0.0/24"}]},
        lambda folder: FakeServer(),
        ("names", "documents", "table", "trial", "usage", "device", "is_folder", "real", "host"),
    ),
    "qemu_guest": Case(
        {"name": "web", "memory": "64M", "persistent": True, "autostart": True},
        lambda folder: FakeGuests(),
        ("look", "default_uuid", "user", "emulator", "machine", "ip", "rivals", "departures"),
    ),
    "host_cordon": Case({"reason": "maintenance"}, lambda folder: Cordons(), ("read", "now")),
    "qemu_migration": Case(
        {"name": "web", "destination": "root@kvm2"},
        lambda folder: FakeFar(),
        ("look", "facts", "again", "close"),
    ),
    "repair_leftover": Case(
        {"path": "/srv/a.moving-11111111", "uuid": "11111111-2222-3333-4444-555555555555"},
        lambda folder: Leftovers(),
        ("has_copy",),
    ),
    "repair_plan": Case({"facts": [{"name": "kvm1"}], "directory": "/nowhere"}, lambda folder: NoFiles(), ("read",)),
    "storage_pool": Case(
        {"name": "images", "type": "dir", "path": "/srv/images", "autostart": True},
        lambda folder: FakePools(),
        (
            "find",
            "all",
            "definition",
            "normalize",
            "supported",
            "ground",
            "server_answer",
            "has_group",
            "opened",
            "close",
        ),
    ),
    "storage_volume": Case(
        {"pool": "default", "name": "disk", "capacity": "1M"},
        lambda folder: FakeVolumes(),
        ("pool", "find", "room", "backing_capacity", "check_free", "close"),
    ),
}


def mutating() -> list[str]:
    """The modules whose run() is handed something that it could change."""
    found = []
    for path in sorted(MODULES.glob("*.py")):
        hands = inspect.signature(module(path.stem).run).parameters["gateway"].annotation
        if not path.stem.endswith("_info") and hands != "None":
            found.append(path.stem)
    return found


def test_every_mutating_module_has_its_case() -> None:
    assert mutating() == sorted(CASES)


def run(name: str, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *, check_mode: bool) -> t.Any:
    case = CASES[name]
    guarded = Guard(case.gateway(folder), case.reads)
    gateway: t.Any = guarded
    if name == "domain_migration":
        context = context_for(guarded, folder)
        monkeypatch.setattr(domain_migration, "Surveyor", lambda *unused: context.survey)
        monkeypatch.setattr(domain_migration, "Workspace", lambda: context.workspace)

        def gateway(*unused: t.Any) -> Guard:
            return guarded

    if name == "qemu_migration":
        monkeypatch.setattr(qemu_migration, "Workspace", lambda: Workspace(str(folder / "state"), str(folder / "run")))
        monkeypatch.setattr(qemu_migration, "monitor_of", lambda *unused: ("unix:/run/web.qmp", ""))
        monkeypatch.setattr(bare_run, "look_here", lambda context: running())
        monkeypatch.setattr(bare_run, "survey", lambda context, pid, *, probe: plan(context))

    if name in ("domain", "qemu_migration", "storage_pool", "storage_volume"):

        def gateway(*unused: t.Any) -> Guard:
            return guarded

    return module(name).run({**defaults(name), **case.params}, check_mode, gateway)


@pytest.mark.parametrize("name", sorted(CASES))
def test_check_mode_announces_and_calls_no_mutator(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(name, tmp_path, monkeypatch, check_mode=True)
    assert result.changes
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_guard_would_notice(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Touched):
        run(name, tmp_path, monkeypatch, check_mode=False)
