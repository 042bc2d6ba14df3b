# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands between a guest and its storage: nftables, which really drops, and AppArmor's profile of libvirt's helper."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.ansible_runs import run_tasks_of
from tests.integration.copies import sh

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.host import Host


CONF = "/etc/nftables.conf"
RULES = """flush ruleset
table inet guard {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname lo accept
        ip saddr 192.0.2.0/24 accept
        tcp dport 22 accept
    }
}
"""
ASIDE = "/tmp/guards"
#: No lab host has AppArmor in force: its parser is stood in for, and notes what it is asked.
PARSER = f'#!/bin/sh\necho "$@" >> {ASIDE}/parsed\n'


@pytest.fixture
def guarded(vm_lab: Lab) -> t.Iterator[Host]:
    """The second host, which drops all but ssh, and has somebody who listens where NFS would."""
    host = vm_lab.hosts[1]
    sh(host, f"mkdir -p {ASIDE}; cp -p {CONF} {ASIDE}/conf")
    host.write(CONF, RULES)
    try:
        sh(host, "systemctl start nftables; systemd-run -q --unit=guards python3 -m http.server -d /run/lock 2049")
        yield host
    finally:
        sh(
            host,
            f"systemctl stop guards nftables; nft flush ruleset; mv {ASIDE}/conf {CONF}; rm -rf {ASIDE} /usr/local/sbin/apparmor_parser",
        )


def test_nftables_is_opened_for_nfs_now_and_for_good(vm_lab: Lab, guarded: Host) -> None:
    def reached() -> bool:
        words = ["nc", "-z", "-w", "10", guarded.address, "2049"]
        return vm_lab.hosts[0].run(words, check=False).returncode == 0

    def opened(*words: str) -> int:
        run = run_tasks_of(vm_lab.inventory, guarded.name, "nfs_server", "firewall", *words)
        assert run.status == 0, run.output
        return run.changed

    assert not reached()
    assert opened("--check", "--diff") == 1
    assert guarded.read(CONF) == RULES
    assert opened() == 1
    assert reached()
    assert guarded.read(CONF).startswith(RULES)
    sh(guarded, "systemctl restart nftables")
    assert reached()
    assert opened() == 0
    # Another table that drops, of which the file knows nothing: written down, it would leave the host without any rules at its next start.
    guarded.write(CONF, RULES)
    sh(
        guarded,
        "nft -f /etc/nftables.conf; nft 'add table ip more; add chain ip more input { type filter hook input priority 5; policy drop; }'",
    )
    sh(guarded, "nft 'add rule ip more input ip saddr 192.0.2.0/24 accept; add rule ip more input tcp dport 22 accept'")
    sh(guarded, "nft 'add rule ip more input ct state established,related accept'")
    run = run_tasks_of(vm_lab.inventory, guarded.name, "nfs_server", "firewall")
    assert run.status != 0, run.output
    assert guarded.read(CONF) == RULES


def test_apparmor_lets_libvirts_helper_read_a_pool_in_an_unusual_place(vm_lab: Lab, guarded: Host) -> None:
    sh(guarded, f"printf 'Y\\n' > {ASIDE}/enabled; touch {ASIDE}/profile")
    guarded.write("/usr/local/sbin/apparmor_parser", PARSER)
    sh(guarded, "chmod 755 /usr/local/sbin/apparmor_parser")
    places = {"enabled": f"{ASIDE}/enabled", "profile": f"{ASIDE}/profile", "local": f"{ASIDE}/local", "open": "^/srv/"}
    changed = []
    for path in ("/srv/shared", "/data/guests", "/data/guests"):
        values = {"__shared_storage_apparmor": places, "shared_storage_path": path}
        run = run_tasks_of(vm_lab.inventory, guarded.name, "shared_storage", "apparmor", extra_vars=values)
        assert run.status == 0, run.output
        changed.append(run.changed)
    assert changed == [0, 2, 0]
    assert '"/data/guests/**" r,' in guarded.read(f"{ASIDE}/local")
    assert guarded.read(f"{ASIDE}/parsed") == f"--replace {ASIDE}/profile\n"
