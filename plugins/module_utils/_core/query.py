# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""JMESPath over plain data: the only place that imports jmespath."""

from __future__ import annotations

import traceback
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError

try:
    import jmespath
    from jmespath.exceptions import JMESPathError
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None


def compiled(expression: str, option: str) -> None:
    """Make sure that ``expression`` can be read. Raises as search() does."""
    _needed()
    try:
        jmespath.compile(expression)
    except JMESPathError as exc:
        raise _unusable(expression, option, exc) from exc


def search(expression: str, data: t.Any, option: str = "select") -> t.Any:
    """The answer of the JMESPath ``expression`` for ``data``. ``option`` names the user's option in an InputError."""
    _needed()
    try:
        return jmespath.search(expression, data)
    except JMESPathError as exc:
        raise _unusable(expression, option, exc) from exc


def _needed() -> None:
    if IMPORT_ERROR is not None:
        raise KvmError(
            "MISSING_LIBRARY",
            "The Python library jmespath is not installed where this module runs; install python3-jmespath and run again.",
            library="jmespath",
        )


def _unusable(expression: str, option: str, error: Exception) -> InputError:
    return InputError(
        option,
        f"The JMESPath expression in '{option}' cannot be used: {' '.join(str(error).split())}.",
        expression=expression,
    )


def selected(expression: str, rows: list[t.Any], option: str = "select") -> list[t.Any]:
    """The answer of ``expression`` for ``rows``, always as a list: one of another kind is its only item, null is none."""
    answer = search(expression, rows, option)
    if answer is None:
        return []
    return answer if isinstance(answer, list) else [answer]
