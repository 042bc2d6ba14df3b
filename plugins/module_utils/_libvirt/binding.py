# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""libvirt-python, imported here and nowhere else, and only where it is installed."""

from __future__ import annotations

import traceback
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

try:
    import libvirt
except ImportError:
    libvirt = None
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None


def library() -> t.Any:
    """The libvirt module. Raises KvmError MISSING_LIBRARY where it is not installed."""
    if libvirt is None:
        raise KvmError(
            "MISSING_LIBRARY",
            "The Python library libvirt is not installed where this module runs; install python3-libvirt and run again.",
            library="libvirt",
        )
    return libvirt


def constant(name: str) -> int | None:
    """libvirt's constant ``name``, or None where this libvirt does not have it (so a capability is probed, not guessed)."""
    return getattr(library(), name, None)
