# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./run demo: build the lab, fill one host, evacuate it twice, measure. Leaves nothing behind but the report."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import signal
import sys
import types
import typing as t

from tests.demo.play import ROOT, Played, Terminated, play
from tests.demo.scene import SOURCE, Measured, measure, set_up
from tests.lab import Lab, LabError

NAME = "demo"
HOSTS = 3


def main(words: list[str]) -> int:
    """The exit status: 0 only if all is as it should be."""
    options = _parser().parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        with _lab(options.suite, keep=options.keep) as lab:
            played, measured = _show(lab, options.report_dir.resolve())
    except LabError as error:
        print(f"The demo could not run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    good = all(run.status == 0 for run in played) and played[-1].changed == 0 and measured.good
    print(measured.line(), flush=True)
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run demo", description="Evacuate a real host, in a lab on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave the lab up (./run lab down --name demo removes it)")
    parser.add_argument("--suite", default="trixie", help="Debian release of the hosts: trixie (default) or bookworm")
    parser.add_argument(
        "--report-dir", type=pathlib.Path, default=ROOT / "evacuation-reports", help="where the report goes"
    )
    return parser


@contextlib.contextmanager
def _lab(suite: str, *, keep: bool) -> t.Iterator[Lab]:
    """The demo's own lab; taken down again, whatever happens in between."""
    try:
        yield Lab.up(name=NAME, hosts=HOSTS, suite=suite)
    finally:
        if not keep:
            with _undisturbed():
                Lab(NAME).down()


@contextlib.contextmanager
def _undisturbed() -> t.Iterator[None]:
    """Cleaning up is not interrupted by a second Ctrl-C."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(lab: Lab, reports: pathlib.Path) -> tuple[list[Played], Measured]:
    running, archive = set_up(lab)
    values = {
        "evacuate_source": SOURCE,
        "evacuate_destinations": ":".join(host.name for host in lab.hosts if host.name != SOURCE),
        "evacuate_report_dir": reports,
    }
    with lab.watch(running) as watcher:
        first = play(lab.inventory, "evacuate", values)
        print(f"\nOnce more: a second run has nothing to do and changes nothing.\n{'-' * 72}")
        second = play(lab.inventory, "evacuate", values)
        print("\nStopping the guests and reading back what they wrote ...", flush=True)
        measured = measure(lab, watcher, running, archive)
    _tell(first, second, measured)
    return [first, second], measured


def _tell(first: Played, second: Played, measured: Measured) -> None:
    """What a person should know before the last line."""
    files = first.result.get("files", {})
    print(f"\nfirst run:  exit status {first.status}, changed {first.changed}")
    print(f"second run: exit status {second.status}, changed {second.changed}")
    print(
        f"shut-off domain archive: {'moved, still shut off' if measured.archive_moved else 'is not where it should be'}"
    )
    for note in measured.notes:
        print(f"not as it should be: {note}")
    if "html" in files:
        print(f"The report: file://{files['html']}")


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
