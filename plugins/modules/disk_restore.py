#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_restore
short_description: Write image files back to block devices, all devices of a guest or none
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Writes images to LVs, partitions or whole disks of the same host, as C(dd if=lv001.img of=/dev/VolGroup00/lv001 bs=1M) does.
    What was on the devices before is lost.
  - Afterwards a device holds what the image holds, and zeros behind it where it is larger. No block of what it held before
    is left where the image has zeros or ends. The devices are read back and compared.
  - Everything that can be known to fail is looked at before the first byte is written. A device that is too small, mounted, a swap
    area, part of another device, open in any process or used by a domain that runs is refused, with the evidence. So is an
    image that is not what its digest record says.
  - A device cannot be filled under another name. So the first MiB of each device is blank while the module writes, and until all
    devices are complete and compared. Whatever ends the module before that, no device can be taken for a disk that is complete,
    and the next run finishes the work.
  - Decides by content, and writes only blocks that differ. A device that holds what its image holds is left alone.
    Devices and images are read for that.
  - The kernel reads the partition table of a whole disk anew after it was written.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  disks:
    description:
      - The devices and their images.
    type: list
    elements: dict
    required: true
    suboptions:
      device:
        description:
          - The path of the block device, such as V(/dev/VolGroup00/lv001).
        type: str
        required: true
      image:
        description:
          - The path of the image file.
          - One that M(virtops.kvm.disk_dump) made is compared with its digest record. Others are taken as they are.
        type: str
        required: true
  format:
    description:
      - The format of the images.
      - Need not be given for images that have a digest record, which tells it, and for raw images.
      - A file without a record that looks like qcow2 or zstd is refused without it, because a guest may have written what makes its
        raw disk look so.
    type: str
    choices: [raw, qcow2, zstd]
  bandwidth:
    description:
      - Write no more than so many MiB per second to each device; V(0) for no limit.
    type: int
    default: 0
requirements:
  - C(qemu-nbd) on the host, for qcow2 images
  - C(zstd) on the host, for images that zstd compressed
seealso:
  - module: virtops.kvm.disk_dump
"""

EXAMPLES = r"""
- name: Bring a logical volume back
  virtops.kvm.disk_restore:
    disks:
      - device: /dev/VolGroup00/lv001
        image: /srv/dumps/lv001.img

- name: Bring back all disks of a guest
  virtops.kvm.disk_restore:
    disks:
      - device: /dev/VolGroup00/web01-system
        image: /srv/dumps/web01-system.img.zst
      - device: /dev/VolGroup00/web01-data
        image: /srv/dumps/web01-data.img.zst

- name: Write a cloud image to a new volume
  virtops.kvm.disk_restore:
    disks:
      - device: /dev/VolGroup00/web02
        image: /srv/images/debian-13-generic-amd64.qcow2
    format: qcow2
"""

RETURN = r"""
disks:
  description: Every pair of O(disks), in their order.
  returned: success
  type: list
  elements: dict
  contains:
    device:
      description: The device.
      type: str
      sample: /dev/VolGroup00/lv001
    image:
      description: The image.
      type: str
      sample: /srv/dumps/lv001.img
    format:
      description: The format of the image.
      type: str
      sample: raw
    action:
      description: V(restore) where the device was written, V(keep) where it held all that already.
      type: str
      sample: restore
    size:
      description: The size of the content in bytes.
      type: int
      sample: 10737418240
    data_bytes:
      description: The bytes in blocks of 1 MiB that hold something else than zeros.
      type: int
      sample: 2147483648
    image_size:
      description: The bytes that the image takes on its file system.
      type: int
      sample: 2147483648
    digest:
      description: The digest of the content, as M(virtops.kvm.disk_dump) describes it.
      type: str
      sample: sha256-blocks:6f1d3c7f0c1c54c3a6bb5aefba7c0c9c5b4d4cf8a3a1b3c4d5e6f708192a3b4c
    sidecar:
      description: The path of the digest record; null where the image has none.
      type: str
      sample: /srv/dumps/lv001.img.digest
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The device.
      type: str
    action:
      description: V(restore).
      type: str
    before:
      description: The digest of as much of the device as the image has, and whether only zeros were behind that.
      type: dict
    after:
      description: The digest of the content, and the image.
      type: dict
error_code:
  description:
    - A stable code for the failure. V(DEVICE_IN_USE), V(DEVICE_NOT_FOUND), V(DEVICE_READ_ONLY), V(NO_BLOCK_DEVICE),
      V(DESTINATION_TOO_SMALL), V(IMAGE_NOT_FOUND), V(SIDECAR_INVALID), V(PROGRAM_MISSING) and V(INVALID_OPTION) mean that nothing
      was written.
    - So does V(IMAGE_INVALID), unless the list C(incomplete) in RV(details) says otherwise. With V(PROOF_FAILED),
      V(COPY_STOPPED) and V(DEVICE_FAILED) it always does.
  returned: failure
  type: str
  sample: DESTINATION_TOO_SMALL
details:
  description:
    - Evidence for the failure. C(incomplete) lists the devices that were written to; their first MiB is blank.
  returned: failure
  type: dict
"""

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.signals import noted
from ansible_collections.virtops.kvm.plugins.module_utils._disk.content import FORMATS
from ansible_collections.virtops.kvm.plugins.module_utils._disk.pairs import Outcome, Pair, check_bandwidth, check_pairs
from ansible_collections.virtops.kvm.plugins.module_utils._disk.restore import Decision, Restore, changes_of


class Gateway:
    """The devices and files of this host."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def open(self, pairs: t.Sequence[Pair], form: str | None, bandwidth: int) -> None:
        """Take hold of the devices."""
        self._restore = self._stack.enter_context(Restore(pairs, form, bandwidth, Clock()))

    def survey(self) -> list[Decision]:
        """Read what is there."""
        return self._restore.survey()

    def foresee(self, decisions: t.Sequence[Decision]) -> list[Outcome]:
        """What apply would give."""
        return self._restore.outcomes(decisions)

    def apply(self, decisions: t.Sequence[Decision]) -> list[Outcome]:
        """Write the devices."""
        with noted() as asked:
            return self._restore.apply(decisions, asked)

    def close(self) -> None:
        """Let go of the devices."""
        self._stack.close()


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "disks": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "device": {"type": "str", "required": True},
                "image": {"type": "str", "required": True},
            },
        },
        "format": {"type": "str", "choices": list(FORMATS)},
        "bandwidth": {"type": "int", "default": 0},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Bring the devices to what the images hold."""
    pairs = check_pairs(params["disks"])
    bandwidth = check_bandwidth(params["bandwidth"])
    with contextlib.closing(gateway):
        gateway.open(pairs, params["format"], bandwidth)
        decisions = gateway.survey()
        outcomes = gateway.foresee(decisions) if check_mode else gateway.apply(decisions)
    return Result(values={"disks": outcomes}, changes=changes_of(decisions))


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway)


if __name__ == "__main__":
    main()
