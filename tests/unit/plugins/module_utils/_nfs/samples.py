# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exports as they may be asked for, from a fixed seed: the same ones in every run."""

from __future__ import annotations

import random
import string
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._nfs.options import FLAVOURS
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import Client, Entry

PLAIN = (
    "rw", "ro", "sync", "async", "wdelay", "no_wdelay", "hide", "nohide", "crossmnt", "nocrossmnt", "secure", "insecure",
    "root_squash", "no_root_squash", "all_squash", "no_all_squash", "subtree_check", "no_subtree_check", "acl", "no_acl",
    "insecure_locks", "secure_locks", "auth_nlm", "no_auth_nlm", "nordirplus", "pnfs", "no_pnfs", "security_label",
)  # fmt: skip
#: What exportfs treats in a way of its own, mixed with plain letters.
ODD = ' "\\#\t(),-=@*üß€\u2028\udcff'
NUMBERS = ("root", "0", "17", "0x1f", "4294967295")
#: An export has one or the other: exportfs muddles them.
UUIDS = ("0d86befefe83aa2ec8ca29480455c37c", "BD288933-E73FBEE0-ED395B10-B0223E7C")
LETTERS = string.ascii_letters + string.digits + "._-"


def path(chance: random.Random) -> str:
    """A path of one to four parts."""
    parts = []
    for _part in range(chance.randint(1, 4)):
        letters = [chance.choice(ODD if chance.random() < 0.3 else LETTERS) for _letter in range(chance.randint(1, 9))]
        parts.append("".join(letters).replace("\\", chance.choice(["\\", "\\0", "\\04", "\\040", "\\777"])))
    return "/" + "/".join(parts)


def client_name(chance: random.Random) -> str:
    """A client of every kind that needs no resolver."""
    number = chance.randint(1, 250)
    return chance.choice(
        [
            "*",
            f"10.{number}.0.{number}",
            f"10.{number}.0.0/{chance.randint(1, 32)}",
            f"10.{number}.0.0/255.255.0.0",
            f"2001:db8:{number:x}::{number:x}",
            f"2001:db8:{number:x}::/48",
            f"@group-{number}",
            f"*.rack{number}.example.org",
            f"build[0-9]x{number}.example.org",
            f"vm?.z{number}.example.org",
        ]
    )


def options(chance: random.Random, fsids: t.Sequence[str] = NUMBERS) -> tuple[str, ...]:
    """Up to eight options, in any order, also against each other."""
    words: list[str] = [chance.choice(PLAIN) for _word in range(chance.randint(0, 6))]
    if chance.random() < 0.4:
        words.insert(
            chance.randint(0, len(words)), f"anonuid={chance.choice([-1, -2, 0, 1000, 64055, 65534, 4294967294])}"
        )
    if chance.random() < 0.3:
        words.insert(chance.randint(0, len(words)), f"anongid={chance.randint(0, 70000)}")
    if chance.random() < 0.3:
        words.insert(chance.randint(0, len(words)), f"fsid={chance.choice(fsids)}")
    if chance.random() < 0.2:
        words.insert(chance.randint(0, len(words)), chance.choice(["mp", "mountpoint", "mp=/srv", "mountpoint=/srv/a"]))
    for _flavour in range(chance.choice([0, 0, 0, 1, 1, 2])):
        flavours = chance.sample([one for one in FLAVOURS if one != "null"], chance.randint(1, 3))
        words.insert(chance.randint(0, len(words)), f"sec={':'.join(flavours)}")
    return tuple(words)


def entry(chance: random.Random) -> Entry:
    """One export. Defaults grow along the line, as they do in the file."""
    defaults: tuple[tuple[str, ...], ...] = ()
    fsids = chance.choice([NUMBERS, UUIDS])
    clients = []
    for name in dict.fromkeys(client_name(chance) for _client in range(chance.randint(1, 5))):
        if chance.random() < 0.2:
            defaults += (options(chance, fsids),)
        clients.append(Client(name, options(chance, fsids), defaults))
    return Entry(path(chance), tuple(clients))


def entries(count: int, seed: int = 20260) -> t.Iterator[Entry]:
    """``count`` exports."""
    chance = random.Random(seed)
    for _number in range(count):
        yield entry(chance)
