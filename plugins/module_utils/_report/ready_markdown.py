# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How ready a fleet is, as Markdown. Pure."""

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
from ansible_collections.virtops.kvm.plugins.module_utils._report import ready_words as words
from ansible_collections.virtops.kvm.plugins.module_utils._report.markdown import code, escape, table
from ansible_collections.virtops.kvm.plugins.module_utils._report.words import count

_SIGNS = {ALL: "yes", ALL_BY_STOP: "by stop", SOME: "some", NONE: "no", OPEN: "open", SELF: "-"}
#: A table with more columns than this cannot be read.
_WIDE = 16
_LABELS = {"blocker": "Error", "warning": "Warning", "info": "Note"}


def render(ready: Readiness) -> str:
    """The whole document."""
    out = [f"# {escape(words.headline(ready))}", "", escape(words.story(ready)), ""]
    out += _findings(ready) + _matrix(ready) + _reasons(ready) + _classes(ready) + _baseline(ready) + _drift(ready)
    return "\n".join(out).rstrip() + "\n"


def _findings(ready: Readiness) -> list[str]:
    out = [
        f"- **{_LABELS[one.severity]}** {code(one.code)}: {escape(one.message)} {escape(one.remedy)}"
        for one in ready.findings
    ]
    return ["## What to do", "", *out, ""] if out else []


def _matrix(ready: Readiness) -> list[str]:
    """The whole matrix where it can be read, else for each host how many others take its VMs, and whose it takes."""
    out = ["## Who can take whose VMs", ""]
    if len(ready.hosts) <= _WIDE:
        rows = [[name, *(_SIGNS[cell.state] for cell in row)] for name, row in zip(ready.hosts, ready.matrix)]
        return [*out, *table(["from / to", *map(escape, ready.hosts)], rows)]
    long = []
    for index, name in enumerate(ready.hosts):
        row = [cell for cell in ready.matrix[index] if cell.state != SELF]
        column = [line[index] for line in ready.matrix if line[index].state != SELF]
        long.append([name, _open(row), _open(column), _worst(row)])
    heads = ["host", f"its VMs can go to (of {len(ready.hosts) - 1})", "takes all VMs of", "otherwise"]
    return [*out, *table(heads, long)]


def _open(cells: t.Sequence[Cell]) -> str:
    return str(sum(cell.state in (ALL, OPEN) for cell in cells))


def _worst(row: t.Sequence[Cell]) -> str:
    states = [cell.state for cell in row]
    parts = [f"{states.count(state)} {_SIGNS[state]}" for state in (ALL_BY_STOP, SOME, NONE) if state in states]
    return ", ".join(parts) or "-"


def _reasons(ready: Readiness) -> list[str]:
    if not ready.reasons:
        return []
    rows = [
        [
            one.code,
            one.text,
            one.pairs,
            words.some(one.sources),
            words.some(one.destinations),
            ("A stop cures it. " if one.curable else "") + one.remedy,
        ]
        for one in ready.reasons
    ]
    heads = ["code", "what", "VMs x hosts", "from", "to", "what to do"]
    return ["## What keeps VMs from hosts", "", *table(heads, rows)]


def _classes(ready: Readiness) -> list[str]:
    rows = [
        [
            one.id,
            one.title,
            one.count,
            len(one.hosts),
            f"{one.takers} of {len(ready.hosts) - 1}",
            words.some(one.domains, 3),
        ]
        for one in ready.classes
    ]
    heads = ["kind", "what it needs", "VMs", "on hosts", "other hosts that take it, at least", "for example"]
    return ["## Kinds of VMs", "", *table(heads, rows)] if rows else []


def _baseline(ready: Readiness) -> list[str]:
    base = ready.baseline
    if not base.model and not base.shared_models:
        return []
    how = "by libvirt's reckoning" if base.by_libvirt else "by the models that all hosts list"
    out = [f"All hosts share {code(base.model)}, {how}."] if base.model else []
    if base.shared_models:
        out.append(f"Models that all hosts can give to guests: {', '.join(code(name) for name in base.shared_models)}.")
    if base.domains:
        out.append(
            f"{count(len(base.domains), 'VM')} would need a CPU that all hosts share: {escape(words.some(base.domains, 20))}."
        )
    if base.xml:
        out += ["", "```xml", base.xml.strip(), "```"]
    return ["## CPU", "", *out, ""]


def _drift(ready: Readiness) -> list[str]:
    rows = [
        [
            one.area,
            one.subject,
            "; ".join(f"{item.value}: {words.some(item.hosts)}" for item in one.variants),
            one.remedy,
        ]
        for one in ready.drift
    ]
    return ["## Differences", "", *table(["area", "what", "values", "what to do"], rows)] if rows else []
