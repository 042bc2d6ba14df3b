# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the options of an export mean together, computed as exportfs does it: later words win, sec= splits them by flavour."""

from __future__ import annotations

import dataclasses
import re
import typing as t

#: The word that switches something on, and the words that switch it off. The first of each is how exportfs itself spells it.
_SWITCHES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("ro",), ("rw",)),
    (("insecure",), ("secure",)),
    (("root_squash",), ("no_root_squash",)),
    (("all_squash",), ("no_all_squash",)),
    (("async",), ("sync",)),
    (("wdelay",), ("no_wdelay",)),
    (("nohide",), ("hide",)),
    (("crossmnt",), ("nocrossmnt",)),
    (("no_subtree_check",), ("subtree_check",)),
    (("insecure_locks", "no_auth_nlm"), ("secure_locks", "auth_nlm")),
    (("no_acl",), ("acl",)),
    (("nordirplus",), ()),
    (("security_label",), ()),
    (("sign_fh",), ()),
    (("pnfs",), ("no_pnfs",)),
)
_ON = {word: on[0] for on, unused in _SWITCHES for word in on}
_OFF = {word: on[0] for on, off in _SWITCHES for word in off}
#: May differ from flavour to flavour of security.
BY_FLAVOUR = ("ro", "insecure", "root_squash", "all_squash")
_DEFAULT = frozenset({"ro", "root_squash", "wdelay", "no_subtree_check"})
FLAVOURS = ("sys", "krb5", "krb5i", "krb5p", "null")
_ALSO = {"unix": "sys", "none": "null"}
TRANSPORT = ("none", "tls", "mtls")
_REEXPORT = ("none", "auto-fsidnum", "predefined-fsidnum")
NOBODY = 65534
_UUID = 32
_VALUED = (
    "anonuid", "anongid", "fsid", "mountpoint", "mp", "refer", "replicas", "sec", "xprtsec", "reexport", "squash_uids", "squash_gids",
)  # fmt: skip
KNOWN = tuple(sorted({*_ON, *_OFF})) + tuple(f"{name}=" for name in sorted(_VALUED))


class OptionFault(ValueError):
    """A word that exportfs would not take; the text says why."""


@dataclasses.dataclass(frozen=True)
class Effective:
    """What is in force. ``flags`` holds the switches that are on; those in BY_FLAVOUR are told per flavour, preferred ones first."""

    flags: frozenset[str] = frozenset(_DEFAULT - set(BY_FLAVOUR))
    security: tuple[tuple[str, frozenset[str]], ...] = (("sys", frozenset(_DEFAULT & set(BY_FLAVOUR))),)
    values: tuple[tuple[str, str], ...] = ()

    @property
    def writable(self) -> bool:
        """Whether anybody may write."""
        return any("ro" not in flags for unused, flags in self.security)

    @property
    def root_is_root(self) -> bool:
        """Whether root on a client is root here."""
        return any(not flags & {"root_squash", "all_squash"} for unused, flags in self.security)

    def words(self) -> list[str]:
        """The options in full, spelled as exportfs spells them."""
        words = [on[0] if on[0] in self.flags else off[0] for on, off in _SWITCHES[4:] if off or on[0] in self.flags]
        words += [f"{name}={value}" if value else name for name, value in self.values]
        for flavour, flags in self.security:
            words.append(f"sec={flavour}")
            words += [on[0] if on[0] in flags else off[0] for on, off in _SWITCHES[:4]]
        return words


def effective(*lists: t.Sequence[str], start: t.Iterable[str] = _DEFAULT) -> Effective:
    """What the lists mean, one after the other (defaults of the line, then those of the client). Raises OptionFault."""
    state = _State(set(start))
    for words in lists:
        state.take(words)
    return state.result()


