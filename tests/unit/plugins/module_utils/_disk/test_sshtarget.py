# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users write about another host becomes the command line of ssh, and nothing of it an option."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sshtarget import SshTarget


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("kvm2", SshTarget("kvm2")),
        ("root@kvm2.example.com", SshTarget("kvm2.example.com", "root")),
        ("me@host@kvm2", SshTarget("kvm2", "me@host")),
        ("2001:db8::5", SshTarget("2001:db8::5")),
        ("qemu+ssh://root@kvm2/system", SshTarget("kvm2", "root")),
        ("qemu+ssh://kvm2:2222/system", SshTarget("kvm2", port=2222)),
        ("qemu+ssh://root@[2001:db8::5]:22/system", SshTarget("2001:db8::5", "root", 22)),
        ("qemu+ssh://a%40b@kvm2/system", SshTarget("kvm2", "a@b")),
        (
            "qemu+ssh://kvm2/system?keyfile=/root/key%201&no_verify=1",
            SshTarget("kvm2", keyfile="/root/key 1", verify=False),
        ),
        ("qemu+libssh2://kvm2/system?known_hosts=/etc/known", SshTarget("kvm2", known_hosts="/etc/known")),
        ("qemu+libssh://kvm2/system?known_hosts_verify=ignore", SshTarget("kvm2", verify=False)),
        ("qemu+ssh://kvm2/system?no_verify=0&socket=/x", SshTarget("kvm2")),
        ("ssh://root@kvm2:222", SshTarget("kvm2", "root", 222)),
    ],
)
def test_parse(text: str, target: SshTarget) -> None:
    assert SshTarget.parse(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=x",
        "-x@kvm2",
        "root@-oProxyCommand=x",
        "kvm 2",
        "kvm2\n",
        "qemu+tls://kvm2/system",
        "qemu+tcp://kvm2/system",
        "qemu:///system",
        "qemu+ssh:///system",
        "qemu+ssh://-oProxyCommand=x/system",
        "qemu+ssh://kvm2:port/system",
        'qemu+ssh://kvm2/system?known_hosts=/a"b',
    ],
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(InputError) as caught:
        SshTarget.parse(text)
    assert caught.value.details["option"] == "destination"


def test_words() -> None:
    words = SshTarget("kvm2", "root", 2222, "/key", "/known", verify=False).words(["-N"], "exec true")
    assert words[0] == "ssh"
    assert words[-4:] == ["-N", "--", "root@kvm2", "exec true"]
    line = " ".join(words)
    for part in (
        "BatchMode=yes",
        "ServerAliveInterval=10",
        "-p 2222",
        "-i /key",
        'File="/known"',
        "HostKeyChecking=no",
    ):
        assert part in line
    assert "StrictHostKeyChecking" not in " ".join(SshTarget("kvm2").words())
