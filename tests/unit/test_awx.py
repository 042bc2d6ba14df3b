# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds what configure_awx.yml makes in step with the playbooks and roles that it is about."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
PLAYBOOKS = COLLECTION / "playbooks"
#: What AWX calls a type -> what a role may call it. A list comes as text with commas, a truth as the choices true and false.
TYPES = {
    "text": ("str", "path", "list"),
    "textarea": ("str", "list"),
    "multiplechoice": ("str", "bool"),
    "integer": ("int", "float"),
    "float": ("float",),
}
KEYS = {"question_name", "question_description", "variable", "type", "required", "choices", "default", "min", "max"}

Spec = dict[str, t.Any]


def load(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def data() -> dict[str, t.Any]:
    """All variables of configure_awx.yml."""
    files = load(PLAYBOOKS / "configure_awx.yml")[0]["vars_files"]
    return {name: value for file in files for name, value in load(PLAYBOOKS / file).items()}


def options(playbook: str) -> dict[str, Spec]:
    """The options of all entry points that a playbook plays."""
    text = (PLAYBOOKS / playbook).read_text(encoding="utf-8")
    found: dict[str, Spec] = {}
    for role in re.findall(r"name: virtops\.kvm\.(\w+)", text):
        for entry in load(COLLECTION / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"].values():
            found.update(entry["options"])
    return found


def asked(template: Spec) -> list[Spec]:
    """The questions of its survey."""
    variables = data()
    return [question for part in template["survey"] for question in variables[f"awx_survey_{part}"]]


def faults(question: Spec, known: dict[str, Spec]) -> list[str]:
    """What is wrong with a question, seen from AWX and from the role."""
    name = question["variable"]
    if name not in known:
        return [f"{name} is no option of a role"]
    option = known[name]
    role_type, choices = option.get("type", "str"), option.get("choices")
    found = []
    if set(question) - KEYS or not question.get("question_name") or not question.get("question_description"):
        found.append(f"{name} lacks a text, or has what AWX does not know")
    if role_type not in TYPES[question["type"]]:
        found.append(f"{name} is {question['type']} here and {role_type} there")
    if role_type == "bool":
        choices = ["true", "false"]
    if sorted(question.get("choices", [])) != sorted(choices or []):
        found.append(f"{name} has the choices {question.get('choices')} here and {choices} there")
    if choices and question.get("default") not in choices:
        found.append(f"{name} has a default that is no choice")
    if question["type"] != "multiplechoice" and not within_limits(question):
        found.append(f"{name} lacks limits, or a number lacks a default within them")
    found += default_faults(name, question, option)
    return found


def within_limits(question: Spec) -> bool:
    """Whether it has limits. A number needs a default, too: AWX sends an empty one as text, which no role takes."""
    least, most = question.get("min", 0), question.get("max", -1)
    if question["type"] in ("integer", "float"):
        default = question.get("default")
        return isinstance(default, (int, float)) and least <= default <= most
    return least < most


def default_faults(name: str, question: Spec, option: Spec) -> list[str]:
    """Where AWX would change what holds when nobody says anything."""
    if "default" not in option:
        return []
    wanted = (
        {True: "true", False: "false"}.get(option["default"], option["default"])
        if option.get("type") == "bool"
        else option["default"]
    )
    given = question.get("default", "")
    if option.get("type") == "list":
        given = [part for part in given.split(",") if part]
    return [] if given == wanted else [f"{name} is {given!r} by default here and {wanted!r} there"]


TEMPLATES = [pytest.param(template, id=template["name"]) for template in data()["awx_job_templates"]]
WORKFLOWS = [pytest.param(workflow, id=workflow["name"]) for workflow in data()["awx_workflows"]]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_survey_asks_what_the_role_takes(template: Spec) -> None:
    known = options(template["playbook"])
    questions = asked(template)
    assert [fault for question in questions for fault in faults(question, known)] == []
    names = [question["variable"] for question in questions]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_thin_project_has_each_playbook(template: Spec) -> None:
    (play,) = load(COLLECTION / "awx" / template["playbook"])
    assert play["ansible.builtin.import_playbook"] == f"virtops.kvm.{template['playbook'].removesuffix('.yml')}"
    assert (PLAYBOOKS / template["playbook"]).exists()


def test_nothing_else_is_in_the_thin_project() -> None:
    assert {path.name for path in (COLLECTION / "awx").glob("*.yml")} == {
        template["playbook"] for template in data()["awx_job_templates"]
    }


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_names_what_there_is(workflow: Spec) -> None:
    templates = {template["name"]: template for template in data()["awx_job_templates"]}
    nodes = workflow["nodes"]
    names = [node["identifier"] for node in nodes]
    assert len(names) == len(set(names))
    assert all(("template" in node) != ("approval" in node) for node in nodes)
    played = [templates[node["template"]] for node in nodes if "template" in node]
    linked = [name for node in nodes for kind in ("success", "failure", "always") for name in node.get(kind, [])]
    assert set(linked) <= set(names)
    assert set(names) - set(linked) == {names[0]}, "all but the first node must be reached from another"
    known = {name: spec for template in played for name, spec in options(template["playbook"]).items()}
    assert [fault for question in asked(workflow) for fault in faults(question, known)] == []
    # A node's own survey may require only what the workflow's asks.
    told = {question["variable"] for question in asked(workflow)}
    needed = {
        one["variable"] for template in played for one in asked(template) if one["required"] and "default" not in one
    }
    assert needed <= told


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"variable": "evacuate_nonsense"}, "evacuate_nonsense is no option of a role"),
        ({"type": "integer", "min": 0, "max": 2}, "evacuate_method is integer here and str there"),
        ({"choices": ["auto"]}, "evacuate_method has the choices ['auto'] here and"),
        ({"default": "live_block"}, "evacuate_method is 'live_block' by default here and 'auto' there"),
        ({"question_description": ""}, "evacuate_method lacks a text"),
        ({"new_question": True}, "evacuate_method lacks a text"),
    ],
)
def test_a_question_out_of_step_is_found(change: Spec, fault: str) -> None:
    (question,) = (one for one in data()["awx_survey_what_moves"] if one["variable"] == "evacuate_method")
    known = options("evacuate.yml")
    assert faults(question, known) == []
    assert any(found.startswith(fault) for found in faults({**question, **change}, known))
