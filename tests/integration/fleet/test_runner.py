# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves as AWX runs them: by ansible-runner, from the thin project, with what their surveys send, read by their events, and cancelled in
the middle.

ansible-runner cancels by SIGKILL to the process group of ansible-playbook. Where that is a container, all processes in it end; else
newer ansible-core has its workers in sessions of their own, which live on.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import typing as t

import yaml

from tests.integration.ansible_runs import ROOT, environment
from tests.integration.moves import (
    SLOW,
    arrived,
    job,
    kill_tree,
    mirroring,
    nothing_left,
    slow_guest,
    stage,
    still_here,
)
from tests.integration.qemu.trips import clean, runs_on
from tests.lab.shell import wait_for
from tests.tools import venvs

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest
    from tests.lab.guest.guest import Guest

SOURCE, DESTINATION = "kvm1", "kvm2"


@dataclasses.dataclass(frozen=True)
class Job:
    """A run of ansible-runner, in a directory as AWX makes one for a job."""

    process: subprocess.Popen[bytes]
    folder: pathlib.Path

    def stdout(self) -> str:
        """What AWX would show as the job's output so far."""
        path = self.folder / "artifacts" / "job" / "stdout"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def status(self) -> str:
        """How it ended, in ansible-runner's words."""
        self.process.wait(900)
        return (self.folder / "artifacts" / "job" / "status").read_text(encoding="utf-8")

    def events(self, kind: str) -> list[dict[str, t.Any]]:
        """The data of all events of one kind, in order."""
        files = (self.folder / "artifacts" / "job" / "job_events").glob("*-*.json")
        read = [json.loads(path.read_text(encoding="utf-8")) for path in files]
        return [event["event_data"] for event in sorted(read, key=lambda one: one["counter"]) if event["event"] == kind]

    def changed(self) -> int:
        """How many tasks changed something."""
        return sum(self.events("playbook_on_stats")[-1]["changed"].values())


def survey(playbook: str) -> dict[str, t.Any]:
    """What AWX sends for a job whose survey nobody touches: every question, with its default or as empty text."""
    asked: dict[str, t.Any] = {}
    for file in sorted((ROOT / "playbooks" / "vars").glob("awx*.yml")):
        asked.update(yaml.safe_load(file.read_text(encoding="utf-8")))
    (template,) = (one for one in asked["awx_job_templates"] if one["playbook"] == playbook)
    questions = [question for part in template["survey"] for question in asked[f"awx_survey_{part}"]]
    return {question["variable"]: question.get("default", "") for question in questions}


#: The answers of an operator who empties the source slowly.
EMPTY: dict[str, t.Any] = {
    "evacuate_source": SOURCE,
    "evacuate_destinations": DESTINATION,
    "evacuate_exclude": " , ",
    "evacuate_bandwidth": SLOW,
}


