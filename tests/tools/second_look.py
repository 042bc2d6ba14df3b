# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which failed tests of the lab may run once more, alone, before they count.

Machines stall, and three labs on two cores can starve each other. So a few failures are looked at again; what then passes is named
as flaky in the output. What speaks of data or of two copies is never looked at again: once is too often. Neither are many failures,
for then it is not the machine.
"""

from __future__ import annotations

import pathlib
import re
import xml.etree.ElementTree

from tests.tools.outcome import Outcome

MOST = 4
#: What the lab adds to a failure from a guest's console is the guest's word, not the test's.
_CONSOLE = "its console:"
_GRAVE = re.compile(r"two[ _]copies|lost|torn|clean|acknowledged|differ|digest|proof|running_on|corrupt", re.IGNORECASE)


def doubtful(report: pathlib.Path) -> list[str]:
    """The failed tests of a JUnit file if all of them may run once more; otherwise none."""
    faults = [(name, message) for name, message in _cases(report) if message is not None]
    if len(faults) > MOST or any(_GRAVE.search(message.partition(_CONSOLE)[0]) for _name, message in faults):
        return []
    return [name for name, _message in faults]


def passed(report: pathlib.Path) -> list[str]:
    """The tests of a JUnit file that did not fail."""
    return [name for name, message in _cases(report) if message is None]


def together(first: Outcome, second: Outcome) -> Outcome:
    """What both runs say together; the first one's word stands where the second did not run as many tests as had failed."""
    if second.passed + second.failed != first.failed:
        return first
    return Outcome(first.passed + second.passed, second.failed, first.skipped + second.skipped, second.output)


def _cases(report: pathlib.Path) -> list[tuple[str, str | None]]:
    """Each test with what it failed with; None where it did not."""
    if not report.exists():
        return []
    found = []
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        faults = [fault.get("message") or "" for fault in [*case.iter("failure"), *case.iter("error")]]
        found.append((_node(case), " ".join(faults) if faults else None))
    return found


def _node(case: xml.etree.ElementTree.Element) -> str:
    """What pytest calls the test: its file and name."""
    file = (case.get("classname") or "").replace(".", "/")
    return f"{file}.py::{case.get('name')}"
