# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that scripts started leave a host and come home by the playbooks, beside domains, and no write is lost."""

from __future__ import annotations

import json
import typing as t

from tests.bench.hosts import stage_module
from tests.integration.ansible_runs import ROOT, Run, run_module, run_playbook
from tests.integration.moves import start_move
from tests.integration.qemu.trips import held
from tests.lab.guest.shapes import Disk
from tests.lab.host import IMAGES
from tests.lab.network import netns_of
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    import pathlib

    from tests.lab import Guest, Lab
    from tests.lab.guest.bare import BareGuest

SOURCE = "kvm1"


def start(lab: Lab, playbook: str, *arguments: str, **values: t.Any) -> Run:
    """Run one of the collection's playbooks, from where the guests can be reached."""
    inside = ["nsenter", f"--net=/run/netns/{netns_of(lab.name)}", "--"]
    return run_playbook(
        lab.inventory, ROOT / "playbooks" / f"{playbook}.yml", *arguments, extra_vars=values, prefix=inside
    )


def changes(run: Run) -> dict[str, int]:
    """What changed on which inventory host, those without a change left out."""
    return {host: counts["changed"] for host, counts in run.recap.items() if counts["changed"]}


def as_announced(lab: Lab, playbook: str, places: t.Callable[[], t.Any], **values: t.Any) -> Run:
    """In check mode, which moves nothing; for real; and again, when nothing is left to do."""
    before = places()
    check = start(lab, playbook, "--check", "--diff", **values)
    assert check.status == 0, check.output
    assert places() == before
    run = start(lab, playbook, **values)
    assert run.status == 0, run.output
    assert changes(run) == changes(check)
    again = start(lab, playbook, **values)
    assert (again.status, again.changed) == (0, 0), again.output
    return run


def report(folder: pathlib.Path) -> dict[str, t.Any]:
    """The one report below a folder."""
    (path,) = folder.glob("*/report.json")
    found: dict[str, t.Any] = json.loads(path.read_text(encoding="utf-8"))["report"]
    return found


def make_still(lab: Lab) -> str:
    """A guest of qemu_guest that is off; gives its unit."""
    disk = {"path": f"{IMAGES}/still.qcow2", "size": "64M"}
    made = run_module(
        lab.inventory, SOURCE, "qemu_guest", {"name": "still", "memory": "64M", "disks": [disk], "persistent": True}
    )
    assert not made["failed"], made
    off = {"name": "still", "state": "stopped", "shutdown_timeout": 0, "shutdown_action": "destroy"}
    ended = run_module(lab.inventory, SOURCE, "qemu_guest", off)
    assert not ended["failed"], ended
    lab.host(SOURCE).run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 5 1M 64k", disk["path"]])
    return "virtops-kvm-guest-still.service"


def a_domain_waits_for_a_guest_process(lab: Lab, web: Guest, mail: BareGuest, tap: str, here: str) -> None:
    """One limit holds for both kinds: the domain begins only when the guest process is through."""
    for host in (here, SOURCE):
        stage_module(lab.host(host))
    asked = {"destination_slots": 1, "mapping": {"taps": {tap: mail.tap}}}
    with held(lab, mail, here, SOURCE, "prepare", **asked) as trip:
        waits = start_move(lab, web, here, SOURCE, destination_slots=1, progress_interval=0.5)
        wait_for("the domain to wait", lambda: "waits for one of 1 places on" in waits.output(), 120, 0.2)
        assert web.where() == {here: "running"}
    done = trip.finish()
    assert (done.get("outcome"), done.get("warnings", [])) == ("moved", []), done
    assert waits.finish().status == 0, waits.output()


