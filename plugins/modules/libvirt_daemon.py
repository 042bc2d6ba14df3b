#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_daemon
short_description: Have libvirt's daemons listen, and restart them when they have not seen their settings yet
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Enables and starts the sockets of libvirt's daemons, be it one for all (C(libvirtd)) or one for each driver (C(virtqemud) and so on).
    Which it is, the distribution decided; that is kept.
  - A daemon that runs is restarted only when one of its files was written after it started, be it settings or certificates, by whomever.
    So a run that was interrupted in between is made up for, and a second run restarts nothing.
  - Guests run on. They are processes of their own, and neither their helpers (C(virtlogd), C(virtlockd)) nor C(libvirt-guests) are touched.
  - While a domain has a job, such as a migration, or a move of this collection is under way, nothing is restarted, and the module fails
    before it changes anything.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  tls:
    description:
      - Whether libvirt is reached by TLS (port 16514). Give the host its certificates first, as with M(virtops.kvm.host_certificate).
        Without this option it stays as it is.
    type: bool
  restart:
    description:
      - Whether a daemon that has not seen its settings yet is restarted. V(false) gives a warning that names it.
    type: bool
    default: true
seealso:
  - module: virtops.kvm.libvirt_settings
  - module: virtops.kvm.host_certificate
"""

EXAMPLES = r"""
- name: Have libvirt listen, with its settings as they are now
  virtops.kvm.libvirt_daemon:

- name: Let other hosts in by TLS
  virtops.kvm.libvirt_daemon:
    tls: true
"""

RETURN = r"""
layout:
  description: V(monolithic) for libvirtd, V(modular) for one daemon for each driver.
  returned: success
  type: str
  sample: monolithic
stale:
  description: The daemons that had not seen their settings.
  returned: success
  type: list
  elements: str
  sample: [libvirtd.service]
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The unit of systemd.
      type: str
      sample: libvirtd-tls.socket
    action:
      description: V(enable), V(disable), V(start), V(stop) or V(restart).
      type: str
    before:
      description: How it was.
      type: str
    after:
      description: How it is.
      type: str
error_code:
  description:
    - A stable code for the failure.
    - V(DAEMON_BUSY) (a domain has a job, or a move is under way), V(DAEMON_FAILED), V(LIBVIRT_MISSING), V(SOCKETS_MASKED),
      V(TLS_SOCKET_MISSING), V(SYSTEMD_FAILED), V(HOST_UNREACHABLE), V(PROGRAM_MISSING) or V(PROGRAM_TIMEOUT).
  returned: failure
  type: str
  sample: DAEMON_BUSY
details:
  description: Evidence for the failure, such as the domains that have a job.
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import parse_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host.daemons import (
    Decision,
    Step,
    Unit,
    decide,
    digest_of,
    files_of,
    is_stale,
    units_of_interest,
)
from ansible_collections.virtops.kvm.plugins.module_utils._host.files import Files
from ansible_collections.virtops.kvm.plugins.module_utils._host.systemd import Systemd
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import read_domains
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import RUN_DIR

_LOCKS = f"{RUN_DIR}/locks"


class Gateway:
    """The daemons of this host, their files, and who is at work with them."""

    def __init__(self) -> None:
        self._files, self._systemd = Files(), Systemd()

    def units(self) -> dict[str, Unit]:
        """The units that there are."""
        return self._systemd.units(units_of_interest())

    def text(self, path: str) -> str | None:
        """What a file says."""
        return self._files.read(path)

    def written(self, path: str) -> float | None:
        """When it was written last."""
        return self._files.changed_at(path)

    def seen(self, service: str) -> dict[str, t.Any]:
        """Our record of the start that saw the files."""
        record = statefile.read_json(_record(service))
        return record if isinstance(record, dict) else {}

    def jobs(self) -> list[str]:
        """The domains that have a job, and the moves that hold their lock."""
        with Connection.open() as connection:
            domains = read_domains(connection)
        names = {domain.uuid: domain.name for domain in domains}
        found = [domain.name for domain in domains if domain.job is not None]
        for file in self._files.list(_LOCKS):
            lock, key = statefile.FileLock(f"{_LOCKS}/{file}"), file.removesuffix(".lock")
            if lock.try_acquire():
                lock.release()
            else:
                found.append(names.get(key, key))
        return list(dict.fromkeys(found))

    def take(self, step: Step) -> None:
        """Take a step."""
        self._systemd.take(step)

    def note(self, service: str, run: str, digest: str) -> None:
        """Record that this start has seen the files."""
        statefile.write_json(_record(service), {"run": run, "digest": digest})


def _record(service: str) -> str:
    return f"{RUN_DIR}/daemons/{service}.json"


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {"tls": {"type": "bool"}, "restart": {"type": "bool", "default": True}}


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Bring the daemons to what is asked for."""
    units = gateway.units()
    digests = {name: _digest(gateway, name, units) for name in units if name.endswith(".service")}
    stale = [name for name, digest in digests.items() if _stale(gateway, units, name, digest)]
    decision = decide(units, stale, tls=params["tls"], restart=params["restart"])
    if decision.interrupts:
        _refuse_while_busy(gateway.jobs(), decision)
    if decision.steps and not check_mode:
        for step in decision.steps:
            gateway.take(step)
        now = gateway.units()
        for change in decision.changes:
            if change.action == "restart" and now[change.object].active:
                gateway.note(change.object, now[change.object].run, digests[change.object])
    left = (
        [] if params["restart"] else [name for name in decision.stale if Step("restart", (name,)) not in decision.steps]
    )
    return Result(
        values={"layout": decision.layout, "stale": list(decision.stale)},
        changes=decision.changes,
        warnings=tuple(
            f"{name} runs with older settings than its files have; restart it when you like." for name in left
        ),
    )


def _files(gateway: Gateway, service: str, units: t.Mapping[str, Unit]) -> tuple[str, ...]:
    own = gateway.text(f"/etc/libvirt/{service.rpartition('.')[0]}.conf") or ""
    return files_of(service, parse_settings(own), units)


def _digest(gateway: Gateway, service: str, units: t.Mapping[str, Unit]) -> str:
    return digest_of({path: gateway.text(path) for path in _files(gateway, service, units)})


def _stale(gateway: Gateway, units: t.Mapping[str, Unit], service: str, digest: str) -> bool:
    written = [gateway.written(path) for path in _files(gateway, service, units)]
    return is_stale(units[service], written, digest, gateway.seen(service))


def _refuse_while_busy(jobs: t.Sequence[str], decision: Decision) -> None:
    if jobs:
        raise KvmError(
            "DAEMON_BUSY",
            f"The libvirt of this host has to be restarted to take its settings, and {', '.join(jobs[:5])} "
            f"{'is' if len(jobs) == 1 else 'are'} at work with it, as by a migration, which that would end. Run this again when they are "
            "done; nothing was restarted.",
            jobs=list(jobs),
            units=sorted({change.object for change in decision.changes}),
        )


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, requires=("libvirt", "lxml"))


if __name__ == "__main__":
    main()
