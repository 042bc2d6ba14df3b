# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real NFS from bare hosts to proven storage, and what people lose days to. In one file, as one lab serves all, in this order."""

from __future__ import annotations

import time
import typing as t

from tests.integration.ansible_runs import run_module
from tests.integration.moves import job, move, start_move, still_here
from tests.integration.nfs import exports
from tests.integration.nfs.fleet import (
    EXPORT,
    ISO,
    PATIENCE,
    POOL,
    SHARED,
    changes,
    configure,
    content,
    evacuate,
    inventory_of,
    migrate,
    outcomes,
    pool,
    said,
    script,
)
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    import pathlib

    from tests.integration.ansible_runs import Run
    from tests.lab import Guest, Lab
    from tests.lab.host import Host


def test_bare_hosts_get_proven_storage_and_a_second_run_changes_nothing(vm_lab: Lab, first: Run) -> None:
    assert first.status == 0, first.output
    server, here, there = vm_lab.servers[0], *vm_lab.hosts
    assert changes(first).keys() == {server.name, here.name, there.name}
    for host, other in ((here, there), (there, here)):
        assert f"{SHARED} on {host.name} is {server.address}:{EXPORT}. QEMU's user (64055:64055) makes files" in said(
            first
        )
        (seen,) = (one for one in first.results("storage_contract_info", host.name) if "seen" in one["report"])
        assert [(one["host"], one["refused"]) for one in seen["report"]["seen"]] == [(other.name, True)]
        assert "type nfs4" in script(host, 'mount | grep " on $1 "', SHARED)
        assert "yes" in script(host, 'virsh pool-info "$1" | grep Autostart', POOL)
    assert script(server, 'find "$1" -mindepth 1', EXPORT) == ""
    assert script(server, "cat /proc/fs/nfsd/versions").split()[0] == "-3"

    again = configure(vm_lab)
    assert (again.status, again.changed) == (0, 0), again.output


def test_what_was_changed_by_hand_is_put_right(shared: Lab) -> None:
    server, here, there = shared.servers[0], *shared.hosts
    here.virsh("pool-autostart", POOL, "--disable")
    there.virsh("pool-destroy", POOL)
    there.virsh("pool-undefine", POOL)
    script(server, 'exportfs -o ro,insecure "$1:$2"; chmod 700 "$2"; rpc.nfsd 3', there.address, EXPORT)

    run = configure(shared)
    assert run.status == 0, run.output
    (corrected,) = run.results("nfs_export", server.name)
    (client,) = (one for one in corrected["results"][0]["changes"] if one["action"] == "correct")
    assert "insecure" in client["before"]
    assert {host: run.results("storage_pool", host)[0]["changed"] for host in (here.name, there.name)} == {
        here.name: True,
        there.name: True,
    }
    assert script(server, 'stat -c "%u:%g %a" "$1"; cat /proc/fs/nfsd/threads', EXPORT).split() == [
        "64055:64055",
        "751",
        "16",
    ]
    exports.agree(shared)


def test_exportfs_prints_what_was_asked(shared: Lab) -> None:
    exports.prints_what_was_asked(shared)


def test_paths_that_differ_are_told_before_anything_is_changed(shared: Lab, tmp_path: pathlib.Path) -> None:
    first, second = shared.hosts
    run = configure(shared, "-i", inventory_of(tmp_path, second, shared_storage_path="/srv/elsewhere"))
    assert run.status != 0
    assert run.changed == 0
    told = f"{second.name} would mount the storage at /srv/elsewhere, and {first.name} at {SHARED}."
    assert told in said(run), run.output


def test_root_squash_with_a_foreign_owner_fails_the_proof_with_its_remedy(shared: Lab) -> None:
    server, path = shared.servers[0], "/srv/squashed"
    export = {
        "path": path,
        "owner": "root",
        "group": "root",
        "mode": "0755",
        "clients": [{"client": host.address} for host in shared.hosts],
        "options": ["rw", "sync", "no_subtree_check", "root_squash"],
    }
    asked = {f"shared_storage_{name}": path for name in ("path", "export")}
    run = configure(shared, nfs_server_exports=[export], shared_storage_pool="squashed", **asked)
    try:
        assert run.status != 0
        for host in shared.hosts:
            (failed,) = (one for one in run.results("storage_contract_info", host.name) if one["failed"])
            assert failed["error_code"] == "QEMU_CANNOT_CREATE", failed["msg"]
            told = f"on {host.name} cannot make a file in {path} ({server.address}:{path} (nfs4)): Permission denied"
            assert told in failed["msg"]
            assert "belongs to 0:0 with mode 0755" in failed["msg"]
            assert "chown 64055:64055" in failed["msg"]
        script(server, 'chown 64055:64055 "$1"', path)
        proof = {"path": path, "run": "remedy", "host": shared.hosts[0].name}
        begun = run_module(shared.inventory, shared.hosts[0].name, "storage_contract_info", {**proof, "stage": "begin"})
        assert (begun["failed"], begun["report"]["root"]["outcome"]) == (False, "refused"), begun
        run_module(shared.inventory, shared.hosts[0].name, "storage_contract_info", {**proof, "stage": "end"})
        assert script(server, 'find "$1" -mindepth 1', path) == ""
    finally:
        for host in shared.hosts:
            run_module(shared.inventory, host.name, "storage_pool", {"name": "squashed", "state": "absent"})
        run_module(shared.inventory, server.name, "nfs_export", {"path": path, "state": "absent"})


