# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Text made safe for HTML: whatever a domain is called, it stays text. Pure."""

from __future__ import annotations

import html

from ansible_collections.virtops.kvm.plugins.module_utils._report import words


def text(value: object) -> str:
    """``value`` as the text of an element."""
    return html.escape(words.plain(value), quote=True)


def attribute(value: object) -> str:
    """``value`` for use between the double quotes of an attribute."""
    return html.escape(words.plain(value), quote=True)
