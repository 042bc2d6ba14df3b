# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks, what came of them, and running many of them with one line each."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib
import time
import typing as t
import xml.etree.ElementTree

from tests.tools.ground import CommandFailed, Refusal, say

AT_ONCE = 2
_NOTHING_TO_TEST = "No tests applicable."
"""What ansible-test reports where the collection has no file of the kind that a test reads. That is no test left out."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Counts of tests. ``output`` is shown when something failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    output: str = ""

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclasses.dataclass(frozen=True)
class Check:
    name: str
    run: t.Callable[[], Outcome]


def single(function: t.Callable[[], object]) -> t.Callable[[], Outcome]:
    """``function`` as one test: it passes when it returns, and fails when a command in it does."""

    def outcome() -> Outcome:
        function()
        return Outcome(passed=1)

    return outcome


def run_all(checks: t.Sequence[Check], at_once: int = AT_ONCE) -> Outcome:
    """Run every check, whatever becomes of the others, and say how each went."""
    total = Outcome()
    with concurrent.futures.ThreadPoolExecutor(max_workers=at_once) as pool:
        try:
            for done in concurrent.futures.as_completed([pool.submit(_run_one, check) for check in checks]):
                total += done.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return total


def _run_one(check: Check) -> Outcome:
    start = time.monotonic()
    try:
        outcome = check.run()
    except (CommandFailed, Refusal) as exc:
        outcome = Outcome(failed=1, output=str(exc))
    good = outcome.failed == 0
    counts = f": {outcome}" if outcome.passed + outcome.failed + outcome.skipped != 1 else ""
    lines = [f"{'ok  ' if good else 'FAIL'} {check.name}{counts} ({time.monotonic() - start:.0f} s)"]
    if not good:
        lines += [f"     {line}" for line in outcome.output.rstrip().splitlines()]
    say("\n".join(lines))
    return outcome


def read_junit(files: t.Iterable[pathlib.Path]) -> Outcome:
    """Count the test cases in JUnit files."""
    total = Outcome()
    for file in files:
        for case in xml.etree.ElementTree.parse(file).getroot().iter("testcase"):
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                total += Outcome(failed=1)
            elif skip is None:
                total += Outcome(passed=1)
            elif (skip.text or "").strip() != _NOTHING_TO_TEST:
                total += Outcome(skipped=1)
    return total


def failures(files: t.Iterable[pathlib.Path]) -> str:
    """What failed, in the words of the JUnit files."""
    found = []
    for file in files:
        for case in xml.etree.ElementTree.parse(file).getroot().iter("testcase"):
            for fault in [*case.iter("failure"), *case.iter("error")]:
                found.append(f"{case.get('name')}: {(fault.text or fault.get('message') or '').strip()}")
    return "\n".join(found)


def counted(command: t.Callable[[], str], reports: t.Callable[[], t.Iterable[pathlib.Path]]) -> Outcome:
    """Run ``command`` and count what it reported. A command that fails without a failed test is one failure."""
    output, died = "", False
    try:
        output = command()
    except CommandFailed as exc:
        output, died = str(exc), True
    counts = read_junit(reports())
    if (died and counts.failed == 0) or counts.passed + counts.failed + counts.skipped == 0:
        counts += Outcome(failed=1)
    return dataclasses.replace(counts, output=output)
