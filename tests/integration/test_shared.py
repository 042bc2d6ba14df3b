# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests whose disks lie on shared storage: nothing is copied, and that the storage is shared is proven before anything moves."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.integration.ansible_runs import ROOT, Run, run_playbook
from tests.integration.moves import arrived, move, still_here
from tests.lab.network import netns_of

if t.TYPE_CHECKING:
    import pathlib

    from tests.lab import Lab
    from tests.lab.host import Host

SHARED = "/srv/shared"
ISO = f"{SHARED}/tools.iso"
DRIVE = f"<disk type='file' device='cdrom'><source file='{ISO}'/><target dev='sda' bus='sata'/><readonly/></disk>"


def files(host: Host) -> list[str]:
    """What lies on the shared storage, as the host sees it."""
    return sorted(host.run(["find", SHARED, "-type", "f"]).stdout.splitlines())


@pytest.fixture
def elsewhere(lab: Lab, hosts: list[str]) -> t.Iterator[Host]:
    """The second host, with other storage at the path of the shared one."""
    host = lab.host(hosts[1])
    host.run(["mount", "-t", "tmpfs", "elsewhere", SHARED])
    try:
        yield host
    finally:
        host.run(["umount", SHARED])


def test_a_guest_with_a_medium_goes_and_comes_back_on_shared_storage(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    lab.host(source).write(ISO, "tools")
    guest = lab.create_guest(source, "shared", extra_devices=DRIVE, machine="q35", fill_mib=16)
    before = files(lab.host(source))
    with lab.watch([guest]) as watcher:
        for here, there in ((source, destination), (destination, source)):
            announced = move(lab, guest, here, there, "--check", method="live_shared")
            done = move(lab, guest, here, there, method="live_shared")
            assert not done.get("failed"), done["msg"]
            assert announced["changes"] == done["changes"]
            assert done["method"] == "live_shared"
            assert done["move"]["disk_bytes"] == 0
            assert "SHARED_UNPROVEN" in {finding["code"] for finding in announced["findings"]}
            assert "SHARED_UNPROVEN" not in {finding["code"] for finding in done["findings"]}
            arrived(guest, there)
            assert files(lab.host(there)) == before
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert lab.verify(guest, source, seen["acknowledged"]).clean


def test_a_guest_that_is_off_moves_its_definition_only(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "shared", start="shutoff")
    (image,) = files(lab.host(source))
    before = lab.host(source).run(["stat", "-c", "%i %s %Y", image]).stdout
    done = move(lab, guest, source, destination, method="offline")
    assert not done.get("failed"), done["msg"]
    assert guest.where() == {destination: "shut off"}
    assert done["files"] == []
    assert done["move"]["sent_bytes"] == 0
    assert files(lab.host(destination)) == [image]
    assert lab.host(destination).run(["stat", "-c", "%i %s %Y", image]).stdout == before
    guest.start()
    guest.wait_beating()


@pytest.mark.parametrize("method", ["live_shared", "offline"])
def test_other_storage_at_the_same_path_is_caught(lab: Lab, hosts: list[str], elsewhere: Host, method: str) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "shared", start="running" if method == "live_shared" else "shutoff")
    accepted = {"accept": ["SHARED_UNPROVEN"], "may_stop": True}
    failed = move(lab, guest, source, destination, method=method, **accepted)
    assert failed["failed"]
    assert failed["error_code"] == "STORAGE_NOT_SHARED", failed["msg"]
    assert SHARED in failed["msg"]
    assert guest.where() == {source: "running" if method == "live_shared" else "shut off"}
    assert files(elsewhere) == []
    if method == "live_shared":
        still_here(guest, source)


