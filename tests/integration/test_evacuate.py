# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts are emptied and filled again by the playbooks, as a person would start them."""

from __future__ import annotations

import json
import pathlib
import signal
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences

from tests.integration.ansible_runs import ROOT, Run, run_playbook, start_playbook
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Guest, Lab

SOURCE = "kvm1"
SPECIAL = "müller db"


def start(lab: Lab, playbook: str, reports: pathlib.Path, *arguments: str, **values: t.Any) -> Run:
    """Run one of the collection's playbooks."""
    if playbook != "restore":
        values = {"evacuate_source": SOURCE, "evacuate_destinations": "kvm", **values}
    values["evacuate_report_dir"] = str(reports)
    return run_playbook(lab.inventory, ROOT / "playbooks" / f"{playbook}.yml", *arguments, extra_vars=values)


def announced(run: Run) -> dict[str, int]:
    """What changed on which inventory host, those without a change left out."""
    return {host: counts["changed"] for host, counts in run.recap.items() if counts["changed"]}


def cordoned(lab: Lab, host: str = SOURCE) -> bool:
    return lab.host(host).run(["test", "-e", "/var/lib/virtops-kvm/cordon.json"], check=False).returncode == 0


def definition(guest: Guest) -> str:
    return guest.host().virsh("dumpxml", "--inactive", guest.uuid)


def autostart(guest: Guest) -> bool:
    return "enable" in guest.host().virsh("dominfo", guest.uuid).split("Autostart:")[1].splitlines()[0]


def written(reports: pathlib.Path, name: str) -> list[pathlib.Path]:
    return sorted(reports.glob(f"*/{name}"))


def test_a_host_is_emptied_as_announced_and_filled_again(lab: Lab, hosts: list[str], tmp_path: pathlib.Path) -> None:
    web, special, archive = lab.create_guests(
        SOURCE,
        [("chain", "web01", {}), ("three-disks", SPECIAL, {"autostart": True}), ("shutoff", "archive", {})],
    )
    before = {guest.name: definition(guest) for guest in (web, special, archive)}

    rules = [{"name": "web", "match": "starts_with(name, 'web')", "pinned": "kvm3", "max_pause": 900}]
    check = start(lab, "evacuate", tmp_path, "--check", "--diff", evacuate_policies=rules)
    assert check.status == 0, check.output
    assert {web.name, SPECIAL, archive.name, SOURCE} <= set(announced(check))
    assert list(tmp_path.iterdir()) == []
    assert not cordoned(lab)
    assert web.running_on() == special.running_on() == [SOURCE]

    run = start(lab, "evacuate", tmp_path, evacuate_policies=rules)
    assert run.status == 0, run.output
    assert announced(run) == announced(check)
    assert web.running_on() == ["kvm3"]
    (planned,) = (one for one in run.result("evacuation_plan")["plan"]["moves"] if one["domain"] == "web01")
    assert planned["max_downtime"] == 900
    assert "rule 1 (web) of the policies holds" in planned["reason"]
    for guest in (web, special):
        (place,) = guest.running_on()
        assert place != SOURCE
        assert guest.where() == {place: "running"}
        guest.wait_beating()
    assert list(archive.where().values()) == ["shut off"]
    assert SOURCE not in archive.where()
    assert cordoned(lab)
    (report,) = (json.loads(path.read_text(encoding="utf-8"))["report"] for path in written(tmp_path, "report.json"))
    assert report["status"] == "complete"
    assert {outcome["domain"]: outcome["method"] for outcome in report["outcomes"]} == {
        SPECIAL: "live_block",
        "web01": "live_block",
        "archive": "offline",
    }
    (page,) = written(tmp_path, "report.html")
    assert SPECIAL in page.read_text(encoding="utf-8")

    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = start(lab, "evacuate", tmp_path)
    assert (again.status, again.changed) == (0, 0), again.output
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files

    (ticket,) = written(tmp_path, "return-ticket.json")
    # By the same rules, but for where it goes, which the ticket says.
    by_rules = {"evacuate_return_ticket": str(ticket), "evacuate_policies": rules}
    check = start(lab, "restore", tmp_path, "--check", **by_rules)
    home = start(lab, "restore", tmp_path, **by_rules)
    assert home.status == 0, home.output
    assert announced(home) == announced(check)
    (planned,) = (one for one in home.result("restore_plan")["plan"]["moves"] if one["domain"] == "web01")
    assert (planned["destination"], planned["max_downtime"]) == (SOURCE, 900)
    assert web.where() == special.where() == {SOURCE: "running"}
    assert archive.where() == {SOURCE: "shut off"}
    assert not cordoned(lab)
    assert {guest.name: differences(before[guest.name], definition(guest)) for guest in (web, special, archive)} == {
        web.name: [],
        SPECIAL: [],
        archive.name: [],
    }
    assert (autostart(web), autostart(special)) == (False, True)

    again = start(lab, "restore", tmp_path, evacuate_return_ticket=str(ticket))
    assert (again.status, again.changed) == (0, 0), again.output

    web.destroy()
    special.remove()
    gone = start(lab, "restore", tmp_path, evacuate_return_ticket=str(ticket))
    assert (gone.status, gone.changed) == (0, 0), gone.output
    assert "It is gone" in gone.output
    assert "It is home, and shut off on kvm1" in gone.output


