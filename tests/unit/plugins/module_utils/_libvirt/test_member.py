# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one host contributes: settings without secrets, and the doors of the others."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.member import (
    open_all,
    plain_settings,
    without_questions,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Control


def test_settings_are_text_and_no_secret() -> None:
    settings = {
        "user": "root",
        "max_queued": 3,
        "vnc_password": "x",
        "namespaces": ["mount"],
        "default_tls_x509_secret_uuid": "y",
    }
    assert plain_settings("qemu.conf", settings) == {
        "qemu.conf: max_queued": "3",
        "qemu.conf: namespaces": "mount",
        "qemu.conf: user": "root",
    }


def test_every_door_is_tried_and_each_host_begins_with_the_next() -> None:
    tried: list[str] = []
    lock = threading.Lock()

    def door(uri: str) -> str:
        with lock:
            tried.append(uri)
        return "shut." if uri == "c" else ""

    found = open_all("kvm2", {"kvm1": "a", "kvm3": "c", "kvm4": "d"}, door)
    assert found == (Control("kvm1", "a", True), Control("kvm3", "c", False, "shut."), Control("kvm4", "d", True))
    assert sorted(tried) == ["a", "c", "d"]
    assert open_all("kvm2", {}, door) == ()


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("qemu+ssh://root@kvm1/system", "qemu+ssh://root@kvm1/system?no_tty=1"),
        ("qemu+ssh://root@kvm1/system?keyfile=/k", "qemu+ssh://root@kvm1/system?keyfile=/k&no_tty=1"),
        ("qemu+ssh://root@kvm1/system?no_tty=0", "qemu+ssh://root@kvm1/system?no_tty=0"),
        ("qemu+tls://kvm1/system", "qemu+tls://kvm1/system"),
    ],
)
def test_ssh_asks_nobody(uri: str, wanted: str) -> None:
    assert without_questions(uri) == wanted
