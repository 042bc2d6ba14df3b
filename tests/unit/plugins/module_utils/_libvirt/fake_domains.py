# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with one domain at most, in memory: it does what it is told, and notes it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.definition import Normalized
from ansible_collections.virtops.kvm.plugins.module_utils._model.lifecycle import Leftovers, Present
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.carry import names_of

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
MADE_UP = "11111111-2222-4333-8444-555555555555"
DOCUMENT = (
    "<domain type='kvm'><name>web</name><memory>1024</memory>"
    "<devices><graphics type='vnc' passwd='geheim12'/></devices></domain>"
)


class FakeClock:
    """Time that only passes by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class FakeDomains:
    """Stands in for DomainGateway. ``deaf`` guests do not shut down; ``refuses`` is what libvirt has against documents."""

    host = "kvm1"

    def __init__(self, domain: Present | None = None, xml: str = "", *, deaf: bool = False) -> None:
        self.domain, self.xml, self.deaf = domain, xml, deaf
        self.clock = FakeClock()
        self.calls: list[str] = []
        self.refuses: str | None = None
        self.reason: str | None = None
        self.ignored: str | None = None

    def close(self) -> None:
        self.calls.append("close")

    def find(self, name: str) -> Present | None:
        return self.domain if self.domain is not None and name in (self.domain.name, self.domain.uuid) else None

    def unknown(self, name: str) -> KvmError:
        return KvmError("DOMAIN_NOT_FOUND", f"There is no domain '{name}'.")

    def definition(self, domain: Present) -> str:
        return self.xml

    def state(self, domain: Present) -> str | None:
        return self.domain.state if self.domain else None

    def exact(self) -> str | None:
        return self.reason

    def objection(self, xml: str) -> str | None:
        return self.refuses

    def normalize(self, xml: str, validate: bool = False) -> Normalized:
        if self.refuses:
            return Normalized(error=self.refuses, code=27)
        root = parse(xml)
        if root.find("uuid") is None:
            root.insert(1, parse(f"<uuid>{MADE_UP}</uuid>"))
        return Normalized(xml=render(root), ignored=self.ignored)

    def define(self, xml: str) -> Present:
        self.calls.append("define")
        self.xml = str(self.normalize(xml).xml)
        name, uuid = names_of(self.xml)
        self.domain = dataclasses.replace(self.domain or Present(name, uuid, "shutoff"), persistent=True)
        return self.domain

    def _becomes(self, call: str, **values: t.Any) -> None:
        assert self.domain is not None
        self.calls.append(call)
        self.domain = dataclasses.replace(self.domain, **values)

    def start(self, domain: Present, *, paused: bool = False) -> None:
        self._becomes(
            "start paused" if paused else "start", state="paused" if paused else "running", managed_save=False
        )

    def resume(self, domain: Present) -> None:
        self._becomes("resume", state="running")

    def wake_up(self, domain: Present) -> None:
        self._becomes("wake up", state="running")

    def pause(self, domain: Present) -> None:
        self._becomes("pause", state="paused")

    def save(self, domain: Present) -> None:
        self._becomes("save", state="shutoff", managed_save=True)

    def delete_saved_state(self, domain: Present) -> None:
        self._becomes("delete saved state", managed_save=False)

    def shut_down(self, domain: Present) -> None:
        self._becomes("shut down", **({} if self.deaf else {"state": "shutoff"}))

    def kill(self, domain: Present) -> None:
        self._becomes("kill", state="shutoff")

    def set_autostart(self, domain: Present, *, on: bool) -> None:
        self._becomes(f"autostart {on}", autostart=on)

    def undefine(self, domain: Present, leftovers: Leftovers) -> None:
        self.calls.append(f"undefine {leftovers.nvram}")
        self.domain = None