def test_a_guest_with_a_medium_goes_and_comes_back_and_the_pause_is_told(
    shared: Lab, guests: dict[str, Guest], tmp_path: pathlib.Path
) -> None:
    here, there = (host.name for host in shared.hosts)
    web = guests["web"]
    # A guest on an emulated host is slow to answer, and questions that come faster than that only line up.
    service = {"type": "ping", "address": web.address, "interval": 1, "timeout": 60}
    with shared.watch([web]) as watcher:
        for destination in (there, here):
            reports = tmp_path / destination
            run = migrate(shared, reports, destination, live_domains=[web.name], live_services={web.name: service})
            assert run.status == 0, run.output
            assert web.where() == {destination: "running"}
            told = outcomes(reports)[web.name]
            assert (told["method"], told["disk_bytes"]) == ("live_shared", 0)
            assert told["service"]["back"]
            assert 0 < told["service"]["answered"] <= told["service"]["asked"]
            (page,) = reports.glob("*/report.md")
            assert f"the service ping {web.address} did not answer" in page.read_text("utf-8")
        web.wait_beating()
        seen = watcher.fresh()["guests"][web.name]
    assert not seen["two_copies"], seen["evidence"]
    verdict = shared.verify(web, here, seen["acknowledged"])
    assert verdict.clean, verdict
    assert verdict.acknowledged > 0


def test_an_evacuation_takes_the_right_method_for_each(
    shared: Lab, web: Guest, guests: dict[str, Guest], tmp_path: pathlib.Path
) -> None:
    here, there = shared.hosts
    guests["local"].start(wait=False)
    copied = ("local", "cellar")
    before = {name: content(guests[name], here) for name in copied}
    wanted = {"web": "live_shared", "local": "live_block", "archive": "offline", "cellar": "offline"}

    assert web.running_on() == guests["local"].running_on() == [here.name]
    # That check mode announces just this is shown on hosts that are not emulated (test_evacuate.py, test_shared.py).
    with shared.watch([web]) as watcher:
        run = evacuate(shared, tmp_path, here.name)
        assert run.status == 0, run.output
        plan = run.result("evacuation_plan")["plan"]
        assert {one["domain"]: one["method"] for one in plan["moves"]} == wanted
        assert {name: guest.where() for name, guest in guests.items()} == {
            "web": {there.name: "running"},
            "local": {there.name: "running"},
            "archive": {there.name: "shut off"},
            "cellar": {there.name: "shut off"},
        }
        told = outcomes(tmp_path)
        assert {name: told[name]["method"] for name in guests} == wanted
        assert {name for name in guests if told[name]["disk_bytes"]} == set(copied)
        assert {name: content(guests[name], there) for name in copied} == before
        web.wait_beating()
        seen = watcher.fresh()["guests"][web.name]
    assert not seen["two_copies"], seen["evidence"]
    verdict = shared.verify(web, there, seen["acknowledged"])
    assert verdict.clean, verdict


def test_an_export_that_a_guest_uses_is_not_removed(shared: Lab, guests: dict[str, Guest]) -> None:
    server = shared.servers[0]
    before = script(server, "exportfs -s")
    refused = run_module(shared.inventory, server.name, "nfs_export", {"path": EXPORT, "state": "absent"})
    assert (refused["failed"], refused["error_code"]) == (True, "EXPORT_IN_USE"), refused
    assert guests["web"].host().address in refused["msg"]
    assert "images/web.qcow2" in refused["msg"]
    assert "cut_off_clients" in refused["msg"]
    assert script(server, "exportfs -s") == before