def start(lab: Lab, folder: pathlib.Path, playbook: str = "evacuate.yml", **values: t.Any) -> Job:
    """Start a playbook with the answers of its survey, all of which are text or numbers, and what is in awx_extra_vars."""
    answers = {**survey(playbook), **(EMPTY if playbook == "evacuate.yml" else {}), **values}
    assert set(answers) == set(survey(playbook)), "this is none of the survey's"
    reports = {f"{prefix}_report_dir": str(folder / "reports") for prefix in ("evacuate", "offline", "live", "block")}
    answers.update(reports)
    shutil.copytree(ROOT / "awx", folder / "project")
    (folder / "env").mkdir()
    (folder / "env" / "extravars").write_text(json.dumps(answers), encoding="utf-8")
    controller = venvs.ensure(venvs.CONTROLLER)
    words = [controller.bin / "ansible-runner", "run", folder, "--ident", "job", "-p", playbook]
    env = {**environment(), **controller.environment(), "ANSIBLE_PIPELINING": "1"}
    process = subprocess.Popen(
        [*map(str, words), "--inventory", str(lab.inventory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env=env,
    )
    return Job(process, folder)


def wait_in_the_middle(started: Job, what: str, reached: t.Callable[[], bool]) -> None:
    """Wait for what is so in the middle of a job."""

    def in_the_middle() -> bool:
        if started.process.poll() is not None:
            raise AssertionError(f"the job ended before its middle:\n{started.stdout()}")
        return reached()

    wait_for(what, in_the_middle, 300, 0.2)


def start_and_wait(lab: Lab, guest: Guest, folder: pathlib.Path, **values: t.Any) -> Job:
    """Start an evacuation and wait until the guest's disk is half way."""
    started = start(lab, folder, **values)
    wait_in_the_middle(started, f"the disk of {guest.name} to be mirrored", lambda: mirroring(lab, guest, SOURCE))
    return started


def stage_of_process(lab: Lab, host: str, guest: BareGuest) -> str:
    """How far the record on ``host`` says that the move of a guest process has come."""
    script = f'grep -l "{guest.name}" /var/lib/virtops-kvm/moves/guest-*.json | xargs -r cat'
    told = lab.host(host).run(["sh", "-c", script], check=False).stdout
    return str(json.loads(told)["stage"]) if told.strip() else ""


def finished(lab: Lab, folder: pathlib.Path, playbook: str = "evacuate.yml", **values: t.Any) -> Job:
    """Run it to its end, which has to be a good one."""
    ended = start(lab, folder, playbook, **values)
    assert ended.status() == "successful", ended.stdout()
    return ended


def test_its_events_and_a_cancel_after_which_the_moves_end_by_themselves(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    guest = slow_guest(lab, SOURCE)
    quick = lab.create_guest(SOURCE, "shutoff", "archive")
    with lab.watch([guest]) as watcher:
        started = start_and_wait(lab, guest, tmp_path / "1", evacuate_on_controller_loss="finish")
        started.process.send_signal(signal.SIGTERM)
        assert started.status() == "canceled"
        wait_for(f"{guest.name} to arrive", lambda: guest.where() == {DESTINATION: "running"}, 600)
        again = finished(lab, tmp_path / "2", evacuate_on_controller_loss="finish")
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    arrived(guest, DESTINATION)
    assert quick.where() == {DESTINATION: "shut off"}
    verdict = lab.verify(guest, DESTINATION, seen["acknowledged"])
    assert (verdict.lost, verdict.torn) == (0, 0)
    (result,) = (data["artifact_data"]["evacuate_result"] for data in again.events("playbook_on_stats"))
    assert result["status"] in ("complete", "nothing_to_do")

    # Home again, and then once more, quickly: one host of the run for each move, and a line of progress in the output.
    for one in (guest, quick):
        one.remove()
    lab.create_guests(SOURCE, [("qcow2", "web01", {"fill_mib": 60}), ("qcow2", "müller db", {"fill_mib": 60})])
    whole = finished(lab, tmp_path / "3", evacuate_bandwidth=10)
    moves = [data for data in whole.events("runner_on_ok") if data["task"].endswith("Move the domain")]
    assert sorted(data["host"] for data in moves) == ["müller db", "web01"]
    assert all(data["res"]["changed"] for data in moves)
    assert "web01  live_block  disk " in whole.stdout()
    artifacts = whole.events("playbook_on_stats")[-1]["artifact_data"]
    assert artifacts["evacuate_planned"]["moves"] == 2
    assert artifacts["evacuate_result"]["status"] == "complete"
    assert [move["destination"] for move in artifacts["evacuate_result"]["ticket"]["moves"]] == [SOURCE, SOURCE]
    assert finished(lab, tmp_path / "4").changed() == 0

    # Home by the ticket's text, as the report shows it; then one of them stopped, and another one live, each by its own playbook.
    ticket = json.dumps(artifacts["evacuate_result"]["ticket"])
    home = finished(lab, tmp_path / "5", "restore.yml", evacuate_return_ticket=ticket)
    assert home.events("playbook_on_stats")[-1]["artifact_data"]["evacuate_result"]["status"] == "complete"
    listed = {"offline_domains": "web01, müller db", "offline_source": "kvm", "offline_destination": SOURCE}
    assert finished(lab, tmp_path / "6", "migrate_offline.yml", **listed).changed() == 0
    listed.update(offline_domains="web01", offline_destination=DESTINATION, offline_may_stop="true")
    assert finished(lab, tmp_path / "7", "migrate_offline.yml", **listed).changed() > 0
    lab.create_guest(SOURCE, "shared", "cache")
    listed = {"live_domains": "cache", "live_source": SOURCE, "live_destination": DESTINATION}
    assert finished(lab, tmp_path / "8", "migrate_shared.yml", **listed).changed() > 0
    assert {one.name: one.where() for one in lab.guests} == {
        "web01": {DESTINATION: "running"},
        "müller db": {SOURCE: "running"},
        "cache": {DESTINATION: "running"},
    }


def test_a_cancel_that_takes_the_moves_back(lab: Lab, hosts: list[str], tmp_path: pathlib.Path) -> None:
    guest = slow_guest(lab, SOURCE)
    pid, other = guest.qemu_pid(lab.host(SOURCE)), hosts[2]

    def taken_back() -> None:
        wait_for(f"the move of {guest.name} to be given up", lambda: job(lab, guest, SOURCE) == "None", 300)
        wait_for(f"{DESTINATION} to be clean", lambda: DESTINATION not in guest.where(), 120)
        still_here(guest, SOURCE, pid)
        nothing_left(lab, guest, DESTINATION)

    cancelled = start_and_wait(lab, guest, tmp_path / "1", evacuate_on_controller_loss="abort")
    cancelled.process.send_signal(signal.SIGTERM)
    assert cancelled.status() == "canceled"
    taken_back()

    # The end of a container, or of the machine: nobody is left to ask for anything. So also for a domain that is moved stopped, and for a
    # guest process, which goes elsewhere, as one destination takes two moves at a time.
    cold = lab.create_guest(SOURCE, "shutoff", size_mib=160, fill_mib=130)
    bare = lab.create_bare_guest(DESTINATION, size_mib=320, fill_mib=260)
    bare.make_tap(lab.host(other))
    listed = {"block_names": bare.name, "block_source": DESTINATION, "block_destination": other}
    single = start(lab, tmp_path / "3", "migrate_block.yml", **listed, block_bandwidth=1)
    # libvirt lets nobody know which ports it is about to take.
    in_transfer = "to be in the middle of its move"
    wait_in_the_middle(
        single, f"{bare.name} {in_transfer}", lambda: stage_of_process(lab, DESTINATION, bare) == "transfer"
    )
    started = start_and_wait(lab, guest, tmp_path / "2", evacuate_bandwidth=1)
    wait_in_the_middle(started, f"{cold.name} {in_transfer}", lambda: stage(lab, SOURCE, cold) == "transfer")
    kill_tree(started.process.pid)
    kill_tree(single.process.pid)
    taken_back()
    wait_for(f"the move of {cold.name} to be given up", lambda: stage(lab, SOURCE, cold) == "undone", 300)
    assert cold.where() == {SOURCE: "shut off"}
    wait_for(f"that of {bare.name} to be given up", lambda: stage_of_process(lab, DESTINATION, bare) == "undone", 300)
    runs_on(bare, DESTINATION)
    clean(lab, bare, other)

    assert finished(lab, tmp_path / "4", evacuate_bandwidth=0).changed() > 0
    assert finished(lab, tmp_path / "5", "migrate_block.yml", **listed).changed() > 0
    arrived(guest, DESTINATION)
    assert cold.where() == {DESTINATION: "shut off"}
    runs_on(bare, other)
