# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What repair tells people: in a terminal, as a document, and in one sentence."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import FINISH, LEAVE, UNDO, Repair, Thing
from ansible_collections.virtops.kvm.plugins.module_utils._report.markdown import code, escape
from ansible_collections.virtops.kvm.plugins.module_utils._report.words import count, plain

_ACTIONS = {FINISH: "to finish", UNDO: "to take back", LEAVE: "left"}
_MARKS = {"blocker": "ERROR", "warning": "WARNING", "info": "note"}


def summary(repair: Repair) -> dict[str, int]:
    """The things in numbers."""
    actions = [thing.action for thing in repair.things]
    return {
        "hosts": len(repair.hosts),
        "unread": len(repair.unread),
        "done": len(repair.acted) - len(repair.failed),
        "failed": len(repair.failed),
        "finish": actions.count(FINISH),
        "undo": actions.count(UNDO),
        "leave": len(repair.for_a_person),
        "notes": actions.count(LEAVE) - len(repair.for_a_person),
    }


def sound(repair: Repair) -> bool:
    """Whether nothing failed, nothing asks for a person, and nothing is to be done."""
    numbers = summary(repair)
    return not any(numbers[name] for name in ("failed", "finish", "undo", "leave"))


def headline(repair: Repair) -> str:
    """The one sentence that matters most."""
    numbers = summary(repair)
    parts = [
        f"{numbers['done']} put right" if numbers["done"] else "",
        f"{numbers['failed']} failed" if numbers["failed"] else "",
        f"{numbers['finish']} to finish" if numbers["finish"] else "",
        f"{numbers['undo']} to take back" if numbers["undo"] else "",
        f"{numbers['leave']} left for a person" if numbers["leave"] else "",
    ]
    told = [part for part in parts if part]
    hosts = count(numbers["hosts"] + numbers["unread"], "host")
    return f"On {hosts}: {', '.join(told)}" if told else f"On {hosts} nothing is left of interrupted work"


def lines(repair: Repair) -> list[str]:
    """The answer for a terminal."""
    out = [f"{headline(repair)}."]
    for thing, done in repair.acted:
        failed = f" {done.error_code}" if done.error_code else ""
        out += [
            "",
            plain(f"{'FAILED' + failed if done.failed else 'done'} {thing.code} ({thing.host}): {thing.what}"),
            plain(f"  = {done.said}"),
        ]
    for thing in repair.things:
        mark = _ACTIONS[thing.action] if thing.action != LEAVE else f"{_MARKS[thing.severity]}, left"
        cause = f" [{thing.cause}]" if thing.cause else ""
        out += ["", plain(f"{mark}: {thing.code} ({thing.host}): {thing.what}"), plain(f"  -> {thing.why}{cause}")]
    return out


def verdict(repair: Repair) -> str:
    """Why the run fails, where it does."""
    named = [f"{done.error_code or thing.code} ({thing.object} on {thing.host})" for thing, done in repair.failed]
    named += [f"{thing.cause or thing.code} ({thing.object} on {thing.host})" for thing in repair.for_a_person]
    return plain(f"{headline(repair)}: {', '.join(named)}." if named else f"{headline(repair)}.")


def markdown(repair: Repair) -> str:
    """The whole document."""
    out = [f"# {escape(headline(repair))}", ""]
    if repair.acted:
        out += ["## What was done", ""]
        out += [
            f"- {'**failed** ' + code(done.error_code) if done.failed else 'done'}: {code(thing.code)} {escape(thing.what)} "
            f"{escape(done.said)}"
            for thing, done in repair.acted
        ]
        out.append("")
    for title, kinds in (
        ("To finish or take back", [thing for thing in repair.things if thing.action != LEAVE]),
        ("Left for a person", list(repair.for_a_person)),
        ("To know of", [thing for thing in repair.things if thing.action == LEAVE and thing.severity == "info"]),
    ):
        out += [f"## {title}", "", *[line for thing in kinds for line in _item(thing)], ""] if kinds else []
    return "\n".join(out).rstrip() + "\n"


def _item(thing: Thing) -> t.Iterator[str]:
    cause = f" ({code(thing.cause)})" if thing.cause else ""
    name = f"**{escape(thing.object)}** on {escape(thing.host)}"
    yield f"- {name}, {code(thing.code)}, {_ACTIONS[thing.action]}{cause}: {escape(thing.what)} {escape(thing.why)}"
    for key, value in thing.evidence.items():
        if value not in ("", [], {}, None, False, 0):
            yield f"  - {escape(key)}: {escape(value)}"
