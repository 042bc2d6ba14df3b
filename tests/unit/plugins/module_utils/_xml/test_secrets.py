# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets are found wherever they may be, and hidden without hiding that they changed."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import exact_texts, strict_differences
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import without_secrets
from ansible_collections.virtops.kvm.plugins.module_utils._xml.secrets import hide, scrub, secrets

QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
PLACES = [
    "<domain><devices><graphics type='vnc' passwd='geheim12'/></devices></domain>",
    "<domain><devices><disk><source><cookies><cookie name='a'>geheim12</cookie></cookies></source></disk></devices></domain>",
    "<domain><launchSecurity type='sev'><session>geheim12</session></launchSecurity></domain>",
    f"<domain {QEMU}><qemu:commandline><qemu:env name='API_TOKEN' value='geheim12'/></qemu:commandline></domain>",
    f"<domain {QEMU}><qemu:commandline><qemu:arg value='secret,id=s,data=geheim12'/></qemu:commandline></domain>",
    "<domain><metadata><a:b xmlns:a='urn:a'><a:adminPassword>geheim12</a:adminPassword></a:b></metadata></domain>",
    "<domain><metadata><a:b xmlns:a='urn:a' root_password='geheim12'/></metadata></domain>",
]


@pytest.mark.parametrize("xml", PLACES)
def test_found_hidden_and_compared(xml: str) -> None:
    other = xml.replace("geheim12", "anders12")
    root = parse(xml)
    assert secrets(root) == {"geheim12"}
    hide(root)
    assert "geheim12" not in render(root)
    assert "geheim12" not in without_secrets(xml)
    assert strict_differences(xml, xml) == []
    found = "\n".join([*strict_differences(xml, other), *exact_texts(xml, other)])
    assert strict_differences(xml, other)
    assert "geheim12" not in found
    assert "anders12" not in found


@pytest.mark.parametrize(
    "xml",
    [
        "<domain><devices><disk><auth username='u'><secret type='ceph' uuid='x'/></auth></disk></devices></domain>",
        f"<domain {QEMU}><qemu:commandline><qemu:env name='ID' value='wibble'/></qemu:commandline></domain>",
        "<domain><devices><graphics keymap='de'/></devices></domain>",
    ],
)
def test_what_is_no_secret_stays(xml: str) -> None:
    assert secrets(parse(xml)) == set()


def test_two_that_change_places_differ() -> None:
    one = (
        "<domain><devices><graphics type='vnc' passwd='aaaa'/><graphics type='spice' passwd='bbbb'/></devices></domain>"
    )
    two = one.replace("aaaa", "x").replace("bbbb", "aaaa").replace("x", "bbbb")
    assert len(strict_differences(one, two)) == 2


def test_messages_are_scrubbed() -> None:
    assert scrub("bad password geheim12 in x", {"geheim12", "x"}) == "bad password ******** in x"
