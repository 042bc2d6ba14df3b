# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the destination of a guest process's move lacks, or has in the way, as findings; and what storage both hosts share."""

from __future__ import annotations

import os
import posixpath
import secrets
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import LIBVIRT, OFFLINE, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import ACCEPT, hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import reserve_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_host import stamp
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import tls
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.backing import Backing, backings_of, pages_needed
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.derive import Derived

#: What QEMU calls the formats in which a disk is as long as its device.
RAW = ("raw", "host_device")


def lacks(
    context: BareContext,
    derived: Derived,
    disks: t.Sequence[MovedDisk],
    stay: t.Sequence[MovedDisk],
    media: t.Sequence[MovedDisk],
    user: str,
    machine: str,
    memory: int,
    emulator: t.Callable[[], dict[str, t.Any]],
) -> list[Finding]:
    """What the destination lacks for a guest of which ``disks`` are copied, ``stay`` are on storage that both share, ``media`` brought.

    ``memory`` is the guest's, in bytes; ``emulator`` waits for what the destination says of the program (see ``bare_facts``).
    """
    host = context.far.host
    images = [disk.path for disk in disks if not disk.path.startswith("/dev/")]
    devices = [disk.path for disk in disks if disk.path.startswith("/dev/")]
    backings = backings_of(parse(derived.argv))
    made = {disk.path for disk in media}
    needs = [path for path in derived.needs if path not in made]
    needs += [disk.path for disk in stay if disk.path.startswith("/") and disk.path not in needs]
    facts = context.far.facts(
        needs=needs,
        places=list(derived.places),
        images=images,
        devices=devices,
        interfaces=[*derived.bridges, *(_fixed_taps(derived) if context.options.target != LIBVIRT else ())],
        user=user,
        name=context.name,
        uuid=context.uuid,
        backings=[one.path for one in backings if one.path],
    )
    found = _absent(context, derived, {**facts, **emulator()}, user, machine)
    for path in (one for one in facts["existing"] if one not in facts["leftover"]):
        found.append(
            _acceptable(
                context,
                "IMAGE_EXISTS",
                f"image {path}",
                f"{host} has {path} already.",
                "Move it away, or accept that it is replaced.",
                path=path,
            )
        )
    found += _space(context, disks, facts["free"])
    found += [
        one
        for disk in disks
        if disk.path in facts["devices"]
        for one in _device(context, disk, facts["devices"][disk.path])
    ]
    found += _memory(context, memory - sum(one.size for one in backings), facts["memory"])
    found += _hugepages(context, backings, facts)
    if context.options.target != LIBVIRT:
        found += _namesakes(context, facts["domains"])
    return found


def _absent(
    context: BareContext, derived: Derived, facts: t.Mapping[str, t.Any], user: str, machine: str
) -> list[Finding]:
    """What a guest needs of a host, whatever its disks are, and the destination does not have."""
    program, host = derived.argv[0], context.far.host
    subject = f"host {host}"
    found: list[Finding] = []
    if not facts["program"]:
        found.append(
            hard_blocker(
                "QEMU_MISSING",
                subject,
                f"{host} does not have the program {program}.",
                "Install it, or map the emulator.",
            )
        )
    elif machine not in facts["machines"]:
        message = f"QEMU on {host} does not know the machine {machine} of the guest '{context.name}'."
        found.append(hard_blocker("MACHINE_UNSUPPORTED", subject, message, "Choose a host with a QEMU that knows it."))
    for path in facts["missing"]:
        message = f"{host} does not have {path}, which the guest '{context.name}' needs."
        found.append(hard_blocker("FILE_MISSING", subject, message, "Put it there, or map its path.", path=path))
    for name in facts["interfaces"]:
        kind = "BRIDGE_MISSING" if name in derived.bridges else "TAP_MISSING"
        message = f"{host} does not have the interface {name}, which the guest '{context.name}' uses."
        found.append(hard_blocker(kind, subject, message, "Create it, or map its name.", interface=name))
    if not facts["user"]:
        message = f"{host} has no user '{user}', as whom the guest '{context.name}' runs."
        found.append(hard_blocker("USER_MISSING", subject, message, "Create it, or name another one with user."))
    return found


