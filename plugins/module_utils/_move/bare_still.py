# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A guest that has no process, and that a unit of qemu_guest describes: its offline move as a plan with findings. Changes nothing."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import read_image
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import FORMATS
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import chain_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import LIBVIRT, SHUT_DOWN, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import GuestDisk
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_unit
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_adopt import adoption
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_media import prove_bases
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_needs import lacks, one_and_the_same
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_survey import changes
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import departed
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine, parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argvread import disks_of, machine_of, memory_of
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.commandline import versions
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.derive import Seen, derive
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import Tap, Unit, render, unit_name
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import parse as parse_unit
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.visible import Visible

_PROGRAM_SECONDS = 30.0


def unit_here(name: str) -> Unit | None:
    """The unit that describes the guest on this host; None where there is none that lasts."""
    return parse_unit(bare_unit.read(unit_name(name)))


def survey_still(context: BareContext, *, probe: bool) -> BarePlan:
    """Look at all that a guest without a process has. Raises GUEST_NOT_FOUND, and GUEST_MOVED_AWAY for one whose unit is an old one."""
    unit = unit_here(context.name)
    if unit is None:
        raise KvmError(
            "GUEST_NOT_FOUND", f"No unit describes the guest '{context.name}' on {context.source_host} any more."
        )
    _refuse_departed(context, unit)
    context.uuid = unit.uuid
    argv, subject = list(unit.arguments), f"guest {context.name}"
    machine = _machine(argv)
    disks = _disks(context, argv)
    derived = derive(
        argv, "/", context.mapping, Seen(machine, {disk.source: (disk.path, disk.format) for disk in disks})
    )
    findings = [
        hard_blocker(
            "NOT_DERIVABLE", subject, f"The guest '{context.name}' cannot be started alike elsewhere: {problem}.",
            "Take that away from the guest.",
        )
        for problem in derived.problems
    ]  # fmt: skip
    findings += [
        hard_blocker(
            "DISK_TYPE_UNSUPPORTED", f"disk {disk.key}", f"The disk {disk.source} has the format {disk.format}, which is not copied.",
            "Convert it.",
        )
        for disk in disks
        if disk.format not in FORMATS
    ]  # fmt: skip
    domain = ""
    if context.options.target == LIBVIRT:
        off = Visible(machine, "", (), {"base-memory": memory_of(parse(argv))}, "")
        domain, bridges, reasons, _probe = adoption(context, argv, derived.argv, off, ())
        derived = dataclasses.replace(derived, bridges=bridges)
        findings += reasons
    else:
        # Those taps are made when it starts.
        derived = dataclasses.replace(
            derived, bridges=tuple(context.mapping.base.bridges.get(tap.bridge, tap.bridge) for tap in unit.taps)
        )
    stay = one_and_the_same(context, disks, probe=probe)
    copied = [disk for disk in disks if disk not in stay]
    user = context.options.user or unit.user
    emulator = context.far.later("emulator", program=derived.argv[0])
    findings += lacks(context, derived, copied, stay, (), user, machine, memory_of(parse(argv)), emulator)
    if context.options.base == "shared":
        findings += prove_bases(context, _bases(context, copied))
    return BarePlan(
        argv=derived.argv,
        disks=tuple(copied),
        media=(),
        places=(),
        user=user,
        state=SHUT_DOWN,
        source_unit=unit_name(context.name),
        visible=Visible(machine, "", (), {}, ""),
        memory=0,
        findings=tuple(findings),
        changes=tuple(changes(context, copied, (), (), "")),
        domain=domain,
        unit_file="" if domain else _unit_there(context, unit, derived.argv, user),
    )


def _refuse_departed(context: BareContext, unit: Unit) -> None:
    """What a move left here of a guest is not to be had by anybody: another move would bring it beside the guest itself."""
    for left in departed.departures(context.workspace.state):
        if left.is_of(unit.name, unit.uuid):
            raise KvmError(
                "GUEST_MOVED_AWAY",
                f"The guest '{context.name}' {'moved' if left.certain else 'may have moved'} from {context.source_host} to {left.host}; "
                "what its unit here describes is out of date. Nothing was touched. Move it from there.",
                host=left.host,
            )


def forget_here(context: BareContext) -> None:
    """The destination has its definition: this host forgets it."""
    name = unit_name(context.record_now().name)
    bare_unit.remove(name, bare_unit.read(name))


def _machine(argv: t.Sequence[str]) -> str:
    asked = machine_of(parse(argv))
    listing = command.run([argv[0], "-machine", "help"], timeout=_PROGRAM_SECONDS).stdout
    return versions(listing).get(asked, asked)


def _disks(context: BareContext, argv: t.Sequence[str]) -> list[MovedDisk]:
    """What it may write to. Sizes are those that the images say."""
    found, mapping = [], context.mapping.base
    for disk in (*disks_of(parse(argv)), *_firmware(parse(argv))):
        if disk.readonly or not disk.source:
            continue
        form = disk.format or "raw"
        try:
            facts = read_image(disk.source, form)
            owner = _owner(disk.source)
        except OSError as exc:
            raise KvmError(
                "FILE_MISSING", f"{context.source_host} cannot read {disk.source}: {exc.strerror}.", path=disk.source
            ) from exc
        below = chain_of(disk.source, form)[1:2] if form in FORMATS else []
        target = mapping.disks.get(disk.drive) or mapping.disks.get(disk.device) or mapping.path(disk.source)
        found.append(
            MovedDisk(
                device=disk.drive, qdev=disk.device, node=disk.node, source=disk.source, path=target, format=form,
                size=facts.virtual_size or os.path.getsize(disk.source), owner=owner, backing=mapping.path(below[0].path) if below else "",
                backing_format=below[0].format if below else "",
            )
        )  # fmt: skip
    return found


def _firmware(line: CommandLine) -> t.Iterator[GuestDisk]:
    """Its variables, which a guest writes to as to a disk."""
    nodes = {option.keys.get("node-name"): option.keys for option in line.all("blockdev")}
    for key, node in line.merged("machine").pairs:
        if key.startswith("pflash") and node in nodes:
            keys = nodes[node]
            source = keys.get("file.filename") or keys.get("filename")
            yield GuestDisk(
                "", node=node, drive=node, source=source, format=keys.get("driver"), readonly=keys.is_on("read-only")
            )


def _owner(path: str) -> str:
    try:
        return pwd.getpwuid(os.stat(path).st_uid).pw_name
    except KeyError:
        return ""


def _bases(context: BareContext, disks: t.Sequence[MovedDisk]) -> dict[str, tuple[str, str]]:
    layers = [layer for disk in disks for layer in chain_of(disk.source, disk.format)[1:]]
    return {layer.path: (context.mapping.base.path(layer.path), layer.format) for layer in layers}


def _unit_there(context: BareContext, unit: Unit, argv: t.Sequence[str], user: str) -> str:
    """The unit file of the destination, which its qemu_guest takes for its own."""
    mapping: GuestMapping = context.mapping
    taps = tuple(
        Tap(mapping.taps.get(tap.name, tap.name), mapping.base.bridges.get(tap.bridge, tap.bridge)) for tap in unit.taps
    )
    there = Unit(unit.name, unit.uuid, user, tuple(argv), taps)
    return render(there, shutil.which("ip", path=command.environment()["PATH"]) or "/usr/sbin/ip", persistent=True)
