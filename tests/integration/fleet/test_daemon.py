# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt_daemon beside real guests: a restart where settings need it, which no guest notices, and none while one moves."""

from __future__ import annotations

import typing as t

from tests.integration.ansible_runs import module_play, run_playbook, run_tasks_of
from tests.integration.moves import SLOW, arrived, slow_guest, start_move, wait_mirroring

if t.TYPE_CHECKING:
    from tests.lab import Lab


def bring(lab: Lab, names: list[str]) -> dict[str, dict[str, t.Any]]:
    """Run libvirt_daemon on several hosts at the same time; gives the result of each."""
    run = run_playbook(lab.inventory, module_play(":".join(names), "libvirt_daemon", {}))
    return {name: run.result("libvirt_daemon", name) for name in names}


def test_a_daemon_is_restarted_for_its_settings_and_never_in_the_middle_of_a_move(lab: Lab, hosts: list[str]) -> None:
    source, destination = ends = hosts[:2]
    guest = slow_guest(lab, source)
    assert not any(one["failed"] for one in bring(lab, ends).values())
    assert not any(one["changed"] for one in bring(lab, ends).values())

    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    for name in ends:
        lab.host(name).run(["touch", "/etc/libvirt/qemu.conf"])
    refused = bring(lab, ends)
    assert {one["error_code"] for one in refused.values()} == {"DAEMON_BUSY"}, refused
    assert all(guest.name in one["details"]["jobs"] for one in refused.values()), refused
    moved = started.finish().result("domain_migration")
    assert not moved["failed"], moved["msg"]

    pid = guest.qemu_pid(lab.host(destination))
    with lab.watch([guest]) as watcher:
        done = bring(lab, ends)
        told = {name: [(one["object"], one["action"]) for one in result["changes"]] for name, result in done.items()}
        assert told == {name: [("libvirtd.service", "restart")] for name in ends}, done
        seen = watcher.fresh()["guests"][guest.name]
    assert guest.qemu_pid(lab.host(destination)) == pid
    assert not seen["two_copies"], seen["evidence"]
    assert not any(one["changed"] for one in bring(lab, ends).values())
    arrived(guest, destination)


def test_a_role_that_sets_something_restarts_the_daemon_by_the_same_rules_and_once(lab: Lab, hosts: list[str]) -> None:
    host, conf = lab.host(hosts[0]), "/etc/libvirt/qemu.conf"
    before = host.read(conf)
    asked = {"shared_storage_dynamic_ownership": True, "shared_storage_remember_owner": False}

    def changed(*arguments: str) -> int:
        run = run_tasks_of(lab.inventory, host.name, "shared_storage", "settings", *arguments, extra_vars=asked)
        assert run.status == 0, run.output
        return run.changed

    assert not bring(lab, hosts[:1])[host.name]["failed"]
    try:
        assert changed("--check") == 2
        assert host.read(conf) == before
        assert changed() == 2
        written = host.read(conf).splitlines()
        assert {"dynamic_ownership = 1", "remember_owner = 0"} <= set(written)
        assert {line for line in before.splitlines() if line and not line.startswith("#")} <= set(written)
        assert changed() == 0
    finally:
        host.write(conf, before)
        bring(lab, hosts[:1])
