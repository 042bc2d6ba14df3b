# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the user decides about a placement."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB, KIB, MIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import default_reserve
from ansible_collections.virtops.kvm.plugins.module_utils._placement.terms import NO_TERMS, Terms

ORDERS = ("memory", "disk", "small", "name")
#: What becomes of domains that are shut off.
MOVE, STAY = "move", "stay"
SHUT_OFF = (MOVE, STAY)
_AMOUNT = re.compile(r"^(\d+(?:\.\d+)?)\s*(%|KiB|MiB|GiB)?$")
_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB}


@dataclasses.dataclass(frozen=True)
class Reserve:
    """Memory that a host keeps for itself: bytes, a part of its memory in percent, or (both None) the default."""

    bytes: t.Optional[int] = None
    percent: t.Optional[float] = None

    @classmethod
    def parse(cls, text: str | None) -> Reserve:
        """'4096' (MiB), '4 GiB', '10%', or None for the default. Raises InputError for anything else."""
        if text is None or not str(text).strip():
            return cls()
        match = _AMOUNT.match(str(text).strip())
        if not match:
            raise InputError(
                "memory_reserve",
                f"memory_reserve '{text}' is neither an amount such as '4 GiB' nor a part such as '10%'.",
            )
        number, unit = float(match.group(1)), match.group(2)
        if unit == "%":
            if number >= 100:
                raise InputError("memory_reserve", f"memory_reserve '{text}' would leave no memory to any guest.")
            return cls(percent=number)
        return cls(bytes=int(number * _UNITS[unit or "MiB"]))

    def of(self, host: Host) -> int:
        """Bytes that ``host`` keeps."""
        if self.bytes is not None:
            return self.bytes
        if self.percent is not None:
            return int(host.memory_total * self.percent / 100)
        return default_reserve(host)


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """``sources`` are to be emptied; ``destinations``, if empty, are all other hosts. ``selected`` holds the UUIDs of the
    domains that shall move, None for all. ``link_rate`` is bytes per second, for estimates alone. ``accept`` holds codes of
    findings that the user accepts. ``homes`` names the one host that may take a domain, by its UUID; others go anywhere.
    ``may_stop`` holds the UUIDs of running domains that may be stopped where no live method works, ``max_stop`` for how many
    seconds (0 for no limit); ``shut_off`` says whether domains that do not run move. ``networks`` and ``bridges`` map names on
    the sources to names on the destinations. ``terms`` holds what the policies say, by the UUIDs of the domains that they match."""

    sources: tuple[str, ...]
    destinations: tuple[str, ...] = ()
    memory_reserve: Reserve = Reserve()
    cpu_overcommit: float = 4.0
    anti_affinity: tuple[tuple[str, ...], ...] = ()
    exclude: tuple[str, ...] = ()
    selected: t.Optional[tuple[str, ...]] = None
    method: str = "auto"
    link_rate: float = 110.0 * MIB
    order: str = "memory"
    accept: tuple[str, ...] = ()
    homes: dict[str, str] = dataclasses.field(default_factory=dict)
    shut_off: str = MOVE
    may_stop: tuple[str, ...] = ()
    max_stop: float = 0.0
    networks: dict[str, str] = dataclasses.field(default_factory=dict)
    bridges: dict[str, str] = dataclasses.field(default_factory=dict)
    terms: dict[str, Terms] = dataclasses.field(default_factory=dict)

    def terms_of(self, domain: Domain) -> Terms:
        """What the policies say of one domain."""
        return self.terms.get(domain.uuid, NO_TERMS)

    def method_of(self, domain: Domain) -> str:
        """The method asked for, by the policies or for all."""
        return self.terms_of(domain).method or self.method

    def stoppable(self, domain: Domain) -> bool:
        """Whether it may be stopped while it runs: the policies' word, else the option's."""
        said = self.terms_of(domain).may_stop
        return domain.active and (domain.uuid in self.may_stop if said is None else said)

    def max_stop_of(self, domain: Domain) -> float:
        """For how many seconds it may be stopped; 0 for no limit."""
        said = self.terms_of(domain).max_stop
        return self.max_stop if said is None else said
