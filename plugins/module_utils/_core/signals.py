# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A signal that asks to end is noted, so that what runs can end cleanly."""

from __future__ import annotations

import contextlib
import signal
import typing as t

_ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def noted() -> t.Iterator[t.Callable[[], bool]]:
    """While it is entered, SIGTERM, SIGINT and SIGHUP are noted; gives the function that tells whether one came."""
    came: list[int] = []

    def note(number: int, unused_frame: t.Any) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in _ASKING}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
