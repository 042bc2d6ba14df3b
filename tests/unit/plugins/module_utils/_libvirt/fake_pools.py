# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with storage pools, in memory: they do what they are told, and note it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import Ownership
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import Ground, PoolDefinition, PoolFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import Room, VolumeFacts, VolumeWanted
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import new_element, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.pools import pool_definition

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
MADE_UP = "11111111-2222-4333-8444-555555555555"


class FakePools:
    """Stands in for PoolGateway. ``live`` is the document that an active pool runs with, where it is not the saved one."""

    host = "kvm1"

    def __init__(self, *pools: tuple[PoolFacts, str]) -> None:
        self.pools = {facts.name: (facts, with_uuid(xml, facts.uuid)) for facts, xml in pools}
        self.live: dict[str, str] = {}
        self.grounds: dict[str, Ground] = {}
        self.types = {"dir", "netfs", "logical"}
        self.answer = "open"
        self.groups: set[str] | None = None
        self.open: tuple[str, ...] = ()
        self.calls: list[str] = []

    def close(self) -> None:
        self.calls.append("close")

    def find(self, name: str) -> PoolFacts | None:
        return self.pools[name][0] if name in self.pools else None

    def all(self) -> list[PoolFacts]:
        return [facts for facts, unused in self.pools.values()]

    def definition(self, pool: PoolFacts, *, live: bool = False) -> str:
        return self.live.get(pool.name, self.pools[pool.name][1]) if live else self.pools[pool.name][1]

    def normalize(self, xml: str) -> str:
        return with_uuid(xml, MADE_UP)

    def supported(self, kind: str) -> bool:
        return kind in self.types

    def ground(self, wanted: PoolDefinition) -> Ground:
        return self.grounds.get(wanted.path or "", Ground(False))

    def server_answer(self, wanted: PoolDefinition) -> str:
        return self.answer

    def has_group(self, wanted: PoolDefinition) -> bool:
        return wanted.type != "logical" or self.groups is None or wanted.source_name in self.groups

    def opened(self, pool: PoolFacts) -> tuple[str, ...]:
        return self.open

    def define(self, xml: str) -> PoolFacts:
        definition = pool_definition(xml)
        before = self.find(definition.name) or PoolFacts(definition.name, UUID, definition)
        if before.active:
            self.live.setdefault(definition.name, self.pools[definition.name][1])
        facts = dataclasses.replace(before, definition=definition, persistent=True)
        self.pools[definition.name] = (facts, with_uuid(xml, facts.uuid))
        self.calls.append("define")
        return facts

    def create_folder(self, pool: PoolFacts) -> None:
        self.grounds[pool.definition.path or ""] = Ground(True)
        self.calls.append("create folder")

    def start(self, pool: PoolFacts) -> None:
        self._change(pool, "start", active=True, mounted=self.pools[pool.name][0].definition.mount_source)

    def stop(self, pool: PoolFacts) -> None:
        self.live.pop(pool.name, None)
        self._change(pool, "stop", active=False, mounted=None)

    def undefine(self, pool: PoolFacts) -> None:
        del self.pools[pool.name]
        self.calls.append("undefine")

    def set_autostart(self, pool: PoolFacts, *, on: bool) -> None:
        self._change(pool, "set autostart", autostart=on)

    def _change(self, pool: PoolFacts, call: str, **values: t.Any) -> None:
        facts, xml = self.pools[pool.name]
        self.pools[pool.name] = (dataclasses.replace(facts, **values), xml)
        self.calls.append(call)


def with_uuid(xml: str, uuid: str) -> str:
    """``xml`` with a UUID, as libvirt gives one to what has none."""
    root = parse(xml)
    if root.find("uuid") is None:
        root.insert(1, new_element("uuid", text=uuid))
    return t.cast(str, render(root))


class FakeVolumes:
    """Stands in for the gateway of storage_volume: one pool, with the volumes that it is given."""

    host = "kvm1"

    def __init__(self, *volumes: VolumeFacts, room: Room | None = None) -> None:
        self.there = {volume.name: volume for volume in volumes}
        self.given = room or Room("dir", 1 << 30)
        self.busy: Exception | None = None
        self.sizes = {"/srv/base": 4096}
        self.calls: list[str] = []

    def close(self) -> None:
        self.calls.append("close")

    def pool(self, name: str) -> PoolFacts:
        return PoolFacts(name, UUID, PoolDefinition(name, self.given.pool_type, "/srv"), active=True)

    def active_pools(self) -> list[str]:
        return ["default"]

    def volumes(self, pool: PoolFacts) -> list[VolumeFacts]:
        return list(self.there.values())

    def find(self, pool: PoolFacts, name: str) -> VolumeFacts | None:
        return self.there.get(name)

    def room(self, pool: PoolFacts) -> Room:
        return self.given

    def backing_capacity(self, path: str, form: str | None) -> int:
        return self.sizes[path]

    def check_free(self, volume: VolumeFacts) -> None:
        if self.busy is not None:
            raise self.busy

    def create(self, pool: PoolFacts, wanted: VolumeWanted, room: Room) -> None:
        owned = wanted.ownership
        self.there[wanted.name] = VolumeFacts(
            wanted.name,
            pool.name,
            f"/srv/{wanted.name}",
            format=wanted.format or "qcow2",
            capacity=wanted.capacity or 0,
            backing=wanted.backing,
            backing_format=wanted.backing_format,
            owner=owned.owner,
            group=owned.group,
            mode=None if owned.mode is None else f"{owned.mode:04o}",
        )
        self.calls.append("create")

    def grow(self, pool: PoolFacts, volume: VolumeFacts, capacity: int) -> None:
        self.there[volume.name] = dataclasses.replace(volume, capacity=capacity)
        self.calls.append("grow")

    def own(self, volume: VolumeFacts, wanted: Ownership) -> None:
        now = self.there[volume.name]
        mode = now.mode if wanted.mode is None else f"{wanted.mode:04o}"
        owner = now.owner if wanted.owner is None else wanted.owner
        self.there[volume.name] = dataclasses.replace(now, owner=owner, mode=mode)
        self.calls.append("own")

    def delete(self, pool: PoolFacts, volume: VolumeFacts) -> None:
        del self.there[volume.name]
        self.calls.append("delete")
