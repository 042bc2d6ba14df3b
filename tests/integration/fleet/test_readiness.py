# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""readiness.yml on real hosts: all green where all is well, and each fault of a fleet caught with its code and what to do."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.integration.ansible_runs import ROOT, Run, run_playbook

if t.TYPE_CHECKING:
    import pathlib

    from tests.lab import Lab
    from tests.lab.host import Host

LIBVIRTD, QEMU = "/etc/libvirt/libvirtd.conf", "/etc/libvirt/qemu.conf"
TLS_URI = "qemu+tls://{{ ansible_host | default(inventory_hostname) }}/system"
#: $1 the folder of the authority, $2 the name of the host: its certificate once more, of a month that is long over.
EXPIRED = """set -e
cd "$1"
openssl x509 -req -in "$2.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -extfile "$2.ext" \\
    -not_before 20200101000000Z -not_after 20200201000000Z 2> expired.log || { cat expired.log >&2; exit 1; }
"""
#: $1 the folder: another authority.
ANOTHER = """set -e
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -quiet -keyout /dev/null -subj "/CN=another" \\
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
"""


def look(lab: Lab, folder: pathlib.Path, *arguments: str, **variables: t.Any) -> Run:
    """Run readiness.yml over all hosts."""
    asked = {"readiness_hosts": "kvm", "readiness_report_dir": str(folder), **variables}
    return run_playbook(lab.inventory, ROOT / "playbooks" / "readiness.yml", *arguments, extra_vars=asked)


def judged(run: Run) -> dict[str, t.Any]:
    """What came of it."""
    return run.result("fleet_readiness")


def found(run: Run) -> dict[str, dict[str, t.Any]]:
    """The findings by their code, those that say nothing but that nobody knows left out."""
    return {one["code"]: one for one in judged(run)["findings"] if one["severity"] != "info"}


@pytest.fixture
def kept(lab: Lab, hosts: list[str]) -> t.Iterator[dict[str, Host]]:
    """The hosts by name; their configuration is afterwards as it was."""
    places = {name: lab.host(name) for name in hosts}
    for place in places.values():
        place.run(["sh", "-c", f"cp -p {LIBVIRTD} {LIBVIRTD}.kept; cp -p {QEMU} {QEMU}.kept"])
    yield places
    lab.fault.clear()
    for place in places.values():
        place.run(["sh", "-c", f"mv {LIBVIRTD}.kept {LIBVIRTD}; mv {QEMU}.kept {QEMU}; systemctl restart libvirtd"])
        place.wait_healthy()


def test_hosts_that_are_alike_are_all_green_and_a_second_run_changes_nothing(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    one, two, three = hosts
    lab.create_guest(one, "shutoff", "wéb 01")
    lab.create_guest(one, "qcow2", "runs")
    lab.create_guest(two, "shared", "common", start="shutoff")
    announced = look(lab, tmp_path, "--check")
    assert (announced.status, announced.changed) == (0, 1), announced.output
    assert list(tmp_path.iterdir()) == []

    run = look(lab, tmp_path, readiness_fail_on="error")
    assert (run.status, run.changed) == (0, 1), run.output
    ready = judged(run)
    assert found(run) == {}, run.output
    assert ready["states"] == {
        one: ["self", "all", "all"],
        two: ["all", "self", "all"],
        three: ["open", "open", "self"],
    }
    summary = ready["summary"]
    assert (summary["hosts"], summary["domains"], summary["pairs_open"], summary["drifts"]) == (3, 3, 6, 0), ready[
        "drift"
    ]
    assert (ready["baseline"]["by_libvirt"], bool(ready["baseline"]["model"])) == (True, True)
    data = json.loads((tmp_path / "readiness.json").read_text(encoding="utf-8"))
    assert data["hosts"] == hosts
    page = (tmp_path / "readiness.html").read_text(encoding="utf-8")
    assert "Every one of 3 hosts can take every VM" in page

    again = look(lab, tmp_path)
    assert (again.status, again.changed) == (0, 0), again.output
    assert (tmp_path / "readiness.html").read_text(encoding="utf-8") == page


def test_a_closed_port_a_clone_and_other_ids_are_caught(
    lab: Lab, hosts: list[str], kept: dict[str, Host], tmp_path: pathlib.Path
) -> None:
    one, two, three = hosts
    lab.create_guest(one, "qcow2", "runs")
    lab.fault.close(two)
    kept[three].run(
        [
            "sh",
            "-c",
            f"sed -i 's/^host_uuid.*/host_uuid = \"{kept[one].uuid}\"/' {LIBVIRTD}; systemctl restart libvirtd",
        ]
    )
    kept[three].run(["sh", "-c", f'printf \'\\nuser = "root"\\ngroup = "root"\\n\' >> {QEMU}'])
    run = look(lab, tmp_path, readiness_fail_on="error")
    assert run.status == 2, run.output
    caught = found(run)
    assert caught.keys() == {"PORT_BLOCKED", "HOST_UUID_DUPLICATE", "QEMU_USER_DIFFERS"}, run.output
    assert caught["PORT_BLOCKED"]["object"] == two
    assert caught["PORT_BLOCKED"]["evidence"]["sources"] == [one, three]
    assert "virtops.kvm.configure_hosts, which opens the migration ports" in caught["PORT_BLOCKED"]["remedy"]
    assert caught["HOST_UUID_DUPLICATE"]["evidence"] == {"uuid": kept[one].uuid, "hosts": [one, three]}
    assert caught["QEMU_USER_DIFFERS"]["object"] == three
    assert caught["QEMU_USER_DIFFERS"]["evidence"]["uid"] == 0
    assert judged(run)["states"][one] == ["self", "all_by_stop", "none"]
    assert ["settings", "qemu.conf: user"] in [[drift["area"], drift["subject"]] for drift in judged(run)["drift"]]
    assert f"PORT_BLOCKED ({two})" in run.result("fail")["msg"]


def test_certificates_that_expired_or_are_of_another_authority_are_caught(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    one, two, three = hosts
    lab.create_guest(one, "qcow2", "runs")
    try:
        lab.pki.install()
        green = look(lab, tmp_path, readiness_tls=True, readiness_uri=TLS_URI, readiness_warn_days=10)
        assert (green.status, found(green)) == (0, {}), green.output
        assert judged(green)["states"][one] == ["self", "all", "all"]

        first = lab.host(one)
        late = first.run(["sh", "-c", EXPIRED, "sh", "/root/lab-pki", two]).stdout
        other = first.run(["sh", "-c", ANOTHER, "sh", "/root/lab-pki"]).stdout
        lab.host(two).write("/etc/pki/qemu/server-cert.pem", late)
        lab.host(three).write("/etc/pki/qemu/ca-cert.pem", other)
        run = look(lab, tmp_path, readiness_tls=True, readiness_uri=TLS_URI, readiness_warn_days=10)
        caught = found(run)
        assert caught.keys() == {"CERTIFICATE_EXPIRED", "CERTIFICATE_UNTRUSTED"}, run.output
        expired = caught["CERTIFICATE_EXPIRED"]
        assert (expired["object"], expired["evidence"]["not_after"]) == (two, "2020-02-01T00:00:00Z")
        assert "virtops.kvm.configure_hosts" in expired["remedy"]
        assert caught["CERTIFICATE_UNTRUSTED"]["object"] == three
        # Without good certificates nothing is encrypted, so that nothing moves while it runs.
        assert judged(run)["states"][one] == ["self", "all_by_stop", "all_by_stop"]
    finally:
        lab.pki.remove()
