# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine has that a lab starts on: keys that prove Debian's archives, and packages of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.shell import advice, proves_debian


@pytest.mark.parametrize(
    ("names", "enough"),
    [
        pytest.param(["debian-archive-trixie-automatic.gpg", "debian-archive-keyring.gpg"], True, id="Debian 12"),
        pytest.param(["debian-archive-trixie-automatic.pgp", "debian-archive-keyring.pgp"], True, id="Debian 13"),
        pytest.param(["debian-archive-bookworm-automatic.gpg", "ubuntu-archive-keyring.gpg"], True, id="Ubuntu 24.04"),
        pytest.param(["debian-archive-bullseye-automatic.gpg", "debian-archive-keyring.gpg"], False, id="too old"),
        pytest.param(["ubuntu-archive-keyring.gpg"], False, id="none of Debian's"),
    ],
)
def test_the_keys_of_each_distribution(tmp_path: Path, names: list[str], enough: bool) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert proves_debian(tmp_path) is enough


def test_where_apt_knows_no_such_package_ubuntus_other_part_is_named() -> None:
    assert "universe" in advice("E: Package 'mmdebstrap' has no installation candidate")
    assert "universe" in advice("E: Unable to locate package mmdebstrap")
    assert advice("E: Failed to fetch http://archive.example.com/x.deb") == ""
