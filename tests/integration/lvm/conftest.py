# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts with the empty volume group ``lab``, which each test fills and leaves empty."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.copies import sh
from tests.integration.lvm.volumes import stage

if t.TYPE_CHECKING:
    from tests.lab import Lab

#: Only what tests of this folder make: others use these hosts, too.
_EMPTY = r"""
for domain in $(virsh -q list --all --name | grep '^lvm' || true); do virsh -q undefine "$domain"; done
for pool in $(virsh -q pool-list --all --name | grep '^lvm' || true); do
    virsh -q pool-destroy "$pool" 2>/dev/null || true
    virsh -q pool-undefine "$pool"
done
if mountpoint -q /mnt; then umount /mnt; fi
lvremove -q -q -f -y lab
find /var/lib/libvirt/images -mindepth 1 -maxdepth 1 -name 'lvm*' -delete
rm -rf /var/lib/virtops-kvm
"""


@pytest.fixture(scope="module")
def staged(vm_lab: Lab) -> Lab:
    """The lab of vm hosts, with the modules on the first two."""
    for host in vm_lab.hosts[:2]:
        stage(host)
    return vm_lab


@pytest.fixture
def pair(staged: Lab) -> t.Iterator[Lab]:
    """The lab of vm hosts, of which the first two have an empty volume group."""
    for host in staged.hosts[:2]:
        sh(host, _EMPTY)
    yield staged
    for host in staged.hosts[:2]:
        sh(host, _EMPTY)