def test_no_guest_moves_where_paths_differ(shared: Lab, web: Guest, apart: Host) -> None:
    """The pool of the other host is at another path."""
    place, pid = web.host().name, web.qemu_pid(web.host())
    options = {**pool(shared), "path": "/srv/elsewhere"}
    assert run_module(shared.inventory, apart.name, "storage_pool", options)["changed"]
    failed = move(shared, web, place, apart.name, method="live_shared")
    assert failed["error_code"] == "STORAGE_NOT_SHARED", failed["msg"]
    assert web.disks[0] in failed["msg"]
    still_here(web, place, pid)


def test_a_server_that_is_down_is_told_and_nothing_is_changed(shared: Lab, web: Guest, apart: Host) -> None:
    server = shared.servers[0]
    place, pid = web.host().name, web.qemu_pid(web.host())
    shared.fault.link(server.name, up=False)
    try:
        run = configure(shared, shared_storage_server_host=None, shared_storage_server=server.address)
        assert run.status != 0
        assert run.changed == 0
        for host in shared.hosts:
            (failed,) = (one for one in run.results("storage_contract_info", host.name) if one["failed"])
            assert failed["error_code"] == "SERVER_SILENT", failed["msg"]
            assert f"{server.address}:{EXPORT} is down, or cannot be reached" in failed["msg"]
        new = {**pool(shared), "name": "second", "path": "/srv/second", "source_path": "/srv/second"}
        refused = run_module(shared.inventory, apart.name, "storage_pool", new)
        assert refused["error_code"] == "STORAGE_SERVER_UNREACHABLE", refused["msg"]
        assert server.address in refused["msg"]
        assert apart.virsh("pool-list", "--all", "--name").split() == ["default", POOL]
    finally:
        shared.fault.link(server.name, up=True)
    still_here(web, place, pid)


def test_a_server_that_goes_down_while_a_guest_moves_costs_time_alone(shared: Lab, web: Guest, apart: Host) -> None:
    server, place = shared.servers[0], web.host().name
    with shared.watch([web]) as watcher:
        started = start_move(shared, web, place, apart.name, method="live_shared", bandwidth=1)

        def sending() -> bool:
            assert started.process.poll() is None, started.output()
            return job(shared, web, place) == "Unbounded"

        wait_for("memory to be sent", sending, PATIENCE, 1)
        shared.fault.link(server.name, up=False)
        try:
            time.sleep(60)
        finally:
            shared.fault.link(server.name, up=True)
        run = started.finish(PATIENCE)
        web.wait_beating()
        seen = watcher.fresh()["guests"][web.name]
    result = run.result("domain_migration")
    assert not result["failed"], result
    assert web.where() == {apart.name: "running"}
    assert not seen["two_copies"], seen["evidence"]
    verdict = shared.verify(web, apart, seen["acknowledged"])
    assert verdict.clean, verdict


def test_another_server_at_the_same_path_is_caught(
    shared: Lab, web: Guest, rival: Host, tmp_path: pathlib.Path
) -> None:
    run = configure(shared, "-i", inventory_of(tmp_path, rival, shared_storage_server=rival.address))
    assert run.status != 0
    sources = {host.name: f"{shared.servers[0].address}:{EXPORT} (nfs4)" for host in shared.hosts}
    sources[rival.name] = f"{rival.address}:{EXPORT} (nfs4)"
    for host, other in (shared.hosts, shared.hosts[::-1]):
        (failed,) = (one for one in run.results("storage_contract_info", host.name) if one["failed"])
        assert failed["error_code"] == "NOT_SHARED", failed["msg"]
        assert f"{host.name} has {sources[host.name]} there, {other.name} has {sources[other.name]}." in failed["msg"]
    assert script(rival, 'find "$1" -mindepth 1', EXPORT) == ""

    place, pid = web.host().name, web.qemu_pid(web.host())
    asked = {"method": "live_shared", "destination_label": rival.name}
    refused = move(shared, web, place, rival.name, **asked)
    assert refused["error_code"] == "PREFLIGHT_FAILED", refused["msg"]
    told = f"disk vda ({web.disks[0]}) would not be copied, and the destination does not have it."
    assert told in refused["msg"]
    assert "1 more: MEDIA_MISSING" in refused["msg"]

    # An old copy of everything there, as a backup is: all names are the same.
    for path in (web.disks[0], ISO):
        script(rival, 'echo old > "$1/${2##*/}"', EXPORT, path)
    refused = move(shared, web, place, rival.name, **asked)
    assert refused["error_code"] == "STORAGE_NOT_SHARED", refused["msg"]
    assert f"a file that {rival.name} made in {SHARED} is not seen" in refused["msg"]
    still_here(web, place, pid)
    left = script(rival, 'cd "$1"; tail -n +1 *', EXPORT)
    assert left.split() == ["==>", "tools.iso", "<==", "old", "==>", "web.qcow2", "<==", "old"]
