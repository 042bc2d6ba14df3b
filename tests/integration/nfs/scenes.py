# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes with guests on real NFS that have yet to be played for the first time; each becomes a test of test_nfs.py when it has been.

`guests`, `web` and `apart` are fixtures of conftest.py.
"""

from __future__ import annotations

import time
import typing as t

from tests.integration.ansible_runs import run_module
from tests.integration.moves import job, move, start_move, still_here
from tests.integration.nfs.fleet import (
    EXPORT,
    PATIENCE,
    POOL,
    SHARED,
    changes,
    configure,
    evacuate,
    inventory_of,
    outcomes,
    pool,
    script,
)
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    import pathlib

    from tests.lab import Guest, Lab
    from tests.lab.host import Host


def an_evacuation_takes_the_right_method_for_each(
    shared: Lab, guests: dict[str, Guest], tmp_path: pathlib.Path
) -> None:
    here, there = (host.name for host in shared.hosts)
    guests["local"].start()
    with shared.watch([guests["web"], guests["local"]]) as watcher:
        run = evacuate(shared, tmp_path, here)
        assert run.status == 0, run.output
        assert {name: guest.where() for name, guest in guests.items()} == {
            "web": {there: "running"},
            "local": {there: "running"},
            "archive": {there: "shut off"},
            "cellar": {there: "shut off"},
        }
        told = outcomes(tmp_path)
        assert {name: told[name]["method"] for name in guests} == {
            "web": "live_shared",
            "local": "live_block",
            "archive": "offline",
            "cellar": "offline",
        }
        assert {name: told[name]["disk_bytes"] > 0 for name in guests} == {
            "web": False,
            "local": True,
            "archive": False,
            "cellar": True,
        }
        for name in ("web", "local"):
            guests[name].wait_beating()
        seen = watcher.fresh()["guests"]
    for name in ("web", "local"):
        assert not seen[name]["two_copies"], seen[name]["evidence"]
        verdict = shared.verify(guests[name], there, seen[name]["acknowledged"])
        assert verdict.clean, verdict


def no_guest_moves_where_paths_differ(shared: Lab, web: Guest, apart: Host) -> None:
    """The pool of the other host is at another path."""
    place, pid = web.host().name, web.qemu_pid(web.host())
    options = {**pool(shared), "path": "/srv/elsewhere"}
    assert run_module(shared.inventory, apart.name, "storage_pool", options)["changed"]
    failed = move(shared, web, place, apart.name, method="live_shared")
    assert failed["error_code"] == "STORAGE_NOT_SHARED", failed["msg"]
    assert web.disks[0] in failed["msg"]
    still_here(web, place, pid)


def another_server_at_the_same_path_is_caught(shared: Lab, web: Guest, apart: Host, tmp_path: pathlib.Path) -> None:
    """The host exports a folder of its own, to itself."""
    script(
        apart,
        """set -e
        apt-get -q -y install nfs-kernel-server >/dev/null
        systemctl start nfs-server
        mkdir -p "$2" && chown 64055:64055 "$2"
        exportfs -o rw,sync,no_subtree_check,all_squash,anonuid=64055,anongid=64055 "$1:$2"
        """,
        apart.address,
        EXPORT,
    )
    run = configure(shared, "-i", inventory_of(tmp_path, apart, shared_storage_server=apart.address))
    assert run.status != 0
    for host, other in (shared.hosts, shared.hosts[::-1]):
        (failed,) = (one for one in run.results("storage_contract_info", host.name) if one["failed"])
        assert failed["error_code"] == "NOT_SHARED", failed["msg"]
        sources = {one.name: (apart if one == apart else shared.servers[0]).address for one in (host, other)}
        assert f"{host.name} has {sources[host.name]}:{EXPORT} (nfs4) there" in failed["msg"]
        assert f"{other.name} has {sources[other.name]}:{EXPORT} (nfs4)" in failed["msg"]
    assert script(apart, 'find "$1" -mindepth 1', EXPORT) == ""

    place, pid = web.host().name, web.qemu_pid(web.host())
    told = move(shared, web, place, apart.name, method="live_shared")
    assert told["error_code"] == "PREFLIGHT_FAILED", told["msg"]
    assert f"disk vda ({web.disks[0]}) would not be copied, and the destination has other storage" in told["msg"]
    assert "1 more: MEDIA_MISSING" in told["msg"]
    # Who waves that aside is still refused by the proof.
    accepted = {"accept": ["STORAGE_NOT_SHARED", "MEDIA_MISSING"]}
    refused = move(shared, web, place, apart.name, method="live_shared", **accepted)
    assert refused["error_code"] == "STORAGE_NOT_SHARED", refused["msg"]
    assert f"a file that {apart.name} made in {SHARED} is not seen" in refused["msg"]
    still_here(web, place, pid)
    assert script(apart, 'find "$1" -mindepth 1', EXPORT) == ""


def a_server_that_is_down_is_told_and_nothing_is_changed(shared: Lab, web: Guest, apart: Host) -> None:
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


def a_server_that_goes_down_while_a_guest_moves_costs_time_alone(shared: Lab, web: Guest, apart: Host) -> None:
    server, place = shared.servers[0], web.host().name
    with shared.watch([web]) as watcher:
        started = start_move(shared, web, place, apart.name, method="live_shared", bandwidth=1)
        wait_for("memory to be sent", lambda: job(shared, web, place) != "" or started.process.poll() is not None, 900)
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


def an_export_that_goes_while_a_guest_uses_it_loses_nothing(shared: Lab, web: Guest) -> None:
    """The module refuses; where somebody did it by hand, the guest goes on once the export is back."""
    server, place = shared.servers[0], web.host()
    pid = web.qemu_pid(place)
    before = script(server, "exportfs -s")
    refused = run_module(shared.inventory, server.name, "nfs_export", {"path": EXPORT, "state": "absent"})
    assert (refused["failed"], refused["error_code"]) == (True, "EXPORT_IN_USE"), refused
    assert place.address in refused["msg"]
    assert "cut_off_clients" in refused["msg"]
    assert script(server, "exportfs -s") == before

    with shared.watch([web]) as watcher:
        script(server, 'exportfs -u "$1:$2"', place.address, EXPORT)
        run = configure(shared)
        assert run.status == 0, run.output
        assert changes(run) == {server.name: 1}
        still_here(web, place.name, pid)
        acknowledged = watcher.fresh()["guests"][web.name]["acknowledged"][0]

        def goes_on() -> bool:
            return bool(watcher.report()["guests"][web.name]["acknowledged"][0] > acknowledged)

        wait_for("the guest to write again", goes_on, 300)
        seen = watcher.fresh()["guests"][web.name]
    verdict = shared.verify(web, place, seen["acknowledged"])
    assert verdict.clean, verdict
