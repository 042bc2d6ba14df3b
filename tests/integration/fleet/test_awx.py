# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""configure_awx.yml talks to what stands in for AWX: only documented fields are sent, and a second run changes nothing."""

from __future__ import annotations

import json
import os
import re
import typing as t

import pytest
import yaml

from tests.integration.ansible_runs import ROOT, Run, run_playbook
from tests.integration.fleet.controller import TOKEN, Controller, serving
from tests.tools import borrowed

PLAYBOOK = ROOT / "playbooks" / "configure_awx.yml"


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Controller]:
    """An AWX with an organization and a credential, as an administrator leaves it."""
    stand_in = Controller(path.name for path in (ROOT / "awx").glob("*.yml"))
    stand_in.add("organizations", name="Default")
    stand_in.add("credentials", name="KVM hosts")
    with serving(stand_in) as address:
        monkeypatch.setenv("CONTROLLER_HOST", address)
        monkeypatch.setenv("CONTROLLER_OAUTH_TOKEN", TOKEN)
        paths = [os.environ["ANSIBLE_COLLECTIONS_PATH"], str(borrowed.awx())]
        monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", ":".join(paths))
        yield stand_in


def configure(*arguments: str, **values: t.Any) -> Run:
    return run_playbook("localhost,", PLAYBOOK, "--connection", "local", *arguments, extra_vars=values)


def announced(run: Run) -> int:
    """How much it changed, or in check mode would change: each object that it names."""
    return len(re.findall(r"^changed: \[localhost\]", run.output, re.MULTILINE))


def test_all_of_it_is_made_once(controller: Controller) -> None:
    # Nothing is there yet. Check mode says what then happens, object by object.
    check = configure("--check")
    assert (check.status, controller.writes, controller.faults) == (0, [], []), check.output
    first = configure()
    assert (first.status, controller.faults) == (0, []), first.output
    assert (announced(check), check.changed) == (announced(first), first.changed), check.output
    objects = {
        name: value
        for file in sorted((ROOT / "playbooks" / "vars").glob("awx*.yml"))
        for name, value in yaml.safe_load(file.read_text(encoding="utf-8")).items()
    }
    templates = controller.objects["job_templates"].values()
    assert [template["name"] for template in templates] == [one["name"] for one in objects["awx_job_templates"]]
    for template, wanted in zip(templates, objects["awx_job_templates"]):
        asked = [question for part in wanted["survey"] for question in objects[f"awx_survey_{part}"]]
        assert controller.survey(template) == asked
        assert template["survey_enabled"] == bool(asked)
        assert (template["limit"], template["job_slice_count"], template["ask_limit_on_launch"]) == ("", 1, False)
        assert template["ask_job_type_on_launch"]
        assert controller.names(template, "credentials") == ["KVM hosts"]
    assert controller.one("inventory_sources", "KVM hosts of the project")["update_on_launch"]

    ways = {
        node["identifier"]: {way: controller.names(node, f"{way}_nodes") for way in ("success", "failure", "always")}
        for node in controller.objects["workflow_job_template_nodes"].values()
    }
    none: dict[str, list[str]] = {"success": [], "failure": [], "always": []}
    assert ways == {
        "plan": {**none, "success": ["approval"]},
        "approval": {**none, "success": ["evacuate"]},
        "evacuate": {**none, "always": ["report"]},
        "report": none,
    }
    waits = controller.one("workflow_job_template_nodes", "approval")["unified_job_template"]
    assert controller.objects["workflow_approval_templates"][waits]["timeout"] == 86400

    controller.writes.clear()
    second = configure()
    assert (second.status, second.changed, controller.writes, controller.faults) == (0, 0, [], []), second.output

    # Somebody asks one question less, and there is to be a node more, of a job template of its own. Check mode sees both.
    told = {"name": "Ours", "description": "Ours", "playbook": "report.yml", "survey": [], "simultaneous": False}
    (workflow,) = objects["awx_workflows"]
    nodes = [*workflow["nodes"][:-1], {**workflow["nodes"][-1], "always": ["ours"]}]
    longer = {**workflow, "nodes": [*nodes, {"identifier": "ours", "template": "Ours"}]}
    ours = {"awx_job_templates": [objects["awx_job_templates"][2], told], "awx_workflows": [longer]}
    template = controller.one("job_templates", "KVM restore")
    spec = controller.surveys[template["url"]]
    controller.surveys[template["url"]] = {**spec, "spec": spec["spec"][1:]}
    check = configure("--check", **ours)
    assert (check.status, controller.writes, controller.faults) == (0, [], []), check.output
    mended = configure(**ours)
    assert (mended.status, controller.faults) == (0, []), mended.output
    assert announced(check) == announced(mended) == 4, check.output
    assert controller.surveys[template["url"]] == spec
    assert controller.names(controller.one("workflow_job_template_nodes", "report"), "always_nodes") == ["ours"]


def test_a_file_of_ones_own_changes_what_it_names(controller: Controller) -> None:
    project = {"name": "Ours", "scm_url": "https://git.example.org/ours.git", "directory": "nowhere/"}
    plan = {"name": "Plan", "description": "Ours", "playbook": "plan.yml", "survey": [], "simultaneous": False}
    ours = {
        "awx_organization": {"name": "Storage", "make": True},
        "awx_project": project,
        "awx_inventory": {"name": "Hosts by hand"},
        "awx_credentials": [],
        "awx_extra_vars": {"evacuate_report_dir": "/var/lib/reports"},
        "awx_job_templates": [plan],
        "awx_workflows": [],
    }
    lost = configure(**ours)
    assert lost.status != 0
    assert controller.faults == [fault for fault in controller.faults if "no playbook nowhere/plan.yml" in fault] != []

    controller.faults.clear()
    ours["awx_project"] = {**project, "directory": ""}
    run = configure(**ours)
    assert (run.status, controller.faults) == (0, []), run.output
    (template,) = controller.objects["job_templates"].values()
    assert json.loads(template["extra_vars"]) == {"evacuate_report_dir": "/var/lib/reports"}
    assert (template["survey_enabled"], controller.survey(template)) == (False, [])
    assert controller.objects["inventory_sources"] == controller.objects["workflow_job_templates"] == {}
    storage = controller.one("organizations", "Storage")["id"]
    assert controller.one("projects", "Ours")["organization"] == storage

    # An organization that is not there yet, and objects of another one that have the same names.
    controller.writes.clear()
    ours["awx_organization"] = {"name": "Network", "make": True}
    check = configure("--check", **ours)
    assert (check.status, controller.writes, controller.faults) == (0, [], []), check.output
    for what in ("the project Ours", "the inventory Hosts by hand", "the job template Plan"):
        assert f"The organization Network is not there yet; {what} would be made with it." in check.output


@pytest.mark.parametrize("mode", [[], ["--check"]])
def test_a_credential_that_is_not_there_is_told(controller: Controller, mode: list[str]) -> None:
    run = configure(*mode, awx_credentials=["Nobody's"])
    assert run.status != 0
    assert "Nobody" in run.output
    assert controller.objects["job_templates"] == {}
