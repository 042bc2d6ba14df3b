# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.bench NAME [--rounds N]``: measure, print FIGURE lines, keep the raw samples."""

from __future__ import annotations

import argparse
import importlib
import sys

from tests.bench import harness

NAMES = ("copy", "evacuate", "fleet", "live", "qemu", "seeded")


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark. Exit status 0 when it measured, whatever the figures are; 1 when it could not."""
    parser = argparse.ArgumentParser(prog="run bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument(
        "--rounds", type=int, default=harness.MINIMUM_ROUNDS, help="interleaved rounds (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    bench = importlib.import_module(f"tests.bench.{options.name}")
    try:
        samples, figures, conditions = bench.measure(max(options.rounds, harness.MINIMUM_ROUNDS))
    except harness.NotMeasured as exc:
        print(f"{options.name}: could not measure: {exc}", file=sys.stderr)
        return 1
    path = harness.keep_samples(options.name, samples, figures, conditions)
    print(f"raw samples: {path}")
    for figure in figures:
        print(figure.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
