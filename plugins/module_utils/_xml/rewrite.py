# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A domain's XML for another host: what a user maps (disks, paths, networks, bridges, graphics) and what a copy changes."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, parse, render

_KEYS = ("disks", "paths", "networks", "bridges", "graphics_listen")
#: Places outside disks where a domain names a file of its host.
_FILE_ELEMENTS = ("os/loader", "os/nvram", "os/kernel", "os/initrd", "os/dtb")
_FILE_ATTRIBUTES = (
    (".//devices/*/source", "path"),
    (".//devices/*/log", "file"),
    (".//devices/*/source", "dir"),
)


@dataclasses.dataclass(frozen=True)
class Mapping:
    """What differs on the destination. ``disks`` is by target (vda), ``paths`` by path prefix; an exact disk wins over a prefix."""

    disks: dict[str, str] = dataclasses.field(default_factory=dict)
    paths: dict[str, str] = dataclasses.field(default_factory=dict)
    networks: dict[str, str] = dataclasses.field(default_factory=dict)
    bridges: dict[str, str] = dataclasses.field(default_factory=dict)
    graphics_listen: t.Optional[str] = None

    @classmethod
    def from_user(cls, data: t.Mapping[str, t.Any] | None) -> Mapping:
        """The mapping a user wrote. Raises InputError for an unknown key, a relative path or a path with '..'."""
        data = dict(data or {})
        unknown = sorted(set(data) - set(_KEYS))
        if unknown:
            raise InputError(
                "mapping", f"The mapping has no key '{unknown[0]}'; it has {', '.join(_KEYS)}.", key=unknown[0]
            )
        tables = {key: _table(key, data.get(key)) for key in _KEYS[:4]}
        for target, path in tables["disks"].items():
            _check_path(path, f"the disk '{target}'")
        for old, new in tables["paths"].items():
            _check_path(old, "the key of a path mapping")
            _check_path(new, f"the path prefix '{old}'")
        for key in ("networks", "bridges"):
            for old, new in tables[key].items():
                if not new or "/" in new:
                    raise InputError(
                        "mapping", f"The mapping of '{old}' in '{key}' names '{new}', which is no name.", key=key
                    )
        listen = data.get("graphics_listen")
        if listen is not None and (not isinstance(listen, str) or not listen or set(listen) & set("/ '\"<>")):
            raise InputError(
                "mapping", f"The mapping's graphics_listen must be one address, not '{listen}'.", key="graphics_listen"
            )
        return cls(**tables, graphics_listen=listen)

    def path(self, path: str) -> str:
        """Where ``path`` of the source lies on the destination by the prefixes; the longest prefix wins."""
        for old in sorted(self.paths, key=len, reverse=True):
            prefix = old.rstrip("/")
            if path == prefix or path.startswith(prefix + "/"):
                return self.paths[old].rstrip("/") + path[len(prefix) :]
        return path

    def disk(self, target: str, path: str) -> str:
        """Where the image ``path`` of the disk ``target`` lies on the destination."""
        return self.disks.get(target) or self.path(path)

    @property
    def empty(self) -> bool:
        """Whether nothing is mapped."""
        return self == Mapping()


