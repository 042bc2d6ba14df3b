# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counting what the tests reported: a run that died, or ran nothing, must never count as passed."""

from __future__ import annotations

import pathlib
import threading

import pytest

from tests.tools.ground import CommandFailed, Once, Refusal
from tests.tools.outcome import Check, Outcome, counted, failures, read_junit, run_all, single

CASES = """\
<testsuites><testsuite name="s">
<testcase name="a"/>
<testcase name="b"><failure message="no"/></testcase>
<testcase name="c"><error message="oh"/></testcase>
<testcase name="d"><skipped message="no tool"/></testcase>
<testcase name="e"><skipped>No tests applicable.</skipped></testcase>
</testsuite></testsuites>
"""
PASSED = '<testsuites><testsuite><testcase name="a"/></testsuite></testsuites>'


def report(folder: pathlib.Path, text: str) -> list[pathlib.Path]:
    path = folder / "junit.xml"
    path.write_text(text, encoding="utf-8")
    return [path]


def dies() -> str:
    raise CommandFailed("it died")


def test_junit_is_counted_and_what_does_not_apply_is_left_out(tmp_path: pathlib.Path) -> None:
    assert read_junit(report(tmp_path, CASES)) == Outcome(passed=1, failed=2, skipped=1)


def test_failures_are_told_in_the_words_of_the_report(tmp_path: pathlib.Path) -> None:
    assert failures(report(tmp_path, CASES)) == "b: no\nc: oh"
    assert failures(report(tmp_path, PASSED)) == ""


def test_a_clean_run_counts_its_cases(tmp_path: pathlib.Path) -> None:
    assert counted(lambda: "out", lambda: report(tmp_path, PASSED)) == Outcome(passed=1, output="out")


def test_a_run_that_dies_after_passing_tests_is_a_failure(tmp_path: pathlib.Path) -> None:
    assert counted(dies, lambda: report(tmp_path, PASSED)) == Outcome(passed=1, failed=1, output="it died")


def test_failed_tests_are_not_counted_twice(tmp_path: pathlib.Path) -> None:
    assert counted(dies, lambda: report(tmp_path, CASES)) == Outcome(1, 2, 1, "it died")


def test_a_run_without_a_report_is_a_failure() -> None:
    assert counted(lambda: "", list) == Outcome(failed=1)


def test_one_failure_keeps_nothing_else_from_running(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [Check("bad", single(dies)), Check("worse", single(refuses)), Check("good", single(lambda: None))]
    assert run_all(checks) == Outcome(passed=1, failed=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9].rstrip() for line in sorted(lines) if not line.startswith(" ")] == [
        "FAIL bad",
        "FAIL wors",
        "ok   good",
    ]
    assert "     it died" in lines


def refuses() -> str:
    raise Refusal("not here")


def test_what_broke_once_is_not_made_again() -> None:
    tries: list[int] = []

    def make() -> str:
        tries.append(1)
        raise CommandFailed("no network")

    once = Once(make)
    with pytest.raises(CommandFailed):
        once()
    with pytest.raises(Refusal, match="as told above"):
        once()
    assert tries == [1]


def test_two_threads_share_what_is_made() -> None:
    once: Once[object] = Once(object)
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(once())) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in made}) == 1
