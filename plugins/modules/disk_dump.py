#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_dump
short_description: Write block devices to image files, all devices of a guest or none
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Writes LVs, partitions or whole disks to image files on the same host, as C(dd if=/dev/VolGroup00/lv001 of=lv001.img bs=1M) does.
    Zeros are not written, every image is read back and compared, and none is visible under its name before all are
    complete and on the disk.
  - A device that is mounted, a swap area, part of another device, or open for writing in any process is refused, with the evidence.
    While it is read, nobody can mount it. What was written to it meanwhile all the same is noticed, and then nothing is kept.
  - Decides by content. An image that holds what its device holds is left alone, however old either is. Both are read for that.
  - Beside each image lies its digest record, a file of the same name with C(.digest) behind it. It is JSON. C(content) tells the
    size of the device, how many bytes are in blocks that hold something, and a digest of all of them; C(image) tells the format, the
    size and the digest of the file itself; C(device) tells where it came from. A digest is SHA-256 over the line
    C(virtops-kvm sha256 BLOCK SIZE), and over the number (8 bytes, big endian) and the SHA-256 of each block of 1 MiB that
    is not all zeros. So it is the same for a sparse and a full file.
  - An image in the making is called C(IMAGE.partial-) and eight digits. Where a run was killed, the next one begins it anew.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
    details:
      - A device is read where its image exists already, or where it is not certain that the image fits.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  disks:
    description:
      - The devices and their images. All of them become images, or none does.
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
          - The path of the image file. Its folder must exist.
          - A new image belongs to the user of the module, and nobody else may read it.
        type: str
        required: true
  format:
    description:
      - V(raw) gives a sparse file with the very bytes of the device.
      - V(qcow2) gives an image for QEMU.
      - V(zstd) gives those bytes as one compressed stream, which C(zstd -dc) turns back.
    type: str
    choices: [raw, qcow2, zstd]
    default: raw
  compression_level:
    description:
      - How hard zstd tries, from 1 to 19, for O(format=zstd).
    type: int
    default: 3
  bandwidth:
    description:
      - Read no more than so many MiB per second from each device; V(0) for no limit.
    type: int
    default: 0
  replace:
    description:
      - Whether an image that exists and holds something else may be replaced. Without it that is an error.
      - The old image stays as it is until the new one is complete and proven.
    type: bool
    default: false
requirements:
  - C(qemu-img) and C(qemu-nbd) on the host, for O(format=qcow2)
  - C(zstd) on the host, for O(format=zstd)
seealso:
  - module: virtops.kvm.disk_restore
"""

EXAMPLES = r"""
- name: Dump a logical volume, as dd would
  virtops.kvm.disk_dump:
    disks:
      - device: /dev/VolGroup00/lv001
        image: /srv/dumps/lv001.img

- name: Dump all disks of a guest that is shut off, compressed, without taking the whole disk bandwidth
  virtops.kvm.disk_dump:
    disks:
      - device: /dev/VolGroup00/web01-system
        image: /srv/dumps/web01-system.img.zst
      - device: /dev/VolGroup00/web01-data
        image: /srv/dumps/web01-data.img.zst
    format: zstd
    bandwidth: 100

- name: Bring last night's image up to date
  virtops.kvm.disk_dump:
    disks:
      - device: /dev/VolGroup00/lv001
        image: /srv/dumps/lv001.qcow2
    format: qcow2
    replace: true
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
      description:
        - V(dump) where a new image was made, V(replace) where it took the place of another, V(keep) where it was there.
        - V(record) where the image was there, but no digest record that fits it.
      type: str
      sample: dump
    size:
      description: The size of the device in bytes.
      type: int
      sample: 10737418240
    data_bytes:
      description: The bytes in blocks of 1 MiB that hold something else than zeros; null where it was not read in check mode.
      type: int
      sample: 2147483648
    image_size:
      description: The bytes that the image takes on its file system; null where it does not exist yet in check mode.
      type: int
      sample: 2147483648
    digest:
      description: The digest of the content, as in the digest record; null where it was not read in check mode.
      type: str
      sample: sha256-blocks:6f1d3c7f0c1c54c3a6bb5aefba7c0c9c5b4d4cf8a3a1b3c4d5e6f708192a3b4c
    sidecar:
      description: The path of the digest record.
      type: str
      sample: /srv/dumps/lv001.img.digest
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The image, or the digest record where that is all that changes.
      type: str
    action:
      description: V(dump), V(replace) or V(record).
      type: str
    before:
      description: The digest of the content that is replaced; null where there was none.
      type: dict
    after:
      description: Device, format and size in bytes of the new image; its digest where it was known beforehand.
      type: dict
error_code:
  description:
    - A stable code for the failure; all of them mean that no image is there that was not there before, and none is changed.
    - V(DEVICE_IN_USE), V(DEVICE_NOT_FOUND), V(DEVICE_READ_ONLY), V(NO_BLOCK_DEVICE), V(SOURCE_CHANGED) (it was written to
      meanwhile), V(DESTINATION_EXISTS), V(DESTINATION_FULL), V(FOLDER_MISSING), V(IMAGE_BUSY) (another run writes it),
      V(PROOF_FAILED), V(COPY_STOPPED), V(PROGRAM_MISSING) or V(INVALID_OPTION).
  returned: failure
  type: str
  sample: DEVICE_IN_USE
details:
  description: Evidence for the failure, such as who uses the device.
  returned: failure
  type: dict
"""

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.signals import noted
from ansible_collections.virtops.kvm.plugins.module_utils._disk.content import FORMATS
from ansible_collections.virtops.kvm.plugins.module_utils._disk.dump import Decision, Dump, Options, changes_of
from ansible_collections.virtops.kvm.plugins.module_utils._disk.pairs import Outcome, Pair, check_bandwidth, check_pairs

LEVELS = range(1, 20)


class Gateway:
    """The devices and files of this host."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def open(self, pairs: t.Sequence[Pair], options: Options) -> None:
        """Take hold of the devices."""
        self._dump = self._stack.enter_context(Dump(pairs, options, Clock()))

    def survey(self) -> list[Decision]:
        """Read what is there."""
        return self._dump.survey()

    def foresee(self, decisions: t.Sequence[Decision]) -> list[Outcome]:
        """What apply would give."""
        return self._dump.foresee(decisions)

    def apply(self, decisions: t.Sequence[Decision]) -> list[Outcome]:
        """Write the images."""
        with noted() as asked:
            return self._dump.apply(decisions, asked)

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
        "format": {"type": "str", "choices": list(FORMATS), "default": "raw"},
        "compression_level": {"type": "int", "default": 3},
        "bandwidth": {"type": "int", "default": 0},
        "replace": {"type": "bool", "default": False},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Bring the images to what the devices hold."""
    pairs = check_pairs(params["disks"])
    level = params["compression_level"]
    if level not in LEVELS:
        raise InputError(
            "compression_level", f"compression_level is {level}; it goes from {LEVELS[0]} to {LEVELS[-1]}."
        )
    bandwidth = check_bandwidth(params["bandwidth"])
    options = Options(params["format"], level, bandwidth, params["replace"])
    with contextlib.closing(gateway):
        gateway.open(pairs, options)
        decisions = gateway.survey()
        outcomes = gateway.foresee(decisions) if check_mode else gateway.apply(decisions)
    return Result(values={"disks": outcomes}, changes=changes_of(decisions, options.format))


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway)


if __name__ == "__main__":
    main()
