# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The unit file that is the definition of a guest of qemu_guest, on either host: written where nothing is, and removed again.

Shipped to the destination with the agent: the standard library only.
"""

from __future__ import annotations

import os

from ansible_collections.virtops.kvm.plugins.module_utils._core import command, statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

FOLDER = "/etc/systemd/system"
_SECONDS = 60.0


def write(name: str, text: str, enable: bool, folder: str = FOLDER) -> None:
    """Write the unit file, and let it start with the host where that is wanted. Raises NAME_CONFLICT where there is another one."""
    path = os.path.join(folder, name)
    if os.path.lexists(path) and read(name, folder) != text:
        raise KvmError("NAME_CONFLICT", f"There is a unit {name} already that says something else.", unit=name)
    statefile.write_text(path, text, 0o644)
    _systemctl("daemon-reload")
    if enable:
        _systemctl("enable", name)


def remove(name: str, text: str, folder: str = FOLDER) -> None:
    """Take the unit file away, where it says that and nothing else."""
    if read(name, folder) != text:
        return
    _systemctl("disable", name)
    statefile.remove(os.path.join(folder, name))
    _systemctl("daemon-reload")


def read(name: str, folder: str = FOLDER) -> str:
    """What the unit file says; empty where there is none."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def _systemctl(*words: str) -> None:
    what = f"systemctl {' '.join(words)}"
    command.check(["systemctl", "--quiet", *words], "UNIT_FAILED", what, timeout=_SECONDS)
