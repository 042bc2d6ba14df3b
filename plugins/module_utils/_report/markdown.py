# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The report as Markdown. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Placement
from ansible_collections.virtops.kvm.plugins.module_utils._report import words
from ansible_collections.virtops.kvm.plugins.module_utils._report.outcome import (
    FAILED,
    NOT_STARTED,
    Report,
)


def escape(text: object) -> str:
    """``text`` as Markdown shows it literally, also in a table cell; HTML in it stays text."""
    literal = words.plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", literal)


def code(text: object) -> str:
    """``text``, a code or an identifier, as a code span; what such a word never has becomes an underscore."""
    return f"`{re.sub(r'[^A-Za-z0-9.+@-]', '_', words.plain(text)) or '-'}`"


def table(heads: t.Sequence[str], rows: t.Iterable[t.Sequence[object]]) -> list[str]:
    """A Markdown table; the cells are escaped."""
    out = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    out += ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
    return [*out, ""]


def render(report: Report) -> str:
    """The whole document."""
    out = [f"# {escape(words.headline(report))}", "", escape(words.story(report)), ""]
    out += _numbers(report) + _moves(report) + _notes(report) + _others(report)
    out += ["## Placement", "", *_placement(report)]
    out += [f"Report {code(report.name)}, plan fingerprint {code(report.fingerprint)}.", ""]
    return "\n".join(out)


def _numbers(report: Report) -> list[str]:
    numbers = report.summary
    return table(
        [
            "planned",
            "moved",
            "already there",
            "failed",
            "not started",
            "cannot move",
            "staying",
            "longest pause",
            "longest stop",
            "disks",
            "memory",
        ],
        [
            [
                numbers.planned,
                numbers.moved,
                numbers.already_there,
                numbers.failed,
                numbers.not_started,
                numbers.blocked,
                numbers.staying,
                words.pause(numbers.longest_pause_ms),
                words.duration(numbers.longest_stop_seconds),
                format_bytes(numbers.disk_bytes),
                format_bytes(numbers.memory_bytes),
            ]
        ],
    )


def _moves(report: Report) -> list[str]:
    if not report.outcomes:
        return []
    rows = [
        [
            outcome.order,
            outcome.domain,
            outcome.source,
            outcome.destination,
            outcome.method,
            words.STATE_WORDS[outcome.state],
            words.duration(words.worked(outcome)),
            words.standstill(outcome),
            format_bytes(outcome.disk_bytes),
            format_bytes(outcome.memory_bytes),
            words.rate(outcome),
        ]
        for outcome in report.outcomes
    ]
    heads = ["#", "domain", "from", "to", "method", "state", "took", "pause", "disks", "memory", "rate"]
    return ["## Moves", "", *table(heads, rows)]


def _notes(report: Report) -> list[str]:
    out = [f"- **Problem:** {escape(problem)}" for problem in report.problems]
    for outcome in report.outcomes:
        name = escape(outcome.domain)
        if outcome.state in (FAILED, NOT_STARTED):
            named = f" ({code(outcome.error_code)})" if outcome.error_code else ""
            out.append(f"- **{name}** {words.STATE_WORDS[outcome.state]}{named}: {escape(outcome.message)}")
        out += [f"- {name}: warning: {escape(warning)}" for warning in outcome.warnings]
        out += [f"- {name}: {escape(line)}" for line in words.service(outcome)]
        out += [
            f"- {name}: {escape(finding.severity)} {code(finding.code)}: {escape(finding.message)} {escape(finding.remedy)}".rstrip()
            for finding in outcome.findings
        ]
    return ["## What to know", "", *out, ""] if out else []


def _others(report: Report) -> list[str]:
    out: list[str] = []
    if report.blocked:
        rows = [
            [item.domain, item.source, host, " ".join(why)]
            for item in report.blocked
            for host, why in item.reasons.items()
        ]
        out += ["## Cannot move", "", *table(["domain", "on", "candidate", "why not"], rows)]
    if report.staying:
        rows = [[item.domain, item.source, item.code, item.reason] for item in report.staying]
        out += ["## Staying", "", *table(["domain", "on", "code", "reason"], rows)]
    return out


def _placement(report: Report) -> list[str]:
    before = {placement.host: placement for placement in report.before}
    after = {placement.host: placement for placement in report.after}
    rows = [[host, _load(before.get(host)), _load(after.get(host))] for host in dict.fromkeys([*before, *after])]
    return table(["host", "before", "after" if report.after_measured else "after (planned)"], rows)


def _load(placement: Placement | None) -> str:
    if placement is None:
        return "-"
    used = f"{format_bytes(placement.memory_bytes)} of {format_bytes(placement.memory_total)}"
    return f"{words.count(len(placement.domains), 'VM')}, {used}, {words.count(placement.vcpus, 'vCPU')}"
