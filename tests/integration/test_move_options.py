# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of domain_migration do in QEMU what they say: encryption, parallel streams, compression, the ramp of the pause,
auto-converge, and each action at the time limit; the guest beats afterwards, and no record is lost."""

from __future__ import annotations

import os
import signal
import typing as t

import pytest

from tests.integration.ansible_runs import run_module
from tests.integration.moves import arrived, move, nothing_left, stage, start_move, still_here
from tests.integration.moves import options as move_options
from tests.integration.observe import Observer, Seen, Tap
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.guest import Guest

#: A word of the kernel's command line, which is in the memory of every guest, and one that is in each record on its disk.
IN_MEMORY, ON_DISK = "lab.records=", "VKR1"
#: Pages per second: with BUSY a guest dirties memory faster than CALM MiB/s can carry, by which one pass takes a quarter of a minute.
BUSY, CALM = 6000, 5
#: libvirt's numbers: the state of a domain, and the event of one that goes on elsewhere.
PAUSED, SUSPENDED_POSTCOPY = 3, (3, 7)


def by_tls(lab: Lab, host: str) -> dict[str, str]:
    return {"destination": f"qemu+tls://{lab.host(host).address}/system"}


@pytest.fixture
def certificates(lab: Lab, hosts: list[str]) -> t.Iterator[None]:
    """Certificates for the first host alone."""
    lab.pki.install(hosts[0])
    yield
    lab.pki.remove()


def moved(lab: Lab, guest: Guest, here: str, there: str, **more: t.Any) -> tuple[dict[str, t.Any], Seen]:
    """A move that succeeds: its result, and what was seen of it on the source."""
    with Observer(lab, guest, here) as observer:
        result = run_module(lab.inventory, here, "domain_migration", {**move_options(lab, guest, there), **more})
    assert not result.get("failed"), result["msg"]
    arrived(guest, there)
    return result, observer.now


def test_tls_leaves_nothing_readable_on_the_wire(lab: Lab, hosts: list[str], certificates: None) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2", size_mib=64)
    options: dict[str, t.Any] = {"tls": True, "bandwidth": 24, "source_disks": "delete"}
    failed = move(lab, guest, source, destination, tls=True)
    # Where a disk is copied, libvirt 11 sometimes loses the destination's words.
    assert failed["error_code"] in ("TLS_UNAVAILABLE", "MOVE_FAILED"), failed["msg"]
    still_here(guest, source)
    nothing_left(lab, guest, destination)

    lab.pki.install(destination)
    with lab.watch([guest]) as watcher:
        with Tap(lab, source, IN_MEMORY, ON_DISK) as tap:
            result, seen = moved(lab, guest, source, destination, **options, **by_tls(lab, destination))
        assert result["method"] == "live_block"
        assert seen.values("tls-creds")[-1].startswith("objlibvirt_migrate_tls"), seen.values("tls-creds")
        assert len(tap.streams) == 2, tap.streams
        assert not any(count["marked"] for count in tap.streams.values()), tap.streams

        # The way back in clear, so that this test is known to see what it looks for.
        with Tap(lab, source, IN_MEMORY, ON_DISK) as tap:
            _result, seen = moved(lab, guest, destination, source, **{**options, "tls": False}, migration_port=49200)
        assert not any(seen.values("tls-creds"))
        assert len(tap.streams) == 2, tap.streams
        assert "49200" in tap.streams
        assert all(count["marked"] for count in tap.streams.values()), tap.streams
        acknowledged = watcher.fresh()["guests"][guest.name]["acknowledged"]
    assert lab.verify(guest, source, acknowledged).clean


def test_streams_compression_and_the_pause_are_as_asked(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "shared", dirty=100)
    with lab.watch([guest]) as watcher:
        _result, seen = moved(lab, guest, source, destination, parallel_connections=3, compression="zstd", bandwidth=16)
        assert "multifd" in seen.able
        assert (seen.values("multifd-channels")[-1], seen.values("multifd-compression")[-1]) == (3, "zstd")
        assert max(look["now"]["ram"]["multifd-bytes"] for look in seen.looks if "ram" in look["now"]) > 0

        ramp = {"downtime_start": 40, "max_downtime": 200, "downtime_steps": 4, "downtime_delay": 1}
        guest.set_dirty_rate(BUSY)
        _result, seen = moved(lab, guest, destination, source, compression="xbzrle", bandwidth=CALM, **ramp)
        assert "xbzrle" in seen.able
        assert seen.completed["compression_cache_misses"] + seen.completed["compression_pages"] > 0, seen.completed
        limits = [limit for limit in seen.values("downtime-limit") if limit <= ramp["max_downtime"]]
        assert set(limits) <= {40, 80, 120, 160, 200}, limits
        assert limits == sorted(limits), limits
        assert len(limits) > 2, limits
        heard = watcher.fresh()["guests"][guest.name]
    assert not heard["two_copies"], heard["evidence"]
    assert lab.verify(guest, source, heard["acknowledged"]).clean


def throttled(seen: Seen) -> bool:
    return any((look["now"].get("cpu-throttle-percentage") or 0) > 0 for look in seen.looks)


def test_sigterm_of_the_controller_aborts_a_move_that_throttles_its_guest(lab: Lab, hosts: list[str]) -> None:
    """As a job scheduler ends a job; Ctrl-C is a SIGINT to all processes of the terminal."""
    source, destination = hosts[:2]
    # What it dirties is little, and is dirty again each time, also where a loaded machine hardly lets the guest run.
    guest = lab.create_guest(source, "shared", dirty=BUSY, area_mib=8)
    pid = guest.qemu_pid(lab.host(source))
    with Observer(lab, guest, source) as observer:
        started = start_move(lab, guest, source, destination, auto_converge=True, bandwidth=3, max_downtime=20)

        def slowed() -> bool:
            assert started.process.poll() is None, started.output()
            return throttled(observer.now)

        wait_for("QEMU to throttle the guest", slowed, 300, 0.5)
        os.kill(started.process.pid, signal.SIGTERM)
        assert started.finish().status != 0
        wait_for("the journal to say so", lambda: stage(lab, source, guest) == "undone", 120, 0.5)
    assert "auto-converge" in observer.now.able
    still_here(guest, source, pid)
    nothing_left(lab, guest, destination)


def test_each_action_at_the_time_limit(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "shared", dirty=BUSY)
    pid = guest.qemu_pid(lab.host(source))
    # Within as much time again the link carries all that the guest has in memory.
    endless: dict[str, t.Any] = {"bandwidth": 8, "timeout": 15, "max_downtime": 20}
    with lab.watch([guest]) as watcher:
        ended = move(lab, guest, source, destination, **{**endless, "timeout": 3})
        assert ended["error_code"] == "MOVE_TIMEOUT", ended["msg"]
        still_here(guest, source, pid)
        nothing_left(lab, guest, destination)

        result, seen = moved(lab, guest, source, destination, timeout_action="suspend", **endless)
        assert any(look["state"][0] == PAUSED and look["now"]["status"] == "active" for look in seen.looks)
        assert "suspend" in " ".join(result["move"]["warnings"])
        assert guest.where() == {destination: "running"}

        result, seen = moved(lab, guest, destination, source, timeout_action="postcopy", postcopy=True, **endless)
        assert "postcopy-ram" in seen.able
        assert SUSPENDED_POSTCOPY in seen.events, seen.events
        assert seen.completed["memory_postcopy_requests"] > 0, seen.completed
        assert "postcopy" in " ".join(result["move"]["warnings"])
        heard = watcher.fresh()["guests"][guest.name]
    assert not heard["two_copies"], heard["evidence"]
    assert lab.verify(guest, source, heard["acknowledged"]).clean
