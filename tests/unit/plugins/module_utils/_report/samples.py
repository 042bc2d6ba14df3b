# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans and results for the tests of the report."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import (
    Blocked,
    Placement,
    Plan,
    PlannedMove,
    Staying,
)
from ansible_collections.virtops.kvm.plugins.module_utils._report.outcome import HostAfter

GIB = 1024**3
BEGIN = 1_767_225_600.0


def move(name: str, destination: str = "kvm2", **more: t.Any) -> PlannedMove:
    """A planned move of ``name`` from kvm1."""
    values = {
        "id": name,
        "order": 1,
        "domain": name,
        "uuid": f"uuid-{name}",
        "source": "kvm1",
        "destination": destination,
    }
    return PlannedMove(**{**values, "method": "live_block", "reason": "it has a local disk", **more})


def plan(*moves: PlannedMove, **more: t.Any) -> Plan:
    """A plan of ``moves`` that empties kvm1."""
    values: dict[str, t.Any] = {
        "version": 1,
        "fingerprint": "f00d",
        "sources": ("kvm1",),
        "destinations": ("kvm2", "kvm3"),
        "before": (
            Placement("kvm1", tuple(m.domain for m in moves), 2 * GIB, 8 * GIB, 2, 4),
            Placement("kvm2", (), 0, 8 * GIB, 0, 4),
        ),
        "after": (
            Placement("kvm1", (), 0, 8 * GIB, 0, 4),
            Placement("kvm2", tuple(m.domain for m in moves), 2 * GIB, 8 * GIB, 2, 4),
        ),
    }
    return Plan(moves=moves, **{**values, **more})


def moved(
    name: str, *, started: float = BEGIN, seconds: float = 10.0, pause: int | None = 120, **more: t.Any
) -> dict[str, t.Any]:
    """What the task of a move that went well registered."""
    measured = {
        "domain": name,
        "uuid": f"uuid-{name}",
        "method": "live_block",
        "method_reason": "",
        "source_host": "kvm1",
        "destination_host": "kvm2",
        "started": started,
        "seconds": seconds,
        "downtime_ms": pause,
        "disk_bytes": GIB,
        "memory_bytes": GIB // 2,
        "stages": {"claim": 1.0, "prepare": 0.5, "transfer": seconds - 2.0, "switch": 0.2, "verify": 0.3},
    }
    return {
        "changed": True,
        "outcome": "moved",
        "msg": f"{name} moved.",
        "method": "live_block",
        "move": measured,
        **more,
    }


def failed(message: str = "It broke.", code: str = "MOVE_FAILED", **details: t.Any) -> dict[str, t.Any]:
    """What the task of a move that failed registered."""
    return {"failed": True, "changed": False, "msg": message, "error_code": code, "details": details}


def after(**hosts: t.Sequence[str]) -> list[HostAfter]:
    """What runs where: names of the running domains by host."""
    return [
        HostAfter(host, tuple(Domain(name, f"uuid-{name}", "running", memory=GIB, vcpus=2) for name in names))
        for host, names in hosts.items()
    ]


def blocked(name: str) -> Blocked:
    """A domain that fits nowhere."""
    return Blocked(
        name, f"uuid-{name}", "kvm1", {"kvm2": ("It has a host device.",), "kvm3": ("It has a host device.",)}
    )


def staying(name: str) -> Staying:
    """A domain that does not have to move."""
    return Staying(name, f"uuid-{name}", "kvm1", "SHUTOFF", "It is shut off.")
