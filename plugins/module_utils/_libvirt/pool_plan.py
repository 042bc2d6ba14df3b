# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One storage pool from what it is to what is asked for: first the whole plan, which changes nothing; then its steps."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import ownership
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import Ownership
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.pools import PoolGateway
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.volumes import TRANSIENT_PREFIX
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import (
    Ground,
    PoolDefinition,
    PoolFacts,
    PoolStep,
    same_source,
    steps_to,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.pools import (
    identified,
    pool_definition,
    pool_differences,
    pool_text,
)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked for: ``xml`` is the document, None where only the state is."""

    name: str
    state: str
    xml: t.Optional[str] = None
    autostart: t.Optional[bool] = None
    folder: Ownership = dataclasses.field(default_factory=Ownership)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done. ``present`` is None for a pool that is not there; ``xml`` is what will be defined."""

    name: str
    present: t.Optional[PoolFacts]
    xml: t.Optional[str] = None
    before_xml: str = ""
    after_xml: str = ""
    autostart: t.Optional[bool] = None
    steps: tuple[PoolStep, ...] = ()
    folder: Ownership = dataclasses.field(default_factory=Ownership)
    folder_before: Ownership = dataclasses.field(default_factory=Ownership)
    live: tuple[str, ...] = ()
    path: t.Optional[str] = None

    @property
    def state(self) -> str:
        """The state in the end."""
        for step in reversed(self.steps):
            if step.action in ("start", "stop", "undefine"):
                transient = (
                    step.action == "stop" and self.present is not None and not self.present.persistent and not self.xml
                )
                return "absent" if transient else str(step.after)
        if self.present is not None:
            return self.present.state
        return "inactive" if self.xml else "absent"

    @property
    def restart_needed(self) -> bool:
        """Whether the pool goes on with a definition that is not the saved one."""
        return bool(self.live) and self.state == "active" and not any(step.action == "start" for step in self.steps)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Everything that changes, in its order."""
        what = f"storage pool {self.name}"
        found: list[Change] = []
        for step in self.steps:
            thing = f"definition of {what}" if step.action in ("define", "redefine") else what
            found.append(Change(thing, step.action, step.before, step.after))
        if not self.folder.empty:
            found.append(Change(f"folder {self.path}", "set", self.folder_before.shown(), self.folder.shown()))
        if self.autostart is not None:
            found.append(Change(f"autostart of {what}", "set", not self.autostart, self.autostart))
        return tuple(found)

    def diff(self) -> dict[str, str]:
        """Before and after for diff mode."""
        before = {} if self.present is None else {"state": self.present.state, "autostart": self.present.autostart}
        autostart = self.autostart if self.autostart is not None else bool(self.present and self.present.autostart)
        after = {} if self.state == "absent" else {"state": self.state, "autostart": autostart}
        return {
            "before_header": self.name,
            "after_header": self.name,
            "before": _settings({**before, **self.folder_before.shown()}) + self.before_xml,
            "after": _settings({**after, **self.folder.shown()}) + ("" if self.state == "absent" else self.after_xml),
        }


def _settings(values: t.Mapping[str, t.Any]) -> str:
    return "".join(f"{key}: {str(value).lower()}\n" for key, value in values.items())


def make_plan(gateway: PoolGateway, wanted: Wanted) -> Plan:
    """What has to be done, with every check that can be made before. Raises KvmError; changes nothing."""
    present = gateway.find(wanted.name)
    if wanted.state == "absent":
        before = pool_text(gateway.definition(present)) if present else ""
        going = steps_to(present, None, "absent", Ground(), defines=None)
        _check_stop(gateway, present, going)
        return Plan(wanted.name, present, before_xml=before, steps=tuple(going))
    if present is None and wanted.xml is None:
        raise _unknown(gateway, wanted.name)
    saved = gateway.definition(present) if present else None
    document, normalized = wanted.xml, saved or ""
    if wanted.xml is not None:
        document = identified(wanted.xml, present.uuid) if present else wanted.xml
        normalized = gateway.normalize(document)
    definition = pool_definition(normalized)
    differs = pool_differences(saved, normalized) if saved else _lines(normalized)
    new = present is None or not present.persistent
    defines = differs if wanted.xml is not None and (differs or new) else None
    live = pool_differences(gateway.definition(present, live=True), normalized) if present and present.active else []
    ground = gateway.ground(definition)
    _check(gateway, wanted, present, definition)
    steps = steps_to(present, definition, wanted.state, ground, defines=defines, live=live)
    _check_stop(gateway, present, steps)
    if any(step.action == "start" for step in steps):
        _check_server(gateway, definition, ground)
        _check_group(gateway, definition)
    if present is None and not any(step.action == "define" for step in steps):
        raise _unknown(gateway, wanted.name)
    folder, folder_before = _folder(wanted, definition, ground, steps)
    return Plan(
        wanted.name,
        present,
        document if defines is not None else None,
        pool_text(saved) if saved else "",
        pool_text(normalized) if present else "".join(f"{line}\n" for line in _lines(normalized)),
        wanted.autostart if wanted.autostart not in (None, bool(present and present.autostart)) else None,
        tuple(steps),
        folder,
        folder_before,
        tuple(live),
        definition.path,
    )


def _lines(xml: str) -> list[str]:
    """What a new definition says, without the UUID that libvirt makes up for each dry run."""
    return [line for line in pool_text(xml).splitlines() if not line.startswith("uuid:")]


def _unknown(gateway: PoolGateway, name: str) -> KvmError:
    known = [pool.name for pool in gateway.all()]
    return KvmError(
        "POOL_NOT_FOUND",
        f"There is no storage pool '{name}' on {gateway.host}; it has {', '.join(known) or 'none'}. Give the type of a new one, and what "
        "it is made of.",
        pool=name,
        known=known,
    )


def _check(gateway: PoolGateway, wanted: Wanted, present: PoolFacts | None, definition: PoolDefinition) -> None:
    """What speaks against the definition whatever the state."""
    if not gateway.supported(definition.type):
        raise KvmError(
            "POOL_TYPE_UNSUPPORTED",
            f"libvirt on {gateway.host} has no driver for storage pools of the type '{definition.type}': install it "
            f"(libvirt-daemon-driver-storage-{definition.type} or the like), and restart libvirt's storage daemon.",
            type=definition.type,
        )
    if not wanted.folder.empty and definition.type != "dir":
        raise InputError(
            "owner",
            f"Owner, group and mode are for a pool of the type dir; what the storage of '{wanted.name}' belongs to is decided where it is.",
        )
    for other in gateway.all():
        if present is not None and other.uuid == present.uuid:
            continue
        what = _conflict(other.definition, definition)
        if what:
            ours = other.name.startswith(TRANSIENT_PREFIX)
            raise KvmError(
                "POOL_CONFLICT",
                f"The storage pool '{wanted.name}' cannot have {what}, because the pool '{other.name}' on {gateway.host} has it: "
                + (
                    "that belongs to a move which runs now; wait for its end, and run again."
                    if ours
                    else "use or remove that pool."
                ),
                pool=wanted.name,
                other=other.name,
            )


def _conflict(other: PoolDefinition, wanted: PoolDefinition) -> str:
    """What two pools must not have in common, and have."""
    if wanted.path and other.path and wanted.path.rstrip("/") == other.path.rstrip("/"):
        return f"the path {wanted.path}"
    if wanted.mount_source and same_source(other.mount_source, wanted.mount_source):
        return f"the source {wanted.mount_source}"
    if wanted.type == other.type == "logical" and wanted.source_name == other.source_name:
        return f"the volume group {wanted.source_name}"
    return ""


def _check_server(gateway: PoolGateway, definition: PoolDefinition, ground: Ground) -> None:
    if same_source(ground.mounted, definition.mount_source):
        return
    answer = gateway.server_answer(definition)
    if answer != "open":
        server = definition.hosts[0]
        raise KvmError(
            "STORAGE_SERVER_UNREACHABLE",
            f"The storage pool '{definition.name}' is not started on {gateway.host}, because the NFS server {server} does not answer "
            f"(port 2049: {answer}). Check that the server runs, its name, and the firewall between the two.",
            pool=definition.name,
            server=server,
            result=answer,
        )


def _check_group(gateway: PoolGateway, definition: PoolDefinition) -> None:
    if not gateway.has_group(definition):
        raise KvmError(
            "VOLUME_GROUP_MISSING",
            f"The storage pool '{definition.name}' is not started on {gateway.host}, because there is no volume group "
            f"'{definition.source_name}'. Check its name ('vgs' shows all), or create it (vgcreate); this module never does.",
            pool=definition.name,
            group=definition.source_name,
        )


def _check_stop(gateway: PoolGateway, present: PoolFacts | None, steps: t.Sequence[PoolStep]) -> None:
    """Raises KvmError for a pool that cannot be stopped now."""
    if present is None or not any(step.action == "stop" for step in steps):
        return
    opened = gateway.opened(present)
    if opened:
        raise KvmError(
            "POOL_IN_USE",
            f"The storage pool '{present.name}' is not stopped on {gateway.host}, because logical volumes of it are in use: "
            f"{', '.join(opened)}. Unmount them, or shut off who has them ('lsblk' and 'fuser -v /dev/{present.definition.source_name}/*' "
            "show it), and run again.",
            pool=present.name,
            volumes=list(opened),
        )
    if present.mounted is not None:
        _check_unmount(gateway, present)


def _check_unmount(gateway: PoolGateway, present: PoolFacts) -> None:
    """An export whose server is down is not unmounted: libvirt's daemon would wait for the server, and all others for it."""
    answer = gateway.server_answer(present.definition)
    if answer != "open":
        raise KvmError(
            "STORAGE_SERVER_UNREACHABLE",
            f"The storage pool '{present.name}' is not stopped on {gateway.host}, because {present.mounted} cannot be unmounted while its "
            f"server does not answer (port 2049: {answer}). Bring the server back, or unmount it by force (umount -f -l "
            f"{present.definition.path}), and run again.",
            pool=present.name,
            server=present.definition.hosts[0],
            result=answer,
        )


def _folder(
    wanted: Wanted, definition: PoolDefinition, ground: Ground, steps: t.Sequence[PoolStep]
) -> tuple[Ownership, Ownership]:
    """What has to be set on the folder of the pool, and what it has of that."""
    if wanted.folder.empty or definition.path is None:
        return Ownership(), Ownership()
    if ground.exists is False:
        made = any(step.action == "create folder" for step in steps)
        return (wanted.folder if made else Ownership()), Ownership()
    now = ownership.read(definition.path)
    missing = ownership.amiss(now, wanted.folder)
    before = Ownership(
        now.owner if missing.owner is not None else None,
        now.group if missing.group is not None else None,
        now.mode if missing.mode is not None else None,
    )
    return missing, before


def carry_out(gateway: PoolGateway, plan: Plan) -> PoolFacts | None:
    """Do what ``plan`` says, and give the pool as it is then."""
    pool = plan.present
    if plan.xml is not None:
        pool = gateway.define(plan.xml)
    if pool is None:
        return None
    for step in plan.steps:
        if step.action == "create folder":
            gateway.create_folder(pool)
        elif step.action == "start":
            gateway.start(pool)
        elif step.action == "stop":
            gateway.stop(pool)
        elif step.action == "undefine":
            gateway.undefine(pool)
    if not plan.folder.empty and plan.path:
        ownership.apply(plan.path, plan.folder)
    if plan.autostart is not None:
        gateway.set_autostart(pool, on=plan.autostart)
    return gateway.find(plan.name)
