# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From bare hosts, with sshd and Python and nothing else, to a finished evacuation by TLS alone; then all that goes wrong with
certificates, ports and ids: told by readiness, put right by the role. In one file, as one lab serves all, in this order."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.integration.ansible_runs import ROOT, Run, run_module, run_playbook
from tests.integration.fleet.capture import Capture
from tests.lab.shell import run as run_here

if t.TYPE_CHECKING:
    import pathlib

    from tests.lab import Guest, Lab
    from tests.lab.host import Host

TLS_URI = "qemu+tls://{{ inventory_hostname }}/system"
IMAGES = "/var/lib/libvirt/images"
#: What is in the guest's memory, as in that of every Linux, and what we write to its disk.
IN_MEMORY, ON_DISK = "Linux version ", "virtops marker on the disk 0123"
QEMU = 64055
#: $1 a host's own certificate anew, of a month that is long over, $2 its name; in the authority's folder.
EXPIRED = """set -e
cd "$1"
openssl ca -config openssl.cnf -batch -notext -extensions host -subj "/CN=$2" -startdate 20200101000000Z -enddate 20200201000000Z \\
    -in /dev/stdin
"""
REQUEST = "openssl req -new -key /etc/pki/libvirt/private/serverkey.pem -subj /CN=request"
ANOTHER_AUTHORITY = """openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout /dev/null \\
    -subj /CN=another \\
    -addext basicConstraints=critical,CA:TRUE > /etc/pki/qemu/ca-cert.pem
"""
#: An authority of somebody's own, and a certificate by it for the names in $2; in the folder $1.
OWN = """set -e
cd "$1"
new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $new -days 30 -keyout authority.key -out authority.pem -subj /CN=ours \\
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
openssl req $new -keyout key.pem -out request.pem -subj /CN=hosts
printf 'subjectAltName=%s\\nkeyUsage=digitalSignature\\nextendedKeyUsage=serverAuth,clientAuth\\n' "$2" > names
openssl x509 -req -in request.pem -CA authority.pem -CAkey authority.key -CAcreateserial -days 20 -extfile names -out certificate.pem
"""
#: A firewall as in the manual of nftables: what nobody accepts is dropped.
FIREWALL = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        ip protocol icmp accept
        tcp dport 22 accept
    }
}
"""


def play(lab: Lab, name: str, *arguments: str, **variables: t.Any) -> Run:
    """Run a playbook over all hosts, which are reached by TLS."""
    given = {"evacuate_uri": TLS_URI, "evacuate_tls": True, **variables}
    return run_playbook(lab.inventory, ROOT / "playbooks" / f"{name}.yml", *arguments, extra_vars=given, timeout=1800)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of the authority, on the controller."""
    return tmp_path_factory.mktemp("controller") / "authority"


def configure(lab: Lab, authority: pathlib.Path, *arguments: str, **variables: t.Any) -> Run:
    """Run configure_hosts.yml. A container has no AppArmor of its own."""
    given = {
        "libvirt_host_hosts": "kvm",
        "libvirt_host_authority_directory": str(authority),
        "libvirt_host_qemu_settings": {"security_driver": "none"},
        "libvirt_host_bridges": ["br0"],
        **variables,
    }
    return play(lab, "configure_hosts", *arguments, **given)


def look(lab: Lab, folder: pathlib.Path, **variables: t.Any) -> tuple[Run, dict[str, dict[str, t.Any]]]:
    """Run readiness.yml; gives the findings by their code, those that say nothing but that nobody knows left out."""
    asked = {"readiness_hosts": "kvm", "readiness_report_dir": str(folder), "readiness_tls": True, **variables}
    run = play(lab, "readiness", **asked)
    found = run.result("fleet_readiness")["findings"]
    # All hosts share the machine's clock, and what keeps that is not in the lab.
    return run, {one["code"]: one for one in found if one["severity"] != "info" and one["code"] != "CLOCK_SKEW"}