def test_a_saved_plan_is_applied_while_it_fits_and_refused_when_it_does_not(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    web = lab.create_guest(SOURCE, "qcow2", "web01")
    saved = tmp_path / "saved" / "plan.json"
    saved.parent.mkdir()
    planned = start(lab, "plan", tmp_path, evacuate_plan_file_out=str(saved))
    assert planned.status == 0, planned.output
    assert not cordoned(lab)
    again = start(lab, "plan", tmp_path, evacuate_plan_file_out=str(saved))
    assert again.changed == 0, again.output
    check = run_playbook(
        lab.inventory, ROOT / "playbooks/evacuate.yml", "--check", extra_vars={"evacuate_plan_file": str(saved)}
    )
    assert check.status == 0, check.output
    assert announced(check)[web.name] == 1

    newcomer = lab.create_guest(SOURCE, "qcow2", "newcomer")
    stale = start(lab, "evacuate", tmp_path, evacuate_plan_file=str(saved))
    assert stale.status != 0
    assert stale.result("evacuation_plan")["error_code"] == "PLAN_STALE"
    assert "newcomer" in stale.result("evacuation_plan")["msg"]
    assert not cordoned(lab)
    assert web.running_on() == newcomer.running_on() == [SOURCE]


def test_a_domain_that_cannot_move_is_told_before_anything_starts(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    free, tied = lab.create_guests(SOURCE, [("qcow2", "free", {"nic": "bridge"}), ("qcow2", "tied", {})])
    others = [lab.host(name) for name in hosts if name != SOURCE]
    try:
        for host in others:
            host.virsh("net-destroy", "lab")
        run = start(lab, "evacuate", tmp_path)
        assert run.status != 0
        assert "tied cannot move, so nothing was started" in run.output
        assert free.running_on() == tied.running_on() == [SOURCE]
        assert not cordoned(lab)
        assert not written(tmp_path, "report.json")

        run = start(lab, "evacuate", tmp_path, evacuate_on_blocker="skip")
        assert run.status == 0, run.output
        assert free.running_on() != [SOURCE]
        assert tied.running_on() == [SOURCE]
        (report,) = (
            json.loads(path.read_text(encoding="utf-8"))["report"] for path in written(tmp_path, "report.json")
        )
        assert [one["domain"] for one in report["blocked"]] == ["tied"]
    finally:
        for host in others:
            host.virsh("net-start", "lab", check=False)


def test_one_failed_move_does_not_stop_the_others(lab: Lab, hosts: list[str], tmp_path: pathlib.Path) -> None:
    good, bad = lab.create_guests(SOURCE, [("qcow2", "good", {}), ("qcow2", "bad", {})])
    others = [lab.host(name) for name in hosts if name != SOURCE]
    for host in others:
        host.run(["sh", "-c", "echo mine > /var/lib/libvirt/images/bad.qcow2"])

    run = start(lab, "evacuate", tmp_path, evacuate_uncordon_on_failure=True)
    assert run.status != 0
    assert (run.recap["bad"]["failures"], run.recap["good"]["failures"]) == (1, 0)
    assert bad.running_on() == [SOURCE]
    assert good.running_on() != [SOURCE]
    assert not cordoned(lab)
    assert "1 move not done: bad (" in run.output
    (report,) = (json.loads(path.read_text(encoding="utf-8"))["report"] for path in written(tmp_path, "report.json"))
    assert report["status"] == "incomplete"
    (ticket,) = (json.loads(path.read_text(encoding="utf-8")) for path in written(tmp_path, "return-ticket.json"))
    assert [move["domain"] for move in ticket["moves"]] == ["good"]

    # Now every single move fails: the report is written all the same, and the host stays cordoned by default.
    run = start(lab, "evacuate", tmp_path)
    assert run.status != 0
    assert len(written(tmp_path, "report.json")) == 2
    assert len(written(tmp_path, "return-ticket.json")) == 1
    assert cordoned(lab)
    for host in others:
        assert host.run(["cat", "/var/lib/libvirt/images/bad.qcow2"]).stdout == "mine\n"


def test_ctrl_c_ends_all_moves_at_home_and_the_run_with_them(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    guests = lab.create_guests(SOURCE, [("qcow2", name, {"fill_mib": 60}) for name in ("one", "two", "three")])
    started = start_playbook(
        lab.inventory,
        ROOT / "playbooks/evacuate.yml",
        extra_vars={
            "evacuate_source": SOURCE,
            "evacuate_destinations": "kvm",
            "evacuate_report_dir": str(tmp_path),
            "evacuate_bandwidth": 2,
        },
    )

    def moving() -> bool:
        assert started.process.poll() is None, started.output()
        return "live_block  disk" in started.output()

    wait_for("a move to copy disks", moving, 300, 0.5)
    started.process.send_signal(signal.SIGINT)
    assert started.finish(300).status != 0
    for guest in guests:
        assert guest.where() == {SOURCE: "running"}
        guest.wait_beating()


def test_what_cannot_work_is_one_sentence_and_changes_nothing(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    missing = run_playbook(lab.inventory, ROOT / "playbooks/evacuate.yml", extra_vars={"evacuate_source": SOURCE})
    nobody = start(lab, "evacuate", tmp_path, evacuate_destinations=SOURCE)
    limited = start(lab, "evacuate", tmp_path, "--limit", "localhost,kvm1")
    wrong = start(lab, "evacuate", tmp_path, evacuate_bandwidth="fast")
    ticketless = start(lab, "restore", tmp_path)
    misspelt = start(lab, "evacuate", tmp_path, evacuate_policies=[{"match": "name", "methd": "offline"}])
    for run, words in (
        (missing, "Say which hosts to empty and which hosts may take their domains"),
        (nobody, "1 hosts to empty and 0 other hosts"),
        (limited, "without --limit"),
        (wrong, "evacuate_bandwidth"),
        (misspelt, "policies[0].methd is unknown; did you mean method?"),
        (ticketless, "Say which return ticket brings the domains home"),
    ):
        assert run.status != 0, run.output
        assert words in " ".join(run.output.split()), run.output
        assert run.changed == 0
    assert not cordoned(lab)
