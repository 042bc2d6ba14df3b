# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of two hosts, as repair_info reads them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import CreatedImage, Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import (
    HostState,
    Options,
    SeenDisk,
    SeenDomain,
    SeenGuestMove,
    SeenMove,
    Thing,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_plan import find

U = "11111111-2222-3333-4444-555555555555"
IMAGE = "/var/lib/libvirt/images/web.qcow2"
RUNS = Sighting("", found=True, uuid=U, name="web", state="running", reason="booted", persistent=True)
OFF = dataclasses.replace(RUNS, state="shutoff", reason="shutdown")
JOURNAL = Journal(
    "m", "web", U, "kvm1", "qemu+ssh://root@192.0.2.2/system", "kvm2", "live_block", "transfer", 1.0, 1.0, state="running",
    created_images=(CreatedImage(IMAGE, "/var/lib/libvirt/images", "qcow2", 1),),
)  # fmt: skip
RECORD = BareJournal(
    "g",
    "key",
    "old",
    "",
    "live_block",
    "transfer",
    1.0,
    1.0,
    "kvm1",
    "root@192.0.2.2",
    "kvm2",
    images=("/srv/old.raw",),
)
GUEST = BareSighting("kvm1", found=True, pid=7, state="running")
WAITS = BareSighting("kvm2", found=True, pid=9, state="inmigrate", ours=True)


def domain(seen: Sighting, host: str, inode: int = 5, written: float = 2.0) -> SeenDomain:
    """A domain with one disk, on a host."""
    return SeenDomain(dataclasses.replace(seen, host=host), (SeenDisk(IMAGE, written, inode),), (IMAGE,))


def host(number: int, *seen: Sighting, **more: t.Any) -> HostState:
    """One host with these domains."""
    name = f"kvm{number}"
    domains = tuple(domain(one, name, inode=number) for one in seen)
    return HostState(name, f"{name}.local", f"qemu+ssh://root@192.0.2.{number}/system", domains=domains, **more)


def moving(stage: str = "transfer", *, driven: bool = False, **more: t.Any) -> tuple[SeenMove, ...]:
    """The journal of a move from kvm1 to kvm2."""
    return (SeenMove(dataclasses.replace(JOURNAL, stage=stage, **more), driven),)


def guest_moving(stage: str = "transfer", here: BareSighting = GUEST, **more: t.Any) -> tuple[SeenGuestMove, ...]:
    """The record of a guest process's move, and what the host shows of it."""
    return (SeenGuestMove(dataclasses.replace(RECORD, stage=stage), here, **more),)


def found(*states: HostState, unread: t.Sequence[str] = (), **options: t.Any) -> list[Thing]:
    """The things of these hosts."""
    return list(find(states, unread, Options(**options)))


def one(*states: HostState, **more: t.Any) -> Thing:
    """The only thing of these hosts."""
    things = found(*states, **more)
    assert len(things) == 1, things
    return things[0]
