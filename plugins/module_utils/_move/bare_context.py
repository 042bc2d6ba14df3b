# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the stages of a guest process's move share: both ends, the record, the options, and what was found out so far."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import (
    LIBVIRT,
    OFFLINE,
    PROCESS,
    BareJournal,
    MovedDisk,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Progress
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import Far, record_data
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import check_compression
from ansible_collections.virtops.kvm.plugins.module_utils._move.progress import Meter
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.session import Session
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.tls import FOLDER
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.visible import Visible

if t.TYPE_CHECKING:
    from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.opening import Opening
    from ansible_collections.virtops.kvm.plugins.module_utils._qemu.human import HumanSession

#: What a user may accept.
ACCEPTABLE = ("IMAGE_EXISTS", "DISK_SPACE_SHORT", "MEMORY_SHORT", "HUGEPAGES_SHORT")
_LEAST = (
    ("bandwidth", 0), ("max_downtime", 1), ("timeout", 0), ("parallel_connections", 0), ("shutdown_timeout", 0), ("source_slots", 0),
    ("destination_slots", 0),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class BareOptions:
    """How to move. The bandwidth is MiB/s (0: no limit), the pause milliseconds, ``timeout`` seconds (0: scaled by size), slots are moves
    at a time (0: no limit)."""

    method: str = "live_block"
    base: str = "copy"
    migration_address: t.Optional[str] = None
    bandwidth: int = 0
    max_downtime: int = 300
    timeout: float = 0
    timeout_action: str = "abort"
    auto_converge: bool = False
    postcopy: bool = False
    parallel_connections: int = 0
    compression: str = "none"
    legacy_block: bool = False
    tls: bool = False
    tls_dir: str = FOLDER
    media: str = "refuse"
    source_disks: str = "keep"
    user: t.Optional[str] = None
    accept: tuple[str, ...] = ()
    destination_arguments: tuple[str, ...] = ()
    may_stop: bool = False
    shutdown_timeout: float = 300
    shutdown_action: str = "fail"
    target: str = PROCESS
    source_slots: int = 2
    destination_slots: int = 2
    libvirt_uri: str = ""

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be meant."""
        for name, least in _LEAST:
            if getattr(self, name) < least:
                raise InputError(name, f"The option '{name}' is {getattr(self, name)}, and must be at least {least}.")
        if self.parallel_connections > 255:
            raise InputError("parallel_connections", "The option 'parallel_connections' must be at most 255.")
        check_compression(self.compression, self.parallel_connections)
        if self.compression == "xbzrle" and self.parallel_connections:
            raise InputError(
                "compression", "The compression 'xbzrle' is for one connection: leave parallel_connections out."
            )
        if self.timeout_action == "postcopy" and not self.postcopy:
            raise InputError("timeout_action", "The timeout action 'postcopy' needs the option 'postcopy' to be true.")
        if self.base == "shared" and self.method == "live_shared":
            raise InputError("base", "The option 'base' is for methods that copy disks: 'live_block' and 'offline'.")
        if self.legacy_block and (self.method != "live_block" or self.postcopy or self.parallel_connections):
            raise InputError(
                "legacy_block",
                "The option 'legacy_block' needs the method 'live_block', without post-copy and multifd.",
            )
        if self.target == LIBVIRT:
            self._libvirt()
        if not self.tls_dir.startswith("/") or not self.tls_dir.isprintable():
            raise InputError("tls_dir", f"The option 'tls_dir' needs the path of a folder, not {self.tls_dir!r}.")
        for code in self.accept:
            if code not in ACCEPTABLE:
                raise InputError(
                    "accept", f"'{code}' may not be accepted; accept takes {', '.join(ACCEPTABLE)}.", code=code
                )

    def _libvirt(self) -> None:
        if self.legacy_block or self.destination_arguments:
            raise InputError(
                "target",
                "The target 'libvirt' goes without destination_arguments, for libvirt makes its own, and without legacy_block, for it "
                "takes no disks in with the memory.",
            )
        if self.method != OFFLINE and (self.postcopy or self.parallel_connections or self.compression != "none"):
            raise InputError(
                "target",
                "The target 'libvirt' takes memory in one plain stream that ends before the guest runs there, so without post-copy, "
                "parallel_connections and compression.",
            )


@dataclasses.dataclass(frozen=True)
class BarePlan:
    """What is to be done: the destination's command line without how it waits, the disks that travel, media that travel or go; and
    how the source starts the guest again, should that be needed. For a guest that becomes a domain while it runs: ``probe``, the command
    line that shows its machine there."""

    argv: tuple[str, ...]
    disks: tuple[MovedDisk, ...]
    media: tuple[MovedDisk, ...]
    places: tuple[str, ...]
    user: str
    state: str
    source_unit: str
    visible: Visible
    memory: int
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    home: tuple[str, ...] = ()
    home_user: str = ""
    domain: str = ""
    probe: tuple[str, ...] = ()
    unit_file: str = ""


@dataclasses.dataclass
class BareContext:
    """One run."""

    name: str
    key: str
    destination: str
    source_host: str
    far: Far
    workspace: Workspace
    clock: Clock
    options: BareOptions
    mapping: GuestMapping
    stop: Stop
    begun: float
    progress_id: str = ""
    uuid: str = ""
    monitor_address: str = ""
    monitor: t.Union[Session, HumanSession, None] = None
    journal: t.Optional[BareJournal] = None
    #: Both hosts are known to have one version of QEMU.
    one_version: bool = False
    #: When this run paused the guest so that its memory could follow.
    suspended_at: t.Optional[float] = None
    #: The destination's libvirt, where it is being connected to ahead of the move's turn.
    libvirt: t.Optional[Opening] = None
    #: Why the source could not be started again.
    trouble: str = ""
    warnings: list[str] = dataclasses.field(default_factory=list)
    stages: dict[str, float] = dataclasses.field(default_factory=dict)
    figures: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    meter: Meter = dataclasses.field(default_factory=Meter)
    #: Only finish or undo what an earlier run left; begin no move.
    settle_only: bool = False

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.clock.monotonic() - self.begun

    def source(self) -> Session | HumanSession:
        """The source's monitor. Raises GUEST_DIED where there is none."""
        if self.monitor is None:
            raise KvmError("GUEST_DIED", f"The guest '{self.name}' is not on {self.source_host} any more.")
        return self.monitor

    def pause(self, seconds: float, *events: str) -> None:
        """Wait so long, or until the source's QEMU tells one of the events."""
        if self.monitor is None:
            self.clock.sleep(seconds)
        else:
            self.monitor.pause(seconds, events)

    def socket(self) -> str:
        """The monitor that we have there."""
        return self.record_now().socket

    def there(self, asked: str, arguments: t.Any = None, timeout: float = 15.0) -> t.Any:
        """Ask the destination's monitor."""
        return self.far.ask(self.socket(), asked, arguments, timeout)

    def there_all(self, asked: t.Sequence[tuple[str, t.Any]]) -> list[t.Any]:
        """Ask the destination's monitor several things in one round."""
        found: list[t.Any] = self.far.call("ask_all", path=self.socket(), asked=list(asked))
        return found

    def record_now(self) -> BareJournal:
        """The open record."""
        if self.journal is None:
            raise ValueError("there is no record yet")
        return self.journal

    def record(self, *, far: bool = True, **fields: t.Any) -> None:
        """Change the record and write it, here and there."""
        self.journal = dataclasses.replace(self.record_now(), updated=self.clock.now(), **fields)
        # Both at a time: often the guest stands still meanwhile.
        told = self.far.later("record", key=self.key, record=record_data(self.journal)) if far else None
        self.workspace.write_guest(self.journal)
        if told is not None:
            told()

    @contextlib.contextmanager
    def stage(self, name: str) -> t.Iterator[None]:
        """One stage: the records first, then the work; how long it took is kept."""
        self.record(stage=name)
        start = self.clock.monotonic()
        try:
            yield
        finally:
            self.stages[name] = round(self.clock.monotonic() - start, 3)

    def runs_again(self) -> None:
        """The guest runs: where this run had paused it, that was its pause."""
        if self.suspended_at is not None:
            self.figures["downtime_ms"] = round((self.clock.monotonic() - self.suspended_at) * 1000)

    def tell(self, stage: str, note: str = "", *, finished: bool = False, **figures: t.Any) -> None:
        """Write the progress for whoever watches."""
        if self.progress_id:
            progress = Progress(self.name, self.options.method, stage, round(self.elapsed(), 2), note=note, **figures)
            self.workspace.write_progress(self.progress_id, progress, finished=finished)

    def check_stop(self, during: str) -> None:
        """Raises MOVE_ABORTED when somebody asked for an end."""
        if not self.stop.asked and self.progress_id:
            wish = self.workspace.wish_to_end(self.progress_id)
            if wish:
                self.stop.ask(wish)
        if self.stop.asked:
            raise KvmError(
                "MOVE_ABORTED", f"it was aborted ({self.stop.reason}) during {during}", reason=self.stop.reason
            )
