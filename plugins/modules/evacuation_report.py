#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evacuation_report
short_description: Tell what became of an evacuation plan, in JSON, Markdown and HTML
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Puts together a plan, what its moves returned and what the hosts run afterwards, and says whether all is as it should be.
  - Writes C(report.json), C(report.md), C(report.html) (one page that needs nothing else) and C(return-ticket.json) (the plan
    that brings everything home) into one directory.
  - A domain that runs on two hosts, one that was left behind, and one that runs nowhere are problems, whatever the moves reported.
  - Runs on the controller. A plan without moves writes nothing.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows which files would change, not their text.
  idempotent:
    support: full
options:
  plan:
    description:
      - The plan, as RV(virtops.kvm.evacuation_plan#module:plan) has it.
    type: dict
    required: true
  results:
    description:
      - What the task M(virtops.kvm.domain_migration) or M(virtops.kvm.qemu_migration) registered for each move, by the move's C(id).
      - A move without a result counts as not started.
    type: dict
    default: {}
  after:
    description:
      - What runs on the hosts after the moves. Leave it out when nobody looked; then nothing is said about two copies.
    type: list
    elements: dict
    suboptions:
      name:
        description: The inventory name of the host.
        type: str
        required: true
      domains:
        description: Its domains, as RV(virtops.kvm.domain_info#module:domains) has them.
        type: list
        elements: dict
        required: true
      guests:
        description:
          - Its guest processes, as RV(virtops.kvm.qemu_guest_info#module:guests) and RV(virtops.kvm.qemu_guest_info#module:stopped) have
            them, in one list.
        type: list
        elements: dict
        default: []
  directory:
    description:
      - Where the files go; it is created when it does not exist. Leave it out to write nothing.
    type: path
  name:
    description: The name of this run, shown in the report.
    type: str
    default: evacuation
  kind:
    description:
      - What the run was for. Hosts were evacuated, domains were brought home by a return ticket, or domains that somebody listed
        were migrated.
    type: str
    choices: [evacuate, restore, migrate]
    default: evacuate
seealso:
  - module: virtops.kvm.evacuation_plan
  - module: virtops.kvm.domain_migration
"""

EXAMPLES = r"""
- name: Write the report of an evacuation
  virtops.kvm.evacuation_report:
    plan: "{{ planned.plan }}"
    results: "{{ results }}"
    directory: /srv/evacuations/kvm1
    name: kvm1
  delegate_to: localhost
  register: reported

- name: Show what happened
  ansible.builtin.debug:
    msg: "{{ reported.lines }}"
"""

RETURN = r"""
sound:
  description:
    - Whether every move of the plan did what it was to do, and the hosts agree.
    - Domains that the plan itself left out do not count here.
  returned: success
  type: bool
  sample: true
status:
  description: V(complete), V(incomplete), V(nothing_to_do), or V(planned) in check mode.
  returned: success
  type: str
  sample: complete
summary:
  description: The sums of the run.
  returned: success
  type: dict
  contains:
    planned:
      description: Moves in the plan.
      type: int
    moved:
      description: Domains that moved now.
      type: int
    already_there:
      description: Domains that ran on their destination already.
      type: int
    failed:
      description: Moves that failed.
      type: int
    not_started:
      description: Moves that were not attempted.
      type: int
    blocked:
      description: Domains for which the plan found no host.
      type: int
    staying:
      description: Domains that did not have to move.
      type: int
    longest_pause_ms:
      description: The longest pause of a guest in milliseconds; null when none was measured.
      type: int
    longest_stop_seconds:
      description: The longest time for which a running guest was stopped by its move; null when none was.
      type: float
    disk_bytes:
      description: Bytes of disks that the moves processed, holes included.
      type: int
    memory_bytes:
      description: Bytes of memory that were sent.
      type: int
    started:
      description: When the first move began, in seconds since the epoch; null when none was measured.
      type: float
    seconds:
      description: From the first move's beginning to the last one's end, in seconds; null when none was measured.
      type: float
lines:
  description: The result for people, line by line; in check mode with every file that would be copied, its size, and the free space.
  returned: success
  type: list
  elements: str
verdict:
  description: One sentence that names what was not done; empty when RV(sound) is true.
  returned: success
  type: str
unfinished:
  description: Names of the domains whose move was not done.
  returned: success
  type: list
  elements: str
problems:
  description: What the hosts say against the reported outcome, one sentence each.
  returned: success
  type: list
  elements: str
files:
  description: The paths of the written files by their kind, as far as this run has them.
  returned: success
  type: dict
  contains:
    json:
      description: The report for machines.
      type: str
    markdown:
      description: The report as Markdown.
      type: str
    html:
      description: The report as one page.
      type: str
    ticket:
      description: The return ticket; absent when nothing moved.
      type: str
ticket:
  description:
    - The return ticket itself, of the same form as the plan of M(virtops.kvm.evacuation_plan), for who cannot fetch its file. Empty
      when nothing moved.
  returned: success
  type: dict
changes:
  description: The files that were written, or would be in check mode.
  returned: success
  type: list
  elements: dict
"""

import json
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.reports import ReportFiles, keep
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Plan
from ansible_collections.virtops.kvm.plugins.module_utils._report import markdown, page, words
from ansible_collections.virtops.kvm.plugins.module_utils._report.build import build
from ansible_collections.virtops.kvm.plugins.module_utils._report.outcome import (
    EVACUATE,
    KINDS,
    ONLY_PLANNED,
    HostAfter,
    Report,
)
from ansible_collections.virtops.kvm.plugins.module_utils._report.ticket import return_ticket

FILES = {"json": "report.json", "markdown": "report.md", "html": "report.html", "ticket": "return-ticket.json"}


class Files(ReportFiles):
    """The controller's files."""


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    after = {
        "name": {"type": "str", "required": True},
        "domains": {"type": "list", "elements": "dict", "required": True},
        "guests": {"type": "list", "elements": "dict", "default": []},
    }
    return {
        "plan": {"type": "dict", "required": True},
        "results": {"type": "dict", "default": {}},
        "after": {"type": "list", "elements": "dict", "options": after},
        "directory": {"type": "path"},
        "name": {"type": "str", "default": "evacuation"},
        "kind": {"type": "str", "choices": list(KINDS), "default": EVACUATE},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Files) -> Result:
    """Build the report, and write what differs from the files that are there."""
    plan = _read(Plan, params["plan"], "plan")
    after = (
        None if params["after"] is None else [_read(HostAfter, host, "after").together() for host in params["after"]]
    )
    try:
        report = build(plan, params["results"], after, name=params["name"], kind=params["kind"], started=not check_mode)
    except (ValueError, TypeError, AttributeError) as exc:
        raise InputError("results", f"The value of 'results' is not what the moves return: {exc}.") from exc
    ticket = return_ticket(plan, report)
    wanted = _texts(plan, report, ticket, params["directory"])
    return Result(
        values={
            "sound": report.sound,
            "status": report.status,
            "summary": report.summary,
            "lines": words.lines(report),
            "verdict": words.verdict(report),
            "unfinished": [outcome.domain for outcome in report.unfinished],
            "problems": list(report.problems),
            "ticket": to_data(ticket) if ticket else {},
            "files": {kind: path for kind, (path, _text) in wanted.items()},
        },
        changes=keep(gateway, wanted, check_mode=check_mode, always=report.status == ONLY_PLANNED),
        msg=f"{words.headline(report)}.",
    )


def _read(kind: type[t.Any], data: t.Any, option: str) -> t.Any:
    try:
        return from_data(kind, data)
    except (ValueError, TypeError, AttributeError) as exc:
        raise InputError(
            option, f"The value of '{option}' is not what the survey and the planner return: {exc}."
        ) from exc


def _texts(plan: Plan, report: Report, ticket: Plan | None, directory: str | None) -> dict[str, tuple[str, str]]:
    """The files of this run by their kind: path and text. None for a run without moves, which has nothing to tell."""
    if not directory or not report.outcomes:
        return {}
    folder = os.path.abspath(directory)
    texts = {
        "json": _json({"report": to_data(report), "plan": to_data(plan)}),
        "markdown": markdown.render(report),
        "html": page.render(report),
        "ticket": _json(to_data(ticket)) if ticket else None,
    }
    return {kind: (os.path.join(folder, FILES[kind]), text) for kind, text in texts.items() if text is not None}


def _json(data: t.Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Files)


if __name__ == "__main__":
    main()
