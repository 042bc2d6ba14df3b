# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether the method asked for can move the domain; the choice is in ``_model.method``, for the planner too."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import (
    STOPPED_METHODS,
    Choice,
    choose_method,
    may_not_stop,
)

__all__ = ["Choice", "check_method", "choose_method"]


def check_method(facts: CheckFacts) -> t.Iterator[Finding]:
    """NOT_ACTIVE, METHOD_UNSUITABLE, MAY_NOT_STOP."""
    choice = facts.choice
    if choice.finding is not None:
        yield choice.finding
    if choice.method in STOPPED_METHODS and facts.domain.active and not facts.may_stop:
        yield may_not_stop(facts.pair.move, facts.domain, choice.method)
