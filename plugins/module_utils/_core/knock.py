# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One TCP probe: whether a port answers, with little patience."""

from __future__ import annotations

import errno
import socket

#: A host in the same data centre answers within milliseconds; this bears a lost SYN.
PATIENCE = 3.0


def result_of(error: OSError | None) -> str:
    """The word for how a connection attempt ended."""
    if error is None:
        return "open"
    if isinstance(error, socket.gaierror):
        return "unresolved"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, socket.timeout) or error.errno == errno.ETIMEDOUT:
        return "timeout"
    return "unreachable"


def probe(address: str, port: int, patience: float = PATIENCE) -> str:
    """Connect to ``port`` at ``address`` and hang up at once: open, refused, timeout, unreachable or unresolved."""
    try:
        with socket.create_connection((address, port), timeout=patience):
            return result_of(None)
    except UnicodeError:
        return "unresolved"
    except OSError as exc:
        return result_of(exc)
