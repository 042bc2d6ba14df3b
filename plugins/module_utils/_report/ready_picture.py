# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The matrix of who can take whose VMs as one picture (SVG), which can be read at a glance with three hosts and with a hundred. Pure."""

from __future__ import annotations

import itertools
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
from ansible_collections.virtops.kvm.plugins.module_utils._report.escape import attribute, text
from ansible_collections.virtops.kvm.plugins.module_utils._report.ready_words import STATES, cell_words

#: Most of a row's width, in the picture's own units.
_WIDTH = 1000
#: Up to so many hosts each cell has words of its own.
_WORDS = 16
_LABEL = 20
_BAR = 64
_GAP = 10

CSS = """
.matrix{max-width:100%;height:auto;margin:0 auto;font-size:12px}
.matrix text{fill:var(--ink)}.matrix .soft{fill:var(--muted)}
.matrix .in{fill:#fff;font-weight:600}.matrix .in.dark{fill:#143a24}
.m-all{fill:#2f8f5b}.m-open{fill:#bfe0cb}.m-all_by_stop{fill:#3f7be0}.m-some{fill:#e3a21a}.m-none{fill:#a3160f}.m-self{fill:var(--soft)}
.m-track{fill:var(--soft)}.m-bar{fill:var(--old)}.m-line{stroke:var(--card);stroke-width:2}
.k-m{width:14px;height:14px;border-radius:3px}
.k-m.m-all{background:#2f8f5b}.k-m.m-open{background:#bfe0cb}.k-m.m-all_by_stop{background:#3f7be0}.k-m.m-some{background:#e3a21a}
.k-m.m-none{background:#a3160f}.k-m.m-self{background:var(--soft);border:1px solid var(--line)}
"""


class _Grid:
    """Where things are in the picture."""

    def __init__(self, count: int, longest: int) -> None:
        self.count = count
        self.roomy = count <= _WORDS
        step = min(150.0, _WIDTH / max(count, 1)) if count <= 8 else _WIDTH / count
        self.across = max(step, 6.0)
        self.down = min(self.across, 58.0)
        self.font = min(13.0, max(self.down - 1, 5.0))
        # The label below the columns is as long as this at least.
        self.left = max(14 + longest * self.font * 0.58, 64.0)
        self.upright = count <= 8
        self.top = self.font * 1.8 if self.upright else 10 + longest * self.font * 0.58
        self.gap = 4.0 if count <= 8 else 2.0 if count <= 40 else 1.0

    @property
    def width(self) -> float:
        return self.left + self.count * self.across + _GAP + _BAR + 40

    @property
    def height(self) -> float:
        return self.top + self.count * self.down + _GAP + _BAR + 34


def legend(ready: Readiness) -> str:
    """What the colours mean, of those that are there."""
    there = {cell.state for row in ready.matrix for cell in row}
    return "".join(
        f'<li><span class="k-m m-{state}"></span>{text(STATES[state])}</li>'
        for state in (ALL, OPEN, ALL_BY_STOP, SOME, NONE)
        if state in there
    )


def matrix(ready: Readiness) -> str:
    """The picture. Hosts that behave alike stand together."""
    order = [ready.hosts.index(name) for name in itertools.chain.from_iterable(ready.groups)]
    labels = short([ready.hosts[index] for index in order])
    grid = _Grid(len(order), max((len(label) for label in labels), default=1))
    parts = [_heads(grid, labels)]
    parts += [_row(ready, order, labels, grid, at) for at in range(len(order))]
    parts += [_takes(ready, order, grid), *_borders(ready, grid)]
    label = f"From each host (row) to each other (column): {ready.summary.pairs_open} of {ready.summary.pairs} pairs are wholly open."
    return (
        f'<svg class="matrix" viewBox="0 0 {grid.width:.0f} {grid.height:.0f}" width="{grid.width:.0f}" role="img" '
        f'aria-label="{attribute(label)}">{"".join(parts)}</svg>'
    )


