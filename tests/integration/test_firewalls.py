# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nfs_server asks of firewalld and ufw, which no lab host has: programs that note it stand in. For nftables see test_nfs_guards."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.ansible_runs import run_tasks_of
from tests.integration.copies import sh

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.host import Host

ASIDE, PROGRAMS = "/run/firewalls", "/usr/local/sbin"
UFW = f"""#!/bin/sh
case "$1" in
status) cat {ASIDE}/ufw ;;
allow) echo "$2                   ALLOW       Anywhere" >> {ASIDE}/ufw ;;
esac
"""
FIREWALLD = f"""#!/bin/sh
case "$1" in
--state) echo running ;;
--query-service=nfs) test -e {ASIDE}/firewalld$2 ;;
--add-service=nfs) touch {ASIDE}/firewalld$2 ;;
esac
"""


@pytest.fixture
def walled(lab: Lab, hosts: list[str]) -> t.Iterator[Host]:
    """A host that seems to have both, firewalld running and ufw not."""
    host = lab.host(hosts[0])
    sh(host, f"mkdir -p {ASIDE}; echo Status: inactive > {ASIDE}/ufw")
    host.write(f"{PROGRAMS}/ufw", UFW)
    host.write(f"{PROGRAMS}/firewall-cmd", FIREWALLD)
    sh(host, f"chmod 755 {PROGRAMS}/ufw {PROGRAMS}/firewall-cmd")
    try:
        yield host
    finally:
        sh(host, f"rm -rf {ASIDE} {PROGRAMS}/ufw {PROGRAMS}/firewall-cmd")


def test_a_firewall_is_opened_where_it_runs_and_once(lab: Lab, walled: Host) -> None:
    def opened() -> int:
        run = run_tasks_of(lab.inventory, walled.name, "nfs_server", "firewall")
        assert run.status == 0, run.output
        return run.changed

    assert opened() == 1
    assert sh(walled, f"ls {ASIDE}").split() == ["firewalld", "firewalld--permanent", "ufw"]
    assert walled.read(f"{ASIDE}/ufw") == "Status: inactive\n"

    # Opened by hand until the next start only; and ufw was started meanwhile.
    sh(walled, f"rm {ASIDE}/firewalld--permanent; echo Status: active > {ASIDE}/ufw")
    assert opened() == 2
    assert "2049/tcp" in walled.read(f"{ASIDE}/ufw")
    assert opened() == 0
