# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Settings in libvirt's configuration files: what is asked for, checked, and written into the text that is there.

Only the settings that are asked for are touched. Comments, order and all other settings stay as their authors left them.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import Value, assignments, parse_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

_KEY = re.compile(r"[a-z][a-z0-9_]*")
#: libvirt's files show each setting as a comment: '#key = value'.
_EXAMPLE = re.compile(r"^#[ \t]?(?P<key>[a-z][a-z0-9_]*)[ \t]*=[ \t]*(?P<value>\S.*)$", re.MULTILINE)
_NUMBER = re.compile(r"[+-]?\d+")
#: A file with fewer examples than these was written by hand, and tells nothing of what libvirt knows.
_TELLING = 5
#: Those of which libvirt takes a number as well as a word.
_EITHER = ("max_core",)

Wanted = t.Mapping[str, t.Optional[Value]]


def checked(given: t.Mapping[str, t.Any]) -> dict[str, Value | None]:
    """The settings as libvirt has them; None leaves libvirt's own default. Raises InputError."""
    return {_key(key): _checked(key, value) for key, value in sorted(given.items())}


def _key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise InputError("settings", f"'{key}' is no name of a setting; it has small letters, digits and underscores.")
    if "password" in key:
        raise InputError(
            "settings",
            f"'{key}' is a secret, which Ansible would show in its results; write it into the file by other means.",
            setting=key,
        )
    return key


def _checked(key: str, value: t.Any) -> Value | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return _text(key, value)
    if isinstance(value, (list, tuple)):
        if not all(isinstance(item, str) for item in value):
            raise InputError("settings", f"The list '{key}' has to have text alone.", setting=key)
        return [_text(key, item) for item in value]
    raise InputError(
        "settings", f"'{key}' has to be text, a whole number, true or false, or a list of text.", setting=key
    )


def _text(key: str, value: str) -> str:
    """libvirt knows no way to escape a quote."""
    if any(ord(character) < 32 for character in value) or ('"' in value and "'" in value):
        raise InputError(
            "settings",
            f"The value of '{key}' cannot be written into a file of libvirt: it has both kinds of quotes, or several lines.",
            setting=key,
        )
    return value


def rendered(value: Value) -> str:
    """A value as it stands in the file."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f"'{value}'" if '"' in value else f'"{value}"'
    return f"[ {', '.join(rendered(item) for item in value)} ]" if value else "[]"


def examples(text: str) -> dict[str, str]:
    """The settings that the file shows as comments, with the kind of their value: number, text or list."""
    found: dict[str, str] = {}
    for match in _EXAMPLE.finditer(text):
        value = match["value"].strip()
        kind = "list" if value.startswith("[") else "text" if value[0] in "\"'" else ""
        if not kind and _NUMBER.fullmatch(value.split("#")[0].strip()):
            kind = "number"
        if kind:
            found.setdefault(match["key"], kind)
    return found


def unknown(text: str, wanted: Wanted) -> list[str]:
    """The settings that this host's libvirt does not show in its own file, where that tells. Raises InputError where libvirt takes
    another kind of value: the daemon would not start any more."""
    shown = examples(text)
    for key, value in wanted.items():
        if value is None or key not in shown or key in _EITHER:
            continue
        if (shown[key] == "number") != isinstance(value, int):
            kind = "a number" if shown[key] == "number" else "text"
            raise InputError(
                "settings",
                f"libvirt takes {kind} for '{key}', by the example in its own file; with {rendered(value)} it would not start.",
                setting=key,
            )
    return (
        [key for key, value in wanted.items() if value is not None and key not in shown]
        if len(shown) >= _TELLING
        else []
    )


def changes(file: str, text: str, wanted: Wanted) -> tuple[Change, ...]:
    """What differs from ``wanted``. A setting that stands there twice has to be written anew, whichever libvirt believes."""
    there: dict[str, list[Value]] = {}
    for one in assignments(text):
        there.setdefault(one.key, []).append(one.value)
    return tuple(
        Change(f"{file}: {key}", "remove" if value is None else "set", next(iter(there.get(key, [])), None), value)
        for key, value in wanted.items()
        if (there.get(key, []) != ([] if value is None else [value]))
    )


def rewrite(path: str, text: str, wanted: Wanted) -> str:
    """``text`` with what is wanted. Raises KvmError SETTINGS_DAMAGED where the file is such that it would not come out as asked."""
    for key, value in wanted.items():
        text = _rewrite_one(text, key, value)
    now = parse_settings(text)
    wrong = [key for key, value in wanted.items() if now.get(key) != value]
    if wrong:
        raise KvmError(
            "SETTINGS_DAMAGED",
            f"{path} on this host cannot be changed safely: after '{wrong[0]}' was written it does not say what it should. Look for an "
            "open quote or bracket in it; nothing was changed.",
            path=path,
            settings=wrong,
        )
    return text


def _rewrite_one(text: str, key: str, value: Value | None) -> str:
    there = [one for one in assignments(text) if one.key == key]
    keep = there[:1] if value is not None else []
    for one in reversed(there[len(keep) :]):
        text = _without(text, one.start, one.end)
    if value is None:
        return text
    line = f"{key} = {rendered(value)}"
    if keep:
        return text if keep[0].value == value else text[: keep[0].start] + line + text[keep[0].end :]
    shown = next((match for match in _EXAMPLE.finditer(text) if match["key"] == key), None)
    if shown:
        # In front of the example, which may have several lines.
        return f"{text[: shown.start()]}{line}\n{text[shown.start() :]}"
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"


def _without(text: str, start: int, end: int) -> str:
    """``text`` without a setting, and without its line where nothing else stands there."""
    begin = text.rfind("\n", 0, start) + 1
    stop = text.find("\n", end)
    stop = len(text) if stop < 0 else stop + 1
    if not text[begin:start].strip() and not text[end:stop].strip():
        return text[:begin] + text[stop:]
    return text[:start] + text[end:]
