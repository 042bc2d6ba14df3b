# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A destination that has nothing yet, and a guest that runs on the source."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.visible import Visible


class FakeFar:
    """The agent of an empty host."""

    host = "kvm2"
    address = "192.0.2.2"

    def look(self, key: str, name: str, uuid: str) -> tuple[BareSighting, BareJournal | None]:
        return BareSighting(self.host), None

    def facts(self, **wanted: t.Any) -> dict[str, t.Any]:
        return {}

    def call(self, verb: str, **arguments: t.Any) -> t.Any:
        """Would do something."""

    def later(self, verb: str, **arguments: t.Any) -> t.Callable[[], t.Any]:
        """Does it at once."""
        found = self.call(verb, **arguments)
        return lambda: found

    def ask(self, path: str, asked: str, arguments: t.Any = None, timeout: float = 15.0) -> t.Any:
        """Would ask the waiting guest."""

    def again(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing to do."""


def running() -> BareSighting:
    """A guest that runs on the source."""
    return BareSighting("kvm1", found=True, pid=7, start="1", state="running")


def plan(context: BareContext) -> BarePlan:
    """A move of it without disks."""
    change = Change(f"guest {context.name}", "move", context.source_host, context.far.host)
    seen = Visible("pc-q35-10.0", "", (), {}, "10.0.0")
    return BarePlan(("qemu",), (), (), (), "", "running", "", seen, 0, (), (change,))
