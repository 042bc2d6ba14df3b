# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Argument specifications that several modules share, one function per doc fragment."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import LOCAL_URI


def connection_spec() -> dict[str, t.Any]:
    """The options of the doc fragment _connection; must be kept in step with it."""
    return {"uri": {"type": "str", "default": LOCAL_URI}}
