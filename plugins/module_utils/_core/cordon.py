# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The cordon: a mark on a host that no domain is to be placed there. It survives a reboot."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

PATH = "/var/lib/virtops-kvm/cordon.json"


@dataclasses.dataclass(frozen=True)
class Cordon:
    """Why the host is cordoned, and since when (seconds since the epoch)."""

    reason: str = ""
    since: float | None = None


def read_cordon(path: str = PATH) -> Cordon | None:
    """The host's cordon, None where it has none. A mark that cannot be understood is a mark all the same."""
    try:
        data = statefile.read_json(path)
    except KvmError:
        return Cordon(reason="unreadable record")
    except OSError as exc:
        raise KvmError("STATE_UNREADABLE", f"The record {path} cannot be read: {exc.strerror}.", path=path) from exc
    if data is None:
        return None
    if not isinstance(data, dict):
        return Cordon(reason="unreadable record")
    since = data.get("since")
    return Cordon(str(data.get("reason") or ""), float(since) if isinstance(since, (int, float)) else None)


def write_cordon(cordon: Cordon, path: str = PATH) -> None:
    """Set the mark. Anyone may read it."""
    _write(path, {"reason": cordon.reason, "since": cordon.since})


def _write(path: str, data: t.Any) -> None:
    try:
        statefile.write_json(path, data, mode=0o644)
    except OSError as exc:
        raise KvmError(
            "STATE_UNWRITABLE",
            f"The record {path} cannot be written: {exc.strerror}. Run as root on a host whose /var can be written.",
            path=path,
        ) from exc


def remove_cordon(path: str = PATH) -> None:
    """Take the mark away."""
    try:
        statefile.remove(path)
    except OSError as exc:
        raise KvmError("STATE_UNWRITABLE", f"The record {path} cannot be removed: {exc.strerror}.", path=path) from exc
