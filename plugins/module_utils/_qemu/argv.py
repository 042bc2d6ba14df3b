# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""QEMU's command line as QEMU reads it: options, lists of keys with doubled commas, JSON; and back. Pure."""

from __future__ import annotations

import dataclasses
import json
import typing as t

#: Options without a value, of QEMU 6 to 10; every other one takes the word after it.
FLAGS = frozenset(
    """
    S alt-grab async-teardown ctrl-grab curses daemonize enable-fips enable-kvm enable-sync-profile full-screen h help
    mem-prealloc no-acpi no-fd-bootchk no-frame no-hpet no-kvm no-kvm-irqchip no-kvm-pit no-quit no-reboot no-shutdown
    no-user-config nodefaults nographic nouserconfig old-param only-migratable portrait preconfig s sdl semihosting
    singlestep snapshot usb version win2k-hack xen-attach xen-domid-restrict
    """.split()  # noqa: SIM905 - a list of one hundred quotes is no better to read
)
#: What the first part of an option's list means where it has no ``=``.
IMPLIED: dict[str, str] = {
    "accel": "accel",
    "audiodev": "driver",
    "blockdev": "driver",
    "boot": "order",
    "chardev": "backend",
    "cpu": "model",
    "device": "driver",
    "display": "type",
    "m": "size",
    "machine": "type",
    "mon": "chardev",
    "name": "guest",
    "net": "type",
    "netdev": "type",
    "nic": "type",
    "object": "qom-type",
    "sandbox": "enable",
    "smp": "cpus",
    "tpmdev": "type",
    "vnc": "vnc",
}
#: The short and old names of options.
ALIASES = {"M": "machine", "h": "help"}


@dataclasses.dataclass(frozen=True)
class Keys:
    """A list of keys and values in its order. A key may come more than once (``hostfwd``); mostly the last one counts."""

    pairs: tuple[tuple[str, str], ...] = ()

    def get(self, key: str, default: str = "") -> str:
        """The value of ``key``, the last where there are several."""
        for name, value in reversed(self.pairs):
            if name == key:
                return value
        return default

    def all(self, key: str) -> tuple[str, ...]:
        """Every value of ``key``."""
        return tuple(value for name, value in self.pairs if name == key)

    def is_on(self, key: str, default: bool = False) -> bool:
        """Whether the switch ``key`` is on."""
        value = self.get(key).lower()
        return value in ("on", "yes", "true", "y") if value else default

    def __contains__(self, key: object) -> bool:
        return any(name == key for name, _value in self.pairs)

    def having(self, key: str, value: str) -> Keys:
        """These keys, with ``value`` for ``key``: in its place, or at the end where it is new."""
        if key not in self:
            return Keys((*self.pairs, (key, value)))
        return Keys(tuple((name, value if name == key else old) for name, old in self.pairs))

    def without(self, *keys: str) -> Keys:
        """These keys less some."""
        return Keys(tuple((name, value) for name, value in self.pairs if name not in keys))


def parse_keys(text: str, implied: str = "") -> Keys:
    """The keys in ``text``. Where it is JSON, what is nested has names with dots, as QEMU's lists have, and switches are on or off."""
    if text.startswith("{"):
        try:
            data = json.loads(text)
        except ValueError:
            data = None
        if isinstance(data, dict):
            return Keys(tuple(_flattened(data)))
    pairs: list[tuple[str, str]] = []
    for number, part in enumerate(split_list(text)):
        key, equals, value = part.partition("=")
        # In the first part alone the value may hold a comma before any "=".
        if equals and "," not in key:
            pairs.append((key, value))
        elif number == 0 and implied:
            pairs.append((implied, part))
        elif part.startswith("no") and len(part) > 2:
            pairs.append((part[2:], "off"))
        elif part:
            pairs.append((part, "on"))
    return Keys(tuple(pairs))


def split_list(text: str) -> list[str]:
    """The parts of a list; a doubled comma is a comma in a part."""
    parts, at, part = [], 0, ""
    while at < len(text):
        if text[at] != ",":
            part += text[at]
        elif text[at : at + 2] == ",,":
            part += ","
            at += 1
        else:
            parts.append(part)
            part = ""
        at += 1
    return [*parts, part]


