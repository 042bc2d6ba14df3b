# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module domain on real hosts: no false change, no missed change, no secret, and nothing lost that was not given away."""

from __future__ import annotations

import base64
import io
import json
import pathlib
import tarfile
import typing as t

import ansible
import pytest

from tests.integration.ansible_runs import ROOT, Run, run_playbook
from tests.integration.conftest import lab_name
from tests.lab import Lab

if t.TYPE_CHECKING:
    from tests.lab.host import Host

DATA = pathlib.Path(__file__).resolve().parent / "data"
PASSWORD, OTHER_PASSWORD = "geheim12", "anders12"
#: Generated documents, their seed, and how many mutations of each document are tried.
TRIALS = ("24", "3", "8")
TRIAL_SECONDS = 3600
DOCUMENT = f"""<domain type='qemu'>
  <name>web 01</name>
  <memory unit='MiB'>64</memory>
  <os><type machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><source file='/var/lib/libvirt/images/web.img'/><target dev='vda'/></disk>
    <interface type='network'><source network='lab'/><model type='virtio'/></interface>
    <graphics type='vnc' passwd='{PASSWORD}'/>
  </devices>
</domain>"""
Options = dict[str, t.Any]


@pytest.fixture(scope="module")
def old_lab() -> t.Iterator[Lab]:
    """A bookworm host."""
    lab = Lab.up(name=lab_name("dold"), hosts=1, suite="bookworm")
    try:
        yield lab
    finally:
        lab.down()


def play(lab: Lab, host: str, tasks: t.Sequence[Options], *arguments: str) -> Run:
    """One playbook with one task of ``domain`` after another; ``_check`` runs one in check mode."""
    written = []
    for number, options in enumerate(tasks):
        options = dict(options)
        check = options.pop("_check", None)
        task = {"name": f"Step {number}", "virtops.kvm.domain": options, "ignore_errors": True}
        written.append(task if check is None else {**task, "check_mode": check})
    return run_playbook(
        lab.inventory,
        [{"name": "Domains", "hosts": host, "gather_facts": False, "tasks": written}],
        "--diff",
        *arguments,
    )


def results(lab: Lab, host: str, *tasks: Options) -> list[dict[str, t.Any]]:
    return play(lab, host, tasks).results("domain")


def ensured(lab: Lab, host: str, **options: t.Any) -> dict[str, t.Any]:
    """Run it in check mode, for real, and again: what was announced happened, and then there is nothing left to do."""
    announced, done, again = results(lab, host, {**options, "_check": True}, options, options)
    assert not done["failed"], done
    assert announced["changed"] == done["changed"]
    assert announced["changes"] == done["changes"]
    assert announced["diff"] == done["diff"]
    assert {key: announced[key] for key in ("name", "state", "autostart", "restart_needed")} == {
        key: done[key] for key in ("name", "state", "autostart", "restart_needed")
    }
    assert again["changed"] is False, again
    # A warning would say that libvirt could not be asked.
    assert "warnings" not in done, done
    return done


def refused(lab: Lab, host: str, **options: t.Any) -> str:
    """The sentence with which it is refused, in check mode and for real alike."""
    announced, done = results(lab, host, {**options, "_check": True}, options)
    assert announced["failed"]
    assert done["failed"]
    assert (announced["error_code"], announced["msg"]) == (done["error_code"], done["msg"])
    assert "\n" not in done["msg"]
    return f"{done['error_code']}: {done['msg']}"


# ---- no false change, no missed change ----


def ship(host: Host) -> None:
    """Put the collection, ansible's half of modules and the trials on the host."""
    package = io.BytesIO()
    utils = pathlib.Path(ansible.__file__).parent
    with tarfile.open(fileobj=package, mode="w:gz") as tar:
        tar.add(ROOT / "plugins", "ansible_collections/virtops/kvm/plugins", filter=no_caches)
        for part in ("module_utils", "_internal", "release.py"):
            if (utils / part).exists():
                tar.add(utils / part, f"ansible/{part}", filter=no_caches)
        tar.addfile(tarfile.TarInfo("ansible/__init__.py"))
        for path in DATA.glob("domain_*.py"):
            tar.add(path, path.name)
    script = "rm -rf /root/trials; mkdir /root/trials; base64 -d | tar -C /root/trials -xz"
    host.run(["sh", "-c", script], input=base64.b64encode(package.getvalue()).decode())


