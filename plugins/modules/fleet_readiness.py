#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_readiness
short_description: Tell which host of a fleet can take whose VMs, and what differs between the hosts
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Takes what M(virtops.kvm.fleet_member_info) read on all hosts of a fleet, and says for every pair of hosts which domains of the one
    could go to the other as they are, which only by a stop, and which not at all, with the reason and what to do about it.
  - Domains that need the same of a host are judged together, as a class.
  - Finds what is wrong with hosts and between them (certificates, host UUIDs, closed ports, QEMU's user, clocks), in what hosts differ that
    should be alike, the CPU model that all of them have, and the domains that would need it.
  - Writes C(readiness.json), C(readiness.md) and C(readiness.html) (one page that needs nothing else) into one directory.
  - Whether there is room for the domains now is not judged; a plan does that.
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
      - What was read on each host, as RV(virtops.kvm.fleet_member_info#module:member) has it.
    type: list
    elements: dict
    required: true
  unread:
    description:
      - The names of hosts that could not be read. Each is an error.
    type: list
    elements: str
    default: []
  name:
    description: What the report calls the fleet.
    type: str
    default: fleet
  directory:
    description:
      - Where the files go; it is created when it does not exist. Leave it out to write nothing.
    type: path
  tls:
    description:
      - Whether the streams of moves have to be encrypted. Then a host without certificates for them is an error.
    type: bool
    default: false
  warn_days:
    description: So many days before a certificate expires, a warning says so.
    type: int
    default: 30
  control_ports:
    description: Which of the probed ports are for libvirt itself; all others are for the streams of moves.
    type: list
    elements: int
    default: [22, 16509, 16514]
  baseline:
    description:
      - The CPU that all hosts have by libvirt's own reckoning, as RV(virtops.kvm.cpu_baseline_info#module:baseline) has it. Without it the
        models that all hosts list are compared.
    type: dict
    default: {}
seealso:
  - module: virtops.kvm.fleet_member_info
  - module: virtops.kvm.cpu_baseline_info
  - module: virtops.kvm.evacuation_plan
"""

EXAMPLES = r"""
- name: See who can take whose VMs
  virtops.kvm.fleet_readiness:
    facts: "{{ groups['hypervisors'] | map('extract', hostvars, ['surveyed', 'member']) | list }}"
    directory: /srv/reports/readiness
  delegate_to: localhost
  run_once: true
  register: ready

- name: Show it
  ansible.builtin.debug:
    msg: "{{ ready.lines }}"
"""

RETURN = r"""
sound:
  description: Whether nothing has to be put right.
  returned: success
  type: bool
summary:
  description: The fleet in numbers.
  returned: success
  type: dict
  contains:
    hosts:
      description: Hosts that were read.
      type: int
    unread:
      description: Hosts that could not be read.
      type: int
    domains:
      description: Domains on them.
      type: int
    classes:
      description: Kinds of domains.
      type: int
    pairs:
      description: Pairs of two different hosts.
      type: int
    pairs_open:
      description: Pairs where every domain of the one can go to the other as it is.
      type: int
    emptiable:
      description: Hosts each domain of which some other host can take.
      type: int
    stuck:
      description: Domains that no other host can take.
      type: int
    drifts:
      description: Differences between hosts that should be alike.
      type: int
    errors:
      description: Findings that have to be put right.
      type: int
    warnings:
      description: Findings to know of.
      type: int
findings:
  description: What is wrong, worst first.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: A stable code, see the README of the role C(readiness).
      type: str
    severity:
      description: V(blocker), V(warning) or V(info).
      type: str
    object:
      description: The host or hosts.
      type: str
    message:
      description: What is wrong, in one sentence.
      type: str
    evidence:
      description: The facts behind it.
      type: dict
    remedy:
      description: What to do.
      type: str
    override:
      description: An option that would accept it in a move, if there is one.
      type: str
hosts:
  description: The hosts, in the order of the rows and columns of the matrix.
  returned: success
  type: list
  elements: str
states:
  description:
    - For each host, how its domains can go to each host, in the order of RV(hosts). V(all) (as they are), V(all_by_stop) (some only by a
      stop), V(some), V(none), V(open) (it has none, and the way is open) or V(self). The file C(readiness.json) has all details.
  returned: success
  type: dict
stuck:
  description: Domains that no other host can take, as C(host/name).
  returned: success
  type: list
  elements: str
drift:
  description: In what hosts differ that should be alike.
  returned: success
  type: list
  elements: dict
  contains:
    area:
      description: What it is about, such as V(versions), V(pools) or V(settings).
      type: str
    subject:
      description: What differs.
      type: str
    variants:
      description: The values, the most common first, each with its C(hosts).
      type: list
      elements: dict
    remedy:
      description: What to do.
      type: str
baseline:
  description: The CPU that all hosts have.
  returned: success
  type: dict
  contains:
    model:
      description: Its model; empty where there is none, or none that can be told.
      type: str
    xml:
      description: Its description for a domain, where libvirt reckoned it.
      type: str
    by_libvirt:
      description: Whether libvirt reckoned it.
      type: bool
    shared_models:
      description: Models that all hosts can give to guests.
      type: list
      elements: str
    domains:
      description: Domains that their CPU keeps from some host, as C(host/name).
      type: list
      elements: str
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
  description: The files by kind (V(json), V(markdown), V(html)).
  returned: success
  type: dict
"""

import json
import os
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.reports import ReportFiles, keep
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet import Options, readiness
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import CONTROL_PORTS
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Member, Readiness
from ansible_collections.virtops.kvm.plugins.module_utils._report import ready_markdown, ready_page, ready_words

FILES = {"json": "readiness.json", "markdown": "readiness.md", "html": "readiness.html"}


class Gateway(ReportFiles):
    """The controller's files and its clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "facts": {"type": "list", "elements": "dict", "required": True},
        "unread": {"type": "list", "elements": "str", "default": []},
        "name": {"type": "str", "default": "fleet"},
        "directory": {"type": "path"},
        "tls": {"type": "bool", "default": False},
        "warn_days": {"type": "int", "default": 30},
        "control_ports": {"type": "list", "elements": "int", "default": list(CONTROL_PORTS)},
        "baseline": {"type": "dict", "default": {}},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Judge the fleet, and write what differs from the files that are there."""
    options = Options(
        name=params["name"],
        unread=tuple(params["unread"]),
        now=gateway.now(),
        tls=params["tls"],
        warn_days=params["warn_days"],
        control_ports=tuple(params["control_ports"]),
        baseline=params["baseline"],
    )
    ready = readiness([_member(data) for data in params["facts"]], options)
    wanted = texts(ready, params["directory"])
    return Result(
        values={
            "sound": not ready.errors,
            "summary": ready.summary,
            "findings": ready.findings,
            "hosts": ready.hosts,
            "states": {name: [cell.state for cell in row] for name, row in zip(ready.hosts, ready.matrix)},
            "stuck": ready.stuck,
            "drift": ready.drift,
            "baseline": ready.baseline,
            "lines": ready_words.lines(ready),
            "verdict": ready_words.verdict(ready),
            "files": {kind: path for kind, (path, _text) in wanted.items()},
        },
        changes=keep(gateway, wanted, check_mode=check_mode),
        msg=f"{ready_words.headline(ready)}.",
    )


def texts(ready: Readiness, directory: str | None) -> dict[str, tuple[str, str]]:
    """The files of this run by their kind: path and text."""
    if not directory:
        return {}
    folder = os.path.abspath(directory)
    found = {
        "json": _json(to_data(ready)),
        "markdown": ready_markdown.render(ready),
        "html": ready_page.render(ready),
    }
    return {kind: (os.path.join(folder, FILES[kind]), text) for kind, text in found.items()}


def _json(data: dict[str, t.Any]) -> str:
    """One row of the matrix on a line: ten thousand cells are long enough so."""

    def compact(value: t.Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    parts = []
    for key, value in data.items():
        rows = isinstance(value, list) and value and isinstance(value[0], (list, dict))
        body = "[\n  " + ",\n  ".join(compact(item) for item in value) + "\n ]" if rows else compact(value)
        parts.append(f"{compact(key)}: {body}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _member(data: dict[str, t.Any]) -> Member:
    try:
        return from_data(Member, data)
    except (ValueError, TypeError, AttributeError) as exc:
        raise InputError(
            "facts", f"An entry of 'facts' is not what fleet_member_info returns: {exc}.", host=data.get("name")
        ) from exc


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway)


if __name__ == "__main__":
    main()
