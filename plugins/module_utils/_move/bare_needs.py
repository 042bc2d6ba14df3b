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

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import OFFLINE, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import ACCEPT, hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import LIBVIRT, BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_host import stamp
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import tls
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.derive import Derived


def lacks(
    context: BareContext,
    derived: Derived,
    disks: t.Sequence[MovedDisk],
    stay: t.Sequence[MovedDisk],
    media: t.Sequence[MovedDisk],
    user: str,
    machine: str,
) -> list[Finding]:
    """What the destination lacks for a guest of which ``disks`` are copied, ``stay`` are on storage that both share, ``media`` brought."""
    program, host, subject = derived.argv[0], context.far.host, f"host {context.far.host}"
    images = [disk.path for disk in disks if not disk.path.startswith("/dev/")]
    devices = [disk.path for disk in disks if disk.path.startswith("/dev/")]
    made = {disk.path for disk in media}
    needs = [path for path in (*derived.needs, *devices) if path not in made]
    needs += [disk.path for disk in stay if disk.path.startswith("/") and disk.path not in needs]
    facts = context.far.facts(
        program=program,
        needs=needs,
        places=list(derived.places),
        images=images,
        interfaces=[*derived.bridges, *(_fixed_taps(derived) if context.options.target != LIBVIRT else ())],
        user=user,
        name=context.name,
        uuid=context.uuid,
    )
    found = []
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
    for path in (one for one in facts["existing"] if one not in facts["leftover"]):
        found.append(
            _acceptable(
                context,
                "IMAGE_EXISTS",
                f"image {path}",
                f"{host} has {path} already.",
                "Move it away, or accept that it is replaced.",
                path,
            )
        )
    found += _space(context, disks, facts["free"])
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


def _acceptable(context: BareContext, code: str, subject: str, message: str, remedy: str, path: str) -> Finding:
    severity = WARNING if code in context.options.accept else BLOCKER
    return Finding(code, severity, subject, message, {"path": path}, remedy, ACCEPT)


def _space(context: BareContext, disks: t.Sequence[MovedDisk], free: t.Mapping[str, int]) -> list[Finding]:
    wanted: dict[str, int] = {}
    for disk in disks:
        folder = posixpath.dirname(disk.path)
        if folder in free and not disk.path.startswith("/dev/"):
            wanted[folder] = wanted.get(folder, 0) + _allocated(disk.source)
    return [
        _acceptable(
            context, "DISK_SPACE_SHORT", f"folder {folder}",
            f"{context.far.host} has {free[folder]} bytes free at {folder}, and the disks have {size} there.", "Make room.", folder,
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
