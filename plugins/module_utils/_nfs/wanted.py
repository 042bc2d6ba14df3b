# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What is wanted of one export, checked before anything is written, and what is wrong with it although it works."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._nfs import clients
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.options import (
    KNOWN,
    Effective,
    OptionFault,
    effective,
)
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import MAX_CLIENT, MAX_PATH, Client, Entry

SAFE_WAY = (
    "For the images of libvirt's guests keep root squashed and let the folder belong to QEMU's user: all_squash with anonuid= and anongid= "
    "of that user (what the role virtops.kvm.nfs_server sets) lets QEMU, libvirt and root on every host work with them."
)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """An export as it is asked for. ``clients`` keeps the order; ``options`` says what each client's mean."""

    path: str
    clients: tuple[Client, ...]
    options: tuple[Effective, ...]

    @property
    def entry(self) -> Entry:
        """As it is written down."""
        return Entry(self.path, self.clients)


def check_path(path: str) -> str:
    """``path`` where it can be exported."""
    if not path.startswith("/") or os.path.normpath(path) != path or path.startswith("//"):
        raise InputError(
            "path",
            f"{path!r} is no path to export: it has to be absolute, without '..' and without a slash at the end.",
        )
    if re.search(r"[\x00-\x1f\x7f]", path) or re.search(r"\\[0-7]{3}", path):
        raise InputError("path", f"{path!r} cannot be exported: exportfs would read it back as another path.")
    if len(os.fsencode(path)) > MAX_PATH:
        raise InputError("path", f"The path to export is longer than {MAX_PATH} bytes.")
    return path


def wanted(
    path: str, asked: t.Sequence[t.Mapping[str, t.Any]], common: t.Sequence[str], names: clients.Names
) -> Wanted:
    """The export that the module's options describe. Raises InputError for what exportfs would refuse or misunderstand."""
    if not asked:
        raise InputError(
            "clients", f"Nobody is named who may mount {path}; name at least one client, or * for everybody."
        )
    found: list[Client] = []
    meanings: list[Effective] = []
    keys: dict[str, str] = {}
    for one in asked:
        name = str(one["client"])
        own: t.Sequence[t.Any] | None = one.get("options")
        words = tuple(str(word) for word in (common if own is None else own))
        _check_client(name, names)
        key = clients.key_of(name, names)
        if key in keys:
            raise InputError(
                "clients",
                f"{name} is named twice for {path} (also as {keys[key]}); exportfs would take the first alone.",
            )
        keys[key] = name
        meanings.append(_meaning(name, words))
        if len(os.fsencode(f"{name}({','.join(words)})")) > MAX_CLIENT:
            raise InputError(
                "options", f"{name} with its options is longer than the {MAX_CLIENT} bytes that exportfs reads."
            )
        found.append(Client(name, words))
    return Wanted(path, tuple(found), tuple(meanings))


def _check_client(name: str, names: clients.Names) -> None:
    try:
        kind = clients.check(name)
    except clients.ClientFault as exc:
        raise InputError("clients", f"{name!r} is no client of an export: {exc}.", client=name) from exc
    if kind == clients.HOST and names.canonical(name) is None:
        raise InputError(
            "clients",
            f"The client {name} cannot be found: the server knows no address for that name, so exportfs would leave it out. "
            "Correct the name, or name its address.",
            client=name,
        )


def _meaning(name: str, words: t.Sequence[str]) -> Effective:
    for word in words:
        if re.search(r"[\s\"#(),\\]", word) and not word.startswith(("squash_", "refer=", "replicas=")):
            raise InputError("options", f"{word!r} is not one option; give each as an item of its own.", client=name)
        if word.startswith("squash_"):
            raise InputError("options", f"{word!r} has no meaning for the kernel's NFS server.", client=name)
        if "(" in word or ")" in word or any(char.isspace() for char in word):
            raise InputError("options", f"{word!r} cannot be written in an exports file.", client=name)
    try:
        return effective(words)
    except OptionFault as exc:
        raise InputError(
            "options", f"The options for {name} cannot be used: {exc}.", client=name, known=list(KNOWN)
        ) from exc


def warnings_of(export: Wanted) -> tuple[str, ...]:
    """What is dangerous about it."""
    found: list[str] = []
    for client, options in zip(export.clients, export.options):
        if clients.means_everyone(client.name) and options.root_is_root:
            found.append(
                f"{export.path} is exported with no_root_squash to everybody who can reach the server: anyone's root is root on its files. "
                + SAFE_WAY
            )
        if "async" in options.flags:
            found.append(
                f"{export.path} is exported to {client.name} with async: writes that guests were told to be safe are lost when the server "
                "stops without warning. Use sync, and faster storage below it."
            )
    return tuple(dict.fromkeys(found))
