# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The units of systemd on this host: read, and brought to another state."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host.daemons import (
    MONOLITHIC,
    Step,
    Unit,
    layout_of,
    listener_of,
    units_of_interest,
)

_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,InvocationID,ExecMainStartTimestampMonotonic"
_PATIENCE = 300.0


def parse_units(text: str, epoch: float) -> dict[str, Unit]:
    """What ``systemctl show`` prints. ``epoch`` is the time at which the monotonic clock was zero."""
    found: dict[str, Unit] = {}
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if values.get("LoadState") not in ("loaded", "masked"):
            continue
        started = values.get("ExecMainStartTimestampMonotonic", "")
        name = values.get("Id", "")
        found[name] = Unit(
            name,
            "masked" if values["LoadState"] == "masked" else values.get("UnitFileState", ""),
            values.get("ActiveState") in ("active", "activating", "reloading"),
            epoch + int(started) / 1e6 if started.isdigit() and int(started) else None,
            values.get("InvocationID", ""),
        )
    return found


class Systemd:
    """systemd of this host."""

    def units(self, names: t.Sequence[str]) -> dict[str, Unit]:
        """Those units that there are."""
        done = command.check(
            ["systemctl", "show", f"--property={_PROPERTIES}", *names],
            "SYSTEMD_FAILED",
            "Reading the units of systemd on this host",
            timeout=_PATIENCE,
        )
        return parse_units(done.stdout, time.time() - time.monotonic())

    def listener(self) -> str:
        """The daemon that other hosts reach by TLS. A host may have its certificates before it has libvirt."""
        try:
            return listener_of(layout_of(self.units(units_of_interest())))
        except KvmError as exc:
            if exc.error_code != "LIBVIRT_MISSING":
                raise
            return listener_of(MONOLITHIC)

    def take(self, step: Step) -> None:
        """Take a step. Raises KvmError DAEMON_FAILED with the last words of the unit that did not do it."""
        done = command.run(["systemctl", step.verb, *step.units], timeout=_PATIENCE)
        if done.status == 0:
            return
        names = [name for name in step.units if name in done.stderr] or list(step.units)
        service = f"{names[0].partition('.')[0].partition('-')[0]}.service"
        # The daemon's own words say more than those of systemd about it.
        said = _said(f"_SYSTEMD_UNIT={service}") or _said(f"--unit={service}") or done.reason
        raise KvmError(
            "DAEMON_FAILED",
            f"systemctl {step.verb} {names[0]} failed on this host: {said.rstrip('.')}. Guests are not affected; put right what it says, "
            f"and look at journalctl -u {service}.",
            units=list(step.units),
            stderr=done.stderr[-2000:],
        )


def _said(whose: str) -> str:
    """The last words in the journal."""
    words = command.run(["journalctl", whose, "--lines=3", "--output=cat", "--quiet"], timeout=_PATIENCE)
    return " / ".join(line.strip() for line in words.stdout.splitlines() if line.strip())
