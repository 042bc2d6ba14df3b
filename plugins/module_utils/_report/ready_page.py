# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How ready a fleet is, as one HTML page that needs nothing else: no script, no font, no picture from anywhere. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Drift, Readiness, Reason
from ansible_collections.virtops.kvm.plugins.module_utils._report import ready_picture as picture
from ansible_collections.virtops.kvm.plugins.module_utils._report import ready_words as words
from ansible_collections.virtops.kvm.plugins.module_utils._report.escape import text
from ansible_collections.virtops.kvm.plugins.module_utils._report.style import CSS
from ansible_collections.virtops.kvm.plugins.module_utils._report.words import count

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_BADGES = {BLOCKER: "bad", WARNING: "warn"}
_STYLE = """
.tiles strong.bad{color:var(--bad)}.tiles strong.warn{color:var(--warn)}.tiles strong.good{color:var(--good)}
.groups{display:flex;flex-wrap:wrap;gap:6px 18px;font-size:13px;margin-top:14px;color:var(--muted)}.groups b{color:var(--ink)}
.hint{font-size:13px;color:var(--muted);margin:-6px 0 12px}
.tag{font-weight:600;white-space:nowrap}
pre{background:var(--soft);border-radius:8px;padding:12px 14px;overflow-x:auto;margin:12px 0 0;font:12.5px ui-monospace,
SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
"""
#: More rows than this are folded away.
_FOLD = 12


