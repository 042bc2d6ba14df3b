# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The survey modules on real hosts: what they tell is what virsh and qemu-img tell, and they tell it quickly."""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import time
import typing as t

import pytest

from tests.integration.ansible_runs import environment, run_module

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.host import Host

BARE_SURVEY = pathlib.Path(__file__).resolve().parent / "data" / "bare_survey.py"
BULK = 200
ROUNDS = 7
#: The aim is 1.5; the limit leaves room for a machine that does other things meanwhile.
AIM, LIMIT = 1.5, 2.0


def image_facts(host: Host, path: str) -> list[dict[str, t.Any]]:
    """What qemu-img says of an image and its chain, the top first."""
    answer = host.run(["qemu-img", "info", "-U", "--backing-chain", "--output=json", path])
    return json.loads(answer.stdout)


def domains(lab: Lab, host: str, **options: t.Any) -> dict[str, dict[str, t.Any]]:
    """What domain_info tells, by name."""
    result = run_module(lab.inventory, host, "domain_info", options)
    assert "error_code" not in result, result
    assert result["changed"] is False
    return {domain["name"]: domain for domain in result["domains"]}


def test_domain_info_tells_what_virsh_and_qemu_img_tell(lab: Lab, hosts: list[str]) -> None:
    name, place = "büro web 1", lab.host(hosts[0])
    lab.create_guest(hosts[0], "chain", name, iso=True, autostart=True)
    lab.create_guest(hosts[0], "three-disks", "cold", start="shutoff")
    lab.create_guest(hosts[0], "shared", "common", start="shutoff")
    place.virsh("snapshot-create-as", "common", "before")
    found = domains(lab, hosts[0])
    assert sorted(found) == sorted([name, "cold", "common"])
    for title, domain in found.items():
        assert place.virsh("domuuid", title).strip() == domain["uuid"]
        assert (
            place.virsh("domstate", "--reason", title).strip()
            == {
                "running": "running (booted)",
                "shutoff": "shut off (unknown)",
            }[domain["state"]]
        )
        for disk in domain["disks"]:
            facts = image_facts(place, disk["source"])
            assert disk["virtual_size"] == facts[0]["virtual-size"]
            # A running guest writes between the two looks.
            assert disk["allocated"] == facts[0]["actual-size"] or domain["state"] == "running"
            assert [layer["path"] for layer in disk["backing_chain"]] == [fact["filename"] for fact in facts[1:]]
            assert [layer["format"] for layer in disk["backing_chain"]] == [fact["format"] for fact in facts[1:]]
    running, cold, common = found[name], found["cold"], found["common"]
    assert (running["autostart"], running["persistent"], cold["autostart"]) == (True, True, False)
    assert (running["virt_type"], running["machine"][:7]) == (
        ("kvm" if lab.state.facts.get("kvm") else "qemu"),
        "pc-q35-",
    )
    assert (running["nics"][0]["type"], running["nics"][0]["mac"]) == ("network", lab.guest(name).mac)
    assert [disk["device"] for disk in running["disks"]].count("cdrom") == 1
    assert (common["snapshots"], cold["snapshots"], running["job"]) == (["before"], [], None)
    assert {disk["shared"] for disk in cold["disks"]} == {False}
    assert [(disk["shared"], disk["filesystem"]) for disk in common["disks"]] == [(True, "shared:/srv/shared")]


def test_domain_info_tells_of_running_jobs_and_of_paused_guests(lab: Lab, hosts: list[str]) -> None:
    guest, place = lab.create_guest(hosts[0], "qcow2", fill_mib=32), lab.host(hosts[0])
    copy = "/var/lib/libvirt/images/copy.qcow2"
    place.virsh("blockcopy", guest.name, "vda", copy, "--transient-job", "--bandwidth", "1")
    assert domains(lab, hosts[0])[guest.name]["block_jobs"] == ["vda: copy"]
    place.virsh("blockjob", guest.name, "vda", "--abort")
    place.virsh("suspend", guest.name)
    domain = domains(lab, hosts[0], names=[guest.uuid])[guest.name]
    assert (domain["state"], domain["state_reason"], domain["block_jobs"]) == ("paused", "user", [])


