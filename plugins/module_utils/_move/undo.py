# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Taking back what a move made on the destination: from its journal alone, so that a later run can do it as well."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, Context


@dataclasses.dataclass(frozen=True)
class Undone:
    """What was removed, and what could not be (with the reason)."""

    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    reason: str = ""


def undo(context: Context, journal: Journal) -> Undone:
    """Remove, in reverse, the images, NVRAM and folders that ``journal`` says its move created on the destination.

    Nothing is touched unless the destination answers and does not know the domain: an image of a domain that may run there is
    never removed. What is left stays in the journal for the next run.
    """
    wanted = [image.path for image in reversed(journal.created_images)]
    if journal.nvram:
        wanted.insert(0, journal.nvram)
    if not wanted and not journal.folders:
        context.record(stage="undone")
        return Undone()
    there = context.gateway.look(DESTINATION, journal.uuid)
    if not there.reachable or there.found:
        why = there.error or f"{there.host} still has the domain ({there.state})"
        context.record(stage="undo", message=why)
        return Undone(left=tuple(wanted), reason=why)
    removed: list[str] = []
    left: list[str] = []
    reason = ""
    for path in wanted:
        try:
            if context.gateway.remove_image(path):
                removed.append(path)
        except KvmError as error:
            left.append(path)
            reason = error.message
    if not left:
        for folder in reversed(journal.folders):
            context.gateway.remove_folder(folder)
    context.record(
        stage="undo" if left else "undone",
        created_images=tuple(image for image in journal.created_images if image.path in left),
        folders=journal.folders if left else (),
        nvram=journal.nvram if journal.nvram in left else None,
        message=reason,
    )
    return Undone(tuple(removed), tuple(left), reason)
