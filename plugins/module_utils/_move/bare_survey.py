# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The preflight of a guest process's move: what its monitor and both hosts tell, as a plan with findings. Changes nothing."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import pwd
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import FORMATS
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import LIBVIRT, OFFLINE, SHUT_DOWN, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import hard_blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_media import layers, prove_bases
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_needs import (
    certificates,
    in_place,
    lacks,
    one_and_the_same,
    unshared,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import hotplug, processes, visible
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.derive import Derived, Seen, derive, parts_named
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping

_PROGRAM_SECONDS = 30.0


def survey(context: BareContext, pid: int, *, probe: bool = True) -> BarePlan:
    """Look at everything once; ``probe`` permits a file that is made and removed, to prove that storage is shared. Raises InputError."""
    ask = context.source().execute
    argv, cwd = processes.argv_of(pid), processes.cwd_of(pid)
    # QEMU takes its time to tell of its machines, so it is asked there while its guest is asked here.
    emulator = context.far.later("emulator", program=context.mapping.base.emulator or argv[0])
    seen = visible.see(visible.one_by_one(ask))
    memory = sum(seen.memory.values())
    blocks = ask("query-block")
    findings = _blockers(context, ask)
    disks, media = _disks(context, blocks, findings)
    named = parts_named(argv)
    added, problems = hotplug.added(ask, named)
    gone = hotplug.removed(ask, named)
    gone_media, media_disks = _media(context, media, findings)
    images = {disk.source: (disk.path, disk.format) for disk in (*disks, *media) if disk not in gone_media}
    derived = derive(
        argv, cwd, context.mapping,
        Seen(seen.machine, images, frozenset(disk.source for disk in gone_media), added, gone),
    )  # fmt: skip
    findings += [
        hard_blocker(
            "NOT_DERIVABLE", f"guest {context.name}", f"The guest '{context.name}' cannot be started alike elsewhere: {problem}.",
            "Take that away from the guest, or move it offline by hand.",
        )
        for problem in (*derived.problems, *problems)
    ]  # fmt: skip
    if context.options.destination_arguments:
        derived = Derived((derived.argv[0], *context.options.destination_arguments), places=derived.places)
    domain, machine_probe = "", t.cast("tuple[str, ...]", ())
    if context.options.target == LIBVIRT:
        from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_adopt import adoption

        stays = [disk for disk in (*disks, *media) if disk not in gone_media]
        adopted = adoption(context, argv, derived.argv, seen, stays)
        domain, machine_probe = adopted.xml, adopted.probe
        derived = dataclasses.replace(derived, bridges=adopted.bridges)
        findings += adopted.findings
    copied, stay = _copied(context, disks, probe)
    user = _user(context, pid, argv)
    findings += lacks(context, derived, copied, stay, media_disks, user, seen.machine, memory, emulator)
    if context.options.method == "live_shared" and probe:
        findings += unshared(context, disks)
    if context.options.method == "live_block" and probe:
        findings += in_place(context, copied)
    findings += certificates(context)
    if context.options.base == "shared":
        findings += prove_bases(context, _bases(context, blocks))
    unit = _unit(context, pid, findings)
    return BarePlan(
        argv=derived.argv,
        disks=tuple(copied),
        media=tuple([*media_disks, *gone_media] if context.options.media != "refuse" else ()),
        places=derived.places,
        user=user,
        state=_state(context, ask("query-status")["status"]),
        source_unit=unit,
        visible=seen,
        memory=memory,
        findings=tuple(findings),
        changes=tuple(changes(context, copied, media_disks, gone_media, unit)),
        home=derive(argv, cwd, GuestMapping(), Seen(seen.machine, {}, frozenset(), added, gone)).argv,
        home_user=_user_of(pid, argv),
        domain=domain,
        probe=machine_probe,
    )


def _copied(context: BareContext, disks: t.Sequence[MovedDisk], probe: bool) -> tuple[list[MovedDisk], list[MovedDisk]]:
    """The disks that are copied, and those that stay where they are, on storage that both hosts share."""
    if context.options.method == "live_block":
        return list(disks), []
    if context.options.method == "live_shared":
        return [], list(disks)
    stay = one_and_the_same(context, disks, probe=probe)
    return [disk for disk in disks if disk not in stay], stay


def _state(context: BareContext, status: str) -> str:
    """As what it is to arrive. One that an earlier run asked to shut down, or paused, and that has done so is to run again."""
    journal = context.journal
    if status == SHUT_DOWN:
        return journal.state if journal is not None and journal.open and journal.stopped else SHUT_DOWN
    if status == "paused" and journal is not None and journal.paused_by_us:
        return journal.state
    return "paused" if status in ("paused", "prelaunch") else "running"


def _blockers(context: BareContext, ask: t.Callable[..., t.Any]) -> list[Finding]:
    """What QEMU itself says against it."""
    subject, found = f"guest {context.name}", []
    offline = context.options.method == OFFLINE
    for reason in () if offline else ask("query-migrate").get("blocked-reasons", ()):
        message = f"QEMU says that the guest '{context.name}' cannot be migrated: {reason}."
        found.append(hard_blocker("MIGRATION_BLOCKED", subject, message, "Remove what it names."))
    if context.source().kind == "hmp" and context.options.method == "live_block" and not context.options.legacy_block:
        found.append(
            hard_blocker(
                "HUMAN_MONITOR_ONLY", subject,
                f"The guest '{context.name}' has a human monitor only, which does not tell whether the copy of a disk failed; so its disks "
                "cannot be copied safely while it runs.",
                "Use method offline or live_shared, legacy_block with QEMU before 9.1, or start it with -qmp unix:PATH,server=on,wait=off.",
            )
        )  # fmt: skip
    jobs = [job["device"] for job in ask("query-block-jobs")]
    if jobs:
        message = f"Block jobs run for the guest '{context.name}': {', '.join(jobs)}."
        found.append(hard_blocker("JOB_RUNNING", subject, message, "Wait for their end, or end them.", jobs=jobs))
    state = ask("query-status")["status"]
    if offline and state not in ("running", SHUT_DOWN):
        message = (
            f"The guest '{context.name}' is in the state '{state}', in which it hears nobody who asks it to shut down."
        )
        found.append(hard_blocker("NOT_ACTIVE", subject, message, "Let it run first, or move it live.", state=state))
    if offline and state != SHUT_DOWN and not context.options.may_stop:
        message = f"The guest '{context.name}' runs, and the method 'offline' would stop it."
        found.append(hard_blocker("MAY_NOT_STOP", subject, message, "Permit it by may_stop, or move it live."))
    if not offline and state not in ("running", "paused"):
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
        offline = context.options.method == OFFLINE
        if not local and not inserted["ro"] and context.options.method != "live_shared":
            message = f"The disk '{key}' of the guest '{context.name}' is no file and no device of this host ({path})."
            findings.append(
                hard_blocker(
                    "DISK_TYPE_UNSUPPORTED", f"disk {key}", message, "Use live_shared where both hosts reach it."
                )
            )
            continue
        if offline and local and not inserted["ro"] and _form(inserted["drv"]) not in FORMATS:
            message = f"The disk '{key}' of the guest '{context.name}' has the format {inserted['drv']}, which is not copied offline."
            findings.append(
                hard_blocker("DISK_TYPE_UNSUPPORTED", f"disk {key}", message, "Convert it, or use live_block.")
            )
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


def _form(driver: str) -> str:
    """The format of what a driver reads; one of devices and plain files reads raw."""
    return "raw" if driver in ("host_device", "file") else driver


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
    return _user_of(pid, argv)


def _user_of(pid: int, argv: t.Sequence[str]) -> str:
    """As whom the source's QEMU was started; empty for root."""
    number = processes.user_of(pid)
    if number == 0 or any(word in ("-runas", "-run-with") for word in argv):
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return ""


def _unit(context: BareContext, pid: int, findings: list[Finding]) -> str:
    """The systemd service whose main process the guest is: it would be started again when we end it."""
    unit = posixpath.basename(processes.cgroup_of(pid))
    if not unit.endswith(".service"):
        return ""
    done = command.run(["systemctl", "show", "-p", "MainPID,UnitFileState,Restart", unit], timeout=_PROGRAM_SECONDS)
    lines = done.stdout.split("\n")
    if f"MainPID={pid}" not in lines:
        return ""
    if context.options.method == OFFLINE and context.source().kind == "hmp" and "Restart=no" not in lines:
        findings.append(
            hard_blocker(
                "UNIT_RESTARTS", f"unit {unit}",
                f"The unit {unit} starts the guest '{context.name}' again when it has shut down, and by a human monitor its process cannot "
                "be told to stay.",
                "Set Restart=no for the unit, or give the guest a QMP monitor.", unit=unit,
            )
        )  # fmt: skip
    if "UnitFileState=enabled" in lines:
        findings.append(
            warning(
                "SOURCE_UNIT", f"unit {unit}",
                f"The unit {unit} starts the guest '{context.name}' with {context.source_host}; it is disabled once the guest runs on "
                f"{context.far.host}, where nothing starts it with the host.",
                "Make a unit on the destination.", unit=unit,
            )
        )  # fmt: skip
    return unit


def changes(
    context: BareContext,
    disks: t.Sequence[MovedDisk],
    media: t.Sequence[MovedDisk],
    gone: t.Sequence[MovedDisk],
    unit: str,
) -> t.Iterator[Change]:
    """What the move changes, on both hosts."""
    host = context.far.host
    if context.options.method == OFFLINE and context.monitor is not None:
        yield Change(f"guest {context.name}", "shut down", "running", "off")
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