def test_domain_info_selects_by_name_and_expression(lab: Lab, hosts: list[str]) -> None:
    for name in ("web01", "web02"):
        lab.create_guest(hosts[0], "shutoff", name)
    assert list(domains(lab, hosts[0], names=["web02"])) == ["web02"]
    result = run_module(lab.inventory, hosts[0], "domain_info", {"select": "[?state == 'shutoff'].name"})
    assert result["domains"] == ["web01", "web02"]
    # Another host's view: its daemon tells the sizes, and nobody here can know whether its storage is shared.
    uri = f"qemu+ssh://root@{lab.host(hosts[0]).address}/system"
    remote = domains(lab, hosts[1], uri=uri)["web01"]["disks"][0]
    local = domains(lab, hosts[0])["web01"]["disks"][0]
    assert (remote["virtual_size"], remote["allocated"]) == (local["virtual_size"], local["allocated"])
    assert (remote["shared"], local["shared"]) == (None, False)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"names": ["web1"]}, "DOMAIN_NOT_FOUND", "Did you mean 'web01'?"),
        ({"select": "[?state =="}, "INVALID_OPTION", "JMESPath"),
        ({"uri": "qemu+ssh://root@192.0.2.1:1/system?no_tty=1"}, "HOST_UNREACHABLE", "192.0.2.1"),
    ],
)
def test_domain_info_says_what_is_wrong(
    lab: Lab, hosts: list[str], options: dict[str, t.Any], code: str, words: str
) -> None:
    lab.create_guest(hosts[0], "shutoff", "web01")
    result = run_module(lab.inventory, hosts[0], "domain_info", options)
    assert result.get("error_code") == code, result
    assert words in result["msg"]


def test_host_info_tells_what_the_host_is(lab: Lab, hosts: list[str]) -> None:
    place, other = lab.host(hosts[0]), lab.host(hosts[1])
    peers = [
        {"name": hosts[1], "address": other.address, "ports": [22, 49152]},
        {"name": "nobody", "address": "nobody.invalid", "ports": [22]},
    ]
    lab.create_guest(hosts[0], "qcow2", memory_mib=96)
    host = run_module(lab.inventory, hosts[0], "host_info", {"peers": peers})["host"]
    assert (host["hostname"], host["uuid"]) == (place.fqdn, place.uuid)
    version = place.virsh("version")
    for number in (host["libvirt_version"], host["qemu_version"]):
        assert f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}" in version
    assert (host["memory_domains"], host["vcpus_domains"]) == (96 * 1024**2, 1)
    assert host["memory_domains"] < host["memory_free"] <= host["memory_total"]
    machines = {entry["virt_type"]: entry for entry in host["machines"]}["qemu"]
    assert machines["aliases"]["q35"] in machines["names"]
    assert "<model" in host["host_cpu_xml"]
    assert {"bios", "efi"} <= set(host["firmwares"])
    pool = {pool["name"]: pool for pool in host["pools"]}["default"]
    assert (pool["path"], pool["active"], pool["shared"]) == ("/var/lib/libvirt/images", True, False)
    assert 0 < pool["available"] < pool["capacity"]
    assert {network["name"]: network["active"] for network in host["networks"]}["lab"] is True
    assert "br0" in host["bridges"]
    assert host["daemons"]["libvirtd"] == "running"
    assert str(host["qemu_uid"]) == place.run(["id", "-u", "libvirt-qemu"]).stdout.strip()
    assert abs(host["time"] - time.time()) < 600
    assert [probe["result"] for probe in host["reachability"]] == ["open", "refused", "unresolved"]


def test_host_cordon_is_idempotent_truthful_in_check_mode_and_seen_by_host_info(lab: Lab, hosts: list[str]) -> None:
    def cordon(*arguments: str, **options: t.Any) -> dict[str, t.Any]:
        return run_module(lab.inventory, hosts[0], "host_cordon", options, *arguments)

    def seen() -> tuple[bool, str]:
        host = run_module(lab.inventory, hosts[0], "host_info", {})["host"]
        return host["cordoned"], host["cordon_reason"]

    predicted = cordon("--check", "--diff", reason="new fan")
    assert predicted["changed"] is True
    assert predicted["diff"]["after"] != predicted["diff"]["before"]
    assert seen() == (False, "")
    done = cordon("--diff", reason="new fan")
    assert (done["changed"], done["diff"]) == (True, predicted["diff"])
    assert seen() == (True, "new fan")
    assert cordon(reason="new fan")["changed"] is False
    assert cordon()["changed"] is False
    assert cordon("--check", state="absent")["changed"] is True
    assert seen() == (True, "new fan")
    assert cordon(state="absent")["changed"] is True
    assert cordon(state="absent")["changed"] is False
    assert seen() == (False, "")


