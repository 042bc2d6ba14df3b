# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What interrupted work leaves on a fleet: what each host shows of it, and what is to be done about each thing."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Sighting

#: What is done about a thing.
FINISH, UNDO, LEAVE = "finish", "undo", "leave"
#: By what means: a mover that settles, the one who knows what lies around on a host, or the mark of the host.
MOVE, GUEST_MOVE, COPY, ARRIVAL, CORDON = "move", "guest_move", "copy", "arrival", "cordon"


@dataclasses.dataclass(frozen=True)
class SeenDisk:
    """An image that a domain names: when it was last written (seconds since the epoch, None where it is not there), and its inode."""

    path: str
    written: t.Optional[float] = None
    inode: int = 0


@dataclasses.dataclass(frozen=True)
class SeenDomain:
    """A domain as its host shows it; ``named`` is every path in its definition."""

    sighting: Sighting
    disks: tuple[SeenDisk, ...] = ()
    named: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class SeenMove:
    """The journal of a domain's last move from this host, without its documents; ``driven`` is whether a process drives it now."""

    journal: Journal
    driven: bool = False


@dataclasses.dataclass(frozen=True)
class SeenGuestMove:
    """The record of the last move of a guest process, from this host or to it, and what this host shows of that guest."""

    journal: BareJournal
    here: BareSighting
    driven: bool = False


@dataclasses.dataclass(frozen=True)
class SeenGuest:
    """A QEMU process without libvirt. ``state`` is None where no monitor told."""

    pid: int
    name: str = ""
    uuid: str = ""
    state: t.Optional[str] = None
    incoming: t.Optional[str] = None
    unit: str = ""
    disks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class SeenFile:
    """A file in a folder of images that no domain and no guest of the host names. ``staged_for`` are the first digits of the UUID of
    the domain whose move was making it, by its name; ``left_by`` is the UUID of the domain whose move left it behind, by the marker
    beside it. ``inode`` tells whether two hosts show the same file."""

    path: str
    inode: int
    allocated: int = 0
    written: float = 0.0
    opened: bool = False
    staged_for: str = ""
    left_by: str = ""


@dataclasses.dataclass(frozen=True)
class HostState:
    """All of one host. ``uri`` is how the other hosts open its libvirt; ``domains_error`` is why its domains could not be read;
    ``unreadable`` are damaged records, a sentence each."""

    name: str
    host: str = ""
    uri: str = ""
    domains_error: str = ""
    domains: tuple[SeenDomain, ...] = ()
    moves: tuple[SeenMove, ...] = ()
    guest_moves: tuple[SeenGuestMove, ...] = ()
    arrivals: tuple[SeenGuestMove, ...] = ()
    guests: tuple[SeenGuest, ...] = ()
    files: tuple[SeenFile, ...] = ()
    cordoned: bool = False
    cordon_reason: str = ""
    cordon_since: t.Optional[float] = None
    unreadable: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Task:
    """How a thing is put right: ``kind`` is one of the constants above, ``options`` what whoever does it is told."""

    kind: str = ""
    options: dict[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Thing:
    """One thing that was found. ``what`` says what it is and ``why`` why that is done about it; for what is left, what a person can
    do. ``cause`` is the code of the refusal where one is the reason to leave it. ``severity`` is blocker, warning or info (which asks
    for nothing)."""

    code: str
    host: str
    object: str
    what: str
    action: str
    why: str
    severity: str = "warning"
    cause: str = ""
    evidence: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    task: Task = dataclasses.field(default_factory=Task)

    @property
    def id(self) -> str:
        """The same for the same thing in every run."""
        return f"{self.code} {self.host} {self.object}"


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of acting on the thing ``id``: whether it ``failed``, and what who did it said."""

    id: str
    failed: bool = False
    said: str = ""
    error_code: str = ""
    changed: bool = False


@dataclasses.dataclass(frozen=True)
class Repair:
    """One run over the fleet: ``acted`` are the things of its earlier rounds on which it acted, with what came of each; ``things`` are
    those that are there now."""

    name: str
    hosts: tuple[str, ...]
    unread: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()
    acted: tuple[tuple[Thing, Done], ...] = ()

    @property
    def failed(self) -> tuple[tuple[Thing, Done], ...]:
        """On which things it acted in vain."""
        return tuple((thing, done) for thing, done in self.acted if done.failed)

    @property
    def for_a_person(self) -> tuple[Thing, ...]:
        """What is left and asks for somebody."""
        return tuple(thing for thing in self.things if thing.action == LEAVE and thing.severity != "info")


@dataclasses.dataclass(frozen=True)
class Options:
    """What may be done. ``copies`` is keep or remove, ``uncordon`` whether cordons without a run are lifted."""

    copies: str = "remove"
    uncordon: bool = False
