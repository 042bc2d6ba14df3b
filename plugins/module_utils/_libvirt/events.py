# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""libvirt's event loop in a thread: without it there is no keepalive, so a call to a dead host would never end."""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import library

_STATE: dict[str, threading.Thread] = {}


def start_event_loop() -> None:
    """Run libvirt's default event loop from now on. Call before the first connection is opened; harmless when repeated."""
    if "thread" in _STATE:
        return
    lib = library()
    lib.virEventRegisterDefaultImpl()
    _STATE["thread"] = threading.Thread(target=_turn, args=(lib,), name="libvirt-events", daemon=True)
    _STATE["thread"].start()


def _turn(lib: t.Any) -> None:
    while True:
        lib.virEventRunDefaultImpl()
