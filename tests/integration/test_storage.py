# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage pools and volumes on real hosts: what check mode announces happens, a second run changes nothing, and no data is lost."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.ansible_runs import run_playbook
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.host import Host

Options = dict[str, t.Any]
FOLDER = "/srv/pool"
#: Where an export would be mounted, and by whom; nobody answers at that address.
NETFS: Options = {
    "type": "netfs",
    "source_host": "192.0.2.1",
    "source_path": "/export/images",
    "protocol_version": "4.2",
    "mount_options": ["nconnect=4"],
    "path": "/srv/netfs",
}


def results(lab: Lab, module: str, *tasks: Options) -> list[dict[str, t.Any]]:
    """One playbook with one task after another on the first host; ``_check`` runs one in check mode."""
    written = []
    for number, options in enumerate(tasks):
        options = dict(options)
        check = options.pop("_check", None)
        task = {"name": f"Step {number}", f"virtops.kvm.{module}": options, "ignore_errors": True}
        written.append(task if check is None else {**task, "check_mode": check})
    play = {"name": "Storage", "hosts": lab.hosts[0].name, "gather_facts": False, "tasks": written}
    return run_playbook(lab.inventory, [play], "--diff").results(module)


def ensured(lab: Lab, module: str, **options: t.Any) -> dict[str, t.Any]:
    """Run it in check mode, for real, and again: what was announced happened, and then there is nothing left to do."""
    announced, done, again = results(lab, module, {**options, "_check": True}, options, options)
    assert not done["failed"], done
    assert announced["changes"] == done["changes"]
    assert announced["diff"] == done["diff"]
    assert announced["changed"] == done["changed"]
    assert again["changed"] is False, again
    return done


def refusals(lab: Lab, module: str, *asked: Options) -> list[str]:
    """The sentences with which each is refused, in check mode and for real alike."""
    found = results(lab, module, *(one for options in asked for one in ({**options, "_check": True}, options)))
    told = []
    for announced, done in zip(found[::2], found[1::2], strict=True):
        assert announced["failed"]
        assert done["failed"]
        assert (announced["error_code"], announced["msg"]) == (done["error_code"], done["msg"])
        told.append(f"{done['error_code']}: {done['msg']}")
    return told


def refused(lab: Lab, module: str, **options: t.Any) -> str:
    """The sentence with which it is refused."""
    return refusals(lab, module, options)[0]


def actions(result: dict[str, t.Any]) -> list[str]:
    return [change["action"] for change in result["changes"]]


@pytest.fixture
def host(lab: Lab, hosts: list[str]) -> t.Iterator[Host]:
    """The first host; its pools but the default one go afterwards."""
    first = lab.host(hosts[0])
    yield first
    names = [name for name in first.virsh("pool-list", "--all", "--name").split() if name != "default"]
    for name in names:
        first.run(["virsh", "-q", "pool-destroy", name], check=False)
        first.run(["virsh", "-q", "pool-undefine", name], check=False)
    first.run(["rm", "-rf", FOLDER, f"{FOLDER}2", NETFS["path"]])


def test_a_folder_becomes_a_pool_and_drift_is_repaired(lab: Lab, host: Host) -> None:
    asked: Options = {"name": "pool", "type": "dir", "path": f"{FOLDER}/", "autostart": True, "mode": "0751"}
    made = ensured(lab, "storage_pool", **asked)
    assert actions(made) == ["define", "create folder", "start", "set", "set"]
    assert made["path"] == FOLDER
    assert "pool" in host.virsh("pool-list", "--name", "--autostart").split()
    host.write(f"{FOLDER}/data", "precious")

    host.run(["chmod", "0700", FOLDER])
    host.virsh("pool-autostart", "--disable", "pool")
    host.virsh("pool-destroy", "pool")
    assert actions(ensured(lab, "storage_pool", **asked)) == ["start", "set", "set"]
    assert host.run(["stat", "-c", "%a", FOLDER]).stdout.strip() == "751"

    moved = ensured(lab, "storage_pool", **{**asked, "path": f"{FOLDER}2"})
    assert actions(moved) == ["redefine", "stop", "create folder", "start", "set"]
    assert moved["changes"][0]["after"] == [f"target/path: '{FOLDER}' -> '{FOLDER}2'"]
    later = ensured(lab, "storage_pool", **{**asked, "state": "present"})
    assert actions(later) == ["redefine"]
    assert later["restart_needed"]
    assert actions(ensured(lab, "storage_pool", name="pool")) == ["stop", "start"]
    assert actions(ensured(lab, "storage_pool", name="pool", state="inactive")) == ["stop"]
    assert actions(ensured(lab, "storage_pool", name="pool", state="absent")) == ["undefine"]
    assert host.run(["cat", f"{FOLDER}/data"]).stdout == "precious"
    assert "POOL_NOT_FOUND" in refused(lab, "storage_pool", name="pool")


