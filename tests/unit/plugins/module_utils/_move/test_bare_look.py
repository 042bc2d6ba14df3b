# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the source shows of a guest whose monitor breaks off: a process that ends, or one that cannot be asked."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_undo
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping

from .bare_fake import FakeFar
from .fake import FakeClock


@pytest.mark.parametrize(
    ("code", "lives", "found"),
    [
        ("MONITOR_GONE", 0.0, False),
        # Killed: its sockets are closed, and the kernel takes its memory apart before it is gone.
        ("MONITOR_GONE", 2.0, False),
        ("MONITOR_GONE", 1000.0, True),
        ("MONITOR_SILENT", 2.0, True),
    ],
)
def test_a_monitor_that_breaks_off(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, code: str, lives: float, found: bool
) -> None:
    clock = FakeClock()
    end = clock.monotonic() + lives

    def unreachable(_context: BareContext) -> t.Any:
        raise KvmError(code, "it breaks off.")

    monkeypatch.setattr(bare_undo, "reachable_monitor", unreachable)
    monkeypatch.setattr(bare_undo.processes, "guests", lambda name: [7])
    monkeypatch.setattr(bare_undo.processes, "argv_of", lambda pid: ["qemu-system-x86_64", "-name", "web"])
    monkeypatch.setattr(bare_undo.processes, "start_time", lambda pid: "1" if clock.monotonic() < end else "")
    context = BareContext(
        name="web", key="key", destination="root@kvm2", source_host="kvm1", far=FakeFar(), clock=clock,
        workspace=Workspace(str(tmp_path / "state"), str(tmp_path / "run")), options=BareOptions(), mapping=GuestMapping(),
        stop=Stop(), begun=0.0,
    )  # fmt: skip
    seen = bare_undo.look_here(context)
    assert (seen.found, seen.error) == (found, "it breaks off." if found else "")
