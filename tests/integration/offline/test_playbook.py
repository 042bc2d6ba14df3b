# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains that may be stopped are moved by playbooks: listed ones, and those that an evacuation would otherwise leave behind."""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences

from tests.integration.ansible_runs import ROOT, Run, run_playbook

if t.TYPE_CHECKING:
    from tests.lab import Guest, Lab

SOURCE, DESTINATION = "kvm1", "kvm2"
IMAGES = "/var/lib/libvirt/images"


def migrate(lab: Lab, reports: pathlib.Path, *arguments: str, **values: t.Any) -> Run:
    """Run migrate_offline.yml from whatever host to the destination."""
    given = {"offline_source": "kvm", "offline_destination": DESTINATION, "offline_report_dir": str(reports)}
    return run_playbook(
        lab.inventory, ROOT / "playbooks/migrate_offline.yml", *arguments, extra_vars={**given, **values}
    )


def evacuate(lab: Lab, reports: pathlib.Path, *arguments: str, **values: t.Any) -> Run:
    """Empty the source."""
    given = {"evacuate_source": SOURCE, "evacuate_destinations": "kvm", "evacuate_report_dir": str(reports)}
    return run_playbook(lab.inventory, ROOT / "playbooks/evacuate.yml", *arguments, extra_vars={**given, **values})


def restore(lab: Lab, reports: pathlib.Path, *arguments: str, **values: t.Any) -> Run:
    """Bring home what an evacuation moved."""
    (ticket,) = reports.glob("*/return-ticket.json")
    given = {"evacuate_return_ticket": str(ticket), "evacuate_report_dir": str(reports)}
    return run_playbook(lab.inventory, ROOT / "playbooks/restore.yml", *arguments, extra_vars={**given, **values})


def announced(run: Run) -> dict[str, int]:
    """What changed on which inventory host, those without a change left out."""
    return {host: counts["changed"] for host, counts in run.recap.items() if counts["changed"]}


def definition(guest: Guest) -> str:
    return guest.host().virsh("dumpxml", "--inactive", guest.uuid)


def autostart(guest: Guest) -> bool:
    return "enable" in guest.host().virsh("dominfo", guest.uuid).split("Autostart:")[1].splitlines()[0]


def images(lab: Lab, host: str) -> set[str]:
    found = lab.host(host).run(["find", IMAGES, "-type", "f"]).stdout
    return {line for line in found.splitlines() if "lost+found" not in line}


def reported(reports: pathlib.Path) -> dict[str, t.Any]:
    """The newest report."""
    newest = max(reports.glob("*/report.json"), key=lambda path: path.stat().st_mtime_ns)
    return t.cast("dict[str, t.Any]", json.loads(newest.read_text(encoding="utf-8"))["report"])


