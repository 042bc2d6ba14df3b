# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab for all integration tests, clean before and after each of them; and one of vm hosts for those that need a kernel of their own.

VIRTOPS_TEST_LAB names a lab that is already up: it is used and left up, which is quick while one writes a test.
"""

from __future__ import annotations

import base64
import hashlib
import os
import typing as t

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.lab import Lab
from tests.lab.shell import install_needed

HOSTS = 3
#: The files of each value share a guest or a lab that takes long to make, so one process runs all their tests. Tests of other files
#: are shared out one by one.
TOGETHER = {
    "fleet/test_configure_hosts.py": "bare hosts",
    "fleet/test_host_firewalls.py": "bare hosts",
    "lvm/test_lvm.py": "vm hosts",
    "nfs/test_nfs.py": "vm hosts",
    "test_nfs_guards.py": "vm hosts",
    "offline/test_faults.py": "a guest that faults befall",
    "offline/test_faults_stages.py": "a guest whose moves are killed",
    "test_bookworm.py": "old hosts",
    "test_check.py": "a guest that is only looked at",
}


#: Files of many short tests: they come last, so that no process is long at work when the others have ended.
SHORT = ("test_disk_dump.py", "test_info.py", "test_storage.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name in SHORT)


class Sharing(LoadScopeScheduling):
    """Shares the tests out over processes; the most tests that belong together come first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0].rpartition("tests/integration/")[2]
        return TOGETHER.get(file, nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> Sharing:
    """Asked by pytest-xdist. Its own groups by marks do nothing with the newest pytest."""
    return Sharing(config, log)


def lab_name(role: str) -> str:
    """The name of a lab that only tests of this checkout use. ``role``: four characters at most."""
    checkout = base64.b32encode(hashlib.sha256(__file__.encode()).digest()).decode().lower()
    # Of two hexadecimal digits two checkouts have the same soon enough, and each takes down the lab of the other.
    return f"i{checkout[:3]}{role}"


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """What the lab needs on this machine, for tests that use it without a lab too."""
    install_needed()


@pytest.fixture(scope="session")
def lab() -> t.Iterator[Lab]:
    """Three hosts, up for the whole session; each of the processes that share the tests out has its own."""
    yield from _up(os.environ.get("PYTEST_XDIST_WORKER", "main"), hosts=HOSTS)


@pytest.fixture(scope="session")
def vm_lab() -> t.Iterator[Lab]:
    """Two hosts and a storage server with kernels of their own: NFS, LVM. They take minutes to come up, so all tests with them
    are TOGETHER, and each file leaves them as it found them."""
    yield from _up("vm", hosts=2, kind="vm", servers=1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> t.Generator[None, t.Any, t.Any]:
    """Emulated hosts use the processors even when nobody asks anything of them: they go with the last of the tests that are TOGETHER
    for their sake, not with the last of all."""
    done = yield
    shared_out = "PYTEST_XDIST_WORKER" in os.environ and "VIRTOPS_TEST_LAB" not in os.environ
    if shared_out and _wants_vms(item) and not _wants_vms(nextitem):
        Lab(lab_name("vm")).down()
    return done


def _wants_vms(item: pytest.Item | None) -> bool:
    return isinstance(item, pytest.Function) and "vm_lab" in item.fixturenames


@pytest.fixture(scope="session")
def bare_lab() -> t.Iterator[Lab]:
    """Three hosts on which nobody has installed anything yet. All tests with them are TOGETHER, and build on each other."""
    yield from _up("bare", hosts=HOSTS, kind="bare")


def _up(role: str, **wanted: t.Any) -> t.Iterator[Lab]:
    borrowed = os.environ.get("VIRTOPS_TEST_LAB")
    if borrowed:
        yield Lab.attach(borrowed)
        return
    built = Lab.up(name=lab_name(role), **wanted)
    try:
        yield built
    finally:
        built.down()


@pytest.fixture
def hosts(lab: Lab) -> t.Iterator[list[str]]:
    """The names of the hosts; whatever guests, faults and records a test leaves on them goes with it."""
    if lab.name not in _empty:
        sweep(lab)
    _empty.discard(lab.name)
    yield [host.name for host in lab.hosts]
    sweep(lab)
    _empty.add(lab.name)


#: The labs with which nothing was done since they were swept, which takes as long as some tests.
_empty: set[str] = set()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that use the lab without its fixture of empty hosts leave there what they like."""
    if isinstance(item, pytest.Function) and "hosts" not in item.fixturenames:
        _empty.clear()


def sweep(lab: Lab) -> None:
    """End every fault, remove every guest, every other domain and image, and every record of ours: each test starts from empty hosts."""
    lab.fault.clear()
    for guest in lab.guests:
        guest.remove()
    for host in lab.hosts:
        host.run(["sh", "-c", EMPTY_HOST])
        for device in lab.block_devices(host):
            lab.remove_block_device(device)


#: For domains that a test defined by hand, and for what a move that was cut off left behind. One virsh asks for all, as most often
#: there is nothing and a virsh takes longer than its question; its echo ends no line. Units of guest processes stay when they are off.
EMPTY_HOST = """
kind=domain
virsh -q "list --all --uuid; echo 'secret
'; secret-list; echo 'pool
'; pool-list --transient --name" | while read -r one _more; do
    case "$kind $one" in
    *' ') ;;
    *' secret' | *' pool') kind=$one ;;
    secret*) virsh -q secret-undefine "$one" ;;
    pool*) virsh -q pool-destroy "$one" ;;
    *)
        virsh -q destroy "$one" 2>/dev/null
        for point in $(virsh -q checkpoint-list --name "$one"); do virsh -q checkpoint-delete --metadata "$one" "$point"; done
        virsh -q undefine "$one" --nvram --managed-save --snapshots-metadata --checkpoints-metadata
        ;;
    esac
done
units=$(cd /etc/systemd/system && ls -d virtops-kvm-guest-*.service 2>/dev/null)
if [ -n "$units" ]; then
    systemctl stop $units
    (cd /etc/systemd/system && rm -rf virtops-kvm-guest-*)
    systemctl daemon-reload
fi
find /var/lib/libvirt/images /srv/shared -mindepth 1 -not -name lost+found -delete
virsh -q pool-refresh default
rm -rf /var/lib/virtops-kvm /run/virtops-kvm
"""
