# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A saved plan: whether it still fits the facts, and what changed where it does not."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import PLAN_VERSION, HostFacts, Plan
from ansible_collections.virtops.kvm.plugins.module_utils._placement.fingerprint import changed_parts, parts_of, whole
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions

#: More changes than this are counted, not told.
_TOLD = 5


def read_plan(data: t.Mapping[str, t.Any]) -> Plan:
    """The plan in ``data``. Raises InputError for what is no plan, and for one that another version wrote."""
    try:
        plan = from_data(Plan, data)
        parts = dict(plan.options.get("parts", {}))
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise InputError("saved_plan", f"saved_plan is no plan of this collection ({exc}); make a new one.") from exc
    if plan.version != PLAN_VERSION:
        raise InputError(
            "saved_plan",
            f"saved_plan has version {plan.version} and this collection reads version {PLAN_VERSION}; make a new plan.",
            version=plan.version,
        )
    if not parts or whole(parts) != plan.fingerprint:
        raise InputError("saved_plan", "saved_plan does not say what it rests on, or was altered; make a new plan.")
    return plan


def still_fits(plan: Plan, facts: t.Sequence[HostFacts], sources: t.Sequence[str]) -> Plan:
    """``plan``, when a survey now finds all it rests on unchanged. Raises KvmError PLAN_STALE with what changed."""
    changes = []
    if sources and set(sources) != set(plan.sources):
        changes.append(f"it empties {', '.join(plan.sources)} and you ask for {', '.join(sorted(set(sources)))}")
    by_name = {one.name: one for one in facts}
    changes += [f"host {name} was not surveyed" for name in (*plan.sources, *plan.destinations) if name not in by_name]
    if not changes:
        before = dict(plan.options["parts"])
        now = parts_of(
            PlanOptions(sources=plan.sources),
            [by_name[name] for name in plan.sources],
            [by_name[name] for name in plan.destinations],
        )
        # The options are the plan's own: it was approved with them.
        now["the options"] = before.get("the options", "")
        changes = changed_parts(before, now)
    if changes:
        told = "; ".join(changes[:_TOLD]) + (f"; and {len(changes) - _TOLD} more" if len(changes) > _TOLD else "")
        raise KvmError(
            "PLAN_STALE",
            f"The saved plan for {', '.join(plan.sources)} no longer fits: {told}. Make a new plan, and approve "
            "that one.",
            changes=changes,
            fingerprint=plan.fingerprint,
        )
    return plan
