#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_settings
short_description: Set settings of libvirt and QEMU, and keep all else that their files say
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Sets single settings in a configuration file of libvirt, such as C(qemu.conf) or C(libvirtd.conf). Comments, order and all other
    settings stay as they are. A new setting goes to the example that libvirt's own file has of it.
  - The file is replaced as a whole and at once, with owner and mode as before, and only after what was written has been read again.
  - Restarts nothing; M(virtops.kvm.libvirt_daemon) does, when the daemon has not seen a file yet.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  file:
    description:
      - The name of the file in C(/etc/libvirt). It is made where it is missing.
    type: str
    choices:
      - libvirt.conf
      - libvirtd.conf
      - network.conf
      - qemu.conf
      - virtlockd.conf
      - virtlogd.conf
      - virtnetworkd.conf
      - virtproxyd.conf
      - virtqemud.conf
      - virtstoraged.conf
    required: true
  settings:
    description:
      - The settings by their names. Text, whole numbers, lists of text, and V(true) and V(false) for V(1) and V(0). Null takes a setting
        out, so that libvirt's own default holds.
      - What libvirt's own example for a setting shows to be a number is refused as text, and the other way round. Passwords are refused.
    type: dict
    required: true
seealso:
  - module: virtops.kvm.libvirt_daemon
"""

EXAMPLES = r"""
- name: Let moves come in over the migration network
  virtops.kvm.libvirt_settings:
    file: qemu.conf
    settings:
      migration_host: 192.0.2.11
      migration_port_min: 49152
      migration_port_max: 49215

- name: Go back to what libvirt does by itself
  virtops.kvm.libvirt_settings:
    file: libvirtd.conf
    settings:
      max_clients: null
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /etc/libvirt/qemu.conf
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The file and the setting.
      type: str
      sample: "qemu.conf: migration_port_min"
    action:
      description: V(set) or V(remove).
      type: str
    before:
      description: The value before; null where there was none.
      type: raw
    after:
      description: The value now; null where there is none.
      type: raw
"""

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._host.files import Files
from ansible_collections.virtops.kvm.plugins.module_utils._host.settings import changes, checked, rewrite, unknown

FILES = (
    "libvirt.conf",
    "libvirtd.conf",
    "network.conf",
    "qemu.conf",
    "virtlockd.conf",
    "virtlogd.conf",
    "virtnetworkd.conf",
    "virtproxyd.conf",
    "virtqemud.conf",
    "virtstoraged.conf",
)


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "file": {"type": "str", "choices": list(FILES), "required": True},
        "settings": {"type": "dict", "required": True},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Files) -> Result:
    """Bring the settings to what is asked for."""
    path = f"/etc/libvirt/{params['file']}"
    wanted = checked(params["settings"])
    text = gateway.read(path) or ""
    strange = unknown(text, wanted)
    wrong = changes(params["file"], text, wanted)
    new = rewrite(path, text, wanted)
    if wrong and not check_mode:
        gateway.replace(path, new, 0o600)
    warnings = tuple(
        f"The libvirt of this host shows no setting '{key}' in its own {path}, and may ignore it." for key in strange
    )
    return Result(values={"path": path}, changes=wrong, warnings=warnings)


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Files)


if __name__ == "__main__":
    main()