def test_a_pool_is_never_taken_away_from_a_running_domain(lab: Lab, host: Host) -> None:
    guest = lab.create_guest(host.name, "qcow2")
    asked: list[Options] = [{"state": "inactive"}, {"state": "absent"}, {"type": "dir", "path": FOLDER}]
    for sentence in refusals(lab, "storage_pool", *({"name": "default", **options} for options in asked)):
        assert "POOL_IN_USE" in sentence
        assert guest.name in sentence
    assert "/var/lib/libvirt/images" in host.virsh("pool-dumpxml", "--inactive", "default")
    (facts,) = results(lab, "storage_pool_info", {"names": ["default"]})
    assert facts["pools"][0]["users"] == [guest.name]
    guest.wait_beating()


def test_what_libvirt_or_sense_forbids_is_refused_before_anything_changes(lab: Lab, host: Host) -> None:
    before = host.virsh("pool-list", "--all", "--name")
    wrong: list[tuple[str, Options]] = [
        ("POOL_CONFLICT", {"name": "other", "type": "dir", "path": "/var/lib/libvirt/images"}),
        ("DEFINITION_REFUSED", {"name": "other", "xml": "<pool type='netfs'><source><dir path='/x'/></source></pool>"}),
        ("DEFINITION_REFUSED", {"name": "other", "xml": "<pool type='nonsense'/>"}),
        ("XML_INVALID", {"name": "other", "xml": "<pool>"}),
        ("INVALID_OPTION", {"name": "other", "type": "dir", "path": "relative"}),
        ("INVALID_OPTION", {"name": "other", "type": "netfs", "path": FOLDER}),
        ("STORAGE_SERVER_UNREACHABLE", {"name": "other", **NETFS}),
    ]
    told = refusals(lab, "storage_pool", *(options for code, options in wrong))
    assert [sentence.partition(":")[0] for sentence in told] == [code for code, options in wrong]
    assert host.virsh("pool-list", "--all", "--name") == before


def test_an_export_is_defined_and_never_hides_what_is_there(lab: Lab, host: Host) -> None:
    asked = {"name": "netfs", **NETFS, "state": "inactive"}
    assert actions(ensured(lab, "storage_pool", **asked)) == ["define"]
    text = host.virsh("pool-dumpxml", "netfs")
    assert "<fs:option name='nconnect=4'/>" in text
    assert "<protocol ver='4.2'/>" in text
    drifted = ensured(lab, "storage_pool", **{**asked, "mount_options": ["nconnect=8"]})
    assert drifted["changes"][0]["after"] == ["mount_opts/option/@name: 'nconnect=4' -> 'nconnect=8'"]
    host.run(["sh", "-c", f"mkdir -p {NETFS['path']} && echo precious > {NETFS['path']}/data"])
    assert "PATH_NOT_EMPTY" in refused(lab, "storage_pool", name="netfs")
    host.run(["mount", "-t", "tmpfs", "other:/export", NETFS["path"]])
    try:
        sentence = refused(lab, "storage_pool", name="netfs")
        assert "PATH_MOUNTED" in sentence
        assert "other:/export" in sentence
    finally:
        host.run(["umount", NETFS["path"]])


def test_a_document_is_taken_as_libvirt_understands_it(lab: Lab, host: Host) -> None:
    document = f"<pool type='dir'>\n<target>\n<path>{FOLDER}/</path></target><!-- no name --></pool>"
    assert actions(ensured(lab, "storage_pool", name="pool", xml=document)) == ["define", "create folder", "start"]
    saved = host.virsh("pool-dumpxml", "pool")
    ensured(lab, "storage_pool", name="pool", xml=saved)
    assert host.virsh("pool-dumpxml", "pool") == saved


