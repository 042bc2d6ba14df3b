# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A backing chain on its way: which layer goes where, and every layer as one copy, the base first."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import backing_location
from ansible_collections.virtops.kvm.plugins.module_utils._disk import header
from ansible_collections.virtops.kvm.plugins.module_utils._disk.copy import copy_disk
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import CopyJob, CopyResult, Tell
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import Layer, chain_of, missing_source


def places_in(layers: t.Sequence[Layer], destination: str, folder: str = "") -> dict[str, str]:
    """Source path -> destination path: the top becomes ``destination``, all others keep their names in ``folder`` (default: its
    folder). Raises InputError where two would have one name."""
    folder = folder or os.path.dirname(destination)
    places = {layers[0].path: destination}
    places.update({layer.path: os.path.join(folder, os.path.basename(layer.path)) for layer in layers[1:]})
    if len(set(places.values())) < len(layers):
        raise InputError(
            "backing_folder",
            f"Two layers of the chain of '{layers[0].path}' would have the same path at the destination; give another folder.",
            paths=sorted(places.values()),
        )
    return places


def needs_new_head(layer: Layer, below: Layer, places: t.Mapping[str, str]) -> bool:
    """Whether ``layer`` does not find its backing file at the destination by what it says of it now."""
    if layer.name_format != below.format:
        return True
    return backing_location(places[layer.path], layer.name) != places[below.path]


def layer_jobs(job: CopyJob, layers: t.Sequence[Layer], places: t.Mapping[str, str]) -> list[CopyJob]:
    """One job per layer, the base first, each with the backing file that it has at the destination. Raises KvmError."""
    jobs: list[CopyJob] = []
    for number, layer in enumerate(layers):
        head = None
        if number + 1 < len(layers) and needs_new_head(layer, layers[number + 1], places):
            below = layers[number + 1]
            head = header.with_backing(read_head(layer.path), places[below.path], below.format)
        jobs.append(
            dataclasses.replace(
                job,
                source=layer.path,
                destination=places[layer.path],
                source_format=layer.format,
                destination_format=layer.format,
                head=head,
            )
        )
    return jobs[::-1]


def read_head(path: str) -> bytes:
    """The first cluster of an image."""
    try:
        with open(path, "rb") as stream:
            fixed = stream.read(header.FIXED)
            stream.seek(0)
            return stream.read(header.cluster_size(fixed))
    except OSError as exc:
        raise missing_source(path, exc) from exc


def jobs_of(job: CopyJob, *, keep: bool, folder: str = "") -> list[CopyJob]:
    """All copies that ``job`` needs: with ``keep`` one per layer of its chain, else one image with the whole content."""
    if job.source_format != "qcow2" or job.converts:
        return [job]
    layers = chain_of(job.source, job.source_format)
    if len(layers) == 1:
        return [job]
    if not keep:
        return [dataclasses.replace(job, content=True)]
    return layer_jobs(job, layers, places_in(layers, job.destination, folder))


def check_room(jobs: t.Sequence[CopyJob], remote: Remote) -> None:
    """Raises KvmError DESTINATION_FULL where there is room for each, but not for all."""
    needed: dict[str, int] = {}
    free: dict[str, int] = {}
    for job in jobs:
        if remote.call("stat", path=job.destination)["exists"]:
            continue
        partial = remote.call("stat", path=f"{job.destination}.partial-{job.key}")
        space = remote.call("space", path=job.destination)
        missing = os.stat(job.source).st_blocks * 512 - (partial["allocated"] if partial["exists"] else 0)
        needed[space["folder"]] = needed.get(space["folder"], 0) + max(0, missing)
        free[space["folder"]] = space["free"]
    for folder, count in needed.items():
        if count > free[folder]:
            raise KvmError(
                "DESTINATION_FULL",
                f"The images need {count} bytes, and there are {free[folder]} free in '{folder}' on {remote.label}; make room there, "
                "or choose another place.",
                path=folder,
                needed=count,
                free=free[folder],
            )


def copy_all(
    jobs: t.Sequence[CopyJob],
    remote: Remote,
    *,
    tell: Tell | None = None,
    stop: Stop | None = None,
    clock: Clock | None = None,
) -> list[CopyResult]:
    """Copy one after another, in the given order."""
    if len(jobs) > 1:
        check_room(jobs, remote)
    return [copy_disk(job, remote, tell=tell, stop=stop, clock=clock) for job in jobs]
