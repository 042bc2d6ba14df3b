# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The wish to end a move, and the signals by which it comes."""

from __future__ import annotations

import contextlib
import signal
import threading
import typing as t


class Stop:
    """The wish to end the move: by a signal, by a file that the controller's half leaves, or because that half is gone."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Note the wish."""
        self.reason = self.reason or reason
        self._event.set()

    @property
    def asked(self) -> bool:
        """Whether the move is to end."""
        return self._event.is_set()


@contextlib.contextmanager
def signals(stop: Stop) -> t.Iterator[None]:
    """Take SIGTERM and SIGINT as the wish to end the move, not as the end of this process."""
    names = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT", signal.SIGHUP: "SIGHUP"}

    def ask(number: int, unused_frame: t.Any) -> None:
        stop.ask(f"by {names[signal.Signals(number)]}")

    before = {number: signal.signal(number, ask) for number in names}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