def no_caches(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def try_documents(host: Host) -> None:
    ship(host)
    words = " ".join(TRIALS)
    script = f"cd /root/trials && PYTHONPATH=/root/trials exec python3 domain_trials.py {words}"
    answer = json.loads(host.run(["sh", "-c", script], timeout=TRIAL_SECONDS).stdout.splitlines()[-1])
    print(f"\n{host.name}: {answer['counts']}")
    assert answer["wrong"] == []
    assert answer["counts"]["documents"] > 20
    assert answer["counts"]["mutations"] > 100
    assert "trial" not in host.virsh("list", "--all", "--name")


def test_varied_documents_and_their_mutations_on_trixie(lab: Lab, hosts: list[str]) -> None:
    try_documents(lab.host(hosts[0]))


def test_varied_documents_and_their_mutations_on_bookworm(old_lab: Lab) -> None:
    try_documents(old_lab.host("kvm1"))


def test_the_dry_run_leaves_nothing_on_the_host(lab: Lab, hosts: list[str]) -> None:
    host = lab.host(hosts[0])
    look = [
        "sh",
        "-c",
        "find /run /tmp /var/lib/libvirt /etc/libvirt -name '*virtops-kvm-*' -o -name '*web*' | sort; virsh list --all",
    ]
    before = host.run(look).stdout
    assert results(lab, hosts[0], {"xml": DOCUMENT, "state": "running", "_check": True})[0]["changed"]
    assert host.run(look).stdout == before


# ---- definitions ----


def test_a_definition_is_made_changed_and_left_alone(lab: Lab, hosts: list[str]) -> None:
    host = lab.host(hosts[0])
    done = ensured(lab, hosts[0], xml=DOCUMENT, autostart=True)
    assert [change["action"] for change in done["changes"]] == ["define", "set"]
    uuid, macs = host.virsh("domuuid", "web 01").strip(), host.virsh("domiflist", "web 01").split()[-1]
    assert done["uuid"] == uuid
    changed = ensured(lab, hosts[0], xml=DOCUMENT.replace(">64<", ">65<"))
    assert changed["changes"][0]["after"] == ["currentMemory: '65536' -> '66560'", "memory: '65536' -> '66560'"]
    assert (host.virsh("domuuid", "web 01").strip(), host.virsh("domiflist", "web 01").split()[-1]) == (uuid, macs)
    assert "Autostart:      enable" in host.virsh("dominfo", "web 01")


def test_no_secret_is_ever_shown(lab: Lab, hosts: list[str]) -> None:
    other = DOCUMENT.replace(PASSWORD, OTHER_PASSWORD)
    broken = DOCUMENT.replace("dev='vda'", f"dev='vda' bus='{PASSWORD}'")
    run = play(
        lab, hosts[0], [{"xml": DOCUMENT}, {"xml": other, "_check": True}, {"xml": other}, {"xml": broken}], "-vvv"
    )
    made, announced, changed, wrong = run.results("domain")
    assert made["changed"]
    assert announced["changed"]
    assert changed["changed"]
    assert wrong["failed"]
    assert any("passwd" in line for line in changed["changes"][0]["after"])
    assert PASSWORD not in run.output
    assert OTHER_PASSWORD not in run.output
    assert OTHER_PASSWORD in lab.host(hosts[0]).virsh("dumpxml", "web 01", "--security-info")


def test_what_libvirt_refuses_is_refused_in_check_mode(lab: Lab, hosts: list[str]) -> None:
    for wrong in (
        DOCUMENT.replace("q35", "no-such-machine"),
        DOCUMENT.replace("dev='vda'", "dev='vda' bus='tape'"),
        DOCUMENT.replace("type='qemu'", "type='xen'"),
        DOCUMENT.replace("model type='virtio'", "model type='none such'"),
        DOCUMENT.replace("</domain>", ""),
        DOCUMENT.replace("<name>web 01</name>", ""),
    ):
        assert refused(lab, hosts[0], xml=wrong).startswith(("DEFINITION_REFUSED", "XML_INVALID"))
    assert lab.host(hosts[0]).virsh("list", "--all", "--name").strip() == ""


def test_a_document_from_elsewhere_is_mapped(lab: Lab, hosts: list[str]) -> None:
    host = lab.host(hosts[0])
    host.write("/root/web.xml", DOCUMENT)
    mapping = {
        "disks": {"vda": "/srv/shared/other.img"},
        "networks": {"lab": "default"},
        "graphics_listen": "127.0.0.1",
    }
    ensured(lab, hosts[0], src="/root/web.xml", mapping=mapping)
    text = host.virsh("dumpxml", "web 01")
    assert "/srv/shared/other.img" in text
    assert "network='default'" in text
    assert "INVALID_OPTION" in refused(lab, hosts[0], src="/root/web.xml", mapping={"networks": {"nowhere": "x"}})


# ---- states ----


def test_states_of_a_real_guest(lab: Lab, hosts: list[str]) -> None:
    guest = lab.create_guest(hosts[0], "qcow2", start="shutoff")
    host, name = lab.host(hosts[0]), guest.name
    for state, said in (
        ("running", "running"),
        ("paused", "paused"),
        ("running", "running"),
        ("saved", "shut off"),
        ("running", "running"),
        ("paused", "paused"),
        ("saved", "shut off"),
        ("paused", "paused"),
    ):
        done = ensured(lab, hosts[0], name=name, state=state)
        assert done["changed"], state
        assert done["state"] == state
        assert host.virsh("domstate", name).strip() == said


def test_a_running_guest_takes_a_new_definition_at_its_next_start(lab: Lab, hosts: list[str]) -> None:
    guest = lab.create_guest(hosts[0], "qcow2")
    host = lab.host(hosts[0])
    text = host.virsh("dumpxml", "--inactive", "--security-info", guest.name)
    done = ensured(lab, hosts[0], xml=text.replace("</vcpu>", "</vcpu><title>New</title>"))
    assert "next start" in done["msg"]
    assert "New" in host.virsh("dumpxml", "--inactive", guest.name)
    assert "New" not in host.virsh("dumpxml", guest.name)


def test_a_guest_that_does_not_shut_down_is_left_running(lab: Lab, hosts: list[str]) -> None:
    # Without ACPI there is no button that the guest could hear.
    ensured(
        lab,
        hosts[0],
        xml=DOCUMENT.replace("<features><acpi/></features>", "").replace("file='/var/lib", "file='/srv/x"),
        state="defined",
    )
    host = lab.host(hosts[0])
    host.run(
        ["sh", "-c", "mkdir -p /srv/x/libvirt/images && qemu-img create -q -f raw /srv/x/libvirt/images/web.img 1M"]
    )
    ensured(lab, hosts[0], name="web 01", state="running")
    failed = results(lab, hosts[0], {"name": "web 01", "state": "shutoff", "shutdown_timeout": 2})[0]
    assert failed["error_code"] == "SHUTDOWN_TIMEOUT"
    assert "shutdown_action=destroy" in failed["msg"]
    assert host.virsh("domstate", "web 01").strip() == "running"
    ensured(lab, hosts[0], name="web 01", state="shutoff", shutdown_timeout=2, shutdown_action="destroy")
    assert host.virsh("domstate", "web 01").strip() == "shut off"


# ---- absent ----


def test_absent_takes_nothing_that_was_not_given_away(lab: Lab, hosts: list[str]) -> None:
    guest = lab.create_guest(hosts[0], "uefi")
    host, name = lab.host(hosts[0]), guest.name
    nvram = f"/var/lib/libvirt/qemu/nvram/{name}_VARS.fd"
    disk = f"/var/lib/libvirt/images/{name}.qcow2"
    assert "DOMAIN_ACTIVE" in refused(lab, hosts[0], name=name, state="absent")
    ensured(lab, hosts[0], name=name, state="saved")
    sentence = refused(lab, hosts[0], name=name, state="absent")
    assert nvram in sentence
    assert "nvram=delete" in sentence
    assert "managed_save=delete" in sentence
    assert "managed_save=delete" in refused(lab, hosts[0], name=name, state="absent", nvram="keep")
    assert host.virsh("domstate", name).strip() == "shut off"
    ensured(lab, hosts[0], name=name, state="absent", nvram="keep", managed_save="delete")
    assert host.run(["ls", nvram, disk]).returncode == 0
    assert name not in host.virsh("list", "--all", "--name")


def test_absent_with_snapshots_and_a_tpm(lab: Lab, hosts: list[str]) -> None:
    guest = lab.create_guest(hosts[0], "qcow2", start="shutoff")
    host, name = lab.host(hosts[0]), guest.name
    host.virsh("snapshot-create-as", name, "before")
    assert "1 snapshot (before; snapshots=delete" in refused(lab, hosts[0], name=name, state="absent")
    ensured(lab, hosts[0], name=name, state="absent", snapshots="delete")
    assert "before" in host.run(["qemu-img", "snapshot", "-l", f"/var/lib/libvirt/images/{name}.qcow2"]).stdout

    document = DOCUMENT.replace("<graphics", "<tpm model='tpm-crb'><backend type='emulator'/></tpm><graphics")
    uuid = ensured(lab, hosts[0], xml=document)["uuid"]
    state = f"/var/lib/libvirt/swtpm/{uuid}"
    host.run(["sh", "-c", f"mkdir -p {state}/tpm2 && echo x > {state}/tpm2/tpm2-00.permall"])
    assert "tpm=delete" in refused(lab, hosts[0], name="web 01", state="absent")
    ensured(lab, hosts[0], name="web 01", state="absent", tpm="keep")
    assert host.run(["test", "-f", f"{state}/tpm2/tpm2-00.permall"], check=False).returncode == 0
    ensured(lab, hosts[0], xml=document.replace("<memory", f"<uuid>{uuid}</uuid><memory"))
    ensured(lab, hosts[0], name="web 01", state="absent", tpm="delete")
    assert host.run(["test", "-e", state], check=False).returncode == 1
