# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The turn of a guest process's move: the slots and places of which moves of domains take theirs, so that one limit holds for both.

Where the destination has no libvirt, no domain comes to it either, and its own end of the move counts there.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sshtarget import SshTarget
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.events import start_event_loop
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.opening import Opening
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.remote_claims import RemoteClaim
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.places import (
    Waiting,
    beating,
    take_place,
    take_slot,
    unlimited,
)

_POLL = 0.5
#: Why libvirt there cannot be asked from here.
_NO_WAY = ("MISSING_LIBRARY", "HOST_UNREACHABLE")


def connect_ahead(context: BareContext) -> None:
    """Begin to connect to the destination's libvirt, where the move's turn is asked for once all is known: both take their time.

    Where there is none, nobody asks for the connection.
    """
    if context.options.destination_slots:
        with contextlib.suppress(KvmError):
            # Where there is no libvirt-python, whoever needs the connection says so.
            context.libvirt = _opening(context)


def _opening(context: BareContext) -> Opening:
    start_event_loop()
    return Opening(context.options.libvirt_uri or SshTarget.parse(context.destination).libvirt_uri)


@contextlib.contextmanager
def places(context: BareContext) -> t.Iterator[bool]:
    """Hold a slot on the source and a place on the destination; tells whether it had to wait, after which all may be otherwise."""
    waits: list[str] = []

    def tell(note: str) -> None:
        waits.append(note)
        if context.monitor is not None:
            # QEMU serves one client at a time, and the wait may be long.
            context.monitor.close()
            context.monitor = None
        context.tell("claim", note)

    def check(during: str) -> None:
        try:
            context.check_stop(during)
        except KvmError as wish:
            text = f"The move of the guest '{context.name}' ended before it began: {wish.message}. Nothing was touched."
            raise KvmError(wish.error_code, text, **wish.details) from wish

    waiting = Waiting(context.clock, tell, check)
    with contextlib.ExitStack() as held:
        slot = take_slot(waiting, context.workspace.slots(context.options.source_slots), context.source_host)
        if slot is not None:
            held.callback(slot.release)
        if context.options.destination_slots:
            _place_there(context, waiting, held)
        yield bool(waits)


def _place_there(context: BareContext, waiting: Waiting, held: contextlib.ExitStack) -> None:
    limit = context.options.destination_slots
    if context.far.call("has_libvirt"):
        try:
            _claim(context, waiting, held)
            return
        except KvmError as error:
            if error.error_code not in _NO_WAY:
                raise
            context.warnings.append(
                f"Moves of domains to {context.far.host} do not count for the limit of {limit} moves to it, for libvirt there cannot be "
                f"asked: {error.message}"
            )
    while not context.far.call("place", count=limit):
        waiting.tell(f"waits for one of {limit} places on {context.far.host}")
        waiting.check("the wait for a place on the destination")
        waiting.clock.sleep(_POLL)


def _claim(context: BareContext, waiting: Waiting, held: contextlib.ExitStack) -> None:
    connection = held.enter_context((context.libvirt or _opening(context)).connection())
    claim = RemoteClaim(connection, f"guest-{context.key}", context.source_host, context.clock)
    held.callback(claim.release)
    limit = context.options.destination_slots
    if take_place(waiting, claim, limit, context.far.host):
        held.enter_context(beating(claim.beat))
    else:
        context.warnings.append(unlimited(context.far.host, limit))
