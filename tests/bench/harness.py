# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interleaved measurements: every candidate in turn, round after round, so that a drifting machine hurts all alike.

A benchmark reports medians and ratios of one such run. It fails only when it could not measure.
"""

from __future__ import annotations

import dataclasses
import json
import operator
import os
import pathlib
import statistics
import time
import typing as t

MINIMUM_ROUNDS = 5
_COMPARE: dict[str, t.Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


class NotMeasured(RuntimeError):
    """The benchmark could not measure: a run failed, or a sample is missing."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One way to do the job. ``measure(round)`` does it once and returns its samples by name (seconds, bytes, ms ...)."""

    name: str
    measure: t.Callable[[int], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the result: a value in ``unit`` held against ``target`` by ``op`` (<= or >=); None where there is no target."""

    name: str
    value: float
    unit: str
    op: str | None = None
    target: float | None = None

    def line(self) -> str:
        """``FIGURE name value unit target OP value``."""
        aim = "target - -" if self.op is None or self.target is None else f"target {self.op} {self.target:g}"
        return f"FIGURE {self.name} {self.value:.3f} {self.unit} {aim}"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.op is None or self.target is None:
            return None
        return _COMPARE[self.op](self.value, self.target)


Samples = dict[str, dict[str, list[float]]]


def interleave(candidates: t.Sequence[Candidate], rounds: int, say: t.Callable[[str], None] = print) -> Samples:
    """Run all ``candidates`` once per round; the order turns each round, so none is always first. candidate -> sample -> values."""
    if rounds < 1:
        raise NotMeasured("at least one round is needed")
    samples: Samples = {candidate.name: {} for candidate in candidates}
    for number in range(rounds):
        shift = number % len(candidates)
        for candidate in [*candidates[shift:], *candidates[:shift]]:
            for key, value in candidate.measure(number).items():
                samples[candidate.name].setdefault(key, []).append(float(value))
            latest = ", ".join(f"{key} {values[-1]:.3f}" for key, values in samples[candidate.name].items())
            say(f"round {number + 1}/{rounds}  {candidate.name}: {latest}")
    return samples


def median(samples: Samples, candidate: str, key: str) -> float:
    """The median of one sample of one candidate. Raises NotMeasured where there is none."""
    values = samples.get(candidate, {}).get(key, [])
    if not values:
        raise NotMeasured(f"no sample '{key}' of '{candidate}'")
    return statistics.median(values)


def ratio(samples: Samples, ours: str, theirs: str, key: str) -> float:
    """The median over rounds of ours/theirs, pair by pair of the same round."""
    pairs = list(zip(samples.get(ours, {}).get(key, []), samples.get(theirs, {}).get(key, [])))
    if not pairs or any(other <= 0 for _own, other in pairs):
        raise NotMeasured(f"no pairs of '{key}' for '{ours}' and '{theirs}'")
    return statistics.median(own / other for own, other in pairs)


def keep_samples(
    name: str, samples: Samples, figures: t.Sequence[Figure], conditions: dict[str, t.Any]
) -> pathlib.Path:
    """Write the raw samples as JSON outside git (VIRTOPS_BENCH_DIR, by default the cache directory); returns the file."""
    cache = os.environ.get("VIRTOPS_CACHE", "/var/cache/virtops-kvm")
    folder = pathlib.Path(os.environ.get("VIRTOPS_BENCH_DIR", os.path.join(cache, "bench")))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    record = {
        "bench": name,
        "conditions": conditions,
        "samples": samples,
        "figures": [dataclasses.asdict(figure) for figure in figures],
    }
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path
