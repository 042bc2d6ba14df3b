# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Who uses a block device: mounts, swap, devices built on it, loop devices, processes, domains that run.

``find_uses`` is pure: it judges facts. ``read_facts`` is the one reader.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import typing as t
from xml.etree import ElementTree

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import Mount, parse_mounts
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import (
    SYSFS,
    Node,
    Place,
    numbers_of,
    read_fact,
    read_node,
)

#: libvirt keeps the live definition of each domain that runs here.
RUNNING_DOMAINS = "/run/libvirt/qemu"
#: A program that only looks what is on a device (udev does so after each change) is gone after this many seconds.
PATIENCE = 5.0
_SWAP_ESCAPE = re.compile(r"\\([0-7]{3})")
_GUEST = re.compile(r"(?:^|,)guest=((?:[^,]|,,)*)")
#: Of the flags in /proc/PID/fdinfo: what is not reading only.
_WRITES = 0o3


@dataclasses.dataclass(frozen=True)
class Opened:
    """A block device that a process has open."""

    numbers: str
    pid: int
    program: str
    writes: bool


@dataclasses.dataclass(frozen=True)
class Attached:
    """A source of a disk in the definition of a domain that runs."""

    domain: str
    target: str
    path: str
    numbers: t.Optional[str]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the kernel and libvirt tell. ``nodes`` are the devices that matter, by number; ``swaps`` and ``loops``: number ->
    name of the swap area's device, and of the loop device that lies on it. ``sources``: number of what a mount's source is."""

    nodes: t.Mapping[str, Node]
    mounts: tuple[Mount, ...] = ()
    sources: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    swaps: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    loops: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    opened: tuple[Opened, ...] = ()
    attached: tuple[Attached, ...] = ()


@dataclasses.dataclass(frozen=True)
class Use:
    """One reason not to touch a device: ``kind`` is mount, swap, holder, loop, process or domain; ``words`` are for people."""

    kind: str
    device: str
    words: str


def related(node: Node) -> tuple[str, ...]:
    """The numbers of all devices that share bytes with ``node``: it, its partitions, and the disk it is a partition of."""
    return (node.numbers, *node.partitions, *([node.parent] if node.parent else []))


def find_uses(node: Node, facts: Facts, *, writing: bool) -> list[Use]:
    """Why ``node`` must not be read (or written, with ``writing``) now; none where nothing speaks against it.

    Whoever only reads does not disturb a reader.
    """
    found: list[Use] = []
    for numbers in related(node):
        name = facts.nodes[numbers].name if numbers in facts.nodes else numbers
        found += [
            Use("mount", name, f"mounted on {mount.point} ({mount.type})")
            for mount in facts.mounts
            if numbers in (mount.device, facts.sources.get(mount.source))
        ]
        if numbers in facts.swaps:
            found.append(Use("swap", name, f"swap area {facts.swaps[numbers]}"))
        found += [
            Use("holder", name, f"device {holder} is built on it")
            for holder in (facts.nodes[numbers].holders if numbers in facts.nodes else ())
        ]
        if numbers in facts.loops:
            found.append(Use("loop", name, f"loop device {facts.loops[numbers]} lies on it"))
        found += [
            Use("domain", name, f"disk {one.target} of the domain {one.domain}, which runs")
            for one in facts.attached
            if one.numbers == numbers
        ]
        found += [
            Use("process", name, f"open in process {one.pid} ({one.program})")
            for one in facts.opened
            if one.numbers == numbers and (writing or one.writes)
        ]
    return list(dict.fromkeys(found))


def parse_swaps(text: str) -> list[str]:
    """The paths that the text of /proc/swaps lists."""
    names = [line.split()[0] for line in text.splitlines()[1:] if line.strip()]
    return [_SWAP_ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), name) for name in names]


def parse_running(text: str) -> list[tuple[str, str, str]]:
    """(domain, target, path) of each disk in a file of libvirt's on a running domain, mirrors and backing files included."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return []
    domain = root if root.tag == "domain" else root.find("domain")
    if domain is None:
        return []
    found = []
    for disk in domain.iterfind("./devices/disk"):
        target = disk.find("target")
        for source in disk.iter("source"):
            path = source.get("dev") or source.get("file")
            if path:
                found.append((domain.findtext("name") or "", target.get("dev", "") if target is not None else "", path))
    return found


