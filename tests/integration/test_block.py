# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listed guests move live with their disks by a playbook, there and back, and no write is lost."""

from __future__ import annotations

import json
import typing as t

from tests.integration.ansible_runs import ROOT, Run, run_playbook

if t.TYPE_CHECKING:
    import pathlib

    from tests.lab import Lab


def migrate(lab: Lab, reports: pathlib.Path, destination: str, *arguments: str, **values: t.Any) -> Run:
    """Run migrate_block.yml from whatever host to ``destination``."""
    given = {"block_source": "kvm", "block_destination": destination, "block_report_dir": str(reports), **values}
    return run_playbook(lab.inventory, ROOT / "playbooks/migrate_block.yml", *arguments, extra_vars=given)


def changes(run: Run) -> dict[str, int]:
    return {host: counts["changed"] for host, counts in run.recap.items() if counts["changed"]}


def test_the_playbook_brings_guests_there_and_back_with_their_disks(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    source, destination = hosts[:2]
    web, archive, common = lab.create_guests(
        source, [("raw", "web 01", {"size_mib": 64}), ("shutoff", "archive", {}), ("shared", "common", {})]
    )
    wanted = {"block_names": [web.name, archive.uuid, common.name]}

    unsaid = migrate(lab, tmp_path, destination)
    assert unsaid.status != 0
    assert "block_names" in unsaid.output

    check = migrate(lab, tmp_path, destination, "--check", **wanted)
    assert check.status == 0, check.output
    assert web.where() == common.where() == {source: "running"}
    assert list(tmp_path.iterdir()) == []

    with lab.watch([web]) as watcher:
        run = migrate(lab, tmp_path, destination, **wanted)
        assert run.status == 0, run.output
        assert changes(run) == changes(check)
        assert web.where() == common.where() == {destination: "running"}
        assert archive.where() == {destination: "shut off"}
        (report,) = tmp_path.glob("*/report.json")
        outcomes = {one["domain"]: one for one in json.loads(report.read_text("utf-8"))["report"]["outcomes"]}
        assert {name: one["method"] for name, one in outcomes.items()} == {
            web.name: "live_block",
            archive.name: "offline",
            common.name: "live_shared",
        }
        assert outcomes[web.name]["disk_bytes"] > 0
        assert outcomes[common.name]["disk_bytes"] == 0
        again = migrate(lab, tmp_path, destination, **wanted)
        assert (again.status, again.changed) == (0, 0), again.output

        # The old images are marked as out of date, so nothing is in the way.
        rules = [{"match": "name == 'common'", "priority": 1, "max_pause": 800}]
        home = migrate(lab, tmp_path, source, **wanted, block_policies=rules)
        assert home.status == 0, home.output
        first = home.result("migration_plan")["plan"]["moves"][0]
        assert (first["domain"], first["max_downtime"]) == (common.name, 800)
        assert web.where() == common.where() == {source: "running"}
        assert archive.where() == {source: "shut off"}
        seen = watcher.fresh()["guests"][web.name]
    assert not seen["two_copies"], seen["evidence"]
    assert lab.verify(web, source, seen["acknowledged"]).clean
