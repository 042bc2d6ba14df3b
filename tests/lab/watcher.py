# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and stopping the watcher process, and reading what it saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .network import netns_of
from .shell import RUN, LabError, wait_for, write_json

if TYPE_CHECKING:
    from .guest.guest import Guest

ROOT = Path(__file__).resolve().parents[2]


class Watcher:
    """`with lab.watch([guest, ...]) as watcher: ...; watcher.report()`."""

    def __init__(self, lab: str, guests: Iterable[Guest], output: Path | None = None, timeout: float = 300) -> None:
        self.lab, self.timeout = lab, timeout
        folder = RUN / lab / "watch"
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.output = output or self.folder / "report.json"
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.addresses = {guest.name: guest.address for guest in guests}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Watcher:
        self.output.unlink(missing_ok=True)
        self._write_targets()
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "tests.lab.watch", "--netns", netns_of(self.lab),
                "--targets", str(self.folder / "targets.json"), "--output", str(self.output),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        self._wait_heard(list(self.addresses))
        return self

    def _write_targets(self) -> None:
        write_json(self.folder / "targets.json", self.addresses)

    def _wait_heard(self, names: list[str]) -> None:
        """A measurement begins when every guest was heard once."""

        def heard() -> bool:
            if self.process is not None and self.process.poll() is not None:
                raise LabError(f"the watcher ended with status {self.process.returncode}")
            if not self.output.exists():
                return False
            guests = self.report()["guests"]
            return all(guests.get(name, {}).get("received", 0) > 0 for name in names)

        wait_for(f"a first beat of {', '.join(names)}", heard, self.timeout, 0.1)

    def add(self, guest: Guest, wait: bool = True) -> None:
        """Listen to one more guest."""
        self.addresses[guest.name] = guest.address
        self._write_targets()
        if wait:
            self._wait_heard([guest.name])

    def report(self) -> dict[str, Any]:
        """What was seen up to half a second ago, or up to the end once stopped; `report()["guests"][name]`."""
        data: dict[str, Any] = json.loads(self.output.read_text(encoding="utf-8"))
        return data

    def of(self, guest: Guest | str) -> dict[str, Any]:
        name = guest if isinstance(guest, str) else guest.name
        found: dict[str, Any] = self.report()["guests"][name]
        return found

    def fresh(self) -> dict[str, Any]:
        """A report that holds everything up to this moment; waits for the watcher's next write."""
        now = time.time()
        wait_for("the watcher to write", lambda: bool(self.report()["now"] >= now), 60, 0.1)
        return self.report()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
