# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Words for how ready a fleet is, shared by all renderings. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import (
    ALL,
    ALL_BY_STOP,
    NONE,
    OPEN,
    SELF,
    SOME,
    Cell,
    Readiness,
)
from ansible_collections.virtops.kvm.plugins.module_utils._report.words import count

STATES = {
    ALL: "all can go",
    ALL_BY_STOP: "all can go, some only by a stop",
    SOME: "some cannot go",
    NONE: "none can go",
    OPEN: "nothing to move, the way is open",
    SELF: "the host itself",
}
#: More names than this are counted.
_NAMED = 6


def some(names: t.Sequence[str], limit: int = _NAMED) -> str:
    """Some names of a list that may be long."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[: limit - 1])} and {len(names) - limit + 1} more"


def headline(ready: Readiness) -> str:
    """The one sentence that matters most."""
    numbers = ready.summary
    if numbers.errors:
        return f"{count(numbers.errors, 'error')} on {count(numbers.hosts + numbers.unread, 'host')} to put right"
    if numbers.hosts < 2:
        return "One host alone has nobody to take its VMs"
    if numbers.stuck:
        return f"{count(numbers.stuck, 'VM')} of {numbers.domains} with no other host to go to"
    if numbers.pairs_open == numbers.pairs:
        return f"Every one of {numbers.hosts} hosts can take every VM"
    return f"Each of {numbers.hosts} hosts can be emptied"


def story(ready: Readiness) -> str:
    """What else to know at first glance."""
    numbers = ready.summary
    vms = f"{count(numbers.domains, 'VM')} of {numbers.classes} {'kind' if numbers.classes == 1 else 'kinds'}"
    parts = [
        f"{count(numbers.hosts, 'host')} with {vms}.",
        f"Between {numbers.pairs_open} of {numbers.pairs} pairs of hosts, all that runs on the one can go to the other as it is."
        if numbers.pairs
        else "",
        f"{count(numbers.drifts, 'difference')} between hosts that should be alike." if numbers.drifts else "",
        "Whether there is room now is the plan's matter.",
    ]
    return " ".join(part for part in parts if part)


def cell_words(cell: Cell) -> str:
    """How the VMs of one host can go to another."""
    total = cell.as_is + cell.by_stop + cell.refused
    if not total:
        return STATES[cell.state]
    parts = [
        f"{cell.as_is} of {total} as they are" if cell.as_is else "",
        f"{cell.by_stop} by a stop" if cell.by_stop else "",
        f"{cell.refused} not at all" if cell.refused else "",
    ]
    return ", ".join(part for part in parts if part)


def lines(ready: Readiness) -> list[str]:
    """The answer for a terminal: the headline, what to put right, and what keeps VMs from hosts."""
    out = [f"{headline(ready)}.", story(ready)]
    marks = {"blocker": "ERROR", "warning": "WARNING", "info": "note"}
    for finding in ready.findings:
        out += ["", f"{marks[finding.severity]} {finding.code}: {finding.message}", f"  -> {finding.remedy}"]
    if ready.reasons:
        out += ["", "What keeps VMs from hosts (VMs x hosts):"]
        out += [
            f"{reason.pairs:6}  {reason.code}: {reason.text}{' A stop cures it.' if reason.curable else ''}"
            for reason in ready.reasons
        ]
    if ready.baseline.model:
        how = "by libvirt's reckoning" if ready.baseline.by_libvirt else "by the models that all hosts list"
        out += ["", f"CPU model that all hosts share, {how}: {ready.baseline.model}."]
        if ready.baseline.domains:
            out.append(f"{count(len(ready.baseline.domains), 'VM')} would need it: {some(ready.baseline.domains)}.")
    return out


def verdict(ready: Readiness) -> str:
    """Why the run fails, where it is to fail."""
    errors = ready.errors
    codes = ", ".join(dict.fromkeys(f"{one.code} ({one.object})" for one in errors))
    return f"{headline(ready)}: {codes}." if errors else f"{headline(ready)}."
