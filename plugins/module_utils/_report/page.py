# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Placement
from ansible_collections.virtops.kvm.plugins.module_utils._report import timeline, words
from ansible_collections.virtops.kvm.plugins.module_utils._report.escape import attribute, text
from ansible_collections.virtops.kvm.plugins.module_utils._report.outcome import (
    ARRIVED,
    COMPLETE,
    EVACUATE,
    FAILED,
    MIGRATE,
    NOT_STARTED,
    NOTHING_TO_DO,
    ONLY_PLANNED,
    RESTORE,
    Report,
)
from ansible_collections.virtops.kvm.plugins.module_utils._report.style import CSS

_BADGES = {
    COMPLETE: ("good", "complete"),
    NOTHING_TO_DO: ("good", "nothing to do"),
    ONLY_PLANNED: ("info", "only planned"),
}
_TITLES = {EVACUATE: "Evacuation", RESTORE: "Way home", MIGRATE: "Migration"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
#: More names than this are folded away.
_FOLD = 12


def render(report: Report) -> str:
    """The whole page."""
    title = words.headline(report)
    body = "".join(
        [
            _header(report),
            _tiles(report),
            timeline.moves(report),
            _notes(report),
            _placements(report),
            _others(report),
            _footer(report),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{text(title)}</title><style>{CSS}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def _header(report: Report) -> str:
    style, label = _BADGES.get(report.status, ("bad", "incomplete"))
    return (
        f'<header><p class="kind">{_TITLES[report.kind]} · {text(report.name)}</p>'
        f'<h1>{text(words.headline(report))} <span class="badge {style}">{label}</span></h1>'
        f'<p class="story">{text(words.story(report))}</p></header>'
    )


def _tiles(report: Report) -> str:
    if not report.outcomes:
        return ""
    numbers = report.summary
    arrived = numbers.moved + numbers.already_there
    planned = report.status == ONLY_PLANNED
    tiles = [
        (
            "Planned" if planned else "Moved",
            f"{numbers.planned if planned else f'{arrived} of {numbers.planned}'}",
            _remainder(report),
        ),
        *_standstills(report),
        ("Took", words.duration(numbers.seconds), "from the first move's beginning to the last one's end"),
        ("Disks", format_bytes(numbers.disk_bytes), _copies(report)),
        ("Memory", format_bytes(numbers.memory_bytes), "sent while the guests ran"),
    ]
    items = "".join(
        f"<div><dt>{text(name)}</dt><dd><strong>{text(value)}</strong><small>{text(note)}</small></dd></div>"
        for name, value, note in tiles
    )
    return f'<dl class="tiles">{items}</dl>'


def _standstills(report: Report) -> list[tuple[str, str, str]]:
    numbers = report.summary
    tiles = []
    if numbers.longest_pause_ms is not None or numbers.longest_stop_seconds is None:
        tiles.append(
            ("Longest pause", words.pause(numbers.longest_pause_ms), "the longest time a live guest stood still")
        )
    if numbers.longest_stop_seconds is not None:
        stop = words.duration(numbers.longest_stop_seconds)
        tiles.append(("Longest stop", stop, "the longest time from a guest's shutdown to its new start"))
    return tiles


def _copies(report: Report) -> str:
    proven = sum(outcome.proven for outcome in report.outcomes)
    return f"{words.count(proven, 'file')} proven equal" if proven else "processed by the copies, holes included"


def _remainder(report: Report) -> str:
    numbers = report.summary
    parts = [
        f"{numbers.failed} failed" if numbers.failed else "",
        f"{numbers.not_started} not started" if numbers.not_started else "",
        f"{numbers.already_there} already there" if numbers.already_there else "",
        f"{numbers.blocked} cannot move" if numbers.blocked else "",
        f"{numbers.staying} staying" if numbers.staying else "",
    ]
    return ", ".join(part for part in parts if part) or "none left behind"


def _notes(report: Report) -> str:
    notes = [_note("bad", "problem", "", problem, "") for problem in report.problems]
    for outcome in report.outcomes:
        if outcome.state in (FAILED, NOT_STARTED):
            label = outcome.error_code or words.STATE_WORDS[outcome.state]
            notes.append(_note("bad", label, outcome.domain, outcome.message, ""))
        notes += [_note("warn", "warning", outcome.domain, warning, "") for warning in outcome.warnings]
        notes += [
            _note(
                "bad" if finding.severity == "blocker" else "warn",
                finding.code,
                outcome.domain,
                finding.message,
                finding.remedy,
            )
            for finding in outcome.findings
        ]
    return _card("notes", "What to know", f'<ul class="notes">{"".join(notes)}</ul>') if notes else ""


def _note(style: str, label: str, domain: str, message: str, remedy: str) -> str:
    who = f"<b>{text(domain)}</b> " if domain else ""
    more = f' <span class="remedy">{text(remedy)}</span>' if remedy else ""
    return f'<li><span class="badge {style}">{text(label)}</span><p>{who}{text(message)}{more}</p></li>'


def _placements(report: Report) -> str:
    before = {placement.host: placement for placement in report.before}
    after = {placement.host: placement for placement in report.after}
    hosts = "".join(_host(host, before.get(host), after.get(host), report) for host in dict.fromkeys([*before, *after]))
    note = "" if report.after_measured else ' <small class="muted">after: as planned</small>'
    return _card("placement", f"Placement{note}", f'<div class="hosts">{hosts}</div>') if hosts else ""


def _host(name: str, before: Placement | None, after: Placement | None, report: Report) -> str:
    old, new = set(before.domains if before else ()), set(after.domains if after else ())
    role = "evacuated" if name in report.sources and report.kind == EVACUATE else ""
    chips = [("gone", item) for item in sorted(old - new)] + [("came", item) for item in sorted(new - old)]
    chips += [("stays", item) for item in sorted(old & new)]
    return (
        f'<article class="host"><h3>{text(name)}{f" <small>{role}</small>" if role else ""}</h3>'
        f"{_load('before', before)}{_load('after', after)}{_names(chips)}</article>"
    )


def _load(when: str, placement: Placement | None) -> str:
    if placement is None:
        return ""
    share = min(placement.memory_bytes / placement.memory_total, 1.0) * 100 if placement.memory_total else 0.0
    memory = f"{format_bytes(placement.memory_bytes)} of {format_bytes(placement.memory_total)}"
    vcpus = (
        f"{words.count(placement.vcpus, 'vCPU')} on {words.count(placement.cpus, 'CPU')}"
        if placement.cpus
        else words.count(placement.vcpus, "vCPU")
    )
    label = f"{when}: {words.count(len(placement.domains), 'VM')}, memory {memory}, {vcpus}"
    return (
        f'<div class="load {when}"><span class="when">{when}</span>'
        f'<svg width="100%" height="12" role="img" aria-label="{attribute(label)}"><rect class="track" width="100%" height="12" rx="3"/>'
        f'<rect class="used" width="{share:.2f}%" height="12" rx="3"/></svg>'
        f'<span class="what"><b>{words.count(len(placement.domains), "VM")}</b> · {text(memory)} · {text(vcpus)}</span></div>'
    )


def _names(chips: t.Sequence[tuple[str, str]]) -> str:
    if not chips:
        return ""
    signs = {"gone": ("\u2212", "left"), "came": ("+", "came"), "stays": ("", "stayed")}
    items = "".join(
        f'<li class="{style}"><span aria-hidden="true">{signs[style][0]}</span>'
        f'<span class="hidden">{signs[style][1]}: </span>{text(name)}</li>'
        for style, name in chips
    )
    listed = f'<ul class="chips">{items}</ul>'
    if len(chips) <= _FOLD:
        return listed
    came, gone = sum(style == "came" for style, _name in chips), sum(style == "gone" for style, _name in chips)
    parts = ", ".join(part for part in (f"{came} came" if came else "", f"{gone} left" if gone else "") if part)
    return (
        f"<details><summary>{words.count(len(chips), 'VM')}{f': {parts}' if parts else ''}</summary>{listed}</details>"
    )


def _others(report: Report) -> str:
    out = ""
    if report.blocked:
        rows = "".join(
            f'<tr><th scope="row">{text(item.domain)}</th><td>{text(item.source)}</td><td><ul class="why">'
            + "".join(f"<li><b>{text(host)}</b> {text(' '.join(why))}</li>" for host, why in item.reasons.items())
            + "</ul></td></tr>"
            for item in report.blocked
        )
        out += _card("blocked", "Cannot move", _plain_table(("Domain", "On", "Why not"), rows))
    if report.staying:
        rows = "".join(
            f'<tr><th scope="row">{text(item.domain)}</th><td>{text(item.source)}</td>'
            f'<td>{text(item.reason)} <span class="chip">{text(item.code)}</span></td></tr>'
            for item in report.staying
        )
        out += _card("staying", "Staying", _plain_table(("Domain", "On", "Reason"), rows))
    return out


def _plain_table(heads: t.Sequence[str], rows: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class="scroll"><table class="plain"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _card(anchor: str, title: str, body: str) -> str:
    return f'<section class="card" aria-labelledby="{anchor}"><h2 id="{anchor}">{title}</h2>{body}</section>'


def _footer(report: Report) -> str:
    kept = sum(len(outcome.source_disks_kept) for outcome in report.outcomes if outcome.state in ARRIVED)
    disks = f"{words.count(kept, 'old disk image')} kept on the source. " if kept else ""
    printed = f"Plan fingerprint <code>{text(report.fingerprint)}</code>." if report.fingerprint else ""
    seen = [f"{outcome.domain}: {line}. " for outcome in report.outcomes for line in words.service(outcome)]
    return f"<footer><p>{text(disks)}The pause is what QEMU measured as the guest stood still. {text(''.join(seen))}{printed}</p></footer>"
