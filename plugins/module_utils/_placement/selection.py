# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Which domains a user's JMESPath expression means. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import query
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain

#: The answer may be domains, or one of these of each.
_NAMES = ("uuid", "name")


def chosen(
    expression: str, domains: t.Sequence[tuple[str, Domain]], option: str, *, may_miss: bool = False
) -> tuple[str, ...]:
    """UUIDs of those ``domains`` (host name, domain) that ``expression``, the user's ``option``, chooses.

    Raises InputError for an answer that names none of them, unless it ``may_miss``.
    """
    rows = [{**to_data(domain), "host": host} for host, domain in domains]
    answer = query.search(expression, rows, option)
    if not isinstance(answer, list) or not all(isinstance(item, (dict, str)) for item in answer):
        raise InputError(option, f"{option} '{expression}' returns no list of domains, names or UUIDs.")
    wanted = {item.get("uuid") if isinstance(item, dict) else item for item in answer}
    found = {row["uuid"] for row in rows if any(row[key] in wanted for key in _NAMES)}
    if wanted and not found and not may_miss:
        raise InputError(option, f"{option} '{expression}' returns nothing that names a domain of the sources.")
    return tuple(sorted(found))


def stopping(params: t.Mapping[str, t.Any], domains: t.Sequence[tuple[str, Domain]]) -> dict[str, t.Any]:
    """Of PlanOptions: what the user decides about domains that do not run, or may be stopped."""
    limit = params["max_stop"]
    if not 0 <= limit < float("inf"):
        raise InputError("max_stop", f"max_stop is {limit}, and must be a number of seconds, or 0 for no limit.")
    # A second run finds those gone that the first one moved, and what is not there needs no permission.
    may_stop = chosen(params["may_stop"], domains, "may_stop", may_miss=True) if params["may_stop"] else ()
    return {"shut_off": params["shut_off"], "may_stop": may_stop, "max_stop": limit}