def render_keys(keys: Keys, implied: str = "") -> str:
    """The text of ``keys``; the first goes without its name where that is implied."""
    parts = []
    for number, (key, value) in enumerate(keys.pairs):
        # Without its name, a value with "=" would be read as a key.
        bare = number == 0 and key == implied and bool(implied) and "=" not in value
        parts.append(escape(value) if bare else f"{key}={escape(value)}")
    return ",".join(parts)


def escape(value: str) -> str:
    """``value`` as a part of a list."""
    return value.replace(",", ",,")


def _flattened(data: t.Mapping[str, t.Any], prefix: str = "") -> t.Iterator[tuple[str, str]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield from _flattened({str(number): item for number, item in enumerate(value)}, f"{prefix}{key}.")
        elif isinstance(value, bool):
            yield f"{prefix}{key}", "on" if value else "off"
        else:
            yield f"{prefix}{key}", "" if value is None else str(value)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option. ``word`` is how it was written (``--drive``), empty for an image without an option before it."""

    word: str
    value: t.Optional[str] = None

    @property
    def name(self) -> str:
        """Its name without dashes, the long one where it has two."""
        name = self.word.lstrip("-")
        return ALIASES.get(name, name)

    @property
    def keys(self) -> Keys:
        """Its value as a list of keys."""
        return parse_keys(self.value or "", IMPLIED.get(self.name, ""))

    @property
    def json(self) -> bool:
        """Whether its value is JSON."""
        return (self.value or "").startswith("{")

    def having(self, key: str, value: str) -> Option:
        """This option with ``value`` for ``key`` (a dotted one for what is nested in JSON)."""
        if not self.json:
            return self.with_keys(self.keys.having(key, value))
        data = json.loads(self.value or "")
        inner, path = data, key.split(".")
        for step in path[:-1]:
            inner = inner[int(step)] if isinstance(inner, list) else inner.setdefault(step, {})
        if isinstance(inner, list):
            inner[int(path[-1])] = value
        else:
            inner[path[-1]] = value
        return dataclasses.replace(self, value=json.dumps(data))

    def with_keys(self, keys: Keys) -> Option:
        """This option with other keys, as a list."""
        return dataclasses.replace(self, value=render_keys(keys, IMPLIED.get(self.name, "")))


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """A whole command line: the program, and its options in their order."""

    program: str
    options: tuple[Option, ...] = ()

    def all(self, *names: str) -> tuple[Option, ...]:
        """The options with one of these names, in their order."""
        return tuple(option for option in self.options if option.name in names)

    def last(self, name: str) -> str:
        """The value of the last option ``name``; empty where there is none."""
        found = self.all(name)
        return (found[-1].value or "") if found else ""

    def has(self, name: str) -> bool:
        """Whether the option is there."""
        return any(option.name == name for option in self.options)

    def merged(self, name: str) -> Keys:
        """The keys of all options ``name`` together, as QEMU merges those of -machine, -m, -smp, -name."""
        return Keys(tuple(pair for option in self.all(name) for pair in option.keys.pairs))

    def without(self, *names: str) -> CommandLine:
        """This line less the options with these names."""
        return dataclasses.replace(self, options=tuple(one for one in self.options if one.name not in names))

    def plus(self, *options: Option) -> CommandLine:
        """This line with more options at its end."""
        return dataclasses.replace(self, options=(*self.options, *options))

    def mapped(self, change: t.Callable[[Option], t.Optional[Option]]) -> CommandLine:
        """This line with what ``change`` makes of each option; None takes it out."""
        return dataclasses.replace(
            self, options=tuple(new for new in (change(option) for option in self.options) if new is not None)
        )

    def words(self) -> list[str]:
        """The words to run."""
        found = [self.program]
        for option in self.options:
            if option.word:
                found.append(option.word)
            if option.value is not None:
                found.append(option.value)
        return found


def parse(words: t.Sequence[str]) -> CommandLine:
    """The command line in ``words``, the program first."""
    options: list[Option] = []
    at = 1
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("-") or word == "-":
            options.append(Option("", word))
            continue
        if word.lstrip("-") in FLAGS or at == len(words):
            options.append(Option(word))
            continue
        options.append(Option(word, words[at]))
        at += 1
    return CommandLine(words[0] if words else "", tuple(options))