class _State:
    """What was read so far."""

    def __init__(self, flags: set[str]) -> None:
        self.flags = flags
        self.security: dict[str, set[str]] = {}
        self.values: dict[str, str] = {}

    def take(self, words: t.Sequence[str]) -> None:
        """One list of options. A sec= reaches to the end of its list and no further."""
        active: list[str] = []
        for word in words:
            name, separator, value = word.partition("=")
            if word in _ON or word in _OFF:
                for flags in [self.flags, *(self.security[flavour] for flavour in active)]:
                    if word in _ON:
                        flags.add(_ON[word])
                    else:
                        flags.discard(_OFF[word])
            elif name == "sec" and separator:
                active = [_flavour(one) for one in value.split(":")]
                for flavour in active:
                    self.security.setdefault(flavour, set(self.flags))
            elif name in ("mountpoint", "mp"):
                self.values["mountpoint"] = value
            elif separator and name in _VALUED:
                self._value(name, _VALUES[name](name, value))
            else:
                raise OptionFault(f"{word!r} is no option of an export")

    def _value(self, name: str, value: str) -> None:
        if name == "fsid" and (len(value) == _UUID) != (len(self.values.get(name, value)) == _UUID):
            # exportfs keeps both, and a number of its own making.
            raise OptionFault("fsid= cannot be a number and a UUID")
        self.values[name] = value

    def result(self) -> Effective:
        """The sum."""
        both = self.security or {"sys": self.flags}
        varying = frozenset(BY_FLAVOUR)
        values = {name: value for name, value in self.values.items() if value != _UNSAID.get(name)}
        return Effective(
            frozenset(self.flags - varying),
            tuple((flavour, frozenset(flags & varying)) for flavour, flags in both.items()),
            tuple(sorted(values.items())),
        )


def _flavour(word: str) -> str:
    flavour = _ALSO.get(word, word)
    if flavour not in FLAVOURS:
        raise OptionFault(f"sec= knows {', '.join(FLAVOURS)}, and not {word!r}")
    return flavour


def _id(name: str, value: str) -> str:
    if not re.fullmatch(r"[+-]?\d+", value) or not -(1 << 31) <= int(value) < 1 << 32:
        raise OptionFault(f"{name}= needs a number, and not {value!r}")
    number = int(value)
    # exportfs holds it in 32 bits with a sign.
    return str(number - (1 << 32) if number >= 1 << 31 else number)


def _fsid(name: str, value: str) -> str:
    if value == "root":
        return "0"
    if re.fullmatch(r"0[xX][0-9a-fA-F]+|0[0-7]*|-?[1-9]\d*", value):
        number = int(value, 16 if value[:2].lower() == "0x" else 8 if value.startswith("0") else 10)
        if -(1 << 31) <= number < 1 << 32:
            return str(number - (1 << 32) if number >= 1 << 31 else number)
    digits = re.sub(r"[^0-9a-fA-F]", "", value)
    if len(digits) != 32:
        raise OptionFault(f"{name}= needs a number, root or a UUID, and not {value!r}")
    return digits.lower()


def _transport(name: str, value: str) -> str:
    modes = value.split(":")
    wrong = [mode for mode in modes if mode not in TRANSPORT]
    if wrong:
        raise OptionFault(f"{name}= knows {', '.join(TRANSPORT)}, and not {wrong[0]!r}")
    return ":".join(mode for mode in TRANSPORT if mode in modes)


def _reexport(name: str, value: str) -> str:
    if value not in _REEXPORT:
        raise OptionFault(f"{name}= knows {', '.join(_REEXPORT)}, and not {value!r}")
    return value


def _text(name: str, value: str) -> str:
    if not value:
        raise OptionFault(f"{name}= needs a value")
    return value


def _ranges(name: str, value: str) -> str:
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", value):
        raise OptionFault(f"{name}= needs numbers and ranges of numbers, and not {value!r}")
    return value


_VALUES: dict[str, t.Callable[[str, str], str]] = {
    "anonuid": _id,
    "anongid": _id,
    "fsid": _fsid,
    "refer": _text,
    "replicas": _text,
    "xprtsec": _transport,
    "reexport": _reexport,
    "squash_uids": _ranges,
    "squash_gids": _ranges,
}
#: Values that mean the same as saying nothing.
_UNSAID = {"anonuid": str(NOBODY), "anongid": str(NOBODY), "reexport": "none"}
