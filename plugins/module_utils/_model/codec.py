# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Frozen dataclasses <-> plain JSON data, driven by the field types: one way in, one way out."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing as t

T = t.TypeVar("T")

#: Most of all values; they are told by their type at once, for the facts of a host are some ten thousand of them.
_PLAIN = frozenset({str, int, float, bool, type(None)})


def to_data(value: t.Any) -> t.Any:
    """Plain data (dict, list, str, numbers, bool, None) for a model value, key order as declared."""
    kind: t.Any = type(value)
    if kind in _PLAIN:
        return value
    names = _names(kind)
    if names is not None:
        return {name: to_data(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    return value


@functools.cache
def _names(kind: type[t.Any]) -> tuple[str, ...] | None:
    """The fields of a dataclass, None for any other type."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def from_data(cls: type[T], data: t.Mapping[str, t.Any]) -> T:
    """The ``cls`` that ``data`` describes. Unknown keys are ignored (a newer writer), missing ones take their default.

    Raises ValueError where a required field is missing.
    """
    values: dict[str, t.Any] = {}
    for name, hint, required in _fields(t.cast("t.Any", cls)):
        if name in data:
            values[name] = _convert(hint, data[name])
        elif required:
            raise ValueError(f"{cls.__name__} needs '{name}'")
    return cls(**values)


@functools.cache
def _fields(cls: type[t.Any]) -> tuple[tuple[str, t.Any, bool], ...]:
    """Name, type and need of each field. Kept, because a fleet's facts hold some hundred thousand values of few classes."""
    hints = t.get_type_hints(cls)
    return tuple(
        (
            field.name,
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
    )


def _convert(hint: t.Any, value: t.Any) -> t.Any:
    if value is None or hint is str or hint is bool:
        return value
    origin, arguments = t.get_origin(hint), t.get_args(hint)
    if origin is t.Union:
        inner = [argument for argument in arguments if not isinstance(None, argument)]
        return _convert(inner[0], value) if len(inner) == 1 else value
    if origin is tuple:
        return tuple(_convert(arguments[0], item) for item in value)
    if origin is dict:
        return {key: _convert(arguments[1], item) for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_data(t.cast("type[t.Any]", hint), value)
    if hint in (int, float) and isinstance(value, str):
        return hint(value)
    return value


def fingerprint(data: t.Any) -> str:
    """A short stable hash of plain data: equal data gives equal text on every machine."""
    canonical = json.dumps(to_data(data), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:32]
