# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with kernels of their own, on which NFS is real: bare at first, then set up by virtops.kvm.configure_nfs."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.ansible_runs import run_module
from tests.integration.nfs.fleet import EXPORT, POOL, configure, make_guests, pool, script, tidy, uncordon, undo

if t.TYPE_CHECKING:
    from tests.integration.ansible_runs import Run
    from tests.lab import Guest, Lab
    from tests.lab.host import Host


@pytest.fixture(scope="module")
def first(vm_lab: Lab) -> t.Iterator[Run]:
    """The first run of configure_nfs.yml. What it set up goes at the end, but for the packages."""
    yield configure(vm_lab)
    tidy(vm_lab)
    undo(vm_lab)


@pytest.fixture(scope="module")
def shared(vm_lab: Lab, first: Run) -> Lab:
    """The lab with its storage shared."""
    assert first.status == 0, first.output
    return vm_lab


@pytest.fixture(scope="module")
def guests(shared: Lab) -> dict[str, Guest]:
    """Guests on the first host, made once, as they take minutes to boot on emulated hosts."""
    tidy(shared)
    return make_guests(shared)


@pytest.fixture
def web(shared: Lab, guests: dict[str, Guest]) -> Guest:
    """The guest on shared storage, on whichever host it is, and nothing beside it."""
    guests["local"].destroy()
    uncordon(shared)
    return guests["web"]


@pytest.fixture
def apart(shared: Lab, web: Guest) -> t.Iterator[Host]:
    """The host where it does not run; its pool is as it should be before and after."""
    (host,) = (one for one in shared.hosts if one != web.host())
    yield host
    mended = run_module(shared.inventory, host.name, "storage_pool", pool(shared))
    assert not mended["failed"], mended["msg"]


#: Exports a folder to itself, as the storage server does to all.
_SERVE = """
set -e
apt-get -q -y install nfs-kernel-server >/dev/null
systemctl start nfs-server
mkdir -p "$2"
chown 64055:64055 "$2"
exportfs -o rw,sync,no_subtree_check,all_squash,anonuid=64055,anongid=64055 "$1:$2"
"""


@pytest.fixture
def rival(apart: Host) -> t.Iterator[Host]:
    """The host where it does not run, which is a storage server itself, with an export of the same path."""
    try:
        script(apart, _SERVE, apart.address, EXPORT)
        yield apart
    finally:
        # Nothing may be mounted from a server that goes.
        apart.virsh("pool-destroy", POOL, check=False)
        script(apart, 'exportfs -ua; systemctl disable -q --now nfs-server; rm -rf "$1"', EXPORT)