def _table(key: str, value: t.Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(
            "mapping", f"The mapping's '{key}' must be a dictionary of old to new, not '{value}'.", key=key
        )
    return {str(old): str(new) for old, new in value.items()}


def _check_path(path: str, what: str) -> None:
    if not path.startswith("/"):
        raise InputError("mapping", f"The mapping of {what} gives '{path}', which is not an absolute path.", path=path)
    if ".." in path.split("/") or "\0" in path or "\n" in path:
        raise InputError(
            "mapping", f"The mapping of {what} gives '{path}'; a path must not contain '..' or line ends.", path=path
        )
    if posixpath.normpath(path) == "/":
        raise InputError(
            "mapping", f"The mapping of {what} gives '{path}', which is no file or folder to use.", path=path
        )


def check_names(
    mapping: Mapping, targets: t.Collection[str], networks: t.Collection[str], bridges: t.Collection[str]
) -> None:
    """Raises InputError when the mapping names a disk, network or bridge that the domain does not have."""
    for key, wanted, there in (
        ("disk", mapping.disks, targets),
        ("network", mapping.networks, networks),
        ("bridge", mapping.bridges, bridges),
    ):
        for name in sorted(set(wanted) - set(there)):
            has = ", ".join(sorted(there)) or "none"
            raise InputError(
                "mapping",
                f"The mapping names the {key} '{name}', which the domain does not have; it has: {has}.",
                name=name,
            )


def rewrite(xml: str, mapping: Mapping, *, copied: t.Collection[str] = ()) -> str:
    """``xml`` of a domain as the destination must have it.

    ``copied`` are the targets whose image is copied: the copy is one flat image, so their definition must not claim a
    backing chain. Raises InputError for a mapping that names what the domain does not have.
    """
    root = parse(xml, "domain definition")
    _rewrite_nics(root, mapping)
    targets = _rewrite_disks(root, mapping, set(copied))
    check_names(mapping, targets, _sources(parse(xml), "network"), _sources(parse(xml), "bridge"))
    for place in _FILE_ELEMENTS:
        for element in root.iterfind(place):
            if element.text and element.text.strip().startswith("/"):
                element.text = mapping.path(element.text.strip())
    for place, attribute in _FILE_ATTRIBUTES:
        for element in root.iterfind(place):
            if element.get(attribute, "").startswith("/"):
                element.set(attribute, mapping.path(element.get(attribute)))
    if mapping.graphics_listen:
        _rewrite_graphics(root, mapping.graphics_listen)
    return t.cast(str, render(root))


def _rewrite_disks(root: Element, mapping: Mapping, copied: set[str]) -> set[str]:
    targets = set()
    for disk in root.iterfind("devices/disk"):
        target_element = disk.find("target")
        target = target_element.get("dev", "") if target_element is not None else ""
        targets.add(target)
        source = disk.find("source")
        if source is not None:
            for attribute in ("file", "dev", "dir"):
                if source.get(attribute, "").startswith("/"):
                    source.set(attribute, mapping.disk(target, source.get(attribute)))
        chain = disk.find("backingStore")
        if chain is not None and target in copied:
            disk.remove(chain)
        elif chain is not None:
            for lower in chain.iter("source"):
                for attribute in ("file", "dev"):
                    if lower.get(attribute, "").startswith("/"):
                        lower.set(attribute, mapping.path(lower.get(attribute)))
    return targets


def _rewrite_nics(root: Element, mapping: Mapping) -> None:
    for source in root.iterfind("devices/interface/source"):
        for attribute, table in (("network", mapping.networks), ("bridge", mapping.bridges)):
            # A live definition of a network interface names its bridge as well; that one belongs to the network.
            if attribute == "bridge" and source.get("network"):
                if source.get("network") in mapping.networks.values():
                    source.attrib.pop("bridge", None)
                continue
            if source.get(attribute) in table:
                source.set(attribute, table[source.get(attribute)])
                source.attrib.pop("portid", None)


def _sources(root: Element, attribute: str) -> set[str]:
    found = (source.get(attribute) for source in root.iterfind("devices/interface/source"))
    return {name for name in found if name}


def _rewrite_graphics(root: Element, address: str) -> None:
    for graphics in root.iterfind("devices/graphics"):
        if graphics.get("listen") is not None:
            graphics.set("listen", address)
        for listen in graphics.iterfind("listen[@type='address']"):
            listen.set("address", address)


def without_secrets(xml: str) -> str:
    """``xml`` with every password attribute replaced, fit for a diff or a log."""
    root = parse(xml, "domain definition")
    for element in root.iter():
        for attribute in ("passwd", "password"):
            if element.get(attribute) is not None:
                element.set(attribute, "********")
    return t.cast(str, render(root))
