# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The language of exports(5), read byte by byte as exportfs itself reads it, and written back.

Where exportfs stops reading a file without a word, this reader raises: whatever stands behind that place is not exported.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

EVERYONE = "*"
#: exportfs has buffers of these sizes, with room for the byte that ends the text.
MAX_PATH = 1024
MAX_CLIENT = 511

_SPACE = b" \t\n\v\f\r"
_OCTAL = b"01234567"
_NEWLINE = 0x0A
_QUOTE = 0x22
_BACKSLASH = 0x5C
_COMMENT = 0x23
_DIGITS = re.compile(r"\d")


@dataclasses.dataclass(frozen=True)
class Client:
    """Who may mount. ``options`` are in parentheses behind the name; ``defaults`` are the lists before it on its line, each after a
    dash. exportfs takes in one list after the other, and a sec= reaches to the end of its list."""

    name: str
    options: tuple[str, ...] = ()
    defaults: tuple[tuple[str, ...], ...] = ()

    @property
    def lists(self) -> tuple[tuple[str, ...], ...]:
        """All its options as exportfs takes them in."""
        return (*self.defaults, self.options)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One path, and who may mount it."""

    path: str
    clients: tuple[Client, ...]


@dataclasses.dataclass(frozen=True)
class Placed:
    """An entry, its line (from 1), and the bytes that it takes, without the end of its line."""

    entry: Entry
    line: int
    start: int
    end: int


def parse(data: bytes, name: str) -> tuple[Placed, ...]:
    """All entries of ``data``, which the file ``name`` holds. Raises KvmError EXPORTS_DAMAGED."""
    return tuple(_Reader(data, name).entries())


def render(entry: Entry) -> bytes:
    """``entry`` as one line, without the end of the line. The defaults grow from client to client by no more than one list."""
    words = [_quoted(entry.path)]
    before: tuple[tuple[str, ...], ...] = ()
    for client in entry.clients:
        if client.defaults[: len(before)] != before or len(client.defaults) > len(before) + 1:
            raise ValueError(f"the defaults of {client.name} do not continue those before it")
        if client.defaults != before:
            words.append(_quoted("-" + ",".join(client.defaults[-1])))
        before = client.defaults
        options = f"({','.join(client.options)})" if client.options else ""
        words.append(_quoted(client.name + options))
    return b" ".join(words)


def _quoted(text: str) -> bytes:
    """``text`` as one word: what has a meaning of its own, and what is no valid UTF-8, as a backslash and three octal digits."""
    parts: list[str] = []
    octals = 0  # How many octal digits stand behind a backslash: exportfs would take the third for a number's end.
    for char in text:
        plain = char.isprintable() and char not in ' "\\#'
        if plain and octals and char in "01234567":
            octals += 1
            plain = octals < 4
        else:
            octals = 1 if char == "\\" else 0
        parts.append(char if plain else "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape")))
        octals = 0 if octals == 4 else octals
    return "".join(parts).encode("utf-8")


class _Reader:
    """Reads one file."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self._at = data, name, 0
        self._end = 0
        """Where the last word ended."""

    def entries(self) -> t.Iterator[Placed]:
        """One after the other."""
        while True:
            self._skip(b" \t\n")
            start = self._at
            if start >= len(self._data):
                return
            line = self._data.count(b"\n", 0, start) + 1
            path = self._word(MAX_PATH)
            if path is None:
                raise self._damaged(line, "there is a control character where a path should be")
            clients = self._clients(line)
            yield Placed(Entry(path, clients), line, start, self._end)

    def _clients(self, line: int) -> tuple[Client, ...]:
        clients: list[Client] = []
        defaults: tuple[tuple[str, ...], ...] = ()
        while True:
            self._skip(b" \t")
            word = self._word(MAX_CLIENT)
            if word is None:
                return tuple(clients) or (Client(EVERYONE),)
            if word.startswith("-"):
                defaults += (split_options(word[1:]),)
                self._skip(b" \t")
                # Defaults with nobody behind them export to everyone.
                word = self._word(MAX_CLIENT)
                if word is None:
                    return (*clients, Client(EVERYONE, (), defaults))
            clients.append(self._client(word, defaults, line))

    def _client(self, word: str, defaults: tuple[tuple[str, ...], ...], line: int) -> Client:
        name, opened, rest = word.partition("(")
        if opened and rest.find(")") != len(rest) - 1:
            raise self._damaged(line, f"the options of {word!r} do not end where the word ends")
        return Client(name or EVERYONE, split_options(rest[:-1]) if opened else (), defaults)

    def _skip(self, blanks: bytes) -> None:
        while True:
            here = self._at
            byte = self._next()
            if byte == _COMMENT:
                end = self._data.find(b"\n", self._at)
                here = self._at = len(self._data) if end < 0 else end
                byte = self._next()
            if byte is None or byte not in blanks:
                self._at = here
                return

    def _word(self, longest: int) -> str | None:
        """The next word; None at the end of the line or of the file."""
        word = bytearray()
        quoted = False
        line = self._data.count(b"\n", 0, self._at) + 1
        while True:
            here = self._at
            byte = self._next()
            if byte is None:
                break
            if not quoted and byte in _SPACE:
                if byte == _NEWLINE:
                    self._at = here
                break
            if byte == _QUOTE:
                quoted = not quoted
                continue
            word.append(byte)
            tail = word[-3:]
            if len(word) >= 4 and word[-4] == _BACKSLASH and all(digit in _OCTAL for digit in tail):
                value = int(bytes(tail), 8)
                if value < 256:
                    word[-4:] = bytes([value])
        if word:
            self._end = here
        if len(word) > longest:
            raise self._damaged(line, f"a word is longer than {longest} bytes")
        if b"\0" in word or (quoted and _NEWLINE in word):
            raise self._damaged(line, "a quoted text does not end on its line, or a word holds a NUL")
        return word.decode("utf-8", "surrogateescape") if word else None

    def _next(self) -> int | None:
        """The next byte; a backslash at the end of a line, with the blanks behind it, counts as one blank."""
        if self._at >= len(self._data):
            return None
        byte = self._data[self._at]
        self._at += 1
        if byte == _BACKSLASH and self._data[self._at : self._at + 1] == b"\n":
            self._at += 1
            while self._data[self._at : self._at + 1] in (b" ", b"\t"):
                self._at += 1
            return _SPACE[0]
        return byte

    def _damaged(self, line: int, why: str) -> KvmError:
        return KvmError(
            "EXPORTS_DAMAGED",
            f"{self._name}, line {line}, cannot be read by exportfs: {why}. Nothing behind that place would be exported; "
            "mend the line first.",
            file=self._name,
            line=line,
        )


def split_options(text: str) -> tuple[str, ...]:
    """The options of a list; commas inside squash_uids= and squash_gids= belong to these."""
    words: list[str] = []
    for word in text.split(","):
        word = word.lstrip(" \t")
        if words and words[-1].startswith(("squash_uids=", "squash_gids=")) and _DIGITS.match(word):
            words[-1] += f",{word}"
        else:
            words.append(word)
    # exportfs takes a comma at the end for nothing.
    return tuple(words[:-1] if words[-1] == "" else words)
