# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether a class of domains fits on a host, judged once for all hosts that are alike."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_classes import Group, cpu_digest, memory_class
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_remedies import remedy_of
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CPU_INCOMPATIBLE, CPU_UNKNOWN
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding, blockers
from ansible_collections.virtops.kvm.plugins.module_utils._model.fit import KIND, THERE, fit_cpu, fit_identity
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import OFFLINE, choose_method, folder_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Fit, Pair
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import AS_IS, BY_STOP, NOT, Member
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import default_reserve, memory_needed
from ansible_collections.virtops.kvm.plugins.module_utils._model.stopping import as_stopped
from ansible_collections.virtops.kvm.plugins.module_utils._model.ties import ANYWHERE

#: The name of the domain that stands for all of its class.
_ANY = "*"
#: What is asked of the two hosts as such is judged by Ways.
_FITS: tuple[Fit, ...] = (*ANYWHERE, *(fit for fit in THERE if fit not in (fit_identity, fit_cpu)))


class Obstruction(t.NamedTuple):
    """Why a class does not fit, in words that name no host."""

    code: str
    text: str
    remedy: str
    curable: bool


class Verdict(t.NamedTuple):
    """How a class can go, and what is in its way: nothing, what a stop cures, or what nothing cures."""

    how: str
    obstructions: tuple[Obstruction, ...] = ()


class Fitter:
    """Answers for pairs of hosts, and works it out once for each class and pair of kinds."""

    def __init__(self, members: t.Sequence[Member]) -> None:
        self._kinds = {member.name: _kind(member) for member in members}
        numbers = {kind: number for number, kind in enumerate(sorted(set(self._kinds.values())))}
        self._numbers = {name: numbers[kind] for name, kind in self._kinds.items()}
        self._verdicts: dict[tuple[str, int, int], Verdict] = {}

    def kind(self, name: str) -> int:
        """The number of the kind of host that ``name`` is: hosts of one kind take the same."""
        return self._numbers[name]

    def verdict(self, group: Group, source: Member, destination: Member) -> Verdict:
        """How the domains of ``group`` that are on ``source`` can go to ``destination``, the way between the two aside."""
        key = (group.id, self._numbers[source.name], self._numbers[destination.name])
        if key not in self._verdicts:
            self._verdicts[key] = _judge(group, source, destination)
        return self._verdicts[key]


def _kind(member: Member) -> str:
    host = member.host
    pools = sorted((pool.path or "", _storage(pool.filesystem)) for pool in host.pools if pool.active)
    # Sizes of memory count by what classes fit at all.
    room = memory_room(host)
    facts = [getattr(host, name) for name in KIND]
    return repr([facts, pools, room, sorted(member.cpus.items()), sorted(host.hugepages)])


def _storage(filesystem: str | None) -> str:
    return filesystem if filesystem and not filesystem.startswith("local:") else "local"


def memory_room(host: Host) -> int:
    """Bytes of memory that the host could give to guests if it had none."""
    return max(0, host.memory_total - default_reserve(host))


def _judge(group: Group, source: Member, destination: Member) -> Verdict:
    domain = dataclasses.replace(group.example, name=_ANY)
    pair = Pair(domain, source.host, destination.host, "the source", "the destination")
    choice = choose_method(domain, destination.host)
    found = [*_findings(pair, group, destination), *([choice.finding] if choice.finding else [])]
    found += _pools(pair, choice.copied)
    if not domain.active:
        left = [one for one in (as_stopped(pair, OFFLINE, finding) for finding in found) if one is not None]
        return _verdict(pair, blockers(left), stops=False)
    live = blockers(found)
    if not live:
        return Verdict(AS_IS)
    offline = choose_method(domain, destination.host, OFFLINE)
    stopped = [*live, *([offline.finding] if offline.finding else [])]
    left = [one for one in (as_stopped(pair, OFFLINE, finding) for finding in stopped) if one is not None]
    left += [one for one in live if one.evidence.get("defined")]
    if blockers(left):
        return _verdict(pair, blockers(left), stops=False)
    return _verdict(pair, live, stops=True)


def _verdict(pair: Pair, found: t.Sequence[Finding], *, stops: bool) -> Verdict:
    if not found:
        return Verdict(AS_IS)
    obstructions = [
        Obstruction(one.code, _bare(pair, one.message), remedy_of(one.code, one.remedy), stops) for one in found
    ]
    return Verdict(BY_STOP if stops else NOT, tuple(dict.fromkeys(obstructions)))


def _findings(pair: Pair, group: Group, destination: Member) -> t.Iterator[Finding]:
    for fit in _FITS:
        yield from fit(pair)
    cpu = pair.domain.cpu
    answer = destination.cpus.get(cpu_digest(pair.domain))
    if answer == CPU_INCOMPATIBLE:
        yield blocker(
            "CPU_INCOMPATIBLE",
            pair.destination_name,
            f"{pair.move}: libvirt says that the destination cannot provide its CPU ({cpu.model}).",
            "Choose another destination, or give the domain a CPU model that both hosts support.",
            # Then it does not boot there either, whatever the names of models say.
            defined=cpu.mode == "custom" and pair.domain.cpu_defined is None,
        )
    # A passed-through CPU compares as fitting whenever the features do, and still differs.
    elif answer in (None, CPU_UNKNOWN) or cpu.mode == "host-passthrough":
        yield from fit_cpu(pair)
    room = memory_room(pair.destination)
    if pair.destination.memory_total and not pair.domain.hugepages and room < memory_needed(pair.domain):
        yield blocker(
            "MEMORY_SHORT",
            pair.destination_name,
            f"{pair.move}: guests of up to {format_bytes(memory_class(group.example))} are more than the destination could hold if it "
            f"were empty ({format_bytes(room)}).",
            "Choose a larger destination.",
        )
    size = pair.domain.hugepage_kib or pair.destination.hugepage_default_kib
    if pair.domain.hugepages and str(size) not in pair.destination.hugepages:
        yield blocker(
            "HUGEPAGES_SHORT",
            pair.destination_name,
            f"{pair.move}: the destination has no huge pages of {size} KiB.",
            "Reserve huge pages there (vm.nr_hugepages).",
        )


def _pools(pair: Pair, copied: t.Collection[str]) -> t.Iterator[Finding]:
    folders = {
        folder_of(disk.source)
        for disk in pair.domain.disks
        if disk.target in copied and disk.type == "file" and disk.source
    }
    for folder in sorted(folders):
        if pair.destination.pool_at(folder) is None:
            yield blocker(
                "POOL_MISSING",
                pair.destination_name,
                f"{pair.move}: the destination has no active storage pool at {folder}.",
                "Define and start a pool of type dir there.",
            )


def _bare(pair: Pair, message: str) -> str:
    """The sentence without its beginning, and without the name of the domain: it stands for many."""
    rest = message[len(pair.move) + 2 :] if message.startswith(f"{pair.move}: ") else message
    rest = rest.replace(f"domain '{_ANY}'", "such a domain").replace(f"Domain '{_ANY}'", "Such a domain")
    return rest[:1].upper() + rest[1:]
