# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The preflight of a guest process's move: what its monitor and both hosts tell, as a plan with findings. Changes nothing."""

from __future__ import annotations

import os
import posixpath
import pwd
import secrets
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import ACCEPT, hard_blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_media import layers, prove_bases
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import hotplug, processes, visible
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.derive import Derived, Seen, derive, parts_named

_PROGRAM_SECONDS = 30.0


def survey(context: BareContext, pid: int, *, probe: bool = True) -> BarePlan:
    """Look at everything once; ``probe`` permits a file that is made and removed, to prove that storage is shared. Raises InputError."""
    ask = context.source().execute
    argv, cwd = processes.argv_of(pid), processes.cwd_of(pid)
    seen = visible.see(ask)
    blocks = ask("query-block")
    findings = _blockers(context, ask)
    disks, media = _disks(context, blocks, findings)
    named = parts_named(argv)
    added, problems = hotplug.added(ask, named)
    gone_media, media_disks = _media(context, media, findings)
    images = {disk.source: (disk.path, disk.format) for disk in (*disks, *media) if disk not in gone_media}
    derived = derive(
        argv, cwd, context.mapping,
        Seen(seen.machine, images, frozenset(disk.source for disk in gone_media), added, hotplug.removed(ask, named)),
    )  # fmt: skip
    findings += [
        hard_blocker(
            "NOT_DERIVABLE", f"guest {context.name}", f"The guest '{context.name}' cannot be started alike elsewhere: {problem}.",
            "Take that away from the guest, or move it offline by hand.",
        )
        for problem in (*derived.problems, *problems)
    ]  # fmt: skip
    if context.options.destination_arguments:
        program = context.mapping.base.emulator or argv[0]
        derived = Derived((program, *context.options.destination_arguments), places=derived.places)
    copied = disks if context.options.method == "live_block" else ()
    user = _user(context, pid, argv)
    findings += _destination(context, derived, copied, media_disks, user, seen.machine)
    if context.options.method == "live_shared" and probe:
        findings += _shared(context, disks)
    if copied and probe:
        findings += _in_place(context, copied)
    if context.options.base == "shared":
        findings += prove_bases(context, _bases(context, blocks))
    unit = _unit(context, pid, findings)
    status = ask("query-status")["status"]
    return BarePlan(
        argv=derived.argv,
        disks=tuple(copied),
        media=tuple([*media_disks, *gone_media] if context.options.media != "refuse" else ()),
        places=derived.places,
        user=user,
        state="paused" if status in ("paused", "prelaunch") else "running",
        source_unit=unit,
        visible=seen,
        memory=sum(seen.memory.values()),
        findings=tuple(findings),
        changes=tuple(_changes(context, copied, media_disks, gone_media, unit)),
    )


def _blockers(context: BareContext, ask: t.Callable[..., t.Any]) -> list[Finding]:
    """What QEMU itself says against it."""
    subject, found = f"guest {context.name}", []
    for reason in ask("query-migrate").get("blocked-reasons", ()):
        message = f"QEMU says that the guest '{context.name}' cannot be migrated: {reason}."
        found.append(hard_blocker("MIGRATION_BLOCKED", subject, message, "Remove what it names."))
    jobs = [job["device"] for job in ask("query-block-jobs")]
    if jobs:
        message = f"Block jobs run for the guest '{context.name}': {', '.join(jobs)}."
        found.append(hard_blocker("JOB_RUNNING", subject, message, "Wait for their end, or end them.", jobs=jobs))
    state = ask("query-status")["status"]
    if state not in ("running", "paused"):
        message = f"The guest '{context.name}' is in the state '{state}', in which nothing can be moved live."
        found.append(hard_blocker("NOT_ACTIVE", subject, message, "Let it run, or pause it, first.", state=state))
    return found


def _disks(
    context: BareContext, blocks: t.Sequence[t.Mapping[str, t.Any]], findings: list[Finding]
) -> tuple[list[MovedDisk], list[MovedDisk]]:
    """Disks that the guest may write to, and media that it only reads and may change."""
    disks: list[MovedDisk] = []
    media: list[MovedDisk] = []
    mapping = context.mapping.base
    for block in blocks:
        inserted = block.get("inserted")
        if not inserted:
            continue
        device, path = block.get("device", ""), str(inserted["file"])
        key = device or block.get("qdev", "")
        local = path.startswith("/")
        if not local and not inserted["ro"] and context.options.method == "live_block":
            message = f"The disk '{key}' of the guest '{context.name}' is no file and no device of this host ({path})."
            findings.append(
                hard_blocker(
                    "DISK_TYPE_UNSUPPORTED", f"disk {key}", message, "Use live_shared where both hosts reach it."
                )
            )
            continue
        target = mapping.disks.get(device) or mapping.disks.get(block.get("qdev", "")) or mapping.path(path)
        image = inserted["image"]
        below = layers(image)
        disk = MovedDisk(
            device=device, qdev=block.get("qdev", ""), node=inserted["node-name"], source=path, path=target, format=inserted["drv"],
            size=image["virtual-size"], owner=_owner(path), backing=mapping.path(below[0][0]) if below else "",
            backing_format=below[0][1] if below else "",
        )  # fmt: skip
        if not inserted["ro"]:
            disks.append(disk)
        elif block.get("removable"):
            media.append(disk)
    known = {name for disk in (*disks, *media) for name in (disk.device, disk.qdev)}
    unknown = sorted(set(mapping.disks) - known)
    if unknown:
        raise InputError(
            "mapping",
            f"The mapping names the disk '{unknown[0]}', which the guest '{context.name}' does not have; it has "
            f"{', '.join(sorted(disk.key for disk in (*disks, *media))) or 'none'}.",
        )
    return disks, media


