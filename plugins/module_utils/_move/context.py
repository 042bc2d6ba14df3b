# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the stages of one move share: the gateway, the records, the options, and what was found out so far."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Progress, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import Options
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping

SOURCE, DESTINATION = "source", "destination"


class Claim(t.Protocol):
    """A place on the destination."""

    def take(self) -> bool:
        """Get in line; False where the destination cannot keep a line."""

    def ahead(self) -> int:
        """How many are before us."""

    def beat(self) -> None:
        """Show that we live."""

    def release(self) -> None:
        """Give the place back."""


class Gateway(t.Protocol):
    """What a move needs of both libvirtds; ``_libvirt/migration.py`` is the real one and says what each does."""

    source_host: str
    destination_host: str
    destination_uri: str

    def look(self, side: str, name: str) -> Sighting: ...
    def definition(self, side: str, name: str, *, saved: bool) -> str: ...
    def set_autostart(self, side: str, name: str, wanted: bool) -> None: ...
    def resume(self, side: str, name: str) -> None: ...
    def migrate(self, uuid: str, flags: int, params: dict[str, t.Any]) -> None: ...
    def job_stats(self, uuid: str) -> dict[str, t.Any]: ...
    def completed_stats(self, uuid: str) -> dict[str, t.Any]: ...
    def abort(self, uuid: str) -> None: ...
    def set_max_downtime(self, uuid: str, milliseconds: int) -> bool: ...
    def start_postcopy(self, uuid: str) -> None: ...
    def suspend(self, uuid: str) -> None: ...
    def destroy_paused(self, uuid: str) -> None: ...
    def undefine(self, uuid: str) -> None: ...
    def checkpoints(self, uuid: str) -> tuple[str, ...]: ...
    def paths_in_use(self, uuid: str) -> str: ...
    def refresh_source_pool(self, folder: str) -> None: ...
    def claim(self, uuid: str, clock: Clock) -> Claim: ...
    def find_image(self, path: str) -> t.Any: ...
    def create_image(self, path: str, image_format: str, capacity: int) -> bool: ...
    def remove_image(self, path: str) -> bool: ...
    def leftover_image(self, path: str, uuid: str) -> bool: ...
    def remove_leftover(self, path: str, uuid: str) -> None: ...
    def mark_left(self, path: str, uuid: str, destination: str) -> None: ...
    def remove_folder(self, path: str) -> None: ...
    def redefine_checkpoint(self, uuid: str, xml: str) -> bool: ...
    def constant(self, name: str) -> t.Any: ...


@dataclasses.dataclass(frozen=True)
class Survey:
    """What the preflight found: the domain as it is, every finding, the method and the disks it copies. ``leftovers`` are images on
    the destination that an earlier move of this domain left there."""

    domain: Domain
    findings: tuple[Finding, ...]
    choice: Choice
    leftovers: tuple[str, ...] = ()


class Stop:
    """The wish to end the move: by a signal, or by a file that the controller's half leaves."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Note the wish."""
        self.reason = self.reason or reason
        self._event.set()

    @property
    def asked(self) -> bool:
        """Whether the move is to end."""
        return self._event.is_set()


@dataclasses.dataclass
class Context:
    """One run. ``survey`` is called when its facts are needed, as late as possible."""

    gateway: Gateway
    workspace: Workspace
    clock: Clock
    options: Options
    mapping: Mapping
    name: str
    survey: t.Callable[[str], Survey]
    stop: Stop = dataclasses.field(default_factory=Stop)
    progress_id: str = ""
    journal: t.Optional[Journal] = None
    warnings: list[str] = dataclasses.field(default_factory=list)
    stages: dict[str, float] = dataclasses.field(default_factory=dict)
    begun: float = 0.0
    method: str = ""

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.clock.monotonic() - self.begun

    def tell(self, progress: Progress, *, finished: bool = False) -> None:
        """Write the progress for whoever watches."""
        if self.progress_id:
            self.workspace.write_progress(self.progress_id, progress, finished=finished)

    def note(self, stage: str, note: str = "", *, finished: bool = False) -> None:
        """Write progress that has no figures."""
        self.tell(Progress(self.name, self.method, stage, round(self.elapsed(), 2), note=note), finished=finished)

    def check_stop(self) -> bool:
        """Whether the move is to end, by whatever way that was asked."""
        if not self.stop.asked and self.progress_id and self.workspace.abort_asked(self.progress_id):
            self.stop.ask("the controller asked for it")
        return self.stop.asked

    def record(self, **fields: t.Any) -> None:
        """Change the journal and write it."""
        if self.journal is not None:
            self.journal = dataclasses.replace(self.journal, updated=self.clock.now(), **fields)
            self.workspace.write_journal(self.journal)

    @contextlib.contextmanager
    def stage(self, name: str) -> t.Iterator[None]:
        """One stage: journal first, then the work; how long it took is kept."""
        self.record(stage=name)
        start = self.clock.monotonic()
        try:
            yield
        finally:
            self.stages[name] = round(self.stages.get(name, 0.0) + self.clock.monotonic() - start, 3)
