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
  compression:
    description: Compress memory on its way. V(zlib) and V(zstd) need O(parallel_connections).
    type: str
    choices: [none, xbzrle, zlib, zstd]
    default: none
  source_slots:
    description:
      - How many moves, of domains and of guest processes together, may leave the source at a time; V(0) for no limit. Others wait.
      - A live move of a domain whose disks (or memory, where no disk is copied) are through but for two seconds lets the next one begin,
        so that the link is not idle between them. No more than this many moves are in that last phase.
    type: int
    default: 2
  destination_slots:
    description:
      - How many moves, of domains and of guest processes together, may come to the destination at a time, from whatever source; V(0) for
        no limit. Others wait.
    type: int
    default: 2
  service:
    description:
      - A service of the guest that the controller asks again and again from before the move until after it. RV(service) then tells for
        how long it did not answer. In check mode it is asked once.
      - With C(async), and where the module is not started by its action plugin, nobody asks.
    type: dict
    suboptions:
      type:
        description: Whether to ping an address, connect to a port by TCP, or get a page, which counts with any status below 500.
        type: str
        choices: [ping, tcp, http]
        required: true
      address:
        description: The name or address, for V(ping) and V(tcp).
        type: str
      port:
        description: The port, for V(tcp).
        type: int
      url:
        description: The page, for V(http).
        type: str
      interval:
        description: Seconds between two questions.
        type: float
        default: 0.1
      timeout:
        description: Seconds that each may take.
        type: float
        default: 2
  on_controller_loss:
    description:
      - What becomes of the move when its controller is gone, because it was killed (as AWX does with a job that is cancelled) or lost its
        link to the source. V(finish) lets the move end by itself, and another run picks up what came of it.
      - V(abort) ends it as Ctrl-C does, when nothing was heard of the controller for 60 seconds; a guest that the move stopped runs again
        on the source then. What is past the switch ends by itself.
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
