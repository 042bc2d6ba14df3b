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
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, new_element, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.secrets import hide

_TABLES = ("disks", "paths", "pools", "networks", "bridges")
_FILES = ("emulator", "nvram")
_KEYS = (*_TABLES, "graphics_listen", *_FILES)
#: Places outside disks where a domain names a file of its host.
_FILE_ELEMENTS = ("os/loader", "os/nvram", "os/kernel", "os/initrd", "os/dtb")
_FILE_ATTRIBUTES = (
    (".//devices/*/source", "path"),
    (".//devices/*/log", "file"),
    (".//devices/*/source", "dir"),
)


@dataclasses.dataclass(frozen=True)
class Mapping:
    """What differs on the destination. ``disks`` is by target (vda), ``paths`` by path prefix; an exact disk wins over a prefix.

    ``emulator`` and ``nvram`` are the one path that the domain has there, and win over a prefix, too.
    """

    disks: dict[str, str] = dataclasses.field(default_factory=dict)
    paths: dict[str, str] = dataclasses.field(default_factory=dict)
    networks: dict[str, str] = dataclasses.field(default_factory=dict)
    bridges: dict[str, str] = dataclasses.field(default_factory=dict)
    graphics_listen: t.Optional[str] = None
    pools: dict[str, str] = dataclasses.field(default_factory=dict)
    emulator: t.Optional[str] = None
    nvram: t.Optional[str] = None

    @classmethod
    def from_user(cls, data: t.Mapping[str, t.Any] | None) -> Mapping:
        """The mapping a user wrote. Raises InputError for an unknown key, a relative path or a path with '..'."""
        data = dict(data or {})
        unknown = sorted(set(data) - set(_KEYS))
        if unknown:
            raise InputError(
                "mapping", f"The mapping has no key '{unknown[0]}'; it has {', '.join(_KEYS)}.", key=unknown[0]
            )
        tables = {key: _table(key, data.get(key)) for key in _TABLES}
        for target, path in tables["disks"].items():
            _check_path(path, f"the disk '{target}'")
        for old, new in tables["paths"].items():
            _check_path(old, "the key of a path mapping")
            _check_path(new, f"the path prefix '{old}'")
        for key in ("pools", "networks", "bridges"):
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
        files = {key: data.get(key) for key in _FILES}
        for key, file in files.items():
            if file is not None:
                _check_path(str(file), f"the {key}")
        return cls(
            disks=tables["disks"],
            paths=tables["paths"],
            networks=tables["networks"],
            bridges=tables["bridges"],
            graphics_listen=listen,
            pools=tables["pools"],
            emulator=files["emulator"],
            nvram=files["nvram"],
        )

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
    mapping: Mapping,
    targets: t.Collection[str],
    networks: t.Collection[str],
    bridges: t.Collection[str],
    pools: t.Collection[str] | None = None,
) -> None:
    """Raises InputError when the mapping names a disk, network, bridge or pool that the domain does not have."""
    for key, wanted, there in (
        ("disk", mapping.disks, targets),
        ("network", mapping.networks, networks),
        ("bridge", mapping.bridges, bridges),
        ("pool", mapping.pools, mapping.pools if pools is None else pools),
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
    networks, bridges = _sources(root, "network"), _sources(root, "bridge")
    pools = {source.get("pool") for source in root.iterfind("devices/disk/source") if source.get("pool")}
    _rewrite_nics(root, mapping)
    targets = _rewrite_disks(root, mapping, set(copied))
    check_names(mapping, targets, networks, bridges, pools)
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
    if mapping.emulator:
        _child(_child(root, "devices"), "emulator").text = mapping.emulator
    if mapping.nvram:
        _rewrite_nvram(root, mapping.nvram)
    return t.cast(str, render(root))


def _rewrite_nvram(root: Element, path: str) -> None:
    system, nvram = root.find("os"), root.find("os/nvram")
    uses = system is not None and (system.get("firmware") == "efi" or system.find("loader[@type='pflash']") is not None)
    if nvram is None and not uses:
        raise InputError("mapping", "The mapping names an nvram, and the domain has no firmware with variables.")
    nvram = _child(system, "nvram") if nvram is None else nvram
    source = nvram.find("source")
    if source is None:
        nvram.text = path
    elif source.get("file") is None:
        raise InputError("mapping", "The mapping names an nvram, and the domain keeps its variables in no file.")
    else:
        source.set("file", path)


def _child(parent: Element, tag: str) -> Element:
    found = parent.find(tag)
    if found is None:
        found = new_element(tag)
        parent.append(found)
    return found


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
            if source.get("pool") in mapping.pools:
                source.set("pool", mapping.pools[source.get("pool")])
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
    """``xml`` with every secret replaced, fit for a diff or a log."""
    root = parse(xml, "domain definition")
    hide(root)
    return t.cast(str, render(root))