def test_guest_processes_leave_and_come_home_beside_domains(lab: Lab, hosts: list[str], tmp_path: pathlib.Path) -> None:
    mute = lab.create_bare_guest(SOURCE, "mute", monitor="none", nic="user", extra=("-S",), wait=False)
    web = lab.create_guest(SOURCE, "qcow2", "web01")
    mail = lab.create_bare_guest(
        SOURCE, "mail 1", style="blockdev", machine="q35", monitor="both", disks=(Disk("raw"), Disk()), fill_mib=16
    )
    common = lab.create_bare_guest(SOURCE, "common", monitor="hmp", disks=(Disk(shared=True),), unit="lab-common")
    guests: list[Guest] = [web, mail, common]
    unit = make_still(lab)
    for host in lab.hosts:
        mail.make_tap(host)
        common.make_tap(host)

    def places() -> list[dict[str, str]]:
        return [guest.where() for guest in guests]

    def still_on() -> list[str]:
        found = ((host.name, host.run(["systemctl", "cat", unit], check=False).returncode) for host in lab.hosts)
        return [name for name, status in found if status == 0]

    empty = {"evacuate_source": SOURCE, "evacuate_destinations": "kvm"}
    run = start(lab, "evacuate", evacuate_report_dir=str(tmp_path / "none"), **empty)
    assert run.status != 0
    assert "mute cannot move, so nothing was started" in run.output
    assert "It has no monitor on a socket" in run.output
    assert places() == [{SOURCE: "running"}] * 3
    mute.remove()

    with lab.watch(guests) as watcher:
        offline = {"name": "may stop", "match": "name == 'mail 1'", "method": "offline", "may_stop": True}
        service = {"type": "ping", "address": common.address}
        out = as_announced(
            lab,
            "evacuate",
            places,
            evacuate_policies=[offline],
            evacuate_services={"common": service},
            evacuate_report_dir=str(tmp_path / "out"),
            **empty,
        )
        assert "guest process, asked for" in out.output
        assert "guest process, it is shutoff" in out.output
        assert SOURCE not in still_on()
        assert [list(place.values()) for place in places()] == [["running"]] * 3
        assert not any(SOURCE in place for place in places())
        told = report(tmp_path / "out")
        assert (told["status"], told["problems"]) == ("complete", [])
        assert {one["domain"]: (one["kind"], one["method"]) for one in told["outcomes"]} == {
            "web01": ("domain", "live_block"),
            "mail 1": ("process", "offline"),
            "common": ("process", "live_shared"),
            "still": ("process", "offline"),
        }
        by_name = {one["domain"]: one for one in told["outcomes"]}
        # One queue for both kinds: no guest process waits until the domains are through.
        through = by_name["web01"]["started"] + by_name["web01"]["seconds"]
        assert min(one["started"] for one in told["outcomes"] if one["kind"] == "process") < through
        assert [by_name[name]["downtime_ms"] is not None for name in ("web01", "common", "mail 1", "still")] == [
            True,
            True,
            False,
            False,
        ]
        assert by_name["mail 1"]["stopped_seconds"] > 0
        assert by_name["still"]["stopped_seconds"] is None
        assert by_name["common"]["service"]["back"]

        (ticket,) = (tmp_path / "out").glob("*/return-ticket.json")
        home = {"evacuate_return_ticket": str(ticket), "evacuate_report_dir": str(tmp_path / "home")}
        packed = {"evacuate_compression": "zlib", "evacuate_parallel_connections": 2}
        as_announced(lab, "restore", places, **packed, **home)
        assert places() == [{SOURCE: "running"}] * 3
        assert still_on() == [SOURCE]
        lab.host(SOURCE).run(["qemu-io", "-f", "qcow2", "-c", "read -q -P 5 1M 64k", f"{IMAGES}/still.qcow2"])
        back = report(tmp_path / "home")
        assert back["status"] == "complete"
        assert {one["domain"]: one["method"] for one in back["outcomes"]}["mail 1"] == "live_block"

        tap = mail.make_tap(lab.host(hosts[1]), "elsewhere1")
        as_announced(
            lab,
            "migrate_block",
            places,
            block_names=["web01", mail.uuid],
            block_source="kvm",
            block_destination=hosts[1],
            block_mapping={"taps": {mail.tap: tap}},
            block_report_dir=str(tmp_path / "listed"),
        )
        assert places() == [{hosts[1]: "running"}, {hosts[1]: "running"}, {SOURCE: "running"}]
        (words,) = mail.processes(lab.host(hosts[1])).values()
        assert any(f"ifname={tap}" in word for word in words)
        a_domain_waits_for_a_guest_process(lab, web, mail, tap, hosts[1])
        assert places() == [{SOURCE: "running"}] * 3
        seen = watcher.fresh()["guests"]
    for guest in guests:
        assert not seen[guest.name]["two_copies"], seen[guest.name]["evidence"]
        assert lab.verify(guest, SOURCE, seen[guest.name]["acknowledged"]).clean
