# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""libvirt's configuration files (qemu.conf, libvirtd.conf): key = "text", number or [list]."""

from __future__ import annotations

import re
import typing as t

Value = t.Union[str, int, list[str]]

_TOKEN = re.compile(
    r'''
    \s* (?:
        \#[^\n]*                        # comment
      | (?P<long>"""(?:.*?)""")         # text over several lines
      | (?P<text>"[^"\n]*"|'[^'\n]*')
      | (?P<number>[+-]?\d+)
      | (?P<word>[A-Za-z_][\w.\-]*)
      | (?P<mark>[=\[\],])
      | (?P<other>\S)
    )
    ''',
    re.VERBOSE | re.DOTALL,
)


class Assignment(t.NamedTuple):
    """One setting, and where in the text it stands: from its key to the end of its value."""

    key: str
    value: Value
    start: int
    end: int


def assignments(text: str) -> list[Assignment]:
    """The settings in ``text``, in their order. What cannot be understood is passed over: the daemon is the judge of its file."""
    matches = [match for match in _TOKEN.finditer(text) if match.lastgroup]
    tokens = [(match.lastgroup, match[match.lastgroup or 0]) for match in matches]
    found: list[Assignment] = []
    index = 0
    while index + 2 < len(tokens):
        is_setting = tokens[index][0] == "word" and tokens[index + 1] == ("mark", "=")
        if not is_setting:
            index += 1
            continue
        key, start = tokens[index][1], matches[index].start("word")
        index += 2
        value: Value
        if tokens[index] == ("mark", "["):
            items: list[str] = []
            while index < len(tokens) and tokens[index] != ("mark", "]"):
                if tokens[index][0] in ("text", "long", "number"):
                    items.append(str(_value(*tokens[index])))
                index += 1
            value = items
        elif tokens[index][0] in ("text", "long", "number"):
            value = _value(*tokens[index])
        else:
            continue
        found.append(Assignment(key, value, start, matches[min(index, len(matches) - 1)].end()))
        index += 1
    return found


def parse_settings(text: str) -> dict[str, Value]:
    """The settings in ``text``, by their keys."""
    return {one.key: one.value for one in assignments(text)}


def _value(kind: str | None, token: str) -> str | int:
    if kind == "long":
        return token[3:-3]
    return int(token) if kind == "number" else token[1:-1]


def read_settings(path: str) -> dict[str, Value]:
    """The settings of the file at ``path``; none where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return parse_settings(stream.read())
    except OSError:
        return {}


def text_setting(settings: t.Mapping[str, Value], key: str) -> str | None:
    """A setting that is text and not empty."""
    value = settings.get(key)
    return value if isinstance(value, str) and value else None


def number_setting(settings: t.Mapping[str, Value], key: str, default: int) -> int:
    """A setting that is a number."""
    value = settings.get(key)
    return value if isinstance(value, int) else default


def list_setting(settings: t.Mapping[str, Value], key: str) -> list[str]:
    """A setting that is a list; a single text is a list of one, as libvirt has it."""
    value = settings.get(key)
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []
