# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One domain, where it is and where it would go: what every predicate about a move looks at."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host


@dataclasses.dataclass(frozen=True)
class Pair:
    """One domain, the host it is on and the host it would go to, with the names people know the hosts by.

    ``networks`` and ``bridges`` map names on the source to names on the destination.
    """

    domain: Domain
    source: Host
    destination: Host
    source_name: str
    destination_name: str
    networks: dict[str, str] = dataclasses.field(default_factory=dict)
    bridges: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def move(self) -> str:
        """How messages begin."""
        return f"Cannot move {self.domain.noun} '{self.domain.name}' from {self.source_name} to {self.destination_name}"

    @property
    def about(self) -> str:
        """How warnings begin."""
        return f"Moving {self.domain.noun} '{self.domain.name}' from {self.source_name} to {self.destination_name}"


Fit = t.Callable[[Pair], t.Iterable[Finding]]
