# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt_host opens for control, memory and disks, and nfs_server for NFS, in firewalld, ufw and nftables: the real ones, which
really drop. Each is tried by another host who connects. What they opened before, and no rule of others, is closed when other ports are
asked for."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.ansible_runs import run_tasks_of
from tests.integration.copies import sh

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.host import Host

#: Where libvirt is controlled by TLS, the last port of the moves, one for moves that others let in too, and NFS.
CONTROL, MOVES, SHARED, NFS = "16514", "49215", "49152", "2049"
CONNECT = "import socket, sys; [socket.create_connection((sys.argv[1], int(port)), 5) for port in sys.argv[2:]]"
#: Somebody at each of the ports $2 and so on who takes calls, where nobody does yet; $1 makes a call.
LISTEN = """
connect=$1; shift
for port in "$@"; do
    python3 -c "$connect" localhost "$port" 2>/dev/null && continue
    systemd-run -q --unit="listen-$port" python3 -m http.server -d /run/lock "$port"
    until python3 -c "$connect" localhost "$port" 2>/dev/null; do sleep 0.2; done
done
"""
#: As many write it: the policy lets all in, and the last rule refuses what no other accepted.
REFUSING = """flush ruleset
table inet filter {
    chain input {
        type filter hook input priority filter; policy accept;
        ct state established,related accept
        iif lo accept
        tcp dport { 22, 49152 } accept
        counter reject with icmpx type admin-prohibited
    }
}
"""


@pytest.fixture
def walled(bare_lab: Lab) -> t.Iterator[Host]:
    """The first host, on which somebody takes calls where libvirt and QEMU would."""
    host = bare_lab.hosts[0]
    try:
        sh(host, LISTEN, CONNECT, CONTROL, MOVES, SHARED, NFS)
        yield host
    finally:
        host.run(["systemctl", "stop", "listen-*"], check=False)


def test_firewalls_that_run_are_opened_now_and_for_good_and_once(bare_lab: Lab, walled: Host) -> None:
    def reached(*ports: str) -> bool:
        words = ["python3", "-c", CONNECT, walled.address, *(ports or (CONTROL, MOVES))]
        return bare_lab.hosts[1].run(words, check=False).returncode == 0

    def opened(*words: str, role: str = "libvirt_host", **variables: t.Any) -> int:
        run = run_tasks_of(bare_lab.inventory, walled.name, role, "firewall", *words, extra_vars=variables)
        assert run.status == 0, run.output
        return run.changed

    def narrowed() -> None:
        """Fewer ports: the former ones are closed, but for the one that somebody else lets in."""
        narrow = {"libvirt_host_migration_port_max": 49160}
        assert opened("--check", "--diff", **narrow) == 1
        assert reached()
        assert opened(**narrow) == 1
        assert reached(CONTROL, SHARED)
        assert not reached(MOVES)
        assert opened(**narrow) == 0
        assert opened(libvirt_host_trust="none", libvirt_host_migration_port_min=49153) == 1
        assert reached(SHARED)
        assert not reached(CONTROL)
        assert opened() == 1
        assert reached()

    def serves_nfs() -> None:
        """Another opening, which the one for moves leaves alone."""
        assert not reached(NFS)
        assert opened(role="nfs_server") == 1
        assert opened(role="nfs_server") == 0
        assert opened() == 0
        assert reached(NFS)

    sh(
        walled,
        "systemctl disable --now nftables 2>/dev/null || true; apt-get -q -y install firewalld nftables ufw >/dev/null",
    )
    sh(walled, "systemctl enable --now firewalld; firewall-cmd -q --state")
    assert not reached()
    assert opened("--check") == 1
    assert not reached()
    assert opened() == 1
    assert reached()
    sh(walled, "firewall-cmd -q --reload")
    assert reached()
    assert opened() == 0
    sh(walled, f"firewall-cmd -q --add-port={SHARED}/tcp; firewall-cmd -q --permanent --add-port={SHARED}/tcp")
    narrowed()
    serves_nfs()
    sh(walled, f"firewall-cmd -q --zone=internal --add-source={bare_lab.hosts[1].address}")
    assert not reached()
    assert opened(libvirt_host_firewalld_zone="internal") == 1
    assert reached()
    sh(walled, f"systemctl disable --now firewalld; ufw allow 22/tcp; ufw allow {SHARED}/tcp; ufw --force enable")
    assert not reached()
    assert opened() == 1
    assert reached()
    assert opened() == 0
    narrowed()
    serves_nfs()
    sh(walled, "ufw --force disable; nft flush ruleset")
    walled.write("/etc/nftables.conf", REFUSING)
    sh(walled, "systemctl start nftables")
    assert not reached()
    assert opened() == 1
    assert reached()
    sh(walled, "systemctl restart nftables")
    assert reached()
    assert opened() == 0
    narrowed()
    serves_nfs()
    sh(walled, "systemctl restart nftables")
    assert reached(CONTROL, MOVES, NFS)
