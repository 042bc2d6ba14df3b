# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The one exception root of the collection, and the stable error codes a user may rely on."""

from __future__ import annotations

import typing as t


class KvmError(Exception):
    """Something a user can cause or must act on.

    ``message`` is one sentence that names the object, the host, the cause and the remedy.
    ``error_code`` is stable (upper case, documented); ``details`` holds plain JSON data.
    """

    def __init__(self, error_code: str, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.message = message
        self.details = details


class InputError(KvmError):
    """An option's value that cannot be used; nothing was changed."""

    def __init__(self, option: str, message: str, **details: t.Any) -> None:
        super().__init__("INVALID_OPTION", message, option=option, **details)


class TimeoutExpired(KvmError):
    """A condition did not come true in time; ``last`` is the last state seen."""

    def __init__(self, what: str, seconds: float, last: t.Any = None) -> None:
        super().__init__(
            "TIMEOUT",
            f"Waited {seconds:g} s for {what}, in vain; the last state seen was: {last}.",
            seconds=seconds,
            last=last,
        )
