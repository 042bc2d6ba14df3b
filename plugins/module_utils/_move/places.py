# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How moves wait for their turn, of domains and of guest processes alike: for a slot on the source, and a place on the destination."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock

_SLOT_POLL, _CLAIM_POLL = 0.25, 0.5
_BEAT_SECONDS, _BEAT_WAITING = 5.0, 2.0


class Claim(t.Protocol):
    """A place on the destination."""

    @property
    def place(self) -> tuple[str, str]:
        """The URI by which the destination calls its own libvirtd, and the UUID of the secret there; empty where not held."""

    def take(self) -> bool:
        """Get in line; False where the destination cannot keep a line."""

    def ahead(self) -> int:
        """How many are before us."""

    def beat(self) -> None:
        """Show that we live."""

    def release(self) -> None:
        """Give the place back."""


@dataclasses.dataclass(frozen=True)
class Waiting:
    """One move that waits: ``tell`` says for what, and ``check`` raises when somebody asked the move to end during that."""

    clock: Clock
    tell: t.Callable[[str], None]
    check: t.Callable[[str], None]


def take_slot(waiting: Waiting, slots: t.Sequence[statefile.FileLock], host: str) -> statefile.FileLock | None:
    """One of the source's slots, once it is free; None where there is no limit."""
    while slots:
        for slot in slots:
            if slot.try_acquire():
                return slot
        waiting.tell(f"waits for one of {len(slots)} slots on {host}")
        waiting.check("the wait for a slot")
        waiting.clock.sleep(_SLOT_POLL)
    return None


def take_place(waiting: Waiting, claim: Claim, limit: int, host: str) -> bool:
    """Wait until fewer than ``limit`` are before us on the destination; False where it cannot keep a line. The claim is the caller's
    to give back, whatever happens here."""
    if not claim.take():
        return False
    beaten = waiting.clock.monotonic()
    while True:
        ahead = claim.ahead()
        if ahead < limit:
            return True
        waiting.tell(f"waits for one of {limit} places on {host}, {ahead} before it")
        waiting.check("the wait for a place on the destination")
        waiting.clock.sleep(_CLAIM_POLL)
        if waiting.clock.monotonic() - beaten >= _BEAT_WAITING:
            claim.beat()
            beaten = waiting.clock.monotonic()


def unlimited(host: str, limit: int) -> str:
    """The warning of a move whose destination cannot keep a line."""
    return f"libvirt on {host} has no secrets driver, so the limit of {limit} moves to it is not held."


@contextlib.contextmanager
def beating(beat: t.Callable[[], None]) -> t.Iterator[None]:
    """Show now and then that this move lives, so that its place on the destination stays its own."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(_BEAT_SECONDS):
            beat()

    threading.Thread(target=work, name="heart", daemon=True).start()
    try:
        yield
    finally:
        done.set()