def render(ready: Readiness) -> str:
    """The whole page."""
    body = "".join(
        [
            _header(ready),
            _tiles(ready),
            _picture(ready),
            _findings(ready),
            _reasons(ready),
            _classes(ready),
            _baseline(ready),
            _drift(ready),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{text(words.headline(ready))}</title><style>{CSS}{picture.CSS}{_STYLE}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )


def _header(ready: Readiness) -> str:
    numbers = ready.summary
    style, label = (
        ("bad", "not ready")
        if numbers.errors
        else ("warn", "ready, with limits")
        if numbers.stuck
        else ("good", "ready")
    )
    return (
        f'<header><p class="kind">Readiness · {text(ready.name)}</p>'
        f'<h1>{text(words.headline(ready))} <span class="badge {style}">{label}</span></h1>'
        f'<p class="story">{text(words.story(ready))}</p></header>'
    )


def _tiles(ready: Readiness) -> str:
    numbers = ready.summary
    share = f"{numbers.pairs_open / numbers.pairs:.0%}" if numbers.pairs else "-"
    unread = f"{numbers.unread} could not be read" if numbers.unread else "all of them read"
    tiles = [
        ("Hosts", str(numbers.hosts), unread, "bad" if numbers.unread else ""),
        ("VMs", str(numbers.domains), f"of {count(numbers.classes, 'kind')}", ""),
        ("Wholly open pairs", share, f"{numbers.pairs_open} of {numbers.pairs}: all VMs can go, as they are", ""),
        (
            "Can be emptied",
            f"{numbers.emptiable} of {numbers.hosts}",
            f"{count(numbers.stuck, 'VM')} with no other host" if numbers.stuck else "every VM has another host",
            "warn" if numbers.stuck else "good",
        ),
        (
            "To put right",
            str(numbers.errors),
            f"and {count(numbers.warnings, 'warning')}" if numbers.warnings else "and no warning",
            "bad" if numbers.errors else "good",
        ),
        ("Differences", str(numbers.drifts), "between hosts that should be alike", ""),
    ]
    items = "".join(
        f'<div><dt>{text(name)}</dt><dd><strong class="{style}">{text(value)}</strong><small>{text(note)}</small></dd></div>'
        for name, value, note, style in tiles
    )
    return f'<dl class="tiles">{items}</dl>'


def _picture(ready: Readiness) -> str:
    if not ready.hosts:
        return ""
    groups = ""
    if len(ready.groups) > 1 and len(ready.hosts) > 3:
        items = "".join(
            f"<li><b>{count(len(group), 'host')}</b> {text(words.some(picture.short(group)))}</li>"
            for group in ready.groups[:_FOLD]
        )
        more = f"<li>and {len(ready.groups) - _FOLD} more groups</li>" if len(ready.groups) > _FOLD else ""
        groups = f'<ul class="groups" aria-label="Hosts that behave alike">{items}{more}</ul>'
    body = (
        f'<p class="hint">Each row is a host whose VMs would go, each column a host that would take them.</p>'
        f'<ul class="legend">{picture.legend(ready)}</ul><div class="scroll">{picture.matrix(ready)}</div>{groups}'
    )
    return _card("matrix", "Who can take whose VMs", body)


def _findings(ready: Readiness) -> str:
    if not ready.findings:
        return ""
    return _card("todo", "What to do", _folded([_finding(one) for one in ready.findings], "notes", "more"))


def _finding(one: Finding) -> str:
    style = _BADGES.get(one.severity, "info")
    return (
        f'<li><span class="badge {style}">{text(one.code)}</span><p>{text(one.message)} '
        f'<span class="remedy">{text(one.remedy)}</span></p></li>'
    )


def _folded(items: t.Sequence[str], style: str, word: str) -> str:
    head = f'<ul class="{style}">{"".join(items[:_FOLD])}</ul>'
    if len(items) <= _FOLD:
        return head
    rest = f'<ul class="{style}">{"".join(items[_FOLD:])}</ul>'
    return f"{head}<details><summary>{len(items) - _FOLD} {word}</summary>{rest}</details>"


def _reasons(ready: Readiness) -> str:
    rows = [_reason(one) for one in ready.reasons]
    heads = ("VMs by hosts", "What", "From", "To", "What to do")
    return _card("why", "What keeps VMs from hosts", _table(heads, rows)) if rows else ""


def _reason(one: Reason) -> str:
    cure = ' <span class="chip">a stop cures it</span>' if one.curable else ""
    return (
        f'<tr><td class="n"><b>{one.pairs}</b></td><td><span class="tag">{text(one.code)}</span>{cure}<br>{text(one.text)}</td>'
        f"<td>{text(words.some(one.sources))}</td><td>{text(words.some(one.destinations))}</td>"
        f'<td class="remedy">{text(one.remedy)}</td></tr>'
    )


def _classes(ready: Readiness) -> str:
    others = len(ready.hosts) - 1
    rows = [
        f'<tr><td class="n"><b>{one.count}</b></td><td>{text(one.title)}</td><td class="n">{len(one.hosts)}</td>'
        f'<td class="n">{_takers(one.takers, others)}</td><td class="remedy">{text(words.some(one.domains, 3))}</td></tr>'
        for one in ready.classes
    ]
    heads = ("VMs", "What they need", "On hosts", "Others take them", "For example")
    return _card("kinds", "Kinds of VMs", _table(heads, rows)) if rows else ""


def _takers(takers: int, others: int) -> str:
    style = "good" if takers == others else "warn" if takers else "bad"
    return f'<span class="badge {style}">{takers} of {others}</span>'


def _baseline(ready: Readiness) -> str:
    base = ready.baseline
    if not base.model and not base.shared_models:
        return ""
    how = "by libvirt's reckoning" if base.by_libvirt else "by the models that all hosts list"
    parts = [f"<p>All hosts share <b>{text(base.model)}</b>, {how}.</p>"] if base.model else []
    if base.domains:
        names = words.some(base.domains, 20)
        parts.append(
            f"<p>{count(len(base.domains), 'VM')} would need a CPU that all hosts share, to go everywhere: "
            f'<span class="remedy">{text(names)}</span></p>'
        )
    if base.shared_models:
        chips = "".join(f"<li>{text(name)}</li>" for name in base.shared_models)
        summary = f"{count(len(base.shared_models), 'model')} that all hosts can give to guests"
        parts.append(f'<details><summary>{summary}</summary><ul class="chips">{chips}</ul></details>')
    if base.xml:
        parts.append(f"<pre>{_listing(base.xml)}</pre>")
    return _card("cpu", "CPU", "".join(parts))


def _listing(xml: str) -> str:
    return "\n".join(text(line) for line in xml.strip().splitlines())


def _drift(ready: Readiness) -> str:
    rows = [_difference(one) for one in ready.drift]
    return _card("drift", "Differences", _table(("Area", "What", "Values", "What to do"), rows)) if rows else ""


def _difference(one: Drift) -> str:
    values = "".join(f"<li><b>{text(item.value)}</b> {text(words.some(item.hosts))}</li>" for item in one.variants)
    return (
        f'<tr><td>{text(one.area)}</td><td class="tag">{text(one.subject)}</td><td><ul class="why">{values}</ul></td>'
        f'<td class="remedy">{text(one.remedy)}</td></tr>'
    )


def _table(heads: t.Sequence[str], rows: t.Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)

    def table(part: t.Sequence[str]) -> str:
        return f'<div class="scroll"><table class="plain"><thead><tr>{cells}</tr></thead><tbody>{"".join(part)}</tbody></table></div>'

    if len(rows) <= _FOLD:
        return table(rows)
    return f"{table(rows[:_FOLD])}<details><summary>{len(rows) - _FOLD} more</summary>{table(rows[_FOLD:])}</details>"


def _card(anchor: str, title: str, body: str) -> str:
    return f'<section class="card" aria-labelledby="{anchor}"><h2 id="{anchor}">{title}</h2>{body}</section>'
