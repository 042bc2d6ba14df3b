# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readiness and plan over the recorded facts of 100 hosts with 2,000 domains: from the start of ansible-playbook to its end.

Beside them, what Ansible alone takes to hand the same facts to a module that does nothing with them, and the reckoning by itself, in a
process that has the facts already.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t

from tests.bench.harness import Candidate, Figure, NotMeasured, Samples, interleave, median, ratio
from tests.bench.recorded import fleet
from tests.integration.ansible_runs import environment, run_playbook

HOSTS, DOMAINS, SOURCES = 100, 2000, 5
READINESS, PLAN, NOTHING = "readiness", "plan", "nothing"
#: What of the facts the planner knows.
_PLANNERS = ("name", "host", "domains")
#: The reckoning by itself: seconds to take the facts in, to judge them, and to render the three files.
RECKON = """
import json, sys, time
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet import Options, readiness
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Member
from ansible_collections.virtops.kvm.plugins.modules.fleet_readiness import texts

with open(sys.argv[1], encoding="utf-8") as stream:
    facts = json.load(stream)
marks = [time.perf_counter()]
members = [from_data(Member, one) for one in facts]
marks.append(time.perf_counter())
ready = readiness(members, Options(now=time.time()))
marks.append(time.perf_counter())
files = texts(ready, "/nowhere")
marks.append(time.perf_counter())
assert ready.summary.hosts == HOSTS and ready.summary.domains == DOMAINS, ready.summary
print(json.dumps({
    "take_in_seconds": marks[1] - marks[0], "judge_seconds": marks[2] - marks[1], "render_seconds": marks[3] - marks[2],
    "classes": ready.summary.classes, "html_kib": len(files["html"][1]) / 1024,
}))
"""


def task(folder: pathlib.Path, what: str) -> dict[str, t.Any]:
    """The one task of each candidate."""
    facts = f"{{{{ lookup('ansible.builtin.file', '{folder}/{'planner' if what == PLAN else 'facts'}.json') | from_json }}}}"
    if what == READINESS:
        return {"virtops.kvm.fleet_readiness": {"facts": facts, "directory": str(folder / "report")}}
    if what == PLAN:
        return {
            "virtops.kvm.evacuation_plan": {
                "facts": facts,
                "sources": [f"kvm{number:03}" for number in range(1, SOURCES + 1)],
                "on_blocker": "skip",
            }
        }
    # Any module that takes whatever it is given.
    return {"ansible.builtin.ping": {"data": facts}}


def candidate(folder: pathlib.Path, what: str) -> Candidate:
    """One task in a playbook of its own, on this machine."""

    def measure(_round: int) -> dict[str, float]:
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"name": what, **task(folder, what)}]}
        start = time.monotonic()
        run = run_playbook("localhost,", [{**play, "connection": "local"}], timeout=1800)
        seconds = time.monotonic() - start
        if run.status != 0:
            raise NotMeasured(f"the playbook for {what} failed:\n{run.output[-4000:]}")
        return {"seconds": seconds, **(reckon(folder) if what == READINESS else {})}

    return Candidate(what, measure)


def reckon(folder: pathlib.Path) -> dict[str, float]:
    """The reckoning by itself, in a process of its own."""
    env = environment()
    env["PYTHONPATH"] = env.get("ANSIBLE_COLLECTIONS_PATH", "")
    code = RECKON.replace("HOSTS", str(HOSTS)).replace("DOMAINS", str(DOMAINS))
    words = [sys.executable, "-c", code, str(folder / "facts.json")]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotMeasured(f"the reckoning failed:\n{done.stderr}")
    return json.loads(done.stdout)


def measure(rounds: int) -> tuple[Samples, list[Figure], dict[str, t.Any]]:
    """Samples, figures and conditions; no host is needed."""
    facts = fleet(HOSTS, DOMAINS)
    with tempfile.TemporaryDirectory(prefix="virtops-bench-") as name:
        folder = pathlib.Path(name)
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        known = [{key: member[key] for key in _PLANNERS} for member in facts]
        (folder / "planner.json").write_text(json.dumps(known), encoding="utf-8")
        size = (folder / "facts.json").stat().st_size
        samples = interleave([candidate(folder, what) for what in (READINESS, PLAN, NOTHING)], rounds)
    figures = [
        Figure("readiness_seconds", median(samples, READINESS, "seconds"), "s", "<=", 15.0),
        Figure("plan_seconds", median(samples, PLAN, "seconds"), "s", "<=", 15.0),
        Figure("readiness_to_nothing", ratio(samples, READINESS, NOTHING, "seconds"), "ratio"),
        Figure("plan_to_nothing", ratio(samples, PLAN, NOTHING, "seconds"), "ratio"),
        *(
            Figure(f"readiness_{key}", median(samples, READINESS, key), unit)
            for key, unit in (
                ("take_in_seconds", "s"),
                ("judge_seconds", "s"),
                ("render_seconds", "s"),
                ("html_kib", "KiB"),
            )
        ),
        Figure("nothing_seconds", median(samples, NOTHING, "seconds"), "s"),
    ]
    conditions = {
        "hosts": HOSTS,
        "domains": DOMAINS,
        "sources": SOURCES,
        "classes": median(samples, READINESS, "classes"),
        "facts_bytes": size,
    }
    return samples, figures, conditions
