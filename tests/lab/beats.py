# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network client makes of the beats of one guest: pauses, acknowledged records, two copies. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

REMEMBERED = 3000  # beats; a minute at 20 ms
PAUSE_MS = 100.0  # shorter gaps are not listed one by one
LISTED = 200
REPEATS = 10  # identical beats that a network may deliver twice before we call it two senders


@dataclass
class Stream:
    """The beats of one guest in order of arrival; arrival times are in seconds."""

    address: str
    received: int = 0
    first: float = 0.0
    last: float = 0.0
    longest: float = 0.0
    longest_at: float = 0.0
    interval_ms: float = 20.0
    pauses: list[dict[str, float]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    boots: list[str] = field(default_factory=list)
    repeats: int = 0
    evidence: list[dict[str, Any]] = field(default_factory=list)
    conflicts: int = 0
    _seen: OrderedDict[tuple[str, int], tuple[int, int]] = field(default_factory=OrderedDict, repr=False)
    _highest: dict[str, int] = field(default_factory=dict, repr=False)

    def feed(self, beat: dict[str, Any], arrived: float) -> None:
        """Take one beat."""
        if self.received:
            gap = arrived - self.last
            if gap > self.longest:
                self.longest, self.longest_at = gap, self.last
            if gap * 1000 >= PAUSE_MS:
                self.pauses.append({"from": round(self.last, 3), "ms": round(gap * 1000, 1)})
                del self.pauses[:-LISTED]
        else:
            self.first = arrived
        self.received += 1
        self.last = max(arrived, self.last)
        self._acknowledge(beat)
        self._compare(beat, arrived)

    def _acknowledge(self, beat: dict[str, Any]) -> None:
        durable = list(beat["a"])
        if len(durable) > len(self.acknowledged):
            self.acknowledged += [0] * (len(durable) - len(self.acknowledged))
        for index, number in enumerate(durable):
            self.acknowledged[index] = max(self.acknowledged[index], number)
        self.errors = list(beat.get("e", []))

    def _compare(self, beat: dict[str, Any], arrived: float) -> None:
        """One guest counts upwards in one boot; anything else means that a second copy runs, or ran."""
        boot, counter, clocks = str(beat["b"]), int(beat["c"]), (int(beat["m"]), int(beat["t"]))
        if boot not in self._highest:
            self.boots.append(boot)
            self._highest[boot] = counter
        elif boot != self.boots[-1]:
            self._conflict("an earlier boot is back", beat, arrived, None)
        known = self._seen.get((boot, counter))
        if known is not None and known != clocks:
            self._conflict("the same counter with other clocks", beat, arrived, list(known))
        elif known is not None:
            self.repeats += 1
            if self.repeats == REPEATS:
                self._conflict("many identical beats", beat, arrived, list(known))
        elif counter < self._highest[boot]:
            self._conflict("the counter went backwards", beat, arrived, [self._highest[boot]])
        self._highest[boot] = max(self._highest[boot], counter)
        self._seen[boot, counter] = clocks
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _conflict(self, what: str, beat: dict[str, Any], arrived: float, before: list[int] | None) -> None:
        self.conflicts += 1
        if len(self.evidence) < 20:
            seen = {key: beat[key] for key in ("b", "c", "m", "t")}
            self.evidence.append({"what": what, "arrived": round(arrived, 3), "beat": seen, "before": before})

    def report(self, now: float) -> dict[str, Any]:
        """What is known at `now`; a silence that has not ended counts as a pause."""
        silence = max(0.0, now - self.last) if self.received else 0.0
        return {
            "address": self.address,
            "received": self.received,
            "first": round(self.first, 3),
            "last": round(self.last, 3),
            "longest_pause_ms": round(max(self.longest, silence) * 1000, 1),
            "longest_ended_pause_ms": round(self.longest * 1000, 1),
            "longest_pause_at": round(self.longest_at, 3),
            "silent_ms": round(silence * 1000, 1),
            "resolution_ms": self.interval_ms,
            "pauses": self.pauses,
            "acknowledged": self.acknowledged,
            "write_errors": self.errors,
            "boots": self.boots,
            "repeats": self.repeats,
            "two_copies": self.conflicts > 0,
            "conflicts": self.conflicts,
            "evidence": self.evidence,
        }