def test_listed_domains_move_as_announced_and_one_failure_stays_its_own(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    web, archive, bad = lab.create_guests(
        SOURCE, [("chain", "web 01", {"autostart": True}), ("shutoff", "archive", {}), ("qcow2", "bad", {})]
    )
    before = {guest.name: definition(guest) for guest in (web, archive)}
    there = lab.host(DESTINATION)
    there.run(["sh", "-c", f"echo mine > {IMAGES}/bad.qcow2"])
    wanted = {"offline_domains": [web.name, archive.name, bad.name], "offline_may_stop": True}

    # A rule does not permit what the run does not.
    permitting = [{"match": "name", "may_stop": True}]
    forbidden = migrate(lab, tmp_path, offline_domains=[web.name], offline_policies=permitting)
    assert forbidden.status != 0
    assert "which is not permitted" in forbidden.output
    assert forbidden.changed == 0

    old = images(lab, DESTINATION)
    check = migrate(lab, tmp_path, "--check", **wanted)
    assert images(lab, DESTINATION) == old
    assert web.where() == bad.where() == {SOURCE: "running"}
    assert list(tmp_path.iterdir()) == []
    files = [file for move in (web.name, archive.name) for file in check.result("domain_migration", move)["files"]]
    assert len(files) == 3
    assert all(file["size"] > 0 and file["free"] > file["allocated"] for file in files)
    assert all(file["path"] in check.output for file in files)

    run = migrate(lab, tmp_path, **wanted)
    assert run.status != 0
    assert announced(run) == announced(check)
    assert [run.recap[guest.name]["failures"] for guest in (web, archive, bad)] == [0, 0, 1]
    assert (
        run.result("domain_migration", bad.name)["error_code"]
        == check.result("domain_migration", bad.name)["error_code"]
    )
    assert "1 move not done: bad (" in run.output
    assert images(lab, DESTINATION) - old == {file["path"] for file in files}
    assert (web.where(), archive.where()) == ({DESTINATION: "running"}, {DESTINATION: "shut off"})
    assert bad.where() == {SOURCE: "running"}
    assert {guest.name: differences(before[guest.name], definition(guest)) for guest in (web, archive)} == {
        web.name: [],
        archive.name: [],
    }
    assert (autostart(web), autostart(archive)) == (True, False)
    assert {file["source"] for file in files} <= images(lab, SOURCE)
    assert there.run(["cat", f"{IMAGES}/bad.qcow2"]).stdout == "mine\n"
    web.wait_beating()

    there.run(["rm", f"{IMAGES}/bad.qcow2"])
    run = migrate(lab, tmp_path, **wanted)
    assert run.status == 0, run.output
    assert bad.where() == {DESTINATION: "running"}
    assert "It is running on kvm2 already" in run.output
    reports = sorted(tmp_path.rglob("*"))
    again = migrate(lab, tmp_path, **wanted)
    assert (again.status, again.changed) == (0, 0), again.output
    assert sorted(tmp_path.rglob("*")) == reports


def test_an_evacuation_moves_what_is_shut_off_and_what_may_be_stopped_and_brings_it_home(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    archive, tied = lab.create_guests(SOURCE, [("shutoff", "archive", {}), ("snapshots", "tied", {})])
    tied.start()
    before = {guest.name: definition(guest) for guest in (archive, tied)}
    permitted = {"evacuate_may_stop": "[?name=='tied']"}

    refused = evacuate(lab, tmp_path)
    assert refused.status != 0
    assert "tied cannot move, so nothing was started" in refused.output
    assert "see option may_stop" in refused.output

    check = evacuate(lab, tmp_path, "--check", **permitted)
    assert check.status == 0, check.output
    run = evacuate(lab, tmp_path, **permitted)
    assert run.status == 0, run.output
    assert announced(run) == announced(check)
    assert list(archive.where().values()) == ["shut off"]
    assert list(tied.where().values()) == ["running"]
    assert SOURCE not in {**archive.where(), **tied.where()}
    tied.wait_beating()
    assert len(tied.host().virsh("snapshot-list", "--name", tied.uuid).splitlines()) == 2
    outcomes = {outcome["domain"]: outcome for outcome in reported(tmp_path)["outcomes"]}
    assert {name: outcome["method"] for name, outcome in outcomes.items()} == {"archive": "offline", "tied": "offline"}
    assert outcomes["tied"]["stopped_seconds"] > 0
    assert outcomes["archive"]["stopped_seconds"] is None
    assert all(outcome["proven"] for outcome in outcomes.values())
    again = evacuate(lab, tmp_path, **permitted)
    assert (again.status, again.changed) == (0, 0), again.output

    refused = restore(lab, tmp_path)
    assert refused.status != 0
    assert "tied cannot move, so nothing was started" in refused.output
    home = restore(lab, tmp_path, **permitted)
    assert home.status == 0, home.output
    assert (archive.where(), tied.where()) == ({SOURCE: "shut off"}, {SOURCE: "running"})
    assert {guest.name: differences(before[guest.name], definition(guest)) for guest in (archive, tied)} == {
        "archive": [],
        "tied": [],
    }
    tied.wait_beating()
