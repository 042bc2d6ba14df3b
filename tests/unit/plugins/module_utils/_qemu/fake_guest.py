# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with one guest process at most, in memory; it counts what is done to it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.conflicts import Rival
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.departed import Departure
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_host import Image
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_plan import NewFile, Present
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import parse

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
SIZE = 1024**2


class FakeClock(Clock):
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class FakeGuests:
    """As GuestGateway. ``deaf`` guests hear no power button; ``broken`` says why a start fails."""

    def __init__(self, *, deaf: bool = False, broken: str = "", rivals: t.Sequence[Rival] = ()) -> None:
        self.clock = FakeClock()
        self.present = Present()
        self.images: dict[str, Image] = {"/srv/a.qcow2": Image("qcow2", SIZE), "/srv/cd.iso": Image("raw", SIZE)}
        self.calls: list[str] = []
        self.deaf, self.broken, self._rivals = deaf, broken, list(rivals)
        self.denied: set[str] = set()
        self.departed: list[Departure] = []

    def call(self, name: str, **changed: t.Any) -> None:
        self.calls.append(name)
        self.present = dataclasses.replace(self.present, **changed)

    # ---- reads ----

    def look(self, name: str) -> Present:
        return self.present

    def default_uuid(self, name: str) -> str:
        return UUID

    def user(self, asked: str | None) -> str:
        return asked or "qemu"

    def emulator(self, asked: str | None) -> str:
        return asked or "/usr/bin/qemu"

    def machine(self, emulator: str, asked: str) -> str:
        return {"q35": "pc-q35-10.0", "pc": "pc-i440fx-10.0"}.get(asked, asked)

    def ip(self) -> str:
        return "/sbin/ip"

    def interface(self, name: str) -> str | None:
        return {"br0": "bridge", "tap0": "tun"}.get(name)

    def real(self, path: str) -> str:
        return path

    def exists(self, path: str) -> bool:
        return path in self.images or path in ("/srv", "/srv/code.fd", "/srv/template.fd")

    def image(self, path: str, form: str) -> Image:
        return self.images[path]

    def may_use(self, user: str, path: str, *, write: bool) -> bool:
        return path not in self.denied

    def may_enter(self, user: str, folder: str) -> bool:
        return folder not in self.denied

    def rivals(self, own_pid: int | None) -> list[Rival]:
        return self._rivals

    def departures(self) -> list[Departure]:
        return self.departed

    def came_back(self, name: str, uuid: str) -> None:
        self.departed = [one for one in self.departed if not one.is_of(name, uuid)]

    def runs(self, name: str) -> bool:
        return self.present.run_state is not None

    # ---- mutators ----

    def make(self, new: NewFile, user: str) -> None:
        if new.path in self.images:
            raise InputError("disks", "it is there")
        self.images[new.path] = Image(new.format, new.size or SIZE)
        self.call(f"make {new.path}")

    def unmake(self, path: str) -> None:
        del self.images[path]
        self.call(f"unmake {path}")

    def define(self, name: str, text: str, *, persistent: bool) -> None:
        self.call("define", unit=parse(text), text=text, persistent=persistent)

    def remove(self, name: str) -> None:
        self.call("remove", unit=None, text=None, persistent=False, autostart=False)

    def set_autostart(self, name: str, *, on: bool) -> None:
        self.call("autostart", autostart=on)

    def start(self, name: str, uuid: str, arguments: t.Sequence[str] | None) -> None:
        if self.broken:
            raise KvmError("START_FAILED", self.broken)
        assert self.present.unit is not None
        words = tuple(arguments or self.present.unit.arguments)
        state = "inmigrate" if "-incoming" in words else "prelaunch" if "-S" in words else "running"
        self.call("start", pid=len(self.calls) + 100, arguments=words, run_state=state)

    def resume(self, uuid: str) -> None:
        self.call("resume", run_state="running")

    def pause(self, uuid: str) -> None:
        self.call("pause", run_state="paused")

    def wake_up(self, uuid: str) -> None:
        self.call("wake up", run_state="running")

    def press_power_button(self, uuid: str) -> None:
        self.call("press")
        if not self.deaf:
            self.call("ended", pid=None, arguments=(), run_state=None, migrating=False)

    def end(self, name: str, uuid: str) -> None:
        self.call("end", pid=None, arguments=(), run_state=None, migrating=False)