def test_a_medium_that_is_missing_there_is_told_before_anything_moves(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    local = "/var/lib/libvirt/images/tools.iso"
    lab.host(source).write(local, "tools")
    guest = lab.create_guest(source, "shared", extra_devices=DRIVE.replace(ISO, local), machine="q35")
    failed = move(lab, guest, source, destination, method="live_shared")
    assert failed["error_code"] == "MEDIA_MISSING", failed["msg"]
    assert local in failed["msg"]
    still_here(guest, source)
    lab.host(destination).write(local, "tools")
    done = move(lab, guest, source, destination, method="live_shared")
    assert not done.get("failed"), done["msg"]
    arrived(guest, destination)


def migrate(lab: Lab, reports: pathlib.Path, destination: str, *arguments: str, **values: t.Any) -> Run:
    """Run migrate_shared.yml, from where the guests can be reached."""
    given = {"live_source": "kvm", "live_destination": destination, "live_report_dir": str(reports), **values}
    inside = ["nsenter", f"--net=/run/netns/{netns_of(lab.name)}", "--"]
    playbook = ROOT / "playbooks/migrate_shared.yml"
    return run_playbook(lab.inventory, playbook, *arguments, extra_vars=given, prefix=inside)


def changes(run: Run) -> dict[str, int]:
    return {host: counts["changed"] for host, counts in run.recap.items() if counts["changed"]}


def test_the_playbook_brings_guests_there_and_back_and_tells_for_how_long_they_were_silent(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    source, destination = hosts[:2]
    web, archive, local = lab.create_guests(
        source, [("shared", "web 01", {}), ("shared", "archive", {"start": "shutoff"}), ("qcow2", "local", {})]
    )
    service = {"type": "ping", "address": web.address}
    wanted = {"live_domains": [web.name, archive.name], "live_services": {web.name: service}}

    copied = [{"name": "copies", "match": "name == 'web 01'", "method": "live_block"}]
    names = [local.name, web.name]
    refused = migrate(lab, tmp_path, destination, live_domains=names, live_policies=copied)
    assert refused.status != 0
    assert "local, web 01 cannot move, so nothing was started" in refused.output
    assert "This run moves by live_shared, and rule 1 (copies) of the policies asks for live_block" in refused.output
    assert "live_on_blocker=skip" in refused.output
    stranger = migrate(lab, tmp_path, destination, live_domains=[web.name], live_services={"wbe": service})
    assert stranger.status != 0
    assert "live_services names wbe" in stranger.output

    check = migrate(lab, tmp_path, destination, "--check", **wanted)
    assert check.status == 0, check.output
    assert check.result("domain_migration", web.name)["service"]["back"]
    assert (web.where(), archive.where()) == ({source: "running"}, {source: "shut off"})
    assert list(tmp_path.iterdir()) == []

    run = migrate(lab, tmp_path, destination, **wanted)
    assert run.status == 0, run.output
    assert changes(run) == changes(check)
    assert (web.where(), archive.where()) == ({destination: "running"}, {destination: "shut off"})
    seen = run.result("domain_migration", web.name)["service"]
    assert seen["back"]
    assert 0 < seen["answered"] <= seen["asked"]
    (report,) = tmp_path.glob("*/report.json")
    outcomes = {one["domain"]: one for one in json.loads(report.read_text("utf-8"))["report"]["outcomes"]}
    assert outcomes[web.name]["service"] == seen
    assert outcomes[web.name]["method"] == "live_shared"
    assert (outcomes["archive"]["method"], outcomes["archive"]["disk_bytes"]) == ("offline", 0)
    assert f"the service ping {web.address} did not answer" in (report.parent / "report.md").read_text("utf-8")
    again = migrate(lab, tmp_path, destination, **wanted)
    assert (again.status, again.changed) == (0, 0), again.output

    home = migrate(lab, tmp_path, source, **wanted)
    assert home.status == 0, home.output
    assert (web.where(), archive.where()) == ({source: "running"}, {source: "shut off"})
    web.wait_beating()


def test_an_evacuation_copies_the_disks_that_are_not_shared_and_no_others(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    source, destination = hosts[:2]
    guests = lab.create_guests(source, [("shared", f"common{n}", {}) for n in range(3)] + [("qcow2", "local", {})])
    before = files(lab.host(source))
    given = {"evacuate_source": source, "evacuate_destinations": destination, "evacuate_report_dir": str(tmp_path)}
    # All at once: none has a pool at the shared folder, so the moves share transient ones for their proofs.
    given.update(evacuate_source_slots=0, evacuate_destination_slots=0)
    run = run_playbook(lab.inventory, ROOT / "playbooks/evacuate.yml", "--forks", "8", extra_vars=given)
    assert run.status == 0, run.output
    methods = {guest.name: run.result("domain_migration", guest.name)["method"] for guest in guests}
    assert methods == {**{f"common{n}": "live_shared" for n in range(3)}, "local": "live_block"}
    assert all(guest.where() == {destination: "running"} for guest in guests)
    assert files(lab.host(destination)) == before
    assert lab.host(destination).virsh("pool-list", "--all", "--name").split() == ["default"]
    guests[0].wait_beating()
