# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether a domain moves, stays, or may be stopped for its move, and by which stopped method then. Pure."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_seconds
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import OFFLINE, SEEDED
from ansible_collections.virtops.kvm.plugins.module_utils._placement.estimates import estimate
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import STAY, PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.problem import Fitting

#: The last sentence about a domain that no live method can move, where a stopped one could.
MAY_STOP_HINT = "It could move if it may be stopped for that: see option may_stop."


def why_stay(domain: Domain, options: PlanOptions) -> tuple[str, str]:
    """Code and sentence for a domain that does not move because of what the user decided; empty for one that has to."""
    if domain.name in options.exclude or domain.uuid in options.exclude:
        return "EXCLUDED", "It is excluded by option exclude."
    terms = options.terms_of(domain)
    if terms.skip:
        return "POLICY", f"It stays by {terms.by} of the policies."
    if options.selected is not None and domain.uuid not in options.selected:
        return "NOT_SELECTED", "Option select does not choose it."
    if domain.shut_off and options.shut_off == STAY:
        return "SHUTOFF", f"It is {domain.state}, and option shut_off says that such domains stay."
    return "", ""


def live_alone(fittings: list[Fitting]) -> list[Fitting]:
    """The fittings of one item on all hosts, without those that would stop it where another host takes it live."""
    if not any(not one.reasons and not one.stops for one in fittings):
        return fittings
    return [
        dataclasses.replace(one, reasons=("It would have to be stopped for that, and another host takes it live.",))
        if one.stops and not one.reasons
        else one
        for one in fittings
    ]


@dataclasses.dataclass(frozen=True)
class Stop:
    """The stopped method for a running domain, why this one, and what to know of it."""

    method: str
    reason: str
    warnings: tuple[str, ...] = ()


def how_to_stop(domain: Domain, obstacle: str, disk_bytes: int, options: PlanOptions) -> Stop:
    """By which method a running domain moves that may be stopped, and that ``obstacle`` (a sentence) keeps from moving live."""
    seconds = {
        method: estimate(
            method,
            runs=True,
            disk_bytes=disk_bytes,
            memory_bytes=domain.memory,
            link_rate=options.link_rate,
        ).stopped
        or 0.0
        for method in (OFFLINE, SEEDED)
    }
    blocked = f"it cannot move live ({obstacle.rstrip('.').replace('; ', ', ')}) and may be stopped"
    max_stop = options.max_stop_of(domain)
    limit = format_seconds(max_stop)
    if not max_stop:
        return Stop(OFFLINE, f"{blocked}, for about {format_seconds(seconds[OFFLINE])}")
    if seconds[OFFLINE] <= max_stop:
        return Stop(OFFLINE, f"{blocked}, and about {format_seconds(seconds[OFFLINE])} is within {limit}")
    # Only libvirt's domains can be seeded.
    method = SEEDED if disk_bytes and domain.kind != PROCESS else OFFLINE
    reason = blocked
    if method == SEEDED:
        reason += (
            f", but copying it offline (about {format_seconds(seconds[OFFLINE])}) exceeds {limit}, "
            f"so it is stopped for the rest only (about {format_seconds(seconds[SEEDED])})"
        )
    if seconds[method] <= max_stop:
        return Stop(method, reason)
    warning = f"It may be stopped for {limit}, and is likely to be stopped for {format_seconds(seconds[method])}."
    return Stop(method, reason, (warning,))
