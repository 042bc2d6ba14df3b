# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The moves as a table with a timeline in it: one row per move, one bar per row, drawn as inline SVG. Pure.

Positions are percentages of the row's width, so that the page fits every window and no text is ever stretched.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import STAGES
from ansible_collections.virtops.kvm.plugins.module_utils._report import words
from ansible_collections.virtops.kvm.plugins.module_utils._report.escape import attribute, text
from ansible_collections.virtops.kvm.plugins.module_utils._report.outcome import (
    FAILED,
    Outcome,
    Report,
)

#: What a bar shows: a stage's key in the measurements -> (style, what it is called).
_SHOWN = {
    "claim": ("wait", "wait for a turn"),
    "wait": ("wait", "wait for a turn"),
    "prepare": ("prepare", "prepare"),
    "disk": ("disk", "disks"),
    "transfer": ("disk", "disks and memory"),
    "memory": ("memory", "memory"),
    "seed": ("seed", "disks while the guest runs"),
    "stop": ("stop", "shut down"),
    "switch": ("switch", "switch over"),
    "verify": ("verify", "verify"),
    "release": ("release", "release"),
}
_ORDER = (
    "wait",
    "claim",
    "prepare",
    "seed",
    "disk",
    "memory",
    "stop",
    *(stage for stage in STAGES[2:] if stage != "stop"),
)
_HEIGHT = 34


class Scale:
    """Seconds since the first move began -> percentages of the row."""

    def __init__(self, begin: float, length: float) -> None:
        self.begin = begin
        self.step = _tick(length)
        self.length = max(math.ceil(length / self.step), 1) * self.step

    def at(self, seconds: float) -> float:
        """The position of the moment ``seconds`` after the first move began, in percent."""
        return round(min(max(seconds / self.length, 0.0), 1.0) * 100, 3)

    def ticks(self) -> list[float]:
        """The seconds at which the axis is labelled."""
        return [number * self.step for number in range(round(self.length / self.step) + 1)]


