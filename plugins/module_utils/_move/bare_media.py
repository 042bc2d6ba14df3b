# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Files of a guest process beside its disks: media that the destination lacks, and base images that both hosts must have."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import OFFLINE
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan


def bring_media(context: BareContext, plan: BarePlan) -> None:
    """Copy or eject every medium of the plan; both are in the records before."""
    for disk in plan.media:
        if context.options.media == "eject" and context.options.method == OFFLINE:
            # The destination goes without it from its start.
            continue
        if context.options.media == "eject":
            context.record(
                ejected={
                    **context.record_now().ejected,
                    disk.qdev or f"device:{disk.device}": [disk.source, disk.format],
                }
            )
            arguments = {"id": disk.qdev} if disk.qdev else {"device": disk.device}
            context.source().execute("eject", {**arguments, "force": True})
            continue
        # Loaded only where something is copied so: most moves have nothing to bring.
        from ansible_collections.virtops.kvm.plugins.module_utils._disk.copy import CopyJob, copy_disk
        from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote

        context.record(images=(*context.record_now().images, disk.path))
        job = CopyJob(
            source=disk.source, destination=disk.path, source_format="raw", destination_format="raw", bandwidth=context.options.bandwidth,
            address=context.options.migration_address or "",
        )  # fmt: skip
        with Remote.connect(context.destination) as remote:
            copy_disk(job, remote)


def layers(image: t.Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """(path, format) of the images below one, as query-block tells them, the nearest first."""
    found, below = [], image.get("backing-image")
    while below:
        found.append((below["filename"], below["format"]))
        below = below.get("backing-image")
    return found


def prove_bases(context: BareContext, bases: t.Mapping[str, tuple[str, str]]) -> list[Finding]:
    """Read every base image (path there and format, by path here) on both hosts: each must be the same, byte by byte."""
    if not bases:
        return []
    from ansible_collections.virtops.kvm.plugins.module_utils._disk.copy import CopyJob, foresee
    from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote

    found = []
    with Remote.connect(context.destination) as remote:
        for source, (path, image_format) in sorted(bases.items()):
            known = image_format if image_format in ("raw", "qcow2") else "raw"
            job = CopyJob(source=source, destination=path, source_format=known, destination_format=known, replace=True)
            # Nothing is replaced: this only looks.
            seen = foresee(job, remote)
            if not seen.facts["exists"]:
                code, why = "FILE_MISSING", "does not have it"
            elif not seen.equal:
                code, why = "BASE_DIFFERS", "has another one"
            else:
                continue
            message = f"The guest '{context.name}' needs the base image {path}, and {context.far.host} {why} than {context.source_host}."
            if code == "FILE_MISSING":
                message = f"The guest '{context.name}' needs the base image {path}, and {context.far.host} {why}."
            found.append(
                hard_blocker(code, f"image {path}", message, "Copy it with disk_copy, or set base to copy.", path=path)
            )
    return found
