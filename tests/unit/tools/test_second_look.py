# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which failures of the lab are looked at again, and what both looks say together."""

from __future__ import annotations

import pathlib

import pytest

from tests.tools.outcome import Outcome
from tests.tools.second_look import MOST, doubtful, passed, together


def failure(message: str) -> str:
    return f"<failure message={message!r}/>"


def report(folder: pathlib.Path, *faults: str | None) -> pathlib.Path:
    """A JUnit file with one test for each of ``faults``; None is a test that passed."""
    cases = [
        f'<testcase classname="tests.c" name="t{number}[a.b]">{"" if fault is None else failure(fault)}</testcase>'
        for number, fault in enumerate(faults)
    ]
    path = folder / "report.xml"
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>", encoding="utf-8")
    return path


def test_a_few_plain_failures_are_looked_at_again(tmp_path: pathlib.Path) -> None:
    path = report(tmp_path, None, "waited 60 s for a line of progress", None)
    assert doubtful(path) == ["tests/c.py::t1[a.b]"]
    assert passed(path) == ["tests/c.py::t0[a.b]", "tests/c.py::t2[a.b]"]


@pytest.mark.parametrize(
    "grave",
    ["assert not True, two_copies", "assert (1, 0) == (0, 0) lost", "the copies differ", "running_on() == []"],
)
def test_what_speaks_of_data_or_copies_counts_at_once(tmp_path: pathlib.Path, grave: str) -> None:
    assert doubtful(report(tmp_path, "waited 60 s", grave)) == []


def test_what_a_guest_says_on_its_console_is_not_the_tests_word(tmp_path: pathlib.Path) -> None:
    said = "waited 300 s in vain for guest web to beat: running on kvm1, its console: file system clean, 3 lost ticks"
    assert doubtful(report(tmp_path, said)) == ["tests/c.py::t0[a.b]"]


def test_many_failures_count_at_once(tmp_path: pathlib.Path) -> None:
    assert doubtful(report(tmp_path, *["waited"] * (MOST + 1))) == []


def test_no_report_is_no_reason_for_another_run(tmp_path: pathlib.Path) -> None:
    assert doubtful(tmp_path / "none.xml") == []


def test_a_second_run_replaces_the_failures_that_it_ran() -> None:
    first = Outcome(passed=10, failed=2)
    assert str(together(first, Outcome(passed=1, failed=1, output="why"))) == "11 passed, 1 failed, 0 skipped"
    assert together(first, Outcome(failed=1)) == first