@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_a_volume_is_made_grows_when_asked_and_goes_only_when_given_away(lab: Lab, host: Host, form: str) -> None:
    asked: Options = {"pool": "default", "name": "disk 1", "capacity": "64M", "format": form, "mode": "0640"}
    asked.update(owner="libvirt-qemu", group="65534")
    made = ensured(lab, "storage_volume", **asked)
    assert actions(made) == ["create"]
    assert made["path"] == "/var/lib/libvirt/images/disk 1"
    assert host.run(["stat", "-c", "%U %g %a", made["path"]]).stdout.strip() == "libvirt-qemu 65534 640"
    other = "raw" if form == "qcow2" else "qcow2"
    wrong: list[Options] = [{"capacity": "65M"}, {"capacity": "1M", "grow": True}, {"format": other}]
    told = refusals(lab, "storage_volume", *({**asked, **options} for options in wrong))
    codes = [sentence.partition(":")[0] for sentence in told]
    assert codes == ["VOLUME_TOO_SMALL", "VOLUME_TOO_LARGE", "VOLUME_DIFFERS"]
    grown = ensured(lab, "storage_volume", **{**asked, "capacity": "96MiB", "grow": True, "mode": "0600"})
    assert actions(grown) == ["grow", "set"]
    assert f"{96 << 20} bytes" in host.run(["qemu-img", "info", "-U", made["path"]]).stdout
    gone = {"pool": "default", "name": "disk 1", "state": "absent"}
    assert "VOLUME_KEPT" in refused(lab, "storage_volume", **gone)
    assert actions(ensured(lab, "storage_volume", **gone, may_delete=True)) == ["delete"]
    assert host.run(["test", "-e", made["path"]], check=False).returncode == 1


def test_allocation_and_backing_images(lab: Lab, host: Host) -> None:
    base, overlay = {"pool": "default", "name": "base"}, {"pool": "default", "name": "overlay"}
    ensured(lab, "storage_volume", **base, capacity="16M", allocation="full")
    found = results(lab, "storage_volume_info", {"pool": "default"})[0]["volumes"]
    assert {one["name"]: one["allocation"] >= 16 << 20 for one in found}["base"]
    ensured(lab, "storage_volume", pool="default", name="tables", capacity="16M", allocation="metadata")
    ensured(lab, "storage_volume", pool="default", name="raw", capacity="16M", format="raw", allocation="full")
    assert int(host.run(["stat", "-c", "%b", "/var/lib/libvirt/images/raw"]).stdout) * 512 >= 16 << 20
    built = ensured(lab, "storage_volume", **overlay, backing="base", backing_format="qcow2")
    assert built["capacity"] == 16 << 20
    found = results(lab, "storage_volume_info", {"pool": "default", "names": ["base"]})[0]["volumes"]
    assert found[0]["overlays"] == ["overlay"]
    told = refusals(
        lab,
        "storage_volume",
        {**base, "state": "absent", "may_delete": True},
        {**overlay, "backing": "raw", "backing_format": "raw"},
        {"pool": "default", "name": "x", "backing": "nowhere", "backing_format": "raw"},
        {"pool": "default", "name": "x", "capacity": "1P", "format": "raw", "allocation": "full"},
    )
    codes = [sentence.partition(":")[0] for sentence in told]
    assert codes == ["VOLUME_IS_BACKING", "VOLUME_DIFFERS", "BACKING_MISSING", "POOL_FULL"]


def test_a_volume_of_a_running_domain_grows_with_it_and_stays(lab: Lab, host: Host) -> None:
    guest = lab.create_guest(host.name, "qcow2")
    name = f"{guest.name}.qcow2"
    size = int(host.virsh("domblkinfo", guest.name, "vda").split("Capacity:")[1].split()[0])
    assert "VOLUME_IN_USE" in refused(lab, "storage_volume", pool="default", name=name, state="absent", may_delete=True)
    larger = size + (8 << 20)
    ensured(lab, "storage_volume", pool="default", name=name, capacity=str(larger), grow=True, owner="root")
    assert int(host.virsh("domblkinfo", guest.name, "vda").split("Capacity:")[1].split()[0]) == larger
    guest.wait_beating()
    # A guest that this host's libvirt does not know, as one of another host on shared storage.
    guest.stop()
    host.virsh("undefine", guest.uuid)
    path = f"/var/lib/libvirt/images/{name}"
    host.run(["systemd-run", "--quiet", "--unit=holder", "qemu-io", "-c", "sleep 600000", path])
    try:
        wait_for(
            "the image to be locked", lambda: host.run(["qemu-img", "info", path], check=False).returncode, 60, 0.2
        )
        sentence = refused(lab, "storage_volume", pool="default", name=name, state="absent", may_delete=True)
        assert "SOURCE_IN_USE" in sentence
    finally:
        host.run(["systemctl", "stop", "holder"])
    ensured(lab, "storage_volume", pool="default", name=name, state="absent", may_delete=True)