def _tick(length: float) -> float:
    """A round step that cuts ``length`` seconds into at most five parts."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14400, 28800):
        if length / step <= 5:
            return step
    return 86400.0 * math.ceil(length / 86400.0 / 5)


def scale_of(report: Report) -> Scale | None:
    """The scale that holds every measured move, None where none was measured."""
    if report.summary.started is None:
        return None
    return Scale(report.summary.started, max(report.summary.seconds or 0.0, 0.1))


def ordered_stages(stages: t.Mapping[str, float]) -> list[tuple[str, float]]:
    """The measured stages in the order in which they ran; unknown ones last."""
    rank = {stage: number for number, stage in enumerate(_ORDER)}
    kept = [(stage, seconds) for stage, seconds in stages.items() if stage != "done" and seconds > 0]
    return sorted(kept, key=lambda item: rank.get(item[0], len(rank)))


def legend(report: Report) -> str:
    """The colours that occur, and what they stand for."""
    seen: dict[str, str] = {}
    for outcome in report.outcomes:
        for stage, seconds in ordered_stages(outcome.stages):
            style, label = _SHOWN.get(stage, ("other", stage))
            if seconds > 0:
                seen.setdefault(style, label)
    if any(outcome.downtime_ms is not None for outcome in report.outcomes):
        seen["mark"] = "where the guest paused"
    if any(outcome.stopped_seconds for outcome in report.outcomes):
        seen["off"] = "while the guest was stopped"
    items = "".join(f'<li><span class="key k-{style}"></span>{text(label)}</li>' for style, label in seen.items())
    return f'<ul class="legend" aria-label="Colours of the timeline">{items}</ul>' if items else ""


def bar_of(outcome: Outcome, scale: Scale) -> str:
    """The drawing of one move."""
    parts = [
        f'<line class="grid" x1="{scale.at(tick)}%" x2="{scale.at(tick)}%" y1="0" y2="100%"/>' for tick in scale.ticks()
    ]
    if outcome.started:
        begin = outcome.started - scale.begin
        parts += _segments(outcome, scale, begin)
        parts += _mark(outcome, scale, begin)
        parts += _stop(outcome, scale, begin)
    label = f"{words.plain(outcome.domain)}: {words.STATE_WORDS[outcome.state]}, took {words.duration(words.worked(outcome))}"
    return f'<svg class="bar" width="100%" height="{_HEIGHT}" role="img" aria-label="{attribute(label)}">{"".join(parts)}</svg>'


def _segments(outcome: Outcome, scale: Scale, begin: float) -> t.Iterator[str]:
    stages = ordered_stages(outcome.stages)
    whole = outcome.seconds or sum(seconds for _stage, seconds in stages)
    style = "failed" if outcome.state == FAILED else "whole"
    if not stages or style == "failed":
        yield _rectangle(scale, begin, whole, style, f"took {words.duration(whole)}")
    if style == "failed":
        yield f'<text class="said" x="{scale.at(begin + whole)}%" dx="8" y="21">failed</text>'
    cursor = begin
    for stage, seconds in stages:
        shown, label = _SHOWN.get(stage, ("other", stage))
        yield _rectangle(scale, cursor, seconds, shown, f"{label} {words.duration(seconds)}")
        cursor += seconds


def _rectangle(scale: Scale, begin: float, seconds: float, style: str, title: str) -> str:
    left = scale.at(begin)
    width = max(round(scale.at(begin + seconds) - left, 3), 0.15)
    top, height = (15, 4) if style in ("wait", "whole") else (9, 16)
    return f'<rect class="b-{style}" x="{left}%" width="{width}%" y="{top}" height="{height}"><title>{text(title)}</title></rect>'


def _stop(outcome: Outcome, scale: Scale, begin: float) -> t.Iterator[str]:
    """A line below the bar for as long as the guest was stopped: it ran again where the switch ended."""
    if not outcome.stopped_seconds:
        return
    stages = ordered_stages(outcome.stages)
    end = sum(seconds for stage, seconds in stages if stage not in ("verify", "release")) or outcome.seconds or 0.0
    start = max(end - outcome.stopped_seconds, 0.0)
    left = scale.at(begin + start)
    width = max(round(scale.at(begin + start + outcome.stopped_seconds) - left, 3), 0.15)
    title = f"stopped {words.duration(outcome.stopped_seconds)}"
    yield f'<rect class="b-off" x="{left}%" width="{width}%" y="27" height="3"><title>{text(title)}</title></rect>'


def _mark(outcome: Outcome, scale: Scale, begin: float) -> t.Iterator[str]:
    """A diamond where the guest was paused: the pause is far too short to be seen in its true width."""
    if outcome.downtime_ms is None:
        return
    stages = ordered_stages(outcome.stages)
    before = (
        sum(seconds for stage, seconds in stages if _ORDER.index(stage) < _ORDER.index("switch"))
        if _known(stages)
        else 0.0
    )
    at = scale.at(begin + before) if before else scale.at(begin + (outcome.seconds or 0.0))
    title = f"paused {words.pause(outcome.downtime_ms)}"
    yield (
        f'<svg x="{at}%" y="17" overflow="visible"><path class="mark" d="M0-7 5 0 0 7-5 0Z">'
        f"<title>{text(title)}</title></path></svg>"
    )


def _known(stages: t.Sequence[tuple[str, float]]) -> bool:
    return bool(stages) and all(stage in _ORDER for stage, _seconds in stages)


def axis(scale: Scale) -> str:
    """The labels above the bars."""
    ticks = scale.ticks()
    labels = []
    for number, tick in enumerate(ticks):
        anchor = "start" if number == 0 else "end" if number == len(ticks) - 1 else "middle"
        labels.append(f'<text x="{scale.at(tick)}%" y="14" text-anchor="{anchor}">{_clock(tick, scale)}</text>')
    return f'<svg class="axis" width="100%" height="18" aria-hidden="true">{"".join(labels)}</svg>'


def _clock(seconds: float, scale: Scale) -> str:
    if seconds == 0:
        return "0"
    if scale.length <= 120:
        return f"{seconds:.1f} s" if scale.step < 1 else f"{seconds:.0f} s"
    if scale.step < 60:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d}"


def moves(report: Report) -> str:
    """The section of the moves."""
    if not report.outcomes:
        return ""
    scale = scale_of(report)
    head = axis(scale) if scale else "Timeline"
    rows = "".join(_row(outcome, scale, several_sources=len(report.sources) > 1) for outcome in report.outcomes)
    return (
        f'<section class="card" aria-labelledby="moves"><div class="head"><h2 id="moves">Moves</h2>{legend(report)}</div>'
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="moves"><table class="moves">'
        '<caption class="hidden">Every move with its way, its timeline, its duration, its pause and its bytes</caption>'
        '<thead><tr><th scope="col">Domain</th><th scope="col">Way</th>'
        f'<th scope="col" class="time"><span class="hidden">Timeline</span>{head}</th>'
        '<th scope="col" class="n">Took</th><th scope="col" class="n">Pause</th><th scope="col" class="n">Disks</th>'
        '<th scope="col" class="n">Memory</th><th scope="col" class="n">Rate</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _row(outcome: Outcome, scale: Scale | None, *, several_sources: bool) -> str:
    if scale is not None and outcome.started:
        drawing = bar_of(outcome, scale)
    else:
        drawing = f'<span class="state s-{outcome.state}">{text(words.STATE_WORDS[outcome.state])}</span>'
    way = f"{outcome.source} → {outcome.destination}" if several_sources else f"→ {outcome.destination}"
    return (
        f'<tr class="r-{outcome.state}"><th scope="row"><span class="name">{text(outcome.domain)}</span></th>'
        f'<td class="way">{text(way)} <span class="chip" title="{attribute(outcome.reason)}">{text(outcome.method)}</span></td>'
        f'<td class="time">{drawing}</td><td class="n">{words.duration(words.worked(outcome))}</td>'
        f'<td class="n pause">{words.standstill(outcome)}</td><td class="n">{_bytes(outcome.disk_bytes)}</td>'
        f'<td class="n">{_bytes(outcome.memory_bytes)}</td><td class="n">{words.rate(outcome)}</td></tr>'
    )


def _bytes(number: int) -> str:
    return format_bytes(number) if number else "-"