def script(host: Host, text: str, *words: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
    """A script on a host; gives what it prints."""
    return host.run(["bash", "-c", text, "bash", *words], input=input, check=check).stdout


def opened(host: Host, uri: str) -> bool:
    """Whether the libvirt behind a URI lets this host in."""
    return host.run(["virsh", "-q", "-c", uri, "list"], check=False, timeout=120).returncode == 0


def qemu_pid(host: Host) -> str:
    """The process of the only guest there."""
    return script(host, "pgrep -x qemu-system-x86 || pgrep -f /qemu-system-x86_64").strip()


def expired(authority: pathlib.Path, request: str, name: str) -> str:
    """A certificate for ``request`` that ended long ago, by the fleet's own authority."""
    return run_here(["sh", "-c", EXPIRED, "sh", str(authority), name], stdin=request).stdout


def make_guest(lab: Lab, host: str) -> Guest:
    """A running guest with our words on its disk."""
    guest = lab.create_guest(host, "qcow2", "web", start="shutoff", nic="bridge", size_mib=64)
    words = 'yes "$2" | head -c 1M > /root/words && qemu-io -f qcow2 -c \'write -s /root/words 32M 4M\' "$1"'
    script(lab.host(host), words, guest.files[0], ON_DISK)
    guest.start()
    guest.wait_beating()
    return guest


def test_bare_hosts_become_hypervisors_and_a_second_run_changes_nothing(bare_lab: Lab, authority: pathlib.Path) -> None:
    assert all(script(host, "ls /usr/sbin/libvirtd; ls /etc/libvirt", check=False) == "" for host in bare_lab.hosts)
    announced = configure(bare_lab, authority, "--check", "--diff")
    assert announced.status == 0, announced.output
    assert {host.name for host in bare_lab.hosts} == {
        name for name, counts in announced.recap.items() if counts["changed"]
    }
    assert all(script(host, "ls /usr/sbin/libvirtd; ls /etc/libvirt", check=False) == "" for host in bare_lab.hosts)
    assert not authority.exists()

    run = configure(bare_lab, authority, "--diff", "-vvv")
    assert run.status == 0, run.output
    assert "PRIVATE KEY" not in run.output
    assert "PRIVATE KEY" not in json.dumps(run.records)
    modes = "stat -c '%a %U' /etc/pki/libvirt/private/*.pem /etc/pki/qemu/*-key.pem"
    for host in bare_lab.hosts:
        assert script(host, modes).split("\n")[:-1] == ["600 root"] * 2 + ["600 libvirt-qemu"] * 2
    assert (authority / "ca.key").stat().st_mode & 0o777 == 0o600
    assert len({script(host, "virsh capabilities | grep -m1 '<uuid>'") for host in bare_lab.hosts}) == len(
        bare_lab.hosts
    )

    for arguments in ((), ("--check",)):
        again = configure(bare_lab, authority, *arguments)
        assert (again.status, again.changed) == (0, 0), again.output


def test_the_hosts_trust_each_other_by_tls_alone_and_readiness_is_green(
    bare_lab: Lab, authority: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    one, two, _three = bare_lab.hosts
    assert opened(one, f"qemu+tls://{two.name}/system")
    assert (
        script(one, "ssh -o BatchMode=yes -o StrictHostKeyChecking=no root@kvm2 true; echo $?", check=False).strip()
        == "255"
    )
    for host in bare_lab.hosts:
        pool = {"name": "default", "type": "dir", "path": IMAGES, "autostart": True}
        assert not run_module(bare_lab.inventory, host.name, "storage_pool", pool)["failed"]
    run, found = look(bare_lab, tmp_path)
    assert (run.status, found) == (0, {}), run.output
    assert run.result("fleet_readiness")["summary"]["pairs_open"] == 6
    again, _found = look(bare_lab, tmp_path)
    assert (again.status, again.changed) == (0, 0), again.output


def test_a_host_is_evacuated_by_tls_and_nothing_of_it_is_heard_on_the_cable(
    bare_lab: Lab, authority: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    one, two, three = bare_lab.hosts
    guest = make_guest(bare_lab, one.name)
    # Without encryption all of it is there to be heard, so whoever listens hears well.
    with Capture(one, IN_MEMORY, ON_DISK) as clear:
        plain = {"name": guest.name, "destination": f"qemu+tls://{two.name}/system", "migration_address": two.address}
        moved = run_module(bare_lab.inventory, one.name, "domain_migration", plain)
    assert not moved["failed"], moved["msg"]
    assert all(clear.heard.words.values()), clear.heard

    with Capture(two, IN_MEMORY, ON_DISK) as sealed, bare_lab.watch([guest]) as watcher:
        asked = {"evacuate_source": two.name, "evacuate_destinations": three.name, "evacuate_report_dir": str(tmp_path)}
        run = play(bare_lab, "evacuate", **asked)
        assert run.status == 0, run.output
        seen = watcher.fresh()["guests"][guest.name]
    assert guest.where() == {three.name: "running"}
    # As much went over the cable, and no word of it in clear.
    assert sealed.heard.octets > clear.heard.octets / 2, (sealed.heard, clear.heard)
    assert set(sealed.heard.words.values()) == {0}, sealed.heard
    assert not seen["two_copies"], seen["evidence"]
    verdict = bare_lab.verify(guest, three.name, seen["acknowledged"])
    assert verdict.clean, verdict

    again = play(bare_lab, "evacuate", **asked)
    assert (again.status, again.changed) == (0, 0), again.output
    assert not run_module(bare_lab.inventory, two.name, "host_cordon", {"state": "absent"})["failed"]


def test_what_goes_wrong_is_told_by_readiness_and_put_right_by_the_role(
    bare_lab: Lab, authority: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    one, two, three = bare_lab.hosts
    pid = qemu_pid(three)
    script(
        one,
        "apt-get -q -y install nftables && cat > /etc/nftables.conf && systemctl enable --now nftables",
        input=FIREWALL,
    )
    script(one, 'usermod -u "$1" libvirt-qemu && systemctl restart libvirtd', str(QEMU + 44))
    request = script(two, REQUEST)
    late = expired(authority, request, two.name)
    for path in ("/etc/pki/libvirt/servercert.pem", "/etc/pki/qemu/server-cert.pem"):
        two.write(path, late)
    script(three, ANOTHER_AUTHORITY)
    # A clone of the second host.
    own = script(two, "virsh capabilities | sed -n 's:.*<uuid>\\(.*\\)</uuid>.*:\\1:p' | head -n 1").strip()
    conf = 'sed -i \'/^host_uuid/d\' /etc/libvirt/libvirtd.conf; echo "host_uuid = \\"$1\\"" >> /etc/libvirt/libvirtd.conf; '
    script(three, f"{conf} systemctl restart libvirtd", own)

    run, found = look(bare_lab, tmp_path / "before")
    caught = {
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_UNTRUSTED",
        "PORT_BLOCKED",
        "HOST_UUID_DUPLICATE",
        "QEMU_USER_DIFFERS",
    }
    assert caught <= found.keys(), run.output
    assert all("virtops.kvm.configure_hosts" in found[code]["remedy"] for code in caught), found
    assert found["PORT_BLOCKED"]["object"] == one.name
    assert found["CERTIFICATE_EXPIRED"]["object"] == two.name

    mended = configure(bare_lab, authority, libvirt_host_qemu_uid=QEMU, libvirt_host_qemu_gid=QEMU)
    assert mended.status == 0, mended.output
    run, found = look(bare_lab, tmp_path / "after")
    assert found == {}, run.output
    assert qemu_pid(three) == pid
    again = configure(bare_lab, authority, libvirt_host_qemu_uid=QEMU, libvirt_host_qemu_gid=QEMU)
    assert (again.status, again.changed) == (0, 0), again.output
    # The rule is there after a start of the firewall too.
    script(one, "systemctl restart nftables")
    assert opened(two, f"qemu+tls://{one.name}/system")


def test_a_host_whose_certificate_was_taken_back_is_kept_out(bare_lab: Lab, authority: pathlib.Path) -> None:
    _one, two, three = bare_lab.hosts
    uri = f"qemu+tls://{two.name}/system?pkipath=/root/stolen"
    own = "/etc/pki/CA/cacert.pem /etc/pki/libvirt/clientcert.pem /etc/pki/libvirt/private/clientkey.pem"
    stolen = f"mkdir -p /root/stolen && cp {own} /root/stolen"
    script(three, stolen)
    assert opened(three, uri)
    serial = script(three, "openssl x509 -noout -serial -in /root/stolen/clientcert.pem").strip().rpartition("=")[2]
    run = configure(bare_lab, authority, libvirt_host_revoked=[serial])
    assert run.status == 0, run.output
    assert not opened(three, uri)
    assert opened(three, f"qemu+tls://{two.name}/system")
    again = configure(bare_lab, authority, libvirt_host_revoked=[serial])
    assert (again.status, again.changed) == (0, 0), again.output


def test_certificates_that_a_user_brings_serve_as_well_and_their_key_is_in_no_output(
    bare_lab: Lab, authority: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    one, two, _three = bare_lab.hosts
    names = [f"DNS:{name}" for host in bare_lab.hosts for name in (host.name, host.fqdn)]
    names += [f"IP:{host.address}" for host in bare_lab.hosts]
    run_here(["sh", "-c", OWN, "sh", str(tmp_path), ",".join(names)])
    parts = ("authority", "certificate", "key")
    mine = {f"libvirt_host_own_{part}": (tmp_path / f"{part}.pem").read_text(encoding="ascii") for part in parts}
    mine["libvirt_host_hosts"] = f"{one.name}:{two.name}"
    refused = configure(bare_lab, authority, **{**mine, "libvirt_host_own_key": ""})
    assert (refused.status != 0, refused.changed) == (True, 0), refused.output
    assert "libvirt_host_own_key" in refused.output

    run = configure(bare_lab, authority, "--diff", "-vvv", **mine)
    assert run.status == 0, run.output
    assert "nobody here can renew it" in run.output
    secret = mine["libvirt_host_own_key"].splitlines()[1]
    assert secret not in run.output
    assert secret not in json.dumps(run.records)
    assert opened(one, f"qemu+tls://{two.name}/system")
    assert "CN = ours" in script(two, "openssl x509 -noout -issuer -in /etc/pki/qemu/server-cert.pem -nameopt oneline")
    again = configure(bare_lab, authority, **mine)
    assert (again.status, again.changed) == (0, 0), again.output


def test_hosts_can_trust_each_other_by_ssh_instead(bare_lab: Lab, authority: pathlib.Path) -> None:
    one, two, _three = bare_lab.hosts
    run = configure(bare_lab, authority, libvirt_host_trust="ssh")
    assert run.status == 0, run.output
    assert opened(one, f"qemu+ssh://root@{two.address}/system?no_tty=1")
    again = configure(bare_lab, authority, libvirt_host_trust="ssh")
    assert (again.status, again.changed) == (0, 0), again.output


def test_check_mode_tells_each_change_and_makes_none(bare_lab: Lab, authority: pathlib.Path) -> None:
    pages = int(script(bare_lab.hosts[0], "cat /proc/sys/vm/nr_hugepages"))
    asked = {
        "libvirt_host_hugepages": pages + 1,
        "libvirt_host_migration_port_max": 49300,
        "libvirt_host_qemu_uid": QEMU + 1,
    }
    state = "cat /etc/libvirt/*.conf /etc/nftables.conf /etc/passwd; nft list ruleset; find /etc/pki /etc/sysctl.d -type f | sort"
    idle = bare_lab.hosts[0]
    before = script(idle, state)
    run = configure(bare_lab, authority, "--check", **asked)
    changed = {
        one["task"].rpartition(": ")[2]
        for one in run.records
        if one.get("host") == idle.name and one["result"].get("changed")
    }
    assert changed >= {
        "Set QEMU's settings",
        "Give the user its number",
        "Give its files to it",
        "Keep the kernel's settings for the next start",
        "Set them now",
        "Open the firewalls that run, and close what was opened before",
        "Tell that the daemon would be restarted for its settings",
    }, run.output
    assert "guests run there" in run.output
    assert script(idle, state) == before
