# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The record beside an image: what it holds, as digests, so that a damaged image is known before it is used.

``IMAGE.digest`` is JSON::

    {"record": "virtops.kvm image digest", "version": 1,
     "content": {"size": bytes, "block": bytes, "data_bytes": bytes, "digest": "sha256-blocks:..."},
     "image": {"format": "raw|qcow2|zstd", "size": bytes, "digest": "sha256-blocks:..."},
     "device": {"path": "/dev/...", "size": bytes}}

``content`` is what a guest sees, ``image`` are the bytes of the file itself. Both digests are BlockDigests.total: SHA-256 over
a line "virtops-kvm sha256 BLOCK SIZE", followed by number (8 bytes, big endian) and SHA-256 of each block that is not all zeros.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.statefile import read_json
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BlockDigests

SUFFIX = ".digest"
_RECORD = "virtops.kvm image digest"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """Sizes are bytes; ``digest`` is that of the content, ``image_digest`` that of the file's own bytes."""

    size: int
    block: int
    data_bytes: int
    digest: str
    format: str
    image_size: int
    image_digest: str
    device: str
    device_size: int


def sidecar_path(image: str) -> str:
    """Where the record of ``image`` is."""
    return image + SUFFIX


def describe(content: BlockDigests, form: str, image: BlockDigests, device: str, device_size: int) -> Sidecar:
    """The record of an image that was just made."""
    return Sidecar(
        content.size,
        content.block,
        content.data_bytes,
        content.total,
        form,
        image.size,
        image.total,
        device,
        device_size,
    )


def to_record(sidecar: Sidecar) -> dict[str, t.Any]:
    """As it stands in the file."""
    return {
        "record": _RECORD,
        "version": _VERSION,
        "content": {
            "size": sidecar.size,
            "block": sidecar.block,
            "data_bytes": sidecar.data_bytes,
            "digest": sidecar.digest,
        },
        "image": {"format": sidecar.format, "size": sidecar.image_size, "digest": sidecar.image_digest},
        "device": {"path": sidecar.device, "size": sidecar.device_size},
    }


def from_record(data: t.Any, path: str) -> Sidecar:
    """Raises KvmError SIDECAR_INVALID where ``data`` is no such record."""
    try:
        if data["record"] != _RECORD or data["version"] != _VERSION:
            raise ValueError("another kind of record, or of a later version")
        content, image, device = data["content"], data["image"], data["device"]
        return Sidecar(
            int(content["size"]), int(content["block"]), int(content["data_bytes"]), str(content["digest"]),
            str(image["format"]), int(image["size"]), str(image["digest"]), str(device["path"]), int(device["size"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as exc:
        raise KvmError(
            "SIDECAR_INVALID",
            f"The digest record {path} on this host cannot be used ({exc}). Remove it to go on without one.",
            path=path,
        ) from exc


def read_sidecar(image: str) -> Sidecar | None:
    """The record of ``image``; None where there is none. Raises KvmError SIDECAR_INVALID."""
    path = sidecar_path(image)
    try:
        data = read_json(path)
    except KvmError as exc:
        raise KvmError(
            "SIDECAR_INVALID",
            f"The digest record {path} on this host is damaged. Remove it to go on without one.",
            path=path,
        ) from exc
    return None if data is None else from_record(data, path)


def to_text(sidecar: Sidecar) -> str:
    """The whole file."""
    return json.dumps(to_record(sidecar), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
