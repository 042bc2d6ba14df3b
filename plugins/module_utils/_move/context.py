# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the stages of one move share: the gateway, the records, the options, and what was found out so far."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Progress, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import Options
from ansible_collections.virtops.kvm.plugins.module_utils._move.places import Claim
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping

SOURCE, DESTINATION = "source", "destination"


class Gateway(t.Protocol):
    """What a move needs of both libvirtds; ``_libvirt/migration.py`` is the real one and says what each does."""

    source_host: str
    destination_host: str
    destination_uri: str

    def look(self, side: str, name: str) -> Sighting:
        """What this side says of the domain."""

    def one_host(self) -> str:
        """The host's UUID when source and destination are one host; empty otherwise."""

    def definition(self, side: str, name: str, *, saved: bool) -> str:
        """Its XML: as it runs, or as it is saved."""

    def set_autostart(self, side: str, name: str, wanted: bool) -> None:
        """Start it with its host, or not."""

    def resume(self, side: str, name: str) -> None:
        """Let its CPUs run."""

    def migrate(self, uuid: str, flags: int, params: dict[str, t.Any]) -> None:
        """libvirt's call; returns when the migration ended."""

    def job_stats(self, uuid: str) -> dict[str, t.Any]:
        """Figures of the job that runs now."""

    def completed_stats(self, uuid: str) -> dict[str, t.Any]:
        """Figures of the job that ended; libvirt tells them once."""

    def abort(self, uuid: str) -> None:
        """End the job that runs."""

    def set_max_downtime(self, uuid: str, milliseconds: int) -> bool:
        """Permit a longer pause; False when no job takes it now."""

    def start_postcopy(self, uuid: str) -> None:
        """Switch at once and copy memory afterwards."""

    def suspend(self, uuid: str) -> None:
        """Stop its CPUs on the source, so that memory stands still."""

    def destroy_paused(self, uuid: str) -> None:
        """End the half that migrated away; refuses one that runs."""

    def undefine(self, uuid: str) -> None:
        """Remove its definition from the source; files stay."""

    def checkpoints(self, uuid: str) -> tuple[str, ...]:
        """The XML of its checkpoints, parents first."""

    def paths_in_use(self, uuid: str) -> str:
        """The XML of all other domains of the source, for a look whether they name an image."""

    def refresh_source_pool(self, folder: str) -> None:
        """Let the pool of a folder see what changed in it."""

    def claim(self, uuid: str, clock: Clock) -> Claim:
        """A place among the moves to the destination."""

    def sees(self, path: str) -> bool:
        """Whether the source has something at that path."""

    def find_image(self, path: str) -> t.Any:
        """The image of a path on the destination, or None."""

    def create_image(self, path: str, image_format: str, capacity: int) -> bool:
        """Create an image there; True when its folder is new."""

    def remove_image(self, path: str) -> bool:
        """Remove an image there; False when it was gone."""

    def folder_full(self, folder: str) -> bool:
        """Whether nothing more can be written to the file system of a folder there."""

    def leftover_image(self, path: str, uuid: str) -> bool:
        """Whether an earlier move of this domain left this image there."""

    def remove_leftover(self, path: str, uuid: str) -> None:
        """Remove such an image."""

    def mark_left(self, path: str, uuid: str, destination: str) -> None:
        """Note on a source image that its domain moved away."""

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder that this move made there."""

    def redefine_checkpoint(self, uuid: str, xml: str) -> bool:
        """Re-create a checkpoint there; False when its bitmap did not arrive."""

    def constant(self, name: str) -> t.Any:
        """libvirt's constant of a name, None where this libvirt lacks it."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """What the preflight found: the domain as it is, every finding, the method and the disks it copies. ``leftovers`` are images on
    the destination that an earlier move of this domain left there."""

    domain: Domain
    findings: tuple[Finding, ...]
    choice: Choice
    leftovers: tuple[str, ...] = ()


@dataclasses.dataclass
class Context:
    """One run. ``survey`` is called when its facts are needed, as late as possible; ``carrier`` makes the way of files to the
    destination (a Carrier of ``cold_ports``), for moves that stop the guest."""

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
    #: Called when the move hardly needs the link any more, as often as one likes; see ``stages.places``.
    give_way: t.Callable[[], None] = lambda: None
    begun: float = 0.0
    method: str = ""
    carrier: t.Optional[t.Callable[[], t.Any]] = None
    #: The place that is held on the destination: its libvirtd's URI there, and the UUID of the secret.
    place: tuple[str, str] = ("", "")
    #: Only finish or undo what an earlier run left; begin no move.
    settle_only: bool = False

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
        if not self.stop.asked and self.progress_id:
            wish = self.workspace.wish_to_end(self.progress_id)
            if wish:
                self.stop.ask(wish)
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
