# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Names and UUIDs on the destination."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.namesake import same_name_findings, same_uuid_findings


def check_uuid(facts: CheckFacts) -> t.Iterator[Finding]:
    """ALREADY_RUNNING_ON_DESTINATION, UUID_CONFLICT."""
    if facts.same_uuid is not None:
        yield from same_uuid_findings(facts.pair, facts.same_uuid)


def check_name(facts: CheckFacts) -> t.Iterator[Finding]:
    """NAME_CONFLICT."""
    if facts.same_name is not None:
        yield from same_name_findings(facts.pair, facts.same_name)
