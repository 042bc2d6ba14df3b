# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest process takes the variables of its firmware along, live and with a stop, and leaves a medium behind where that is asked."""

from __future__ import annotations

import typing as t

from tests.integration.qemu.trips import clean, exists, move, ready, runs_on
from tests.lab.guest.shapes import Disk, iso_path
from tests.lab.host import IMAGES

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest

CODE, TEMPLATE = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"


def media(guest: BareGuest) -> list[str]:
    """The files in the drives whose medium can be changed."""
    return [one["inserted"]["file"] for one in guest.qmp("query-block") if one["removable"] and one.get("inserted")]


def test_variables_of_the_firmware_and_a_medium(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    name, variables = "firm", f"{IMAGES}/firm_VARS.fd"
    lab.host(here).run(["cp", TEMPLATE, variables])
    flash = ("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={CODE}")
    flash += ("-drive", f"if=pflash,format=raw,unit=1,file={variables}")
    guest = lab.create_bare_guest(
        here, name, machine="q35", memory_mib=192, disks=(Disk("qcow2"),), iso=True, extra=flash
    )
    ready(lab, guest)
    assert media(guest) == [iso_path(name)]

    # It fails after the medium went: that is back.
    lab.fault.close(there)
    failed = move(lab, guest, here, there, media="eject")
    lab.fault.open(there)
    assert failed["error_code"] == "PORT_BLOCKED", failed
    assert media(guest) == [iso_path(name)]
    runs_on(guest, here)
    clean(lab, guest, there)

    moved = move(lab, guest, here, there, media="eject")
    assert moved.get("outcome") == "moved", moved
    runs_on(guest, there)
    assert media(guest) == []
    assert not exists(lab.host(there), iso_path(name))
    written = lab.host(here).fetch(variables)
    assert written != lab.host(here).fetch(TEMPLATE), "the firmware wrote nothing"
    assert lab.host(there).fetch(variables) == written

    # With a stop the copies are those of the source, too; what was left here makes way.
    off = move(lab, guest, there, here, method="offline", may_stop=True, source_disks="delete")
    assert off.get("outcome") == "moved", off
    runs_on(guest, here)
    assert not exists(lab.host(there), variables)
    assert lab.verify(guest, here).clean
