# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes on real NFS that passed when they were played one by one, and have not been run by pytest yet: the next tests of test_nfs.py.
``web`` is the guest on the NFS pool, ``apart`` the host where it does not run."""

from __future__ import annotations

import time
import typing as t

from tests.integration.ansible_runs import run_module
from tests.integration.moves import job, move, start_move, still_here
from tests.integration.nfs.fleet import EXPORT, PATIENCE, POOL, configure, pool
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Guest, Lab
    from tests.lab.host import Host


def no_guest_moves_where_paths_differ(shared: Lab, web: Guest, apart: Host) -> None:
    """The pool of the other host is at another path."""
    place, pid = web.host().name, web.qemu_pid(web.host())
    options = {**pool(shared), "path": "/srv/elsewhere"}
    assert run_module(shared.inventory, apart.name, "storage_pool", options)["changed"]
    failed = move(shared, web, place, apart.name, method="live_shared")
    assert failed["error_code"] == "STORAGE_NOT_SHARED", failed["msg"]
    assert web.disks[0] in failed["msg"]
    still_here(web, place, pid)


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