def _bases(context: BareContext, blocks: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, tuple[str, str]]:
    images = [block["inserted"]["image"] for block in blocks if block.get("inserted") and not block["inserted"]["ro"]]
    return {path: (context.mapping.base.path(path), kind) for image in images for path, kind in layers(image)}


def _owner(path: str) -> str:
    try:
        return pwd.getpwuid(os.stat(path).st_uid).pw_name
    except (OSError, KeyError):
        return ""


def _media(
    context: BareContext, media: t.Sequence[MovedDisk], findings: list[Finding]
) -> tuple[list[MovedDisk], list[MovedDisk]]:
    """Media that go, and those that travel, as the user asked; those that the destination has need nothing."""
    if not media:
        return [], []
    facts = context.far.facts(needs=[disk.path for disk in media])
    lacking = [disk for disk in media if disk.path in facts["missing"]]
    if context.options.media == "eject":
        return lacking, []
    if context.options.media == "copy":
        return [], lacking
    findings += [
        hard_blocker(
            "MEDIA_MISSING", f"disk {disk.key}", f"{context.far.host} does not have the medium {disk.path} of the guest '{context.name}'.",
            "Put it there, map its path, or set media to copy or eject.",
        )
        for disk in lacking
    ]  # fmt: skip
    return [], []


def _user(context: BareContext, pid: int, argv: t.Sequence[str]) -> str:
    """As whom the destination's QEMU is started; empty for root, which QEMU may leave by itself (-runas)."""
    if context.options.user:
        return "" if context.options.user == "root" else context.options.user
    number = processes.user_of(pid)
    if number == 0 or any(word in ("-runas", "-run-with") for word in argv):
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return ""


def _destination(
    context: BareContext,
    derived: Derived,
    disks: t.Sequence[MovedDisk],
    media: t.Sequence[MovedDisk],
    user: str,
    machine: str,
) -> list[Finding]:
    """What the destination lacks."""
    program, host, subject = derived.argv[0], context.far.host, f"host {context.far.host}"
    images = [disk.path for disk in disks if not disk.path.startswith("/dev/")]
    devices = [disk.path for disk in disks if disk.path.startswith("/dev/")]
    made = {disk.path for disk in media}
    needs = [path for path in (*derived.needs, *devices) if path not in made]
    if context.options.method == "live_shared":
        needs += [path for path in _writable(context) if path not in needs]
    facts = context.far.facts(
        program=program,
        needs=needs,
        places=list(derived.places),
        images=images,
        interfaces=[*derived.bridges, *_fixed_taps(derived)],
        user=user,
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
    for path in facts["existing"]:
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


def _writable(context: BareContext) -> list[str]:
    return [
        context.mapping.base.disks.get(block.get("device", "")) or context.mapping.base.path(block["inserted"]["file"])
        for block in context.source().execute("query-block")
        if block.get("inserted") and not block["inserted"]["ro"] and block["inserted"]["file"].startswith("/")
    ]


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


def _shared(context: BareContext, disks: t.Sequence[MovedDisk]) -> list[Finding]:
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


def _in_place(context: BareContext, disks: t.Sequence[MovedDisk]) -> list[Finding]:
    """Disks whose copy would be made in the place of the original, for both hosts see one and the same folder there."""
    files = [disk for disk in disks if not disk.path.startswith("/dev/")]
    there = context.far.facts(images=[disk.path for disk in files])["existing"] if files else []
    return [
        hard_blocker(
            "IMAGE_SHARED", f"disk {disk.key}",
            f"The disk {disk.key} of the guest '{context.name}' lies on storage that both hosts share ({disk.source}), so its copy would "
            "take its own place.",
            "Use live_shared, or map the disk to another place.", path=disk.path,
        )
        for disk in files
        if disk.path in there and posixpath.basename(disk.path) == posixpath.basename(disk.source) and not _shared(context, [disk])
    ]  # fmt: skip


def _unit(context: BareContext, pid: int, findings: list[Finding]) -> str:
    """The systemd service whose main process the guest is: it would be started again when we end it."""
    unit = posixpath.basename(processes.cgroup_of(pid))
    if not unit.endswith(".service"):
        return ""
    done = command.run(["systemctl", "show", "-P", "MainPID", "-P", "UnitFileState", unit], timeout=_PROGRAM_SECONDS)
    lines = done.stdout.split("\n")
    if str(pid) not in lines:
        return ""
    if "enabled" in lines:
        findings.append(
            warning(
                "SOURCE_UNIT", f"unit {unit}",
                f"The unit {unit} starts the guest '{context.name}' with {context.source_host}; it is disabled once the guest runs on "
                f"{context.far.host}, where nothing starts it with the host.",
                "Make a unit on the destination.", unit=unit,
            )
        )  # fmt: skip
    return unit


def _changes(
    context: BareContext,
    disks: t.Sequence[MovedDisk],
    media: t.Sequence[MovedDisk],
    gone: t.Sequence[MovedDisk],
    unit: str,
) -> t.Iterator[Change]:
    host = context.far.host
    yield Change(f"guest {context.name}", "move", context.source_host, host)
    for disk in (*disks, *media):
        yield Change(f"image {host}:{disk.path}", "create", None, {"format": disk.format, "size": disk.size})
    for disk in gone:
        yield Change(f"medium {disk.source}", "eject", context.name, None)
    if unit:
        yield Change(f"unit {context.source_host}:{unit}", "stop", "running", "stopped")
    if context.options.source_disks != "keep":
        for disk in disks:
            yield Change(f"image {context.source_host}:{disk.source}", context.options.source_disks, disk.source, None)
