# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A place on the destination, claimed through its libvirtd, whatever the transport.

A claim is an ephemeral libvirt secret with a unique usage name: libvirtd refuses a second one of the same name, so taking a
number is atomic; it keeps it in memory only, so nothing survives its restart; and it needs neither pool nor file. The secret's
value is the heartbeat. Its owner must beat; a claim whose heart stopped and whose domain is not arriving is dropped by
whoever waits behind it.
"""

from __future__ import annotations

import contextlib
import json
import typing as t
from urllib.parse import urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._core import tickets
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection, translated
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import new_element, render

#: Seconds between two beats, and after how many without one a claim is stale.
BEAT_SECONDS = 5.0
MISSED_BEATS = 3
_ATTEMPTS = 50


class RemoteClaim:
    """One claim of one move on one destination."""

    def __init__(self, connection: Connection, uuid: str, owner: str, clock: Clock) -> None:
        self._connection = connection
        self._uuid = uuid
        self._owner = owner
        self._clock = clock
        self._secret: t.Any = None
        self._ticket = 0
        self._beats = 0
        self._watch = tickets.Watch(BEAT_SECONDS * MISSED_BEATS)

    def take(self) -> bool:
        """Take the next number. False when this libvirtd has no secrets, so that nothing can be claimed there."""
        for _unused_attempt in range(_ATTEMPTS):
            others = self._list()
            if others is None:
                return False
            self._ticket = tickets.next_ticket(others)
            self._secret = self._define(tickets.label(self._ticket))
            if self._secret is None:
                continue
            self.beat()
            if not tickets.overtaken(self._ticket, self._list() or {}):
                return True
            self.release()
        raise KvmError(
            "CLAIM_FAILED",
            f"Could not get in line on '{self._connection.uri}'; look for many moves to it, and run again.",
        )

    def ahead(self) -> int:
        """How many living claims are before this one. Drops those whose owner is gone."""
        count = 0
        for ticket, secret in (self._list() or {}).items():
            if ticket >= self._ticket:
                continue
            if self._dead(secret):
                with contextlib.suppress(library().libvirtError):
                    secret.undefine()
                continue
            count += 1
        return count

    def beat(self) -> None:
        """Show that the owner lives. A claim that was dropped meanwhile (a restart of libvirtd) stays dropped."""
        self._beats += 1
        record = {"beat": self._beats, "domain": self._uuid, "owner": self._owner}
        # It beats in a thread of its own, while another may give the place back.
        secret = self._secret
        with contextlib.suppress(library().libvirtError):
            if secret is not None:
                secret.setValue(json.dumps(record).encode("utf-8"), 0)

    @property
    def place(self) -> tuple[str, str]:
        """The URI by which the destination calls its own libvirtd, and the UUID of the secret there. Empty while none is held,
        and where that URI cannot be told."""
        parts = urlsplit(self._connection.uri)
        if self._secret is None or parts.path not in ("/system", "/session"):
            return ("", "")
        return (f"{parts.scheme.partition('+')[0]}://{parts.path}", str(self._secret.UUIDString()))

    def release(self) -> None:
        """Give the place back; harmless when it is not held."""
        secret, self._secret = self._secret, None
        if secret is not None:
            with contextlib.suppress(library().libvirtError):
                secret.undefine()

    def _list(self) -> dict[int, t.Any] | None:
        lib = library()
        try:
            secrets = self._connection.handle.listAllSecrets(0)
        except lib.libvirtError as exc:
            if exc.get_error_code() == lib.VIR_ERR_NO_SUPPORT or not self._connection.handle.isAlive():
                return None
            with translated(f"Cannot read the claims on '{self._connection.uri}'"):
                raise
        found = ((tickets.ticket_of(secret.usageID()), secret) for secret in secrets)
        return {ticket: secret for ticket, secret in found if ticket is not None}

    def _define(self, name: str) -> t.Any:
        root = new_element("secret", {"ephemeral": "yes", "private": "no"})
        root.append(new_element("description", text=f"virtops.kvm: a move from {self._owner} has a place here"))
        usage = new_element("usage", {"type": "ceph"})
        usage.append(new_element("name", text=name))
        root.append(usage)
        lib = library()
        try:
            return self._connection.handle.secretDefineXML(render(root), 0)
        except lib.libvirtError as exc:
            if tickets.ticket_of(name) in (self._list() or {}):
                return None
            if exc.get_error_code() == lib.VIR_ERR_INTERNAL_ERROR:
                return None
            with translated(f"Cannot claim a place on '{self._connection.uri}'"):
                raise

    def _dead(self, secret: t.Any) -> bool:
        lib = library()
        try:
            value = secret.value(0)
        except lib.libvirtError:
            value = b""
        silent = self._watch.stale(secret.UUIDString(), value.decode("utf-8", "replace"), self._clock.monotonic())
        return (silent or self._of_killed_run(value)) and not self._arriving(value)

    def _of_killed_run(self, value: bytes) -> bool:
        """Whether an older claim is for our domain, from our host: we hold its lock there, so nobody drives that move any more."""
        try:
            record = json.loads(value or b"{}")
            return (record.get("domain"), record.get("owner")) == (self._uuid, self._owner)
        except (ValueError, AttributeError):
            return False

    def _arriving(self, value: bytes) -> bool:
        """Whether the domain of a silent claim is coming in all the same: its module died, and libvirt goes on with it."""
        lib = library()
        try:
            record = json.loads(value or b"{}")
            domain = self._connection.handle.lookupByUUIDString(str(record.get("domain", "")))
            state, reason = domain.state()[:2]
        except (lib.libvirtError, ValueError):
            return False
        return state == lib.VIR_DOMAIN_PAUSED and reason in (
            lib.VIR_DOMAIN_PAUSED_MIGRATION,
            lib.VIR_DOMAIN_PAUSED_STARTING_UP,
        )
