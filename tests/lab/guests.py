# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests of a lab: numbers, names and records; mixed into `Lab`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .guest.bare import BareGuest, bare_guest, bare_record, bare_shape, create_bare
from .guest.guest import Guest, create, disks_of
from .guest.shapes import shape_named
from .host import Host
from .shell import RUN, LabError
from .state import State


class Guests:
    """What a lab can do with guests."""

    name: str
    state: State

    def host(self, name: str) -> Host:
        raise NotImplementedError

    def _book(self) -> State:
        """The guests' records, in a file of their own: as they are on disk now, another process may have added some."""
        return State.load(RUN / self.name / "guests.json")

    @property
    def guests(self) -> list[Guest]:
        return [self._guest(name, record) for name, record in self._book().facts.items()]

    def guest(self, name: str) -> Guest:
        records = self._book().facts
        if name not in records:
            raise LabError(f"lab {self.name} has no guest named {name!r}")
        return self._guest(name, records[name])

    def _guest(self, name: str, record: dict[str, Any]) -> Guest:
        if "bare" in record:
            return bare_guest(self, name, record)  # type: ignore[arg-type]
        return Guest(self, name, record["number"], tuple(record["disks"]), tuple(record["files"]))  # type: ignore[arg-type]

    def create_guest(self, host: str | Host, shape: str = "qcow2", name: str | None = None, **options: Any) -> Guest:
        """Create a guest; returns when it beats (or is in the state its shape asks for)."""
        place = host if isinstance(host, Host) else self.host(host)
        form = shape_named(shape, **options)
        book = self._book()
        with book.changing():
            records = book.facts
            used = {record["number"] for record in records.values()}
            number = next(number for number in range(150) if number not in used)
            name = name or f"{shape}-{number:02d}"
            if name in records:
                raise LabError(f"lab {self.name} already has a guest named {name!r}")
            disks = disks_of(name, form)
            records[name] = {"number": number, "disks": disks, "files": disks, "shape": shape}
        made = create(self._guest(name, records[name]), place, form, bool(self.state.facts.get("kvm")))
        with book.changing():
            book.facts[name]["files"] = made.files
        return made

    def create_bare_guest(
        self, host: str | Host, name: str | None = None, *, wait: bool = True, **options: Any
    ) -> BareGuest:
        """Create a guest that a script starts as a plain QEMU process (the options: see `Bare`); returns when it beats."""
        place = host if isinstance(host, Host) else self.host(host)
        form = bare_shape(**options)
        book = self._book()
        with book.changing():
            records = book.facts
            used = {record["number"] for record in records.values()}
            number = next(number for number in range(150) if number not in used)
            name = name or f"bare-{number:02d}"
            if name in records:
                raise LabError(f"lab {self.name} already has a guest named {name!r}")
            records[name] = bare_record(number, name, form, place.name)
        made = create_bare(self, name, records[name], place, wait)  # type: ignore[arg-type]
        with book.changing():
            book.facts[name]["files"] = made.files
        return made

    def create_guests(self, host: str | Host, wanted: list[tuple[str, str | None, dict[str, Any]]]) -> list[Guest]:
        """Create several (shape, name, options) at once."""
        with ThreadPoolExecutor(max_workers=6) as pool:
            jobs = [pool.submit(self.create_guest, host, shape, name, **options) for shape, name, options in wanted]
            return [job.result() for job in jobs]

    def forget_guest(self, name: str) -> None:
        book = self._book()
        with book.changing():
            book.facts.pop(name, None)
