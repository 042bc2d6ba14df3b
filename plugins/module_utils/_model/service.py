# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A service of a guest that is asked again and again while the guest moves, and for how long it did not answer. Pure."""

from __future__ import annotations

import dataclasses
import typing as t
from urllib.parse import urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError

PING, TCP, HTTP = KINDS = ("ping", "tcp", "http")
DEFAULT_INTERVAL, DEFAULT_TIMEOUT = 0.1, 2.0
_FIELDS = ("type", "address", "port", "url", "interval", "timeout")


@dataclasses.dataclass(frozen=True)
class Service:
    """What to ask: an address by ping, a port of it by TCP, or a URL; every ``interval`` seconds, each with ``timeout`` seconds."""

    type: str
    address: str = ""
    port: int = 0
    url: str = ""
    interval: float = DEFAULT_INTERVAL
    timeout: float = DEFAULT_TIMEOUT

    @classmethod
    def from_user(cls, data: t.Any) -> Service:
        """The service that the option asks for. Raises InputError."""
        if not isinstance(data, dict):
            raise InputError("service", "The option 'service' is a dictionary with the keys type, and address or url.")
        given = {key: value for key, value in data.items() if value is not None}
        for key in given:
            if key not in _FIELDS:
                raise InputError("service", f"A service has no '{key}'; it has {', '.join(_FIELDS)}.")
        kind = given.get("type")
        if kind not in KINDS:
            raise InputError("service", f"The type of a service is {', '.join(KINDS)}, and not '{kind}'.")
        try:
            made = cls(
                kind,
                str(given.get("address") or ""),
                int(given.get("port") or 0),
                str(given.get("url") or ""),
                float(given.get("interval") or DEFAULT_INTERVAL),
                float(given.get("timeout") or DEFAULT_TIMEOUT),
            )
        except (TypeError, ValueError) as exc:
            raise InputError("service", f"The service is not described by numbers where it must be: {exc}.") from exc
        made._check()
        return made

    def _check(self) -> None:
        if self.type == HTTP:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise InputError(
                    "service", f"A service of the type http needs the url of a page; '{self.url}' is none."
                )
        elif not self.address or any(character.isspace() for character in self.address):
            raise InputError("service", f"A service of the type {self.type} needs an address.")
        if self.type == TCP and not 0 < self.port < 65536:
            raise InputError(
                "service", f"A service of the type tcp needs a port between 1 and 65535; {self.port} is none."
            )
        if self.interval < 0.01 or self.timeout < self.interval or self.timeout > 60:
            raise InputError(
                "service", "A service is asked every 0.01 s or more, and given as long as that to answer, 60 s at most."
            )

    @property
    def name(self) -> str:
        """For people; without the secrets that a URL can hold."""
        if self.type == HTTP:
            parts = urlsplit(self.url)
            port = f":{parts.port}" if parts.port else ""
            return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
        return f"tcp {self.address}:{self.port}" if self.type == TCP else f"ping {self.address}"


@dataclasses.dataclass(frozen=True)
class ServiceSeen:
    """What was seen of a service. ``pause_ms`` is the longest time between two answers, too long by an interval at most; None
    where there were not two. ``back`` tells whether it answered after the move."""

    service: str
    asked: int = 0
    answered: int = 0
    pause_ms: t.Optional[int] = None
    interval_ms: int = 100
    back: bool = False

    @property
    def warning(self) -> str:
        """What the user has to know, empty where all is well."""
        if not self.answered:
            return f"The service {self.service} never answered the controller, so its pause is not known."
        if not self.back:
            return (
                f"The service {self.service} answered the controller before the move, and has not since; look after it."
            )
        return ""


class Tally:
    """Counts answers and the time between them."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.last: float | None = None
        self._longest: float | None = None

    def answer(self, at: float) -> None:
        """An answer came at that time; a late one to an early question changes nothing."""
        self.answered += 1
        if self.last is not None and at > self.last:
            self._longest = max(self._longest or 0.0, at - self.last)
        self.last = at if self.last is None else max(self.last, at)

    def seen(self, service: Service, *, since: float) -> ServiceSeen:
        """The sum; ``since`` is when the move had ended."""
        return ServiceSeen(
            service.name,
            self.asked,
            self.answered,
            None if self._longest is None else round(self._longest * 1000),
            round(service.interval * 1000),
            self.last is not None and self.last >= since,
        )