#: The reading in a process of its own, as the bare script is one: without the start of AnsibleModule, which has its price.
READING = """
import json, sys

sys.path.insert(0, "FOLDER")
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import read_domains
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data

with Connection.open() as connection:
    json.dump({"domains": to_data(read_domains(connection))}, sys.stdout)
"""
#: One process for all: virsh would be started hundreds of times.
UNDEFINE = """
import libvirt

for domain in libvirt.open("qemu:///system").listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE):
    domain.undefine()
"""
DEFINE = """
import libvirt, shutil, subprocess

folder = "/var/lib/libvirt/images"
create = ["qemu-img", "create", "-q", "-f", "qcow2"]
subprocess.run([*create, f"{folder}/base.qcow2", "64M"], check=True)
subprocess.run([*create, "-b", "base.qcow2", "-F", "qcow2", f"{folder}/bulk.qcow2"], check=True)
connection = libvirt.open("qemu:///system")
for number in range(COUNT):
    path = f"{folder}/bulk{number}"
    shutil.copy(f"{folder}/bulk.qcow2", f"{path}.qcow2")
    with open(f"{path}.raw", "wb") as image:
        image.truncate(1 << 20)
    connection.defineXML(f'''<domain type='qemu'><name>bulk{number}</name><memory unit='MiB'>64</memory>
        <os><type machine='q35'>hvm</type></os><devices>
        <disk type='file'><driver name='qemu' type='qcow2'/><source file='{path}.qcow2'/><target dev='vda'/></disk>
        <disk type='file'><driver name='qemu' type='raw'/><source file='{path}.raw'/><target dev='vdb'/></disk>
        <interface type='network'><source network='lab'/><model type='virtio'/></interface></devices></domain>''')
"""


def test_domain_info_reads_200_domains_about_as_fast_as_a_bare_script(lab: Lab, hosts: list[str]) -> None:
    place = lab.host(hosts[0])
    lab.create_guest(hosts[0], "qcow2")
    place.run(["python3", "-c", DEFINE.replace("COUNT", str(BULK))], timeout=900)
    module = kept_module(lab, hosts[0])
    place.write("/tmp/bare_survey.py", BARE_SURVEY.read_text(encoding="utf-8"))
    place.run(["python3", module, "explode"])
    place.write("/tmp/reading.py", READING.replace("FOLDER", f"{module.rpartition('/')[0]}/debug_dir"))
    commands = {
        "bare": ["python3", "/tmp/bare_survey.py"],
        "reading": ["python3", "/tmp/reading.py"],
        "module": ["python3", module],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _round in range(ROUNDS):
        for name, command in commands.items():
            start = time.monotonic()
            answer = json.loads(place.run(command).stdout)
            seconds[name].append(time.monotonic() - start)
            assert len(answer if name == "bare" else answer["domains"]) == BULK + 1
    place.run(["python3", "-c", UNDEFINE], timeout=900)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    reading, module_ratio = medians["reading"] / medians["bare"], medians["module"] / medians["bare"]
    print(f"FIGURE domain_info_{BULK}_reading_vs_bare_script {reading:.3f} ratio target <= {AIM}")
    print(f"FIGURE domain_info_{BULK}_with_ansible_start_vs_bare_script {module_ratio:.3f} ratio target - -")
    assert reading <= LIMIT, seconds


def kept_module(lab: Lab, host: str) -> str:
    """The path on ``host`` of domain_info as Ansible would run it, arguments included."""
    words = ["ansible", "-i", str(lab.inventory), host, "-m", "virtops.kvm.domain_info"]
    subprocess.run(
        [*words, "-e", "ansible_ssh_pipelining=false"],
        env={**environment(), "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    find = ["sh", "-c", "ls -t /root/.ansible/tmp/*/AnsiballZ_domain_info.py | head -n 1"]
    return lab.host(host).run(find).stdout.strip()
