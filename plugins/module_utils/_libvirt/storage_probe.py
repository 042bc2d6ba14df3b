# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What only the host itself can tell of its images: sizes, backing chains, and whether other hosts see them.

libvirt could be asked for each, at one call per disk; the modules run on the host, so a stat() and the first bytes of
the image say the same at once. Through a connection to another host nothing is known here.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t
from urllib.parse import urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import Value, list_setting
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import (
    ImageFacts,
    backing_location,
    read_image,
)
from ansible_collections.virtops.kvm.plugins.module_utils._core.knock import probe
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import (
    UNKNOWN,
    Location,
    Mount,
    locate,
    mount_of,
    read_mounts,
    server_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Layer

#: qemu.conf knows shared_filesystems since then; an older daemon passes it over, and calls such a folder local.
_DECLARED_SINCE = 10009000
#: Deeper chains are taken for a loop.
_MAX_LAYERS = 200


def is_local(uri: str) -> bool:
    """Whether the daemon at ``uri`` runs on this host, so that its files are ours to look at."""
    return not urlsplit(uri).netloc


def declared_shared(settings: t.Mapping[str, Value], libvirt_version: int) -> list[str]:
    """The folders that qemu.conf declares as shared, as far as this libvirt heeds the declaration."""
    return list_setting(settings, "shared_filesystems") if libvirt_version >= _DECLARED_SINCE else []


class StorageProbe:
    """Looks at images on this host; remembers what it saw, because many domains stand on the same base image."""

    def __init__(
        self,
        mounts: t.Sequence[Mount],
        declared: t.Sequence[str],
        host: str,
        connect: t.Callable[[str, int], str] | None = None,
    ) -> None:
        self._mounts, self._declared, self._host, self._connect = mounts, declared, host, connect
        self._silent: dict[str, bool] = {}
        self._folders: dict[str, Location] = {}
        self._images: dict[tuple[str, str | None], ImageFacts | None] = {}

    @classmethod
    def of_this_host(cls, settings: t.Mapping[str, Value], libvirt_version: int) -> StorageProbe:
        """A probe with this host's mounts and the declarations in ``settings`` (qemu.conf)."""
        return cls(read_mounts(), declared_shared(settings, libvirt_version), os.uname().nodename, probe)

    def silent(self, path: str) -> bool:
        """Whether ``path`` lies on the mount of a server that does not answer: whoever looks there waits until it does, and cannot
        even be killed. The server is asked once per mount."""
        mount = mount_of(path, self._mounts)
        server = server_of(mount) if mount is not None else None
        if mount is None or server is None or self._connect is None:
            return False
        if mount.point not in self._silent:
            self._silent[mount.point] = self._connect(*server) != "open"
        return self._silent[mount.point]

    def location(self, path: str) -> Location:
        """Where the file ``path`` lies."""
        if self.silent(path):
            return locate(os.path.dirname(path), self._mounts, self._declared, self._host)
        link = os.path.islink(path)
        folder = os.path.dirname(os.path.realpath(path) if link else path)
        if folder not in self._folders:
            self._folders[folder] = self.folder_location(folder)
        return self._folders[folder]

    def folder_location(self, folder: str) -> Location:
        """Where the folder ``folder`` lies."""
        return locate(
            folder if self.silent(folder) else os.path.realpath(folder), self._mounts, self._declared, self._host
        )

    def image(self, path: str, form: str | None) -> ImageFacts | None:
        """The facts of the image at ``path``; None where it is missing or may not be read."""
        if self.silent(path):
            return None
        key = (path, form)
        if key not in self._images:
            try:
                self._images[key] = read_image(path, form)
            except OSError:
                self._images[key] = None
        return self._images[key]

    def complete(self, disk: Disk) -> Disk:
        """``disk`` with its sizes, its place, and its backing chain where the definition did not tell it."""
        if disk.source is None or disk.type not in ("file", "block"):
            return disk
        facts = self.image(disk.source, "luks" if disk.encrypted and disk.format == "raw" else disk.format)
        place = self.location(disk.source) if disk.type == "file" else UNKNOWN
        chain = disk.backing_chain or (self._chain(disk.source, facts) if facts else ())
        return dataclasses.replace(
            disk,
            virtual_size=facts.virtual_size if facts else None,
            allocated=facts.allocated if facts else None,
            backing_chain=tuple(self._sized(layer) for layer in chain),
            shared=place.shared,
            filesystem=place.filesystem,
        )

    def _sized(self, layer: Layer) -> Layer:
        if layer.type not in ("file", "block") or layer.allocated is not None:
            return layer
        facts = self.image(layer.path, layer.format)
        return dataclasses.replace(layer, allocated=facts.allocated) if facts else layer

    def _chain(self, image: str, top: ImageFacts) -> tuple[Layer, ...]:
        """The layers below ``image`` as the headers name them."""
        layers: list[Layer] = []
        facts: ImageFacts | None = top
        seen = {image}
        while facts is not None and facts.backing_path and len(layers) < _MAX_LAYERS:
            path, form = backing_location(image, facts.backing_path), facts.backing_format
            if path in seen:
                break
            seen.add(path)
            local = path.startswith("/")
            # A layer without a recorded format is not probed by libvirt either; raw is what it takes it for.
            facts = self.image(path, form or "raw") if local else None
            allocated = facts.allocated if facts else None
            layers.append(Layer(path, form, type=_layer_type(path) if local else "network", allocated=allocated))
            image = path
        return tuple(layers)


def _layer_type(path: str) -> str:
    return "block" if path.startswith("/dev/") and not path.startswith("/dev/shm/") else "file"