def _namesakes(context: BareContext, domains: t.Sequence[t.Sequence[str]]) -> list[Finding]:
    """Domains of the destination's libvirt that are off: somebody may start one while the guest runs there."""
    found = []
    for name, uuid in domains:
        same = "UUID" if context.uuid and uuid.lower() == context.uuid.lower() else "name"
        found.append(
            hard_blocker(
                f"{same.upper()}_CONFLICT", f"guest {context.name}",
                f"libvirt on {context.far.host} has a domain '{name}' ({uuid}) with the {same} of the guest '{context.name}'.",
                "Rename or undefine one of the two.", name=name, uuid=uuid,
            )
        )  # fmt: skip
    return found


def _device(context: BareContext, disk: MovedDisk, seen: t.Mapping[str, t.Any]) -> t.Iterator[Finding]:
    """A block device is not made by a move: it has to be there, of the right size, free, and its content has to be nobody's."""
    host, size, larger = context.far.host, seen["size"], context.options.method == OFFLINE
    evidence = {"path": disk.path, "disk": disk.key, "source": disk.size, "destination": size}
    if size < 0:
        yield hard_blocker(
            "FILE_MISSING", f"disk {disk.key}", f"{host} has no block device {disk.path} for the disk {disk.key} of '{context.name}'.",
            f"Create it there with {'at least' if larger else 'exactly'} {disk.size} bytes, or map the disk to a file.", **evidence,
        )  # fmt: skip
    elif disk.format in RAW and (size < disk.size or (size > disk.size and not larger)):
        yield hard_blocker(
            "DISK_SIZE_MISMATCH", f"disk {disk.key}",
            f"{disk.path} on {host} has {size} bytes, and the disk {disk.key} of '{context.name}' has {disk.size}"
            f"{'' if larger else '; a disk that is copied while its guest runs needs exactly the same'}.",
            "Recreate it in that size, or map the disk to another place.", **evidence,
        )  # fmt: skip
    elif seen["used"]:
        yield hard_blocker(
            "IMAGE_EXISTS", f"disk {disk.key}",
            f"{disk.path} on {host}, where the disk {disk.key} of '{context.name}' would go, is in use ({seen['used']}).",
            "Unmount it or shut off its user, or map the disk to another place.", **evidence,
        )  # fmt: skip
    else:
        yield _acceptable(
            context, "IMAGE_EXISTS", f"disk {disk.key}",
            f"{disk.path} on {host}, where the disk {disk.key} of '{context.name}' would go, is a block device, whose content is "
            "overwritten.",
            "Look at what it has, and accept that it is overwritten, or map the disk to another place.", **evidence,
        )  # fmt: skip


def _memory(context: BareContext, needed: int, there: t.Mapping[str, int]) -> list[Finding]:
    """Whether the destination has the guest's plain memory to give. What lies in a file of no huge pages only QEMU there can tell."""
    if not there or needed <= 0:
        return []
    reserve = reserve_of(there["total"])
    available = there["available"] - reserve
    if needed <= available:
        return []
    return [
        _acceptable(
            context, "MEMORY_SHORT", f"host {context.far.host}",
            f"The guest '{context.name}' needs {format_bytes(needed)} of memory, and {context.far.host} has "
            f"{format_bytes(max(0, available))} for guests (its reserve of {format_bytes(reserve)} aside).",
            "Choose a destination with more, or shrink or stop guests there.", needed=needed, available=available, reserve=reserve,
        )
    ]  # fmt: skip


def _hugepages(context: BareContext, backings: t.Sequence[Backing], facts: t.Mapping[str, t.Any]) -> list[Finding]:
    """Whether it has the huge pages to give, of each size."""
    there = facts["hugepages"]
    default = facts["memory"].get("hugepage", 0) // 1024 or None
    host, found = context.far.host, []
    for page, needed in sorted(pages_needed(backings, there["folders"], default).items()):
        free = there["free"].get(str(page), 0) * page * 1024
        if free < needed:
            found.append(
                _acceptable(
                    context, "HUGEPAGES_SHORT", f"host {host}",
                    f"The guest '{context.name}' needs {format_bytes(needed)} in huge pages of {page} KiB, and {host} has "
                    f"{format_bytes(free)} free.",
                    "Reserve more there (vm.nr_hugepages), or choose another destination.", needed=needed, free=free, page_kib=page,
                )
            )  # fmt: skip
    return found


