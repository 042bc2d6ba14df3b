#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_copy
short_description: Make an image or device on another host equal to one on this host
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Runs on the host that has the source. Sends what is allocated and not zeros, over NBD inside TLS with a key of this copy alone.
    Where the ports 49152 to 49215 of the destination cannot be reached, it goes through ssh. What is written as raw is taken by a
    receiver that comes along and needs Python only, what has another format by C(qemu-nbd).
  - Decides by content. Where the destination holds the same already, nothing happens; where it holds something like it, only the
    difference is sent. Both are read for that, each by its own host.
  - The destination is read again, and compared block by block of 1 MiB, before the image gets its name and the fsync that belongs
    to it. Until then it is called C(IMAGE.partial-) and ten characters. The digest of a block is GMAC with a random key that only
    the two ends of this copy know, which costs next to nothing and which no content can be made to deceive; it is SHA-256 where
    the Python of a host has no OpenSSL for it.
  - A block device may be larger than the source. Then zeros are behind what the source has, and nothing of what was there before.
  - After an interruption the partial stays, and the next run sends the rest only. Where the destination is full it is removed.
    Nothing else is left on either host, neither process nor socket nor key.
  - A source that a guest or another program writes to is refused. One that changes during the copy is noticed.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
    details:
      - Where the destination exists, both sides are read to compare them.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  source:
    description:
      - The absolute path of the image or block device on this host.
    type: str
    required: true
  source_format:
    description:
      - What the source is. It is never guessed, because the guest owner decides what a raw image seems to be.
    type: str
    choices: [raw, qcow2]
    required: true
  destination:
    description:
      - The other host, as a libvirt URI with ssh (V(qemu+ssh://root@host/system), whose C(keyfile), C(no_verify) and C(known_hosts)
        count) or as a name for ssh (V(root@host)). Root of this host must reach root there without a prompt.
      - Without it, the destination is on this host.
    type: str
  destination_path:
    description:
      - The absolute path of the image or block device at the destination. Its folder must exist, and so must a device.
      - Without it, the same path as O(source).
    type: str
  destination_format:
    description:
      - The format at the destination; without it that of the source.
      - With the same format the very bytes of the file are copied, with its internal snapshots, bitmaps and compressed clusters.
        With another one the content that a guest sees is copied, which is one image without a backing file.
    type: str
    choices: [raw, qcow2]
  chain:
    description:
      - What becomes of the backing files of a qcow2 image.
      - V(keep) copies each layer, and names the backing files as they are found at the destination.
      - V(flatten) copies the content of the whole chain into one image.
    type: str
    choices: [keep, flatten]
    default: keep
  backing_folder:
    description:
      - The folder at the destination for backing files with O(chain=keep); they keep their names. By default that of
        O(destination_path).
      - A backing file that is there already with the same content is used as it is.
    type: str
  replace:
    description:
      - Whether an image that exists and holds something else may be replaced. Without it that is an error.
      - It is brought up to date in place, under the name of a partial, so it has its own name only before and after.
      - A block device needs no permission, because it always exists.
    type: bool
    default: false
  owner:
    description:
      - The user that owns the image. By default the user of the same name as at the source.
    type: str
  group:
    description:
      - The group of the image. By default the group of the same name as at the source.
    type: str
  mode:
    description:
      - The permissions of the image as an octal number, such as V("0640"). By default those of the source.
    type: str
  bandwidth:
    description:
      - Send no more than so many MiB per second; V(0) for no limit.
    type: float
    default: 0
  address:
    description:
      - The name or address of the destination in the network for the data. By default the address that ssh reached.
    type: str
requirements:
  - C(python3-libnbd) and C(qemu-nbd), C(qemu-img) on this host
  - Python 3.9, C(qemu-nbd) and C(qemu-img) on the destination
seealso:
  - module: virtops.kvm.disk_dump
  - module: virtops.kvm.domain_migration
"""

EXAMPLES = r"""
- name: Copy an image to another host
  virtops.kvm.disk_copy:
    source: /var/lib/libvirt/images/web01.qcow2
    source_format: qcow2
    destination: qemu+ssh://root@kvm2/system

- name: Copy a logical volume to an image, no faster than 100 MiB/s
  virtops.kvm.disk_copy:
    source: /dev/VolGroup00/lv001
    source_format: raw
    destination: root@kvm2
    destination_path: /var/lib/libvirt/images/lv001.qcow2
    destination_format: qcow2
    bandwidth: 100

- name: Copy an overlay without the images that it builds on
  virtops.kvm.disk_copy:
    source: /var/lib/libvirt/images/overlay.qcow2
    source_format: qcow2
    destination: root@kvm2
    destination_path: /var/lib/libvirt/images/whole.qcow2
    chain: flatten

- name: Bring last night's copy up to date
  virtops.kvm.disk_copy:
    source: /var/lib/libvirt/images/db.raw
    source_format: raw
    destination: root@kvm2
    replace: true
"""

RETURN = r"""
copies:
  description: Every image that was copied or compared, the base of a chain first.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: The path at the source.
      type: str
      sample: /var/lib/libvirt/images/web01.qcow2
    path:
      description: The path at the destination, without symbolic links.
      type: str
      sample: /var/lib/libvirt/images/web01.qcow2
    changed:
      description: Whether the destination was written, or would be in check mode.
      type: bool
    size:
      description: Size in bytes of what was compared, which is the file, or the content where that is copied; null in check mode.
      type: int
      sample: 10737418240
    data_bytes:
      description: Bytes in blocks of 1 MiB that hold something else than zeros; null in check mode.
      type: int
    sent_bytes:
      description: Bytes of content that were sent; null in check mode.
      type: int
    skipped_bytes:
      description: Bytes of content that did not have to be sent; null in check mode.
      type: int
    zeroed_bytes:
      description: Bytes at the destination that were made zeros; null in check mode.
      type: int
    allocated:
      description: Bytes that the image takes at the destination; null in check mode, 0 for a device.
      type: int
    needed:
      description: Bytes that the source takes on its file system, in check mode.
      type: int
    free:
      description: Bytes that are free at the destination, in check mode; null where the image is there already.
      type: int
    digest:
      description:
        - The digest of the content on both sides; null in check mode.
        - With V(gmac-blocks) it has a key of its own in every run, and is comparable with no other.
      type: str
      sample: gmac-blocks:971c64e8a40ab0ddd12a4352ed674cfbe518224cda09b221852ecc66df870dae
    proven:
      description: Whether the destination was read again and found equal; null in check mode.
      type: bool
    resumed:
      description: Whether there was something at the destination to begin with; null in check mode.
      type: bool
    seconds:
      description: How long it took; null in check mode.
      type: float
    transport:
      description: How the data went, V(tls), V(ssh) or V(local); empty where nothing was sent, null in check mode.
      type: str
      sample: tls
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The host and path of the image.
      type: str
    action:
      description: V(copy) for a new image, V(update) for one that existed and for a device.
      type: str
    before:
      description: Size in bytes of what was there; null where there was nothing.
      type: dict
    after:
      description: The source and the format.
      type: dict
error_code:
  description:
    - A stable code for the failure, among them V(DESTINATION_EXISTS), V(DESTINATION_FULL), V(DESTINATION_TOO_SMALL), V(DEVICE_IN_USE),
      V(DEVICE_NOT_FOUND), V(FOLDER_MISSING), V(SOURCE_CHANGED), V(SOURCE_IN_USE), V(SOURCE_MISSING), V(PROOF_FAILED),
      V(CONNECTION_LOST), V(HOST_UNREACHABLE), V(COPY_RUNNING), V(COPY_STOPPED), V(IMAGE_INVALID), V(PROGRAM_MISSING).
  returned: failure
  type: str
  sample: DESTINATION_FULL
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
  contains:
    partial:
      description: The path of what was kept at the destination for the next run; empty where nothing was.
      type: str
"""

import contextlib
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.signals import noted
from ansible_collections.virtops.kvm.plugins.module_utils._disk import chain
from ansible_collections.virtops.kvm.plugins.module_utils._disk.agentimage import name_of_owner
from ansible_collections.virtops.kvm.plugins.module_utils._disk.copy import foresee
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import FORMATS, CopyJob, CopyResult, check_job
from ansible_collections.virtops.kvm.plugins.module_utils._disk.look import Seen
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import missing_source
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

_MEASURED = (
    "size",
    "data_bytes",
    "sent_bytes",
    "skipped_bytes",
    "zeroed_bytes",
    "allocated",
    "digest",
    "proven",
    "resumed",
    "seconds",
    "transport",
)


class Gateway:
    """The images of this host, and the receiving end on the other."""

    def __init__(self) -> None:
        self._remote: Remote | None = None

    def owner(self, path: str) -> str:
        """``user:group`` of the source."""
        try:
            return name_of_owner(os.stat(path))
        except OSError as exc:
            raise missing_source(path, exc) from exc

    def jobs(self, job: CopyJob, *, keep: bool, folder: str) -> list[CopyJob]:
        """One job for each image that is to be copied."""
        return chain.jobs_of(job, keep=keep, folder=folder)

    def connect(self, destination: str | None) -> str:
        """Start the receiving end; gives the name of its host."""
        self._remote = Remote.connect(destination) if destination else Remote.local()
        return self._remote.host

    def foresee(self, jobs: t.Sequence[CopyJob]) -> list[Seen]:
        """What is there now."""
        remote = t.cast(Remote, self._remote)
        if len(jobs) > 1:
            chain.check_room(jobs, remote)
        return [foresee(job, remote) for job in jobs]

    def copy(self, jobs: t.Sequence[CopyJob]) -> list[CopyResult]:
        """Copy them."""
        with noted() as asked:
            return chain.copy_all(jobs, t.cast(Remote, self._remote), stop=asked)

    def before(self, jobs: t.Sequence[CopyJob]) -> list[dict[str, t.Any]]:
        """What the destinations are before anything is done, without reading them."""
        remote = t.cast(Remote, self._remote)
        return [remote.call("stat", path=job.destination) for job in jobs]

    def close(self) -> None:
        """Let the receiving end go."""
        if self._remote is not None:
            self._remote.close()


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "source": {"type": "str", "required": True},
        "source_format": {"type": "str", "choices": list(FORMATS), "required": True},
        "destination": {"type": "str"},
        "destination_path": {"type": "str"},
        "destination_format": {"type": "str", "choices": list(FORMATS)},
        "chain": {"type": "str", "choices": ["keep", "flatten"], "default": "keep"},
        "backing_folder": {"type": "str"},
        "replace": {"type": "bool", "default": False},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "mode": {"type": "str"},
        "bandwidth": {"type": "float", "default": 0},
        "address": {"type": "str"},
    }


def job_of(params: dict[str, t.Any], owner_there: t.Callable[[str], str]) -> CopyJob:
    """The job that is asked for, validated. Raises InputError."""
    job = CopyJob(
        source=params["source"],
        destination=params["destination_path"] or params["source"],
        source_format=params["source_format"],
        destination_format=params["destination_format"] or params["source_format"],
        mode=_mode(params["mode"]),
        replace=params["replace"],
        bandwidth=params["bandwidth"],
        address=params["address"] or "",
    )
    check_job(job)
    if not params["destination"] and os.path.realpath(job.source) == os.path.realpath(job.destination):
        raise InputError(
            "destination_path", "The destination is the source itself; give another path, or another host."
        )
    if not params["owner"] and not params["group"]:
        return job
    user, group = owner_there(job.source).split(":")
    return CopyJob(**{**vars(job), "owner": f"{params['owner'] or user}:{params['group'] or group}"})


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise InputError("mode", f"The mode '{text}' is no octal number of permissions; it looks like \"0640\".")
    return mode


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Make the destination equal to the source."""
    with contextlib.closing(gateway):
        jobs = gateway.jobs(
            job_of(params, gateway.owner), keep=params["chain"] == "keep", folder=params["backing_folder"] or ""
        )
        host = gateway.connect(params["destination"])
        if check_mode:
            seen = gateway.foresee(jobs)
            facts = [one.facts for one in seen]
            copies = [_foreseen(job, one) for job, one in zip(jobs, seen)]
        else:
            facts = gateway.before(jobs)
            copies = [_copied(job, result) for job, result in zip(jobs, gateway.copy(jobs))]
    changes = tuple(_change(host, job, before) for job, before, copied in zip(jobs, facts, copies) if copied["changed"])
    return Result(values={"copies": copies}, changes=changes)


def _change(host: str, job: CopyJob, before: dict[str, t.Any]) -> Change:
    return Change(
        f"{host}:{job.destination}",
        "update" if before["exists"] else "copy",
        {"size": before["size"]} if before["exists"] else None,
        {"source": job.source, "format": job.destination_format or job.source_format},
    )


def _foreseen(job: CopyJob, seen: Seen) -> dict[str, t.Any]:
    found: dict[str, t.Any] = dict.fromkeys(_MEASURED)
    path = seen.facts["path"]
    return {
        **found,
        "source": job.source,
        "path": path,
        "changed": not seen.equal,
        "needed": seen.needed,
        "free": seen.free,
    }


def _copied(job: CopyJob, result: CopyResult) -> dict[str, t.Any]:
    found = {name: getattr(result, name) for name in _MEASURED}
    return {"source": job.source, "path": result.path, "changed": result.changed, **found}


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway, requires=("nbd",))


if __name__ == "__main__":
    main()
