# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The files of a host's configuration: read, and replaced as a whole with owner and mode as they were."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import Ownership, apply, read


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of this host. Tests give it a small tree of their own as ``root``."""

    root: str = "/"

    def at(self, path: str) -> str:
        """Where ``path`` really is."""
        return os.path.join(self.root, path.lstrip("/"))

    def read(self, path: str) -> str | None:
        """The text of a file; None where there is none. Raises SETTINGS_UNREADABLE."""
        try:
            with open(self.at(path), encoding="utf-8", newline="") as stream:
                return stream.read()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as exc:
            raise KvmError(
                "SETTINGS_UNREADABLE",
                f"{path} on this host cannot be read: {getattr(exc, 'strerror', None) or 'it is no UTF-8 text'}. It has to be a readable "
                "text file; run the task as root.",
                path=path,
            ) from exc

    def owner(self, path: str) -> Ownership | None:
        """Owner and mode of a file; None where there is none."""
        return read(self.at(path)) if os.path.exists(self.at(path)) else None

    def replace(self, path: str, text: str, mode: int, owner: Ownership | None = None) -> None:
        """Replace a file at once. Without ``owner`` one that is there keeps owner and mode; ``mode`` is for a new one."""
        # A link stays one: its file is replaced.
        place = os.path.realpath(self.at(path))
        before = owner or (read(place) if os.path.exists(place) else Ownership(mode=mode))
        statefile.write_text(place, text, 0o600)
        apply(place, before)

    def remove(self, path: str) -> None:
        """Remove a file."""
        statefile.remove(self.at(path))

    def changed_at(self, path: str) -> float | None:
        """When a file was written last; None where there is none."""
        try:
            return os.stat(self.at(path)).st_mtime
        except OSError:
            return None

    def list(self, folder: str) -> t.Sequence[str]:
        """The names in a folder; none where there is no folder."""
        try:
            return sorted(os.listdir(self.at(folder)))
        except OSError:
            return ()