def certificates(context: BareContext) -> list[Finding]:
    """Files that TLS needs, on the side that lacks them. What is copied offline has a key of its own."""
    options = context.options
    if not options.tls or options.method == OFFLINE:
        return []
    lacking = {
        context.source_host: [path for path in tls.files(options.tls_dir, tls.CLIENT) if not os.path.exists(path)],
        context.far.host: context.far.facts(needs=tls.files(options.tls_dir, tls.SERVER))["missing"],
    }
    return [
        hard_blocker(
            "TLS_UNAVAILABLE", f"host {host}", f"{host} lacks {', '.join(paths)}, which the streams of QEMU need for TLS.",
            "Install the certificates of one authority there, or name their folder by tls_dir.", hosts=[host],
        )
        for host, paths in lacking.items()
        if paths
    ]  # fmt: skip


def _fixed_taps(derived: Derived) -> list[str]:
    """Interfaces that nobody makes when QEMU starts: without a script they have to be there."""
    lines = [option.keys for option in parse(derived.argv).all("netdev", "nic", "net")]
    return [keys.get("ifname") for keys in lines if keys.get("script") == "no" and keys.get("ifname")]


def _acceptable(context: BareContext, code: str, subject: str, message: str, remedy: str, **evidence: t.Any) -> Finding:
    severity = WARNING if code in context.options.accept else BLOCKER
    return Finding(code, severity, subject, message, evidence, remedy, ACCEPT)


def _space(context: BareContext, disks: t.Sequence[MovedDisk], free: t.Mapping[str, int]) -> list[Finding]:
    wanted: dict[str, int] = {}
    for disk in disks:
        folder = posixpath.dirname(disk.path)
        if folder in free and not disk.path.startswith("/dev/"):
            wanted[folder] = wanted.get(folder, 0) + _allocated(disk.source)
    return [
        _acceptable(
            context, "DISK_SPACE_SHORT", f"folder {folder}",
            f"{context.far.host} has {free[folder]} bytes free at {folder}, and the disks have {size} there.", "Make room.", path=folder,
        )
        for folder, size in wanted.items()
        if size > free[folder]
    ]  # fmt: skip


def _allocated(path: str) -> int:
    try:
        return os.stat(path).st_blocks * 512
    except OSError:
        return 0


def unshared(context: BareContext, disks: t.Sequence[MovedDisk]) -> list[Finding]:
    """Proof that the folder of each disk is one and the same on both hosts: what we make here is seen there."""
    found = []
    for folder, path in sorted(
        {
            (posixpath.dirname(disk.source), posixpath.dirname(disk.path))
            for disk in disks
            if disk.source.startswith("/") and not disk.source.startswith("/dev/")
        }
    ):
        mark = f".virtops-{secrets.token_hex(8)}"
        with open(posixpath.join(folder, mark), "wb"):
            pass
        try:
            facts = context.far.facts(
                needs=[posixpath.join(path, mark)],
            )
        finally:
            os.unlink(posixpath.join(folder, mark))
        if facts["missing"]:
            message = f"{path} on {context.far.host} is not the folder {folder} of {context.source_host}."
            found.append(
                hard_blocker(
                    "STORAGE_NOT_SHARED",
                    f"folder {folder}",
                    message,
                    "Use live_block, or mount the same storage there.",
                )
            )
    return found


def in_place(context: BareContext, disks: t.Sequence[MovedDisk]) -> list[Finding]:
    """Disks whose copy would be made in the place of the original, for both hosts see one and the same folder there."""
    return [
        hard_blocker(
            "IMAGE_SHARED", f"disk {disk.key}",
            f"The disk {disk.key} of the guest '{context.name}' lies on storage that both hosts share ({disk.source}), so its copy would "
            "take its own place.",
            "Use live_shared, or map the disk to another place.", path=disk.path,
        )
        for disk in one_and_the_same(context, disks, probe=True)
    ]  # fmt: skip


def one_and_the_same(context: BareContext, disks: t.Sequence[MovedDisk], *, probe: bool) -> list[MovedDisk]:
    """The disks whose image there is the very file that it is here. Where nothing may be made to prove it, size and times tell."""
    files = [
        disk
        for disk in disks
        if not disk.path.startswith("/dev/") and posixpath.basename(disk.path) == posixpath.basename(disk.source)
    ]
    if not files:
        return []
    facts = context.far.facts(images=[disk.path for disk in files])
    there = [disk for disk in files if disk.path in facts["existing"]]
    if probe:
        return [disk for disk in there if not unshared(context, [disk])]
    return [disk for disk in there if facts["stamps"].get(disk.path) == stamp(disk.source)]
