#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: repair_leftover
short_description: Ensure that what an interrupted move left on this host is gone
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Removes one copy in the making (O(path)) that no move goes on with; or ends the half of a guest process (O(guest)) that a move started
    here of which its source knows nothing any more, and removes what that move made.
  - It does so only with proof. A copy has the UUID of its domain in its name, no process of this host has it open, no move of that domain
    is half done here, and no domain here names it. A guest never ran here, by the record of its move and by QEMU's own word.
  - Whether a move on another host still needs it, this host cannot know. M(virtops.kvm.repair_plan) knows, as it sees all hosts.
  - Half-done moves are settled by M(virtops.kvm.domain_migration) and M(virtops.kvm.qemu_migration) with their option C(settle_only).
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
    details:
      - Every proof is made, and nothing is removed.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description: The copy in the making, with the name that a stopped move gave it (C(IMAGE.moving-XXXXXXXX), or its partial).
    type: path
  uuid:
    description: The UUID of the domain whose copy it is.
    type: str
  guest:
    description: The name of the guest process, as the move had it.
    type: str
seealso:
  - module: virtops.kvm.repair_plan
  - module: virtops.kvm.domain_migration
  - module: virtops.kvm.qemu_migration
"""

EXAMPLES = r"""
- name: Remove a copy that no move goes on with
  virtops.kvm.repair_leftover:
    path: /var/lib/libvirt/images/web01.qcow2.moving-0f4b9c1e
    uuid: 0f4b9c1e-8c5a-4b0e-9a61-1c1f2f5d7a10
"""

RETURN = r"""
changes:
  description: What was removed or ended, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The file, or the guest.
      type: str
    action:
      description: V(remove) or V(end).
      type: str
    before:
      description: What it was.
      type: str
    after:
      description: Always null.
      type: str
error_code:
  description:
    - A stable code for the failure. V(IMAGE_IN_USE), V(OWNERSHIP_UNPROVEN) and V(MOVE_RUNNING) mean that nothing was touched;
      V(LEFTOVER_STAYS) names what could not be removed.
  returned: failure
  type: str
  sample: IMAGE_IN_USE
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_act import end_arrival, remove_copy
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_read import has_libvirt


class Gateway:
    """What lies around on this host."""

    def has_copy(self, path: str, uuid: str) -> bool:
        """Whether the copy is there. Raises where it may not be removed."""
        return remove_copy(path, uuid, pretend=True)

    def remove_copy(self, path: str, uuid: str) -> None:
        """Remove it, proven once more."""
        remove_copy(path, uuid, pretend=False)

    def has_half(self, guest: str) -> bool:
        """Whether a half of the guest is there. Raises where it may not be ended."""
        return end_arrival(guest, socket.gethostname(), pretend=True)

    def end_half(self, guest: str) -> None:
        """End it, proven once more."""
        end_arrival(guest, socket.gethostname(), pretend=False)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {"path": {"type": "path"}, "uuid": {"type": "str"}, "guest": {"type": "str"}}


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Remove the copy, or end the half of the guest."""
    guest, path, uuid = params["guest"], params["path"], (params["uuid"] or "").lower()
    if guest is not None and not guest.strip():
        raise InputError("guest", "The option 'guest' is empty; give the name of the guest.")
    name = f"guest {guest}" if guest is not None else path
    if not (gateway.has_half(guest) if guest is not None else gateway.has_copy(path, uuid)):
        return Result(msg=f"{name}: nothing is left of it.")
    if guest is not None:
        change = Change(name, "end", "waits for a move", None)
        if not check_mode:
            gateway.end_half(guest)
    else:
        change = Change(name, "remove", "copy in the making", None)
        if not check_mode:
            gateway.remove_copy(path, uuid)
    return Result(
        changes=(change,), msg=f"{name}: {'would be' if check_mode else 'is'} gone, with all that its move made here."
    )


def main() -> None:
    """Run the module."""
    run_module(
        argument_spec(),
        run,
        Gateway,
        requires=("libvirt", "lxml") if has_libvirt() else (),
        required_one_of=[["path", "guest"]],
        mutually_exclusive=[["path", "guest"], ["uuid", "guest"]],
        required_together=[["path", "uuid"]],
    )


if __name__ == "__main__":
    main()
