# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service is described without doubt, and the time between its answers is counted as it was."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.service import Service, Tally

TCP: dict[str, t.Any] = {"type": "tcp", "address": "192.0.2.7", "port": 80}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (TCP, "tcp 192.0.2.7:80"),
        ({**TCP, "port": "80", "interval": None}, "tcp 192.0.2.7:80"),
        ({"type": "ping", "address": "web01"}, "ping web01"),
        ({"type": "http", "url": "https://me:geheim@web01:8443/health?key=geheim"}, "https://web01:8443/health"),
    ],
)
def test_a_service_is_named_without_its_secrets(data: dict[str, t.Any], name: str) -> None:
    assert Service.from_user(data).name == name


@pytest.mark.parametrize(
    "data",
    [
        "web01",
        {},
        {"type": "udp", "address": "web01"},
        {"type": "ping"},
        {"type": "ping", "address": "web 01"},
        {"type": "tcp", "address": "web01"},
        {**TCP, "port": 65536},
        {**TCP, "port": "http"},
        {"type": "http", "url": "web01/health"},
        {**TCP, "interval": 0.001},
        {**TCP, "interval": 3},
        {**TCP, "timeout": 61},
        {**TCP, "adress": "web01"},
    ],
)
def test_what_cannot_be_asked_is_refused(data: t.Any) -> None:
    with pytest.raises(InputError):
        Service.from_user(data)


@pytest.mark.parametrize(
    ("answers", "since", "pause", "back"),
    [
        ([], 5.0, None, False),
        ([1.0], 5.0, None, False),
        ([1.0, 1.1, 1.4, 1.5], 1.5, 300, True),
        ([1.0, 1.1, 3.1, 3.2], 5.0, 2000, False),
        ([1.0, 3.0, 2.9, 3.1], 3.0, 2000, True),
    ],
)
def test_the_longest_time_between_two_answers_counts(
    answers: list[float], since: float, pause: int | None, back: bool
) -> None:
    tally = Tally()
    for at in answers:
        tally.answer(at)
    seen = tally.seen(Service.from_user(TCP), since=since)
    assert (seen.pause_ms, seen.back, seen.answered) == (pause, back, len(answers))
    assert bool(seen.warning) is not back
