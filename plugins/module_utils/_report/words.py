# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Words that all renderings share: headline, counts, times, and names made safe for where they are shown. Pure."""

from __future__ import annotations

import datetime
import typing as t
import unicodedata

from ansible_collections.virtops.kvm.plugins.module_utils._core.columns import padded
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes, format_seconds
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import DOMAIN, PROCESS
from ansible_collections.virtops.kvm.plugins.module_utils._report.outcome import (
    ALREADY_THERE,
    COMPLETE,
    FAILED,
    MIGRATE,
    MOVED,
    NOT_STARTED,
    NOTHING_TO_DO,
    ONLY_PLANNED,
    PLANNED,
    RESTORE,
    Outcome,
    Report,
    Summary,
)

STATE_WORDS = {
    MOVED: "moved",
    ALREADY_THERE: "already there",
    FAILED: "failed",
    NOT_STARTED: "not started",
    PLANNED: "planned",
}


def plain(text: object) -> str:
    """``text`` on one line without control or direction characters, which a name could use to forge output."""
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") else char for char in str(text))


def joined(names: t.Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def count(number: int, noun: str) -> str:
    """'1 domain', '3 domains', '2 guest processes'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}es" if noun.endswith("s") else f"{number} {noun}s"


def noun(kinds: t.Iterable[str]) -> str:
    """What VMs of these kinds are called together."""
    found = set(kinds)
    return "domain" if found == {DOMAIN} else "guest process" if found == {PROCESS} else "VM"


def vms(number: int, report: Report) -> str:
    """'3 domains', '1 VM': so many of what the report is about."""
    return count(number, noun(outcome.kind for outcome in report.outcomes))


def pause(milliseconds: int | None) -> str:
    """A pause as people say it: '180 ms', '2.4 s'; '-' where none was measured."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def standstill(outcome: Outcome) -> str:
    """For how long a guest stood still: a live one paused, others were stopped; '-' for what was shut off anyway. And for how long
    its service did not answer, where that was asked."""
    still = pause(outcome.downtime_ms)
    if outcome.stopped_seconds is not None:
        still = f"stopped {duration(outcome.stopped_seconds)}"
    seen = outcome.service
    return still if seen is None or seen.pause_ms is None else f"{still}, service {pause(seen.pause_ms)}"


def service(outcome: Outcome) -> list[str]:
    """What was seen of the guest's service, as a sentence; none where nobody asked."""
    seen = outcome.service
    if seen is None or seen.pause_ms is None:
        return []
    return [
        f"the service {seen.service} did not answer the controller for {pause(seen.pause_ms)} at the longest "
        f"(asked every {seen.interval_ms} ms, {seen.answered} of {seen.asked} answers)"
    ]


def longest_standstill(numbers: Summary) -> str:
    """The longest pause, and the longest stop where guests were stopped."""
    stop = numbers.longest_stop_seconds
    parts = [
        f"longest pause {pause(numbers.longest_pause_ms)}"
        if numbers.longest_pause_ms is not None or stop is None
        else "",
        f"longest stop {duration(stop)}" if stop is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def duration(seconds: float | None) -> str:
    """A duration with a tenth where it is short: '4.2 s', '2 min 05 s'."""
    return f"{seconds:.1f} s" if seconds is not None and seconds < 10 else format_seconds(seconds)


def moment(epoch: float | None) -> str:
    """A moment in UTC to the second; '-' where it is not known."""
    if epoch is None:
        return "-"
    return datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def worked(outcome: Outcome) -> float | None:
    """The seconds that a move worked: all of it but the wait for its turn."""
    if outcome.seconds is None:
        return None
    return max(outcome.seconds - outcome.stages.get("claim", 0.0) - outcome.stages.get("wait", 0.0), 0.0)


def rate(outcome: Outcome) -> str:
    """What a move carried per second of its transfer; '-' where nothing was measured."""
    spent = sum(seconds for stage, seconds in outcome.stages.items() if stage in ("transfer", "disk", "memory"))
    total = outcome.disk_bytes + outcome.memory_bytes
    return f"{format_bytes(total / spent)}/s" if spent > 0 and total else "-"


def headline(report: Report) -> str:
    """The one sentence that everybody reads."""
    sources, numbers = joined([plain(name) for name in report.sources]), report.summary
    if report.status == NOTHING_TO_DO:
        return f"Nothing to do for {sources}"
    if report.checked:
        would = f"{vms(len(report.checked), report)} would leave {sources}"
        return would if report.status == ONLY_PLANNED else f"{would}, {_unfinished(report)}"
    if report.kind == MIGRATE:
        done = f"{vms(numbers.moved + numbers.already_there, report)} moved from {sources}"
        return done if report.status == COMPLETE else f"{done}, {_unfinished(report)}"
    if report.kind == RESTORE:
        home = joined([plain(name) for name in report.destinations])
        done = f"{vms(numbers.moved + numbers.already_there, report)} came home to {home}"
        return done if report.status == COMPLETE else f"{done}, {_unfinished(report)}"
    if report.status == COMPLETE:
        return f"{sources} {'is' if len(report.sources) == 1 else 'are'} evacuated"
    return f"{sources} {'is' if len(report.sources) == 1 else 'are'} not evacuated: {_unfinished(report)}"


def _unfinished(report: Report) -> str:
    numbers = report.summary
    parts = [
        f"{count(numbers.failed, 'move')} failed" if numbers.failed else "",
        f"{count(numbers.not_started, 'move')} not started" if numbers.not_started else "",
        f"{count(numbers.blocked, noun(item.kind for item in report.blocked))} cannot move" if numbers.blocked else "",
        f"{count(len(report.problems), 'problem')} found afterwards" if report.problems else "",
    ]
    return joined([part for part in parts if part])


def story(report: Report) -> str:
    """Who went where, when, and how long it took, in one sentence."""
    if not report.outcomes:
        return "No domain had to move."
    arrived = report.checked or [outcome for outcome in report.outcomes if outcome.arrived]
    hosts: dict[str, int] = {}
    for outcome in arrived:
        hosts[outcome.destination] = hosts.get(outcome.destination, 0) + 1
    if not hosts:
        return "No domain arrived on another host."
    where = joined([f"{plain(host)} ({number})" for host, number in sorted(hosts.items())])
    if report.checked:
        return f"{'They' if len(arrived) > 1 else 'It'} would go to {where}."
    when = ""
    if report.summary.started:
        when = f" on {moment(report.summary.started)}, in {duration(report.summary.seconds)}"
    return f"{vms(len(arrived), report)} moved to {where}{when}."


def lines(report: Report) -> list[str]:
    """The summary as it is printed at the end of a run."""
    numbers = report.summary
    printed = [f"{headline(report)}. {story(report)}" if report.outcomes else f"{headline(report)}."]
    if report.outcomes and not report.checked:
        printed.append(
            f"moved {numbers.moved}, already there {numbers.already_there}, failed {numbers.failed}, not started "
            f"{numbers.not_started}, cannot move {numbers.blocked}, staying {numbers.staying}; "
            f"{longest_standstill(numbers)}; {format_bytes(numbers.disk_bytes)} of disks and "
            f"{format_bytes(numbers.memory_bytes)} of memory"
        )
    printed += files(report)
    printed += [
        f"FAILED {plain(outcome.domain)}: {plain(outcome.message)}"
        for outcome in report.outcomes
        if outcome.state == FAILED
    ]
    printed += [
        f"NOT STARTED {plain(outcome.domain)}: {plain(outcome.message)}"
        for outcome in report.outcomes
        if outcome.state == NOT_STARTED
    ]
    printed += [f"PROBLEM {plain(problem)}" for problem in report.problems]
    printed += [f"stays {plain(item.domain)} on {plain(item.source)}: {plain(item.reason)}" for item in report.staying]
    for item in report.blocked:
        for host, reasons in item.reasons.items():
            printed.append(f"cannot move {plain(item.domain)} to {plain(host)}: {plain(' '.join(reasons))}")
    return printed


def files(report: Report) -> list[str]:
    """Every file that check mode says would be copied, as a table with its size and the space where it goes."""
    rows: list[tuple[str, ...]] = [
        ("domain", "file", "on the source", "size", "data", "on the destination", "free there")
    ]
    for outcome in report.checked:
        for number, file in enumerate(outcome.files):
            rows.append(
                (
                    plain(outcome.domain) if number == 0 else "",
                    plain(file.what),
                    plain(file.source),
                    format_bytes(file.size),
                    format_bytes(file.allocated),
                    "the same path" if file.path == file.source else plain(file.path),
                    format_bytes(file.free),
                )
            )
    if len(rows) == 1:
        return []
    total = sum(file.allocated or 0 for outcome in report.checked for file in outcome.files)
    lines = ["  ".join(cells).rstrip() for cells in padded(rows)]
    return ["", *lines, f"{count(len(rows) - 1, 'file')}, {format_bytes(total)} of data to copy.", ""]


def verdict(report: Report) -> str:
    """The sentence that ends a run that did not do all it was to do; empty for one that did."""
    if report.sound:
        return ""
    names = [
        f"{plain(outcome.domain)} ({outcome.error_code or STATE_WORDS[outcome.state]})" for outcome in report.unfinished
    ]
    parts = [f"{count(len(names), 'move')} not done: {', '.join(names)}." if names else ""]
    parts += [plain(problem) for problem in report.problems]
    return " ".join(part for part in [f"{headline(report)}.", *parts] if part)
