# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a module's run() hands back, and how that becomes the JSON that Ansible reads."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change, diff_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data


@dataclasses.dataclass(frozen=True)
class Result:
    """``changes`` decides ``changed``; ``values`` are the module's own return values (model values are allowed)."""

    values: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    diff: t.Optional[dict[str, t.Any]] = None
    msg: t.Optional[str] = None


def success(result: Result, *, with_diff: bool, info: bool) -> dict[str, t.Any]:
    """The exit data of a run that went well. An info module announces no changes."""
    data: dict[str, t.Any] = {"changed": bool(result.changes)}
    if not info:
        data["changes"] = [to_data(change) for change in result.changes]
        if with_diff:
            data["diff"] = result.diff if result.diff is not None else diff_of(result.changes)
    if result.msg:
        data["msg"] = result.msg
    data.update(to_data(result.values))
    return data


def failure(error: KvmError) -> dict[str, t.Any]:
    """The exit data of a run that failed in a way the user can act on."""
    return {"msg": error.message, "error_code": error.error_code, "details": to_data(error.details)}
