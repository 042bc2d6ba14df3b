# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The gateway of the module qemu_guest: the unit and the process of one guest of this host, looked at, defined, started, ended."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command, statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock, wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import session
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.commandline import monitors, uuid_in
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_host import GuestHost, words_of
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_plan import Present
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_states import UNKNOWN
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import (
    LOGS,
    PERSISTENT,
    START_FILE,
    TRANSIENT,
    log_file,
    parse,
    start_text,
    unit_name,
)

_SYSTEMCTL_SECONDS = 120.0
_START_SECONDS = 120.0
_END_SECONDS = 30.0
#: A migration that is under way. One that is set up on a process that waits has not begun.
_MOVING = (
    "active",
    "pre-switchover",
    "device",
    "cancelling",
    "wait-unplug",
    "postcopy-active",
    "postcopy-paused",
    "postcopy-recover",
    "postcopy-recover-setup",
)


class GuestGateway(GuestHost):
    """Guest processes of this host, each in a unit of its own."""

    def __init__(self, clock: t.Optional[Clock] = None) -> None:
        self.clock = clock or Clock()

    # ---- reads ----

    def look(self, name: str) -> Present:
        """The guest of that name. Raises NAME_CONFLICT where its unit is not one of ours."""
        unit = unit_name(name)
        text, persistent = None, False
        for folder in (PERSISTENT, TRANSIENT):
            with contextlib.suppress(FileNotFoundError), open(f"{folder}/{unit}", encoding="utf-8") as stream:
                text, persistent = stream.read(), folder == PERSISTENT
                break
        found = parse(text) if text is not None else None
        if text is not None and found is None:
            raise KvmError(
                "NAME_CONFLICT",
                f"The unit {unit} of this host is not one that qemu_guest wrote; remove it, or call the guest otherwise.",
                unit=unit,
            )
        shown = self._show(unit)
        pid = int(shown.get("MainPID") or 0)
        arguments = words_of(pid) if pid else ()
        present = Present(found, text, persistent, shown.get("UnitFileState") == "enabled")
        if not arguments:
            return present
        try:
            with self._monitor(str(uuid_in(arguments))) as monitor:
                run_state = str(monitor.execute("query-status")["status"])
                status = str(monitor.execute("query-migrate").get("status"))
        except KvmError as exc:
            if not exc.error_code.startswith("MONITOR_"):
                raise
            if not words_of(pid):
                return present
            run_state = status = UNKNOWN
        migrating = status in _MOVING or (status == "setup" and run_state != "inmigrate")
        return Present(found, text, persistent, present.autostart, pid, arguments, run_state, migrating)

    def _show(self, unit: str) -> dict[str, str]:
        words = ["systemctl", "show", unit, "--property=ActiveState,MainPID,UnitFileState"]
        answer = command.check(words, "UNIT_FAILED", f"Asking systemd for {unit}", timeout=_SYSTEMCTL_SECONDS).stdout
        pairs = (line.partition("=") for line in answer.splitlines())
        return {key: value for key, _equals, value in pairs}

    def _monitor(self, uuid: str) -> session.Session:
        return session.connect(f"unix:{monitors(uuid)[0]}", clock=self.clock)

    # ---- definitions ----

    def define(self, name: str, text: str, *, persistent: bool) -> None:
        """Write the unit file, and take away one in the other place."""
        unit = unit_name(name)
        folder, other = (PERSISTENT, TRANSIENT) if persistent else (TRANSIENT, PERSISTENT)
        os.makedirs(LOGS, mode=0o755, exist_ok=True)
        if not persistent and os.path.exists(f"{PERSISTENT}/{unit}"):
            self.set_autostart(name, on=False)
        statefile.write_text(f"{folder}/{unit}", text, 0o644)
        statefile.remove(f"{other}/{unit}")
        self._reload()

    def remove(self, name: str) -> None:
        """Take the unit file away; images and logs stay."""
        for folder in (PERSISTENT, TRANSIENT):
            statefile.remove(f"{folder}/{unit_name(name)}")
        # systemd remembers a unit that failed, also without its file; where it did not fail there is nothing to forget.
        command.run(["systemctl", "reset-failed", unit_name(name)], timeout=_SYSTEMCTL_SECONDS)
        self._reload()

    def set_autostart(self, name: str, *, on: bool) -> None:
        """Have the unit start with the host, or not."""
        self._systemctl("enable" if on else "disable", unit_name(name))

    def _reload(self) -> None:
        self._systemctl("daemon-reload")

    def _systemctl(self, *words: str) -> None:
        what = f"systemctl {' '.join(words)}"
        command.check(["systemctl", "--quiet", *words], "UNIT_FAILED", what, timeout=_SYSTEMCTL_SECONDS)

    # ---- life ----

    def start(self, name: str, uuid: str, arguments: t.Sequence[str] | None) -> None:
        """Start the guest, and wait until its monitor answers; ``arguments`` replace those of its unit this once.

        Raises START_FAILED with QEMU's own words.
        """
        unit = unit_name(name)
        once = f"{TRANSIENT}/{unit}.d/{START_FILE}"
        log = log_file(name)
        written = os.path.getsize(log) if os.path.exists(log) else 0
        if arguments is not None:
            statefile.write_text(once, start_text(arguments), 0o644)
        elif statefile.remove(once):
            self._reload()
        try:
            if arguments is not None:
                self._reload()
            self._systemctl("start", unit)
        except KvmError as exc:
            raise self._not_started(name, log, written, exc.message) from exc
        finally:
            if statefile.remove(once):
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.dirname(once))
                self._reload()
        answered = wait_until(
            self.clock,
            lambda: self._answers(unit, uuid),
            lambda answer: answer is not None,
            what=f"the monitor of the guest process '{name}'",
            timeout=_START_SECONDS,
        )
        if not answered:
            raise self._not_started(name, log, written, "QEMU ended at once")

    def _answers(self, unit: str, uuid: str) -> bool | None:
        """Whether the new process speaks; False where it has ended, None while neither is known."""
        if self._show(unit).get("ActiveState") not in ("active", "activating"):
            return False
        try:
            with self._monitor(uuid) as monitor:
                monitor.execute("query-status")
        except KvmError as exc:
            if exc.error_code in ("MONITOR_GONE", "MONITOR_SILENT", "MONITOR_BUSY"):
                return None
            raise
        return True

    def _not_started(self, name: str, log: str, written: int, otherwise: str) -> KvmError:
        said = ""
        with contextlib.suppress(OSError), open(log, encoding="utf-8", errors="replace") as stream:
            stream.seek(written)
            said = " ".join(line.strip() for line in stream if line.strip())[-1000:]
        return KvmError(
            "START_FAILED",
            f"The guest process '{name}' did not start on this host: {said or otherwise}",
            guest=name,
            log=log,
        )

    def resume(self, uuid: str) -> None:
        """Let the processors go on."""
        self._command(uuid, "cont")

    def pause(self, uuid: str) -> None:
        """Stop the processors."""
        self._command(uuid, "stop")

    def wake_up(self, uuid: str) -> None:
        """Wake a guest that sleeps."""
        self._command(uuid, "system_wakeup")

    def press_power_button(self, uuid: str) -> None:
        """Ask the guest to shut down. One that has done so meanwhile is fine, too."""
        try:
            self._command(uuid, "system_powerdown")
        except KvmError as exc:
            if exc.error_code != "MONITOR_GONE":
                raise

    def _command(self, uuid: str, name: str) -> None:
        with self._monitor(uuid) as monitor:
            monitor.execute(name)

    def runs(self, name: str) -> bool:
        """Whether the unit has a process, or still cleans up after one."""
        return self._show(unit_name(name)).get("ActiveState") not in ("inactive", "failed")

    def end(self, name: str, uuid: str) -> None:
        """End the process whatever the guest does, by its monitor, and by a signal where that is deaf."""
        try:
            self._command(uuid, "quit")
            self._wait_ended(name)
        except KvmError as exc:
            if exc.error_code != "TIMEOUT" and not exc.error_code.startswith("MONITOR_"):
                raise
            if self.runs(name):
                self._systemctl("kill", "--signal=KILL", unit_name(name))
            self._wait_ended(name)

    def _wait_ended(self, name: str) -> None:
        wait_until(
            self.clock,
            lambda: self.runs(name),
            lambda runs: not runs,
            what=f"the process of '{name}' to end",
            timeout=_END_SECONDS,
        )
