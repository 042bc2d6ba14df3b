#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: repair_plan
short_description: Tell what interrupted work left on a fleet, and what is to be done about each thing
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Takes what M(virtops.kvm.repair_info) read on all hosts, and finds interrupted moves, orphaned copies of disks, QEMU processes that
    wait for a migration in vain, domains that two hosts know, and cordons that nobody uses.
  - Says of each what it is, with evidence, whether it is to be finished, taken back or left, and why. For moves it asks the same tables
    that decide when the move is run again. Where a guest may run twice, or ownership cannot be proven, it is left.
  - Writes C(repair.json) and C(repair.md) into one directory, when it is told to.
  - Runs on the controller, and changes nothing but its own files.
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
    details:
      - A file whose text would be the same is left alone. The texts have no time of their own in them.
options:
  facts:
    description:
      - What was read on each host, as RV(virtops.kvm.repair_info#module:state) has it.
    type: list
    elements: dict
    required: true
  unread:
    description:
      - The names of hosts that could not be read. Then no copy is removed anywhere, as one of them may need it.
    type: list
    elements: str
    default: []
  name:
    description: What the report calls the fleet.
    type: str
    default: fleet
  copies:
    description:
      - What becomes of copies in the making that no move goes on with. V(remove) removes those that are proven to be of no use, V(keep)
        keeps them, so that the next stopped move of that domain to there sends only the rest.
    type: str
    choices: [remove, keep]
    default: remove
  uncordon:
    description: Whether the cordon of a host from which no move runs is to be lifted.
    type: bool
    default: false
  before:
    description:
      - The things of earlier rounds of this run, as RV(things) had them, for the report.
    type: list
    elements: dict
    default: []
  done:
    description: What came of acting on them.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: The RV(things[].id) of the thing.
        type: str
        required: true
      failed:
        description: Whether that failed.
        type: bool
        default: false
      said:
        description: What who did it said.
        type: str
        default: ""
      error_code:
        description: The code of the failure.
        type: str
        default: ""
      changed:
        description: Whether anything was changed.
        type: bool
        default: false
  directory:
    description:
      - Where the files go; it is created when it does not exist. Leave it out to write nothing.
    type: path
seealso:
  - module: virtops.kvm.repair_info
  - module: virtops.kvm.repair_leftover
"""

EXAMPLES = r"""
- name: See what interrupted work left
  virtops.kvm.repair_plan:
    facts: "{{ groups['hypervisors'] | map('extract', hostvars, ['left', 'state']) | list }}"
  delegate_to: localhost
  run_once: true
  register: plan

- name: Show it
  ansible.builtin.debug:
    msg: "{{ plan.lines }}"
"""

RETURN = r"""
sound:
  description: Whether nothing failed, nothing is left that asks for a person, and nothing is to be done.
  returned: success
  type: bool
summary:
  description: The things in numbers.
  returned: success
  type: dict
  contains:
    hosts:
      description: Hosts that were read.
      type: int
    unread:
      description: Hosts that could not be read.
      type: int
    done:
      description: Things that earlier rounds finished or took back.
      type: int
    failed:
      description: Things on which earlier rounds acted in vain.
      type: int
    finish:
      description: Things to finish.
      type: int
    undo:
      description: Things to take back.
      type: int
    leave:
      description: Things to leave that ask for a person.
      type: int
    notes:
      description: Things to leave that ask for nothing.
      type: int
things:
  description: What was found, what is acted on first, then the worst of what is left.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The same for the same thing in every run.
      type: str
    code:
      description: What kind of thing it is, a stable code; see the README of the role C(repair).
      type: str
      sample: MOVE_INTERRUPTED
    host:
      description: The host on which it is, and on which it is put right.
      type: str
    object:
      description: The domain, guest, file or process.
      type: str
    what:
      description: What it is, in one sentence.
      type: str
    action:
      description: V(finish), V(undo) or V(leave).
      type: str
    why:
      description: Why; for what is left, what a person can do.
      type: str
    severity:
      description: V(blocker), V(warning) or V(info), which asks for nothing.
      type: str
    cause:
      description: The code of the refusal that is the reason to leave it, else empty.
      type: str
    evidence:
      description: The facts behind it.
      type: dict
    task:
      description:
        - How it is put right. C(kind) is V(move), V(guest_move), V(arrival), V(copy), V(cordon), or empty for what is left; C(options) are
          those of the module that does it.
      type: dict
lines:
  description: The answer for a terminal.
  returned: success
  type: list
  elements: str
verdict:
  description: One sentence for a run that fails.
  returned: success
  type: str
files:
  description: The files by kind (V(json), V(markdown)).
  returned: success
  type: dict
"""

import json
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.reports import ReportFiles, keep
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import Done, HostState, Options, Repair, Thing
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_plan import repair_of
from ansible_collections.virtops.kvm.plugins.module_utils._report import repair_words as words

FILES = {"json": "repair.json", "markdown": "repair.md"}
T = t.TypeVar("T")


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    done = {
        "id": {"type": "str", "required": True},
        "failed": {"type": "bool", "default": False},
        "said": {"type": "str", "default": ""},
        "error_code": {"type": "str", "default": ""},
        "changed": {"type": "bool", "default": False},
    }
    return {
        "facts": {"type": "list", "elements": "dict", "required": True},
        "unread": {"type": "list", "elements": "str", "default": []},
        "name": {"type": "str", "default": "fleet"},
        "copies": {"type": "str", "choices": ["remove", "keep"], "default": "remove"},
        "uncordon": {"type": "bool", "default": False},
        "before": {"type": "list", "elements": "dict", "default": []},
        "done": {"type": "list", "elements": "dict", "default": [], "options": done},
        "directory": {"type": "path"},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: ReportFiles) -> Result:
    """Find the things, and write what differs from the files that are there."""
    options = Options(params["copies"], params["uncordon"])
    states = read(HostState, params["facts"], "facts", "repair_info")
    before = read(Thing, params["before"], "before", "repair_plan")
    done = read(Done, params["done"], "done", "the role repair")
    repair = repair_of(params["name"], states, params["unread"], options, before, done)
    things = [{"id": thing.id, **to_data(thing)} for thing in repair.things]
    wanted = texts(repair, things, params["directory"])
    return Result(
        values={
            "sound": words.sound(repair),
            "summary": words.summary(repair),
            "things": things,
            "lines": words.lines(repair),
            "verdict": words.verdict(repair),
            "files": {kind: path for kind, (path, _text) in wanted.items()},
        },
        changes=keep(gateway, wanted, check_mode=check_mode),
        msg=f"{words.headline(repair)}.",
    )


def read(cls: type[T], data: t.Sequence[t.Mapping[str, t.Any]], option: str, source: str) -> list[T]:
    """What an option has. Raises InputError."""
    try:
        return [from_data(cls, one) for one in data]
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise InputError(option, f"The option '{option}' is not what {source} gives ({exc}).") from exc


def texts(repair: Repair, things: list[dict[str, t.Any]], directory: str | None) -> dict[str, tuple[str, str]]:
    """The files of this run by their kind: path and text."""
    if not directory:
        return {}
    folder = os.path.abspath(directory)
    data = {
        "name": repair.name,
        "summary": words.summary(repair),
        "acted": [{"thing": {"id": thing.id, **to_data(thing)}, "done": to_data(done)} for thing, done in repair.acted],
        "things": things,
    }
    found = {
        "json": json.dumps(data, ensure_ascii=False, indent=1) + "\n",
        "markdown": words.markdown(repair),
    }
    return {kind: (os.path.join(folder, FILES[kind]), text) for kind, text in found.items()}


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, ReportFiles)


if __name__ == "__main__":
    main()
