# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every guide is followed from its begin to its end, command by command, by somebody who installed the collection from the checkout."""

from __future__ import annotations

import typing as t

import pytest

from tests.guides.walk import WALKED, Reader
from tests.integration.conftest import lab_name
from tests.lab import Lab, LabError

if t.TYPE_CHECKING:
    import pathlib

FIRST, OWN, SHARED, BARE, ERRORS = WALKED


@pytest.fixture
def own_lab() -> t.Iterator[str]:
    """The name of the lab that the first guide makes, and takes down in its end; taken down here where it did not come so far."""
    name = lab_name("doc")
    yield name
    try:
        Lab.attach(name).down()
    except LabError:
        return


def test_the_first_evacuation(own_lab: str, tmp_path: pathlib.Path) -> None:
    reader = Reader(tmp_path, own_lab)
    reader.follow(FIRST)
    with pytest.raises(LabError):
        Lab.attach(own_lab)


@pytest.fixture
def reader(lab: Lab, hosts: list[str], tmp_path: pathlib.Path) -> Reader:
    """Somebody whose hypervisors are the three hosts of the lab, with the collection installed."""
    assert len(hosts) == 3, "the guides name three hypervisors"
    made = Reader(tmp_path, lab.name)
    made.meets(lab)
    made.install()
    return made


def test_on_your_own_hosts(lab: Lab, reader: Reader) -> None:
    database, web = lab.create_guests("kvm1", [("qcow2", "db01", {}), ("qcow2", "web01", {})])
    reader.follow(OWN)
    assert database.where() == {"kvm1": "running"}
    assert web.where()["kvm3"] == "running"


def test_shared_storage(lab: Lab, reader: Reader) -> None:
    guest = lab.create_guest("kvm1", "shared", name="web01")
    reader.follow(SHARED)
    assert guest.where() == {"kvm2": "running"}


def test_bare_qemu(lab: Lab, reader: Reader) -> None:
    guest = lab.create_bare_guest("kvm1", name="web02")
    guest.make_tap(lab.host("kvm2"))
    reader.follow(BARE)
    assert guest.where() == {"kvm2": "running"}


def test_when_something_fails(lab: Lab, reader: Reader) -> None:
    reader.has_inventory()
    reader.follow(ERRORS)
    assert (reader.folder / "repair-report" / "repair.md").is_file()
