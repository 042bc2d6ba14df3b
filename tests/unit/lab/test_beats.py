# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pauses, acknowledged records and two copies, out of a stream of beats."""

from __future__ import annotations

from typing import Any

from tests.lab.beats import REPEATS, Stream


def beat(counter: int, boot: str = "a", skew: int = 0, acknowledged: tuple[int, ...] = (0,)) -> dict[str, Any]:
    clock = counter * 20 + skew
    return {"k": "beat", "b": boot, "c": counter, "m": clock, "t": clock + 10**12, "a": list(acknowledged), "e": [0]}


def stream_of(*beats: tuple[float, dict[str, Any]]) -> Stream:
    stream = Stream("10.77.1.101")
    for arrived, one in beats:
        stream.feed(one, arrived)
    return stream


def test_the_longest_gap_between_arrivals_is_the_pause() -> None:
    report = stream_of((1.0, beat(1)), (1.02, beat(2)), (1.52, beat(3)), (1.54, beat(4))).report(1.55)
    assert report["longest_pause_ms"] == 500.0
    assert report["longest_pause_at"] == 1.02
    assert report["pauses"] == [{"from": 1.02, "ms": 500.0}]


def test_a_silence_that_lasts_counts() -> None:
    report = stream_of((1.0, beat(1)), (1.02, beat(2))).report(4.02)
    assert report["longest_pause_ms"] == 3000.0
    assert report["longest_ended_pause_ms"] == 20.0


def test_lost_beats_are_a_pause_not_two_copies() -> None:
    report = stream_of((1.0, beat(1)), (2.0, beat(50))).report(2.0)
    assert report["longest_pause_ms"] == 1000.0
    assert report["two_copies"] is False


def test_acknowledged_numbers_never_go_back() -> None:
    stream = stream_of((1.0, beat(1, acknowledged=(5, 6))), (1.1, beat(2, boot="b", acknowledged=(0, 0))))
    assert stream.report(1.1)["acknowledged"] == [5, 6]


def test_a_reboot_is_not_two_copies() -> None:
    report = stream_of((1.0, beat(500)), (5.0, beat(1, boot="b")), (5.02, beat(2, boot="b"))).report(5.02)
    assert report["two_copies"] is False
    assert report["boots"] == ["a", "b"]


def test_two_copies_that_count_on_from_the_same_point() -> None:
    report = stream_of((1.0, beat(1)), (1.02, beat(2)), (1.03, beat(2, skew=7)), (1.04, beat(3))).report(1.04)
    assert report["two_copies"] is True
    assert report["evidence"][0]["what"] == "the same counter with other clocks"


def test_a_copy_that_is_behind() -> None:
    report = stream_of((1.0, beat(1)), (1.5, beat(30)), (1.51, beat(10))).report(1.51)
    assert [one["what"] for one in report["evidence"]] == ["the counter went backwards"]


def test_an_earlier_boot_that_is_back() -> None:
    report = stream_of((1.0, beat(1)), (2.0, beat(1, boot="b")), (2.1, beat(2))).report(2.1)
    assert [one["what"] for one in report["evidence"]] == ["an earlier boot is back"]


def test_one_repeated_datagram_is_the_network_many_are_two_senders() -> None:
    once = stream_of((1.0, beat(1)), (1.0, beat(1)))
    assert once.report(1.0)["two_copies"] is False
    often = Stream("x")
    for number in range(REPEATS):
        often.feed(beat(number), 1.0 + number)
        often.feed(beat(number), 1.0 + number)
    assert often.report(20.0)["two_copies"] is True
