# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Image files that are there already: what they hold, and whether their digest record tells the truth about them."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import content
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import ABSENT, BLOCK_DEVICE, FILE, look
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import digest_file
from ansible_collections.virtops.kvm.plugins.module_utils._disk.pairs import Pair
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sidecar import Sidecar, read_sidecar


@dataclasses.dataclass(frozen=True)
class Image:
    """An image that is there. ``digest`` is that of what it holds, None where it is no image of the wanted format;
    ``sidecar`` is its record where that matches."""

    digest: t.Optional[str]
    sidecar: t.Optional[Sidecar] = None


def look_at_image(pair: Pair, form: str) -> Image | None:
    """The image that is there, read to its last byte. None where there is none; raises KvmError for what is no file."""
    place = look(pair.image)
    if place.kind == ABSENT:
        if not os.path.isdir(os.path.dirname(place.real)):
            raise KvmError(
                "FOLDER_MISSING",
                f"The folder {os.path.dirname(pair.image)} for the image {pair.image} does not exist on this host; make it first.",
                image=pair.image,
            )
        return None
    if place.kind != FILE:
        what = "a block device" if place.kind == BLOCK_DEVICE else "no regular file"
        raise KvmError(
            "DESTINATION_EXISTS", f"{pair.image} on this host is {what}; an image is a file.", image=pair.image
        )
    sidecar = matching_sidecar(place.real, place.size)
    if sidecar is not None and sidecar.format == form:
        return Image(sidecar.digest, sidecar)
    if form != content.RAW and content.looks_like(content.read_head(place.real)) != form:
        return Image(None)
    try:
        return Image(content.digest_image(place.real, form).total)
    except KvmError as exc:
        if exc.error_code != "IMAGE_INVALID":
            raise
        return Image(None)


def matching_sidecar(image: str, size: int) -> Sidecar | None:
    """The record of ``image`` where there is one and the file's bytes are what it says. Reads the whole file."""
    try:
        sidecar = read_sidecar(image)
    except KvmError:
        return None
    if sidecar is None or sidecar.image_size != size or digest_file(image).total != sidecar.image_digest:
        return None
    return sidecar
