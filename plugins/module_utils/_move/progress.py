# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""From libvirt's job statistics to Progress, its rates and its one line for people."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes, format_seconds
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import STOPPED_METHODS
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Progress

#: Weight of the newest sample in the running rate, so that a short stall does not throw the estimate about.
_WEIGHT = 0.4
_MIN_SPAN = 0.5


@dataclasses.dataclass
class Meter:
    """Remembers the last samples of one move, to tell a rate and an estimate of the time left."""

    rate: t.Optional[float] = None
    _time: t.Optional[float] = None
    _done: int = 0

    def add(self, now: float, done: int) -> None:
        """Note that ``done`` bytes were through at ``now``."""
        if self._time is None or done < self._done:
            self._time, self._done = now, done
            return
        span = now - self._time
        if span < _MIN_SPAN:
            return
        newest = (done - self._done) / span
        self.rate = newest if self.rate is None else _WEIGHT * newest + (1 - _WEIGHT) * self.rate
        self._time, self._done = now, done

    def eta(self, remaining: int) -> float | None:
        """Seconds until ``remaining`` bytes are through at the present rate."""
        return remaining / self.rate if self.rate and self.rate > 0 else None


def from_stats(
    domain: str, method: str, stage: str, stats: t.Mapping[str, t.Any], elapsed: float, meter: Meter
) -> Progress:
    """The Progress that libvirt's ``stats`` tell. In the mirror phase only the disk figures move, then only those of memory."""
    disk_total, disk_done = _figures(stats, "disk")
    memory_total, memory_done = _figures(stats, "memory")
    meter.add(elapsed, (disk_done or 0) + int(stats.get("memory_processed") or 0))
    remaining = int(stats.get("disk_remaining") or 0) + int(stats.get("memory_remaining") or 0)
    return Progress(
        domain=domain,
        method=method,
        stage=stage,
        elapsed=round(elapsed, 2),
        disk_total=disk_total,
        disk_done=disk_done,
        memory_total=memory_total,
        memory_done=memory_done,
        rate=meter.rate,
        eta=meter.eta(remaining) if remaining else None,
    )


def _figures(stats: t.Mapping[str, t.Any], kind: str) -> tuple[int | None, int | None]:
    total = int(stats.get(f"{kind}_total") or 0)
    if total <= 0:
        return None, None
    return total, max(0, total - int(stats.get(f"{kind}_remaining") or 0))


def memory_phase(stats: t.Mapping[str, t.Any]) -> bool:
    """Whether memory is on its way: from here on the guest may be switched over at any moment."""
    return int(stats.get("memory_total") or 0) > 0


def nearly_through(stats: t.Mapping[str, t.Any], meter: Meter, ahead: float) -> bool:
    """Whether the bulk is through in less than ``ahead`` seconds: of the disks where some are copied, else of memory."""
    kind = "disk" if int(stats.get("disk_total") or 0) > 0 else "memory"
    if int(stats.get(f"{kind}_total") or 0) <= 0:
        return False
    remaining = int(stats.get(f"{kind}_remaining") or 0)
    left = meter.eta(remaining)
    return remaining == 0 or (left is not None and left < ahead)


def line(progress: Progress) -> str:
    """``web01  live_block  disk 43% 2.1/5.0 GiB  ram -  180 MiB/s  ETA 17 s``"""
    parts = [progress.domain, progress.method]
    if progress.stage not in ("transfer", "switch"):
        parts.append(progress.stage)
    if progress.disk_total is not None or progress.memory_total is not None or progress.stage in ("transfer", "switch"):
        if progress.method != "live_shared":
            parts.append(f"disk {_share(progress.disk_done, progress.disk_total)}")
        if progress.method not in STOPPED_METHODS:
            parts.append(f"ram {_share(progress.memory_done, progress.memory_total)}")
    if progress.rate:
        parts.append(f"{format_bytes(progress.rate)}/s")
    if progress.eta is not None:
        parts.append(f"ETA {format_seconds(progress.eta)}")
    if progress.note:
        parts.append(progress.note)
    return "  ".join(part for part in parts if part)


def _share(done: int | None, total: int | None) -> str:
    if not total:
        return "-"
    part = min(done or 0, total)
    whole = format_bytes(total)
    number, unit = whole.split(" ")
    shown = format_bytes(part)
    if shown.endswith(" " + unit):
        shown = shown.split(" ")[0]
    return f"{100 * part // total}% {shown}/{number} {unit}"
