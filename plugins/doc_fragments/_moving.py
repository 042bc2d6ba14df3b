# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    # Must be kept in step with plugins/module_utils/_ansible/specs.py.
    DOCUMENTATION = r"""
options:
  bandwidth:
    description: Limit in MiB/s, for the memory and for each disk; V(0) for no limit.
    type: int
    default: 0
  auto_converge:
    description: Slow the guest down when it writes memory faster than it can be sent.
    type: bool
    default: false
  parallel_connections:
    description: Number of connections for memory (multifd); V(0) for the usual single stream.
    type: int
    default: 0
  on_controller_loss:
    description:
      - What becomes of the move when its controller is gone, because it was killed (as AWX does with a job that is cancelled) or lost its
        link to the source. V(finish) lets the move end by itself, and another run picks up what came of it.
      - V(abort) ends it as Ctrl-C does, when nothing was heard of the controller for 60 seconds. What is past the switch ends by itself.
      - With C(async), and where the module is not started by its action plugin, V(abort) ends the move after these 60 seconds.
    type: str
    choices: [finish, abort]
    default: finish
  settle_only:
    description:
      - Begin no move. Only finish or take back the move to O(destination) that an earlier run left half done, as a run without this option
        would before it begins another; where none is, nothing is done. Other options say nothing then.
    type: bool
    default: false
  progress_id:
    description:
      - Name of the file in C(/run/virtops-kvm/progress) that tells the progress on the source; letters, digits, V(-) and V(_). Chosen by
        itself when not given.
    type: str
  progress_interval:
    description: Seconds between two lines of progress; V(0) for none.
    type: float
    default: 5
"""
