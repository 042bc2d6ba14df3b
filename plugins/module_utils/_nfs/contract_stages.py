# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The stages of the proof. All hosts finish one before any begins the next, so that each finds what the others did."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._nfs import contract
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.asuser import Answer, User
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.contract import Breach

BEGIN = "begin"
OBSERVE = "observe"
RENAME = "rename"
SETTLE = "settle"
END = "end"
STAGES = (BEGIN, OBSERVE, RENAME, SETTLE, END)

_PAUSE = 0.25


class Deeds(t.Protocol):
    """What is done on the storage."""

    def mount(self) -> dict[str, t.Any]:
        """What is mounted there."""

    def folder(self) -> Answer:
        """The folder itself."""

    def make(self) -> Answer:
        """Make and lock a file."""

    def keep(self, holder: int) -> None:
        """Remember who holds the lock."""

    def make_as_root(self) -> Answer:
        """Let root make a file."""

    def see(self, file: t.Mapping[str, t.Any]) -> Answer:
        """Open and try to lock the file of another host."""

    def rename(self) -> Answer:
        """Rename the own file."""

    def sees_rename(self, other: str) -> Answer:
        """Whether the file of another host has its new name."""

    def end(self) -> None:
        """Clean up."""


class Ticking(t.Protocol):
    """A clock."""

    def monotonic(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclasses.dataclass(frozen=True)
class Proven:
    """``report`` is what the other hosts need to know, and people."""

    report: dict[str, t.Any]
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the proof takes place."""

    host: str
    path: str
    user: User


def begin(deeds: Deeds, place: Place) -> Proven:
    """Make a file, write to it, lock it; and see what becomes of root."""
    report: dict[str, t.Any] = {
        "host": place.host,
        "user": {"uid": place.user.uid, "gid": place.user.gid, "name": place.user.name},
        "mount": deeds.mount(),
        "folder": deeds.folder(),
    }
    made = deeds.make()
    if "error" in made:
        raise _broken([contract.cannot_create(place.host, place.path, place.user, made, report)])
    deeds.keep(made.pop("holder"))
    report["file"] = made
    foreign = contract.wrong_owner(place.host, place.path, place.user, made)
    if foreign is not None:
        raise _broken([foreign])
    root = deeds.make_as_root()
    report["root"] = {"outcome": contract.root_outcome(root, place.user), **root}
    warning = contract.root_warning(place.host, place.path, report["root"]["outcome"], place.user)
    return Proven(report, (warning,) if warning else ())


def observe(deeds: Deeds, place: Place, reports: t.Sequence[t.Mapping[str, t.Any]]) -> Proven:
    """See the file of every other host, be able to write to it, and be refused its lock."""
    mine = _own(place, reports)
    breaches: list[Breach] = []
    seen: list[dict[str, t.Any]] = []
    for other in reports:
        if other["host"] == place.host:
            continue
        differ = contract.ids_differ(place.host, mine, other)
        answer = deeds.see(other["file"])
        seen.append({"host": other["host"], **answer})
        breach = _judged(place, mine, other, answer)
        breaches += [found for found in (breach, differ) if found is not None]
    if breaches:
        raise _broken(breaches)
    return Proven({"host": place.host, "seen": seen})


def _judged(place: Place, mine: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any], answer: Answer) -> Breach | None:
    if answer.get("errno") == 2 or ("error" not in answer and not answer["same"]):
        return contract.unseen(place.host, place.path, mine, other, answer)
    if "error" in answer:
        return contract.unwritable(place.host, place.path, place.user, other, answer)
    if answer["inode"] != other["file"]["inode"]:
        return contract.unseen(place.host, place.path, mine, other, {**answer, "error": "it has another inode number"})
    if not answer["refused"]:
        return contract.unlocked(place.host, place.path, mine, other, {**answer, "error": answer["lock_error"]})
    return None


def rename(deeds: Deeds, place: Place) -> Proven:
    """Rename the own file."""
    answer = deeds.rename()
    if "error" in answer:
        raise KvmError(
            "RENAME_FAILED",
            f"QEMU's user {place.user} on {place.host} cannot rename its own file in {place.path}: {answer['error']}. "
            "Give the folder to QEMU's user, or look whether somebody cleaned it up meanwhile.",
            **answer,
        )
    return Proven({"host": place.host})


def settle(deeds: Deeds, place: Place, reports: t.Sequence[t.Mapping[str, t.Any]], clock: Ticking) -> Proven:
    """See the new name of every other host's file within the time that caches may hold the old one."""
    mine = _own(place, reports)
    limit = contract.cache_seconds((mine.get("mount") or {}).get("options") or [])
    began = clock.monotonic()
    waiting = [other for other in reports if other["host"] != place.host]
    times: list[dict[str, t.Any]] = []
    while waiting:
        for other in list(waiting):
            if deeds.sees_rename(other["host"]).get("seen"):
                waiting.remove(other)
                times.append({"host": other["host"], "seconds": round(clock.monotonic() - began, 2)})
        if not waiting:
            break
        if clock.monotonic() - began > limit:
            raise _broken([contract.unrenamed(place.host, place.path, other, limit, mine) for other in waiting])
        clock.sleep(_PAUSE)
    return Proven({"host": place.host, "renames": times})


def _own(place: Place, reports: t.Sequence[t.Mapping[str, t.Any]]) -> t.Mapping[str, t.Any]:
    for report in reports:
        if report["host"] == place.host:
            return report
    raise KvmError(
        "CONTRACT_INCOMPLETE",
        f"{place.host} is not among the hosts that began the proof for {place.path}; begin it again on all hosts.",
        hosts=[report["host"] for report in reports],
    )


def _broken(breaches: t.Sequence[Breach]) -> KvmError:
    head = breaches[0]
    more = f" There are {len(breaches) - 1} more faults, see details." if len(breaches) > 1 else ""
    return KvmError(
        head.code, f"{head.message} {head.remedy}{more}", breaches=[dataclasses.asdict(one) for one in breaches]
    )
