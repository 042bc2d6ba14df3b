# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verbs of ./run."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import types
import typing as t

from tests.tools import lint, machine, suites, venvs
from tests.tools.ground import REPOSITORY, CommandFailed, Refusal, base_environment, require_root, say
from tests.tools.outcome import AT_ONCE, Check, Outcome, run_all

HELP = """\
usage: ./run VERB [ARGUMENT ...]

  demo [OPTION ...]            build the lab, fill one host with guests, evacuate it, name the report
  lab up|down|status|shell HOST|guest NAME ...
                               the hosts and guests to try things on
  bench NAME                   measure against what one would type instead; prints FIGURE lines
  test                         all of the following; the last line is "N passed, M failed, K skipped"
  test lint [NAME ...]         the linters: {linters}
  test unit [WORD ...]         ansible-test units for the plugins, pytest for the rest; with words pytest alone, which gets them
  test sanity [WORD ...]       ansible-test sanity with the oldest and the newest ansible-core
  test integration [TARGET]    tests in the lab
  help                         this page

All of it may be interrupted and started again. What is missing is installed, and said: packages by apt, Python
packages by pip into $VIRTOPS_CACHE (/var/cache/virtops-kvm, or ~/.cache/virtops-kvm without root).
demo, lab, bench and test integration need root.
"""

PARTS = ("lint", "unit", "sanity", "integration")


def main(words: list[str]) -> int:
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return dispatch(words[0] if words else "help", words[1:])
    except (Refusal, CommandFailed) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def dispatch(verb: str, words: list[str]) -> int:
    if verb in ("help", "--help", "-h"):
        print(HELP.format(linters=", ".join(lint.CHECKS)), end="")
        return 0
    if verb == "test":
        return test(words)
    if verb == "lab":
        require_root("The lab")
        replace_with([sys.executable, "-m", "tests.lab", *words], base_environment())
    if verb in ("demo", "bench"):
        require_root(f"./run {verb}")
        venv = venvs.ensure(venvs.MAIN)
        replace_with([str(venv.python), "-m", f"tests.{verb}", *words], venv.environment())
    raise Refusal(f"There is no verb '{verb}'; ./run help lists them.")


def replace_with(words: list[str], env: dict[str, str]) -> t.NoReturn:
    """Go on as another program, so that signals and the exit status are its own."""
    sys.stdout.flush()
    os.chdir(REPOSITORY)
    os.execve(words[0], words, env)


def test(words: list[str]) -> int:
    """Run the parts that are asked for; none keeps another from running."""
    part, rest = (words[0], words[1:]) if words else ("all", [])
    if part not in ("all", *PARTS):
        raise Refusal(f"There is no part '{part}' of the tests; there are: {', '.join(PARTS)}.")
    if part in ("all", "integration"):
        require_root("./run test" if part == "all" else "./run test integration")
    strange = sorted(set(rest) - set(lint.CHECKS)) if part == "lint" else []
    if strange:
        raise Refusal(f"There is no linter '{strange[0]}'; there are: {', '.join(lint.CHECKS)}.")
    in_lab = suites.integration(rest) if part in ("all", "integration") else []
    machine.pythons()
    total = Outcome()
    if part != "integration":
        machine.need("git", "libmagic1", "shellcheck")
        with contextlib.ExitStack() as locks:
            # Beside the others, and not one of those that share the processors out.
            ahead = [suites.ahead()] if in_lab else []
            total += run_all([*ahead, *_in_copies(part, rest, locks)], at_once=AT_ONCE + len(ahead))
    total += run_all(in_lab, at_once=1)
    say(f"{total}")
    return 0 if total.failed == 0 and total.passed > 0 else 1


def _in_copies(part: str, words: list[str], locks: contextlib.ExitStack) -> list[Check]:
    """The checks that need no lab, those first that take longest."""
    lanes = suites.Lanes(locks)
    makers: dict[str, t.Callable[[], list[Check]]] = {
        "sanity": lambda: suites.sanity(words, lanes),
        "lint": lambda: lint.checks(words, locks),
        "unit": lambda: suites.unit(words, lanes),
    }
    return [check for name, make in makers.items() if part in ("all", name) for check in make()]


def _terminated(number: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
