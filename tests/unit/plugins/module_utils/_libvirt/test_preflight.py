# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a preflight probes: never the ports at which another move may wait for its stream."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.preflight import Request, stream_ports
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Endpoint


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (Endpoint(), (49214, 49215)),
        (Endpoint(port_min=5000, port_max=5100), (5099, 5100)),
        (Endpoint(port_min=5000, port_max=5000), (5000,)),
    ],
)
def test_the_last_ports_of_the_range_are_probed(endpoint: Endpoint, expected: tuple[int, ...]) -> None:
    assert stream_ports(endpoint, Request("kvm2")) == expected


def test_a_port_that_was_asked_for_is_not_probed_and_the_range_only_where_disks_go() -> None:
    assert stream_ports(Endpoint(), Request("kvm2", port=49300, method="live_shared")) == ()
    assert stream_ports(Endpoint(), Request("kvm2", port=49300)) == (49214, 49215)