def program_of(command: str, name: str) -> str:
    """What to call a process: by ``command`` (/proc/PID/cmdline) the guest that it runs, where it is a QEMU."""
    words = command.split("\0")
    for option, value in zip(words, words[1:]):
        if option == "-name":
            match = _GUEST.search(value)
            return f"{name}, guest {(match.group(1) if match else value.split(',')[0]).replace(',,', ',')}"
    return name


def read_facts(node: Node, proc: str = "/proc", sysfs: str = SYSFS, domains: str = RUNNING_DOMAINS) -> Facts:
    """Everything about the devices that ``node`` shares bytes with."""
    wanted = related(node)
    nodes = {numbers: node if numbers == node.numbers else read_node(numbers, sysfs) for numbers in wanted}
    nodes = {numbers: dataclasses.replace(one, holders=_labels(one, sysfs)) for numbers, one in nodes.items()}
    mounts = parse_mounts(read_fact(f"{proc}/self/mountinfo") or "")
    sources = {mount.source: _numbers_at(mount.source) for mount in mounts if mount.source.startswith("/dev/")}
    swaps = {_numbers_at(path): path for path in parse_swaps(read_fact(f"{proc}/swaps") or "")}
    return Facts(
        nodes,
        mounts,
        {source: numbers for source, numbers in sources.items() if numbers},
        {numbers: path for numbers, path in swaps.items() if numbers},
        _loops(sysfs),
        tuple(_opened(wanted, proc)),
        tuple(_attached(domains)),
    )


def _numbers_at(path: str) -> str | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return numbers_of(status.st_rdev) if stat.S_ISBLK(status.st_mode) else None


def _labels(node: Node, sysfs: str) -> tuple[str, ...]:
    """The holders as people know them: an LV by its name, not as dm-7."""
    folder = f"{os.path.realpath(f'{sysfs}/{node.numbers}')}/holders"
    found = []
    for holder in node.holders:
        label = read_fact(f"{folder}/{holder}/dm/name")
        found.append(f"{holder} ({label})" if label else holder)
    return tuple(found)


def _loops(sysfs: str) -> dict[str, str]:
    found = {}
    for numbers in _list(sysfs):
        backing = read_fact(f"{sysfs}/{numbers}/loop/backing_file")
        below = _numbers_at(backing) if backing else None
        if below:
            found[below] = os.path.basename(os.path.realpath(f"{sysfs}/{numbers}"))
    return found


def _opened(wanted: t.Container[str], proc: str) -> t.Iterator[Opened]:
    for pid in _list(proc):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        for descriptor in _list(f"{proc}/{pid}/fd"):
            numbers = _numbers_at(f"{proc}/{pid}/fd/{descriptor}")
            if numbers is None or numbers not in wanted:
                continue
            name = read_fact(f"{proc}/{pid}/comm") or "?"
            program = program_of(read_fact(f"{proc}/{pid}/cmdline") or "", name)
            yield Opened(numbers, int(pid), program, _writes(read_fact(f"{proc}/{pid}/fdinfo/{descriptor}") or ""))


def _writes(fdinfo: str) -> bool:
    match = re.search(r"^flags:\s*([0-7]+)", fdinfo, re.MULTILINE)
    return match is None or bool(int(match.group(1), 8) & _WRITES)


def _attached(folder: str) -> t.Iterator[Attached]:
    for name in _list(folder):
        if name.endswith(".xml"):
            for domain, target, path in parse_running(read_fact(f"{folder}/{name}") or ""):
                yield Attached(domain, target, path, _numbers_at(path))


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def check_free(place: Place, *, writing: bool, clock: Clock) -> None:
    """Raises KvmError DEVICE_IN_USE with the evidence where somebody uses the device."""
    node = place.node
    if node is None:
        return
    end = clock.monotonic() + PATIENCE
    while True:
        uses = find_uses(node, read_facts(node), writing=writing)
        if not uses:
            return
        # A mount stays; a process may only have had a look.
        if any(use.kind != "process" for use in uses) or clock.monotonic() >= end:
            raise in_use(place.path, uses)
        clock.sleep(0.25)


def in_use(path: str, uses: t.Sequence[Use]) -> KvmError:
    """The error for a device that somebody uses."""
    words = "; ".join(f"{use.device}: {use.words}" for use in uses)
    return KvmError(
        "DEVICE_IN_USE",
        f"The device {path} on this host is in use ({words}). Unmount it, or shut off the guest, and run again.",
        device=path,
        uses=[dataclasses.asdict(use) for use in uses],
    )