def short(names: t.Sequence[str]) -> list[str]:
    """Names without the domain that all of them share, cut where they are long."""
    tails = {name.partition(".")[2] for name in names}
    if len(tails) == 1 and len(names) > 1 and "" not in tails:
        names = [name.partition(".")[0] for name in names]
    return [name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…" for name in names]


def _heads(grid: _Grid, labels: t.Sequence[str]) -> str:
    parts = []
    for at, label in enumerate(labels):
        across = grid.left + (at + 0.5) * grid.across
        if grid.upright:
            parts.append(f'<text x="{across:.1f}" y="{grid.top - 7:.1f}" text-anchor="middle">{text(label)}</text>')
        else:
            turned = f"translate({across + grid.font * 0.35:.1f} {grid.top - 4:.1f}) rotate(-90)"
            parts.append(f'<text transform="{turned}" font-size="{grid.font:.1f}">{text(label)}</text>')
    end = grid.left + grid.count * grid.across + _GAP
    parts.append(f'<text class="soft" x="{end:.1f}" y="{grid.top - 7:.1f}">can leave</text>')
    return "".join(parts)


def _row(ready: Readiness, order: t.Sequence[int], labels: t.Sequence[str], grid: _Grid, at: int) -> str:
    index = order[at]
    above = grid.top + at * grid.down
    middle = above + grid.down / 2 + grid.font * 0.35
    parts = [
        f'<text x="{grid.left - 8:.1f}" y="{middle:.1f}" text-anchor="end" font-size="{grid.font:.1f}">{text(labels[at])}</text>'
    ]
    cells = [ready.matrix[index][other] for other in order]
    start = 0
    # Where cells have no words of their own, neighbours that are alike are one piece: a hundred hosts have ten thousand cells.
    for key, run in itertools.groupby(cells, key=_look if not grid.roomy else id):
        length = len(list(run))
        parts.append(_piece(cells[start], labels, grid, at, start, length) if key else "")
        start += length
    parts.append(_bar(grid, above, _share(cells)))
    return "".join(parts)


def _look(cell: Cell) -> tuple[str, str]:
    return (cell.state, cell_words(cell))


def _piece(cell: Cell, labels: t.Sequence[str], grid: _Grid, at: int, start: int, length: int) -> str:
    left, above = grid.left + start * grid.across, grid.top + at * grid.down
    width, height = length * grid.across - grid.gap, grid.down - grid.gap
    to = labels[start] if length == 1 else f"{labels[start]} … {labels[start + length - 1]}"
    told = f"{labels[at]} → {to}: {cell_words(cell)}"
    title = "" if cell.state == SELF else f"<title>{text(told)}</title>"
    corner = 5 if grid.count <= 8 else 2 if grid.count <= 40 else 0
    out = f'<g>{title}<rect class="m-{cell.state}" x="{left:.1f}" y="{above:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{corner}"/>'
    if grid.roomy and cell.state != SELF:
        tone = " dark" if cell.state == OPEN else ""
        across, middle = left + width / 2, above + height / 2 + 4
        out += f'<text class="in{tone}" x="{across:.1f}" y="{middle:.1f}" text-anchor="middle">{text(_inside(cell, grid))}</text>'
    return f"{out}</g>"


def _inside(cell: Cell, grid: _Grid) -> str:
    total = cell.as_is + cell.by_stop + cell.refused
    if not total:
        return "open" if cell.state in (OPEN, ALL_BY_STOP) else "shut"
    if grid.count > 8:
        return f"{cell.as_is}/{total}"
    if cell.state == ALL:
        return f"all {total}" if total > 1 else "1 of 1"
    return f"{cell.as_is + cell.by_stop} of {total}"


def _share(cells: t.Iterable[Cell]) -> float | None:
    """The part of pairs of a VM and a host that are possible; None where there are no VMs."""
    others = [cell for cell in cells if cell.state != SELF]
    total = sum(cell.as_is + cell.by_stop + cell.refused for cell in others)
    return sum(cell.as_is + cell.by_stop for cell in others) / total if total else None


def _bar(grid: _Grid, above: float, share: float | None) -> str:
    if share is None:
        return ""
    left, height = grid.left + grid.count * grid.across + _GAP, max(grid.down - grid.gap, 2)
    height, above = min(height, 14.0), above + max(0.0, (height - 14) / 2)
    out = (
        f'<rect class="m-track" x="{left:.1f}" y="{above:.1f}" width="{_BAR}" height="{height:.1f}"/>'
        f'<rect class="m-bar" x="{left:.1f}" y="{above:.1f}" width="{_BAR * share:.1f}" height="{height:.1f}"/>'
    )
    if grid.roomy:
        out += f'<text class="soft" x="{left + _BAR + 6:.1f}" y="{above + 11:.1f}">{share:.0%}</text>'
    return out


def _takes(ready: Readiness, order: t.Sequence[int], grid: _Grid) -> str:
    """Below the columns: the share of the other hosts' VMs that each can take."""
    above = grid.top + grid.count * grid.down + _GAP
    full = _BAR if not grid.roomy else 40
    parts = []
    for at, index in enumerate(order):
        share = _share([row[index] for row in ready.matrix])
        if share is None:
            continue
        left, width = grid.left + at * grid.across, grid.across - grid.gap
        thick = min(width, 40.0)
        left += (width - thick) / 2
        parts.append(
            f'<rect class="m-track" x="{left:.1f}" y="{above:.1f}" width="{thick:.1f}" height="{full}"/>'
            f'<rect class="m-bar" x="{left:.1f}" y="{above:.1f}" width="{thick:.1f}" height="{full * share:.1f}"/>'
        )
        if grid.roomy:
            parts.append(
                f'<text class="soft" x="{left + thick / 2:.1f}" y="{above + full + 14:.1f}" text-anchor="middle">{share:.0%}</text>'
            )
    parts.append(f'<text class="soft" x="{grid.left - 8:.1f}" y="{above + 12:.1f}" text-anchor="end">can take</text>')
    return "".join(parts)


def _borders(ready: Readiness, grid: _Grid) -> t.Iterator[str]:
    """Thin lines between the groups of hosts that behave alike."""
    if grid.roomy:
        return
    at = 0
    far, low = grid.left + grid.count * grid.across, grid.top + grid.count * grid.down
    for group in ready.groups[:-1]:
        at += len(group)
        across, down = grid.left + at * grid.across - grid.gap / 2, grid.top + at * grid.down - grid.gap / 2
        yield f'<path class="m-line" d="M{across:.1f} {grid.top:.1f}V{low:.1f}M{grid.left:.1f} {down:.1f}H{far:.1f}"/>'
