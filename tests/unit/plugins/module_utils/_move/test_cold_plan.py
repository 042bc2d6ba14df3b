# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a disk of a stopped domain becomes on the way between files and devices."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Domain, Layer
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_files import NearFile
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_plan import disk_pieces
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping

FILE, DEVICE = "/srv/web01", "/dev/vg/web01"
VIRTUAL, LENGTH = 8 << 20, 3 << 20


def piece(source: str, form: str, path: str, *, flatten: bool = False, snapshots: int = 0, **disk: t.Any) -> t.Any:
    kind = "block" if source.startswith("/dev/") else "file"
    one = Disk("vda", kind, source=source, format=form, virtual_size=VIRTUAL, **disk)
    domain = Domain(
        "web01", "0b9a2d8c-9df1-4d9b-8a8e-0f3f6f3c1a11", "shutoff", disks=(one,), snapshots=("before",) * snapshots
    )
    mapping = Mapping(disks={"vda": path})
    found = disk_pieces(domain, ["vda"], mapping, lambda near: NearFile(near, LENGTH, LENGTH), flatten=flatten)
    return found[-1]


@pytest.mark.parametrize(
    ("source", "form", "path", "formats"),
    [
        (FILE, "qcow2", FILE, ("bytes", "bytes")),
        (FILE, "raw", DEVICE, ("bytes", "bytes")),
        (FILE, "qcow2", DEVICE, ("qcow2", "raw")),
        (DEVICE, "raw", DEVICE, ("bytes", "bytes")),
        (DEVICE, "raw", FILE, ("bytes", "bytes")),
        (DEVICE, "raw", f"{FILE}.qcow2", ("raw", "qcow2")),
        # A device that holds a qcow2 image goes on to do so.
        (DEVICE, "qcow2", DEVICE, ("bytes", "bytes")),
    ],
)
def test_what_a_disk_becomes(source: str, form: str, path: str, formats: tuple[str, str]) -> None:
    found = piece(source, form, path)
    assert (found.source_format, found.format) == formats
    assert found.size == (VIRTUAL if formats == ("qcow2", "raw") else LENGTH)


def test_snapshots_and_chains_go_as_they_are_unless_flattened() -> None:
    layer = Layer("/srv/base", "qcow2")
    assert piece(FILE, "qcow2", DEVICE, snapshots=1).format == "bytes"
    assert piece(FILE, "qcow2", DEVICE, backing_chain=(layer,)).format == "bytes"
    flat = piece(FILE, "qcow2", DEVICE, flatten=True, backing_chain=(layer,))
    assert (flat.source_format, flat.format, flat.size) == ("qcow2", "raw", VIRTUAL)
    assert piece(FILE, "qcow2", FILE, flatten=True, backing_chain=(layer,)).format == "qcow2"
