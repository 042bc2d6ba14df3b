# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark harness: interleaving, pairwise ratios, figure lines."""

from __future__ import annotations

import json
import pathlib

import pytest

from tests.bench import harness


def test_candidates_take_turns_and_the_order_turns_each_round() -> None:
    order: list[str] = []

    def candidate(name: str) -> harness.Candidate:
        def measure(number: int) -> dict[str, float]:
            order.append(f"{name}{number}")
            return {"seconds": 1.0}

        return harness.Candidate(name, measure)

    harness.interleave([candidate("a"), candidate("b")], 3, say=lambda line: None)
    assert order == ["a0", "b0", "b1", "a1", "a2", "b2"]


def test_ratio_is_the_median_of_pairs_of_the_same_round() -> None:
    samples: harness.Samples = {"ours": {"s": [1.0, 8.0, 3.0]}, "theirs": {"s": [2.0, 4.0, 3.0]}}
    assert harness.ratio(samples, "ours", "theirs", "s") == 1.0
    assert harness.median(samples, "ours", "s") == 3.0


@pytest.mark.parametrize("samples", [{}, {"ours": {"s": [1.0]}, "theirs": {"s": [0.0]}}])
def test_a_missing_or_impossible_sample_is_not_measured(samples: harness.Samples) -> None:
    with pytest.raises(harness.NotMeasured):
        harness.ratio(samples, "ours", "theirs", "s")


@pytest.mark.parametrize(
    ("figure", "line", "met"),
    [
        (harness.Figure("wall", 1.1, "ratio", "<=", 1.15), "FIGURE wall 1.100 ratio target <= 1.15", True),
        (harness.Figure("floor", 0.8, "share", ">=", 0.85), "FIGURE floor 0.800 share target >= 0.85", False),
        (harness.Figure("bytes", 3, "MiB"), "FIGURE bytes 3.000 MiB target - -", None),
    ],
)
def test_figure_lines(figure: harness.Figure, line: str, met: bool | None) -> None:
    assert figure.line() == line
    assert figure.met is met


def test_raw_samples_are_kept_outside_git(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTOPS_BENCH_DIR", str(tmp_path))
    path = harness.keep_samples("live", {"a": {"s": [1.0]}}, [harness.Figure("x", 1.0, "s")], {"hosts": 2})
    assert path.parent == tmp_path
    assert json.loads(path.read_text())["samples"] == {"a": {"s": [1.0]}}
