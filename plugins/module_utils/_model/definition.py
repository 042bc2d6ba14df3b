# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What libvirt makes of a document, and what defining it would change."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Normalized:
    """What libvirt makes of a document: ``xml`` with all that it adds, or ``error``, the reason why it refuses it.

    ``ignored`` is what its schema has against the document: libvirt passes over elements that it does not know.
    """

    xml: t.Optional[str] = None
    error: t.Optional[str] = None
    code: t.Optional[int] = None
    ignored: t.Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What defining a document would do.

    ``xml`` is what to hand to libvirt, ``after`` the definition that results (with marks where libvirt makes something
    up), ``differences`` what that changes, one line each; a domain that is new has none, and is ``new``.
    """

    xml: str
    after: str
    differences: tuple[str, ...] = ()
    new: bool = False
    ignored: t.Optional[str] = None

    @property
    def changes(self) -> bool:
        """Whether there is anything to define."""
        return self.new or bool(self.differences)
