# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API of AWX takes, for its stand-in: the fields of each kind of object as AWX 24 documents them, and the rules of surveys."""

from __future__ import annotations

import dataclasses
import typing as t


def is_a(value: t.Any, kind: type) -> bool:
    """Whether JSON's ``value`` is of ``kind``; truth is no number there, as it is in Python."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


@dataclasses.dataclass(frozen=True)
class Field:
    """One field: its type, its default, the values or the kind of object that it takes, whether null is one, whether it must be sent."""

    type: type
    default: t.Any = None
    choices: tuple[t.Any, ...] = ()
    refers: str = ""
    null: bool = False
    required: bool = False

    def fault(self, value: t.Any) -> str:
        """What is wrong with a value; empty when nothing is."""
        if value is None:
            return "" if self.null else "may not be null"
        if not is_a(value, self.type):
            return f"is {value!r}, and must be {self.type.__name__}"
        if self.choices and value not in self.choices:
            return f"{value!r} is not one of {self.choices}"
        return ""


def text(default: str | None = "", *choices: str, required: bool = False, null: bool = False) -> Field:
    return Field(str, default, choices, required=required, null=null)


def truth(default: bool = False) -> Field:
    return Field(bool, default)


def number(default: int = 0, *choices: int) -> Field:
    return Field(int, default, choices)


def to(kind: str, *, required: bool = False) -> Field:
    return Field(int, None, refers=kind, null=not required, required=required)


NAMED = {"name": text(required=True), "description": text()}
ASKED = ("variables", "limit", "tags", "skip_tags", "inventory", "scm_branch", "labels")
ASKED_OF_JOBS = (
    *ASKED,
    *("diff_mode", "job_type", "verbosity", "credential", "execution_environment", "forks"),
    *("job_slice_count", "timeout", "instance_groups"),
)
PROMPTS = {
    "scm_branch": text(None, null=True),
    "job_type": Field(str, None, ("run", "check"), null=True),
    "job_tags": text(None, null=True),
    "skip_tags": text(None, null=True),
    "limit": text(None, null=True),
    "diff_mode": Field(bool, None, null=True),
    "verbosity": Field(int, None, (0, 1, 2, 3, 4, 5), null=True),
    "forks": Field(int, None, null=True),
    "job_slice_count": Field(int, None, null=True),
    "timeout": Field(int, None, null=True),
}

KINDS: dict[str, dict[str, Field]] = {
    "organizations": {**NAMED, "max_hosts": number(), "default_environment": to("execution_environments")},
    "credentials": {**NAMED, "organization": to("organizations")},
    "execution_environments": {
        **NAMED,
        "organization": to("organizations"),
        "image": text(required=True),
        "credential": to("credentials"),
        "pull": text("", "", "always", "missing", "never"),
    },
    "projects": {
        **NAMED,
        "organization": to("organizations"),
        "local_path": text(),
        "scm_type": text("", "", "git", "svn", "insights", "archive"),
        **{name: text() for name in ("scm_url", "scm_branch", "scm_refspec")},
        **{name: truth() for name in ("scm_clean", "scm_track_submodules", "scm_delete_on_update")},
        **{name: truth() for name in ("scm_update_on_launch", "allow_override")},
        "credential": to("credentials"),
        "timeout": number(),
        "scm_update_cache_timeout": number(),
        "default_environment": to("execution_environments"),
        "signature_validation_credential": to("credentials"),
    },
    "inventories": {
        **NAMED,
        "organization": to("organizations", required=True),
        "kind": text("", "", "smart", "constructed"),
        "host_filter": text(None, null=True),
        "variables": text(),
        "prevent_instance_group_fallback": truth(),
    },
    "inventory_sources": {
        **NAMED,
        "inventory": to("inventories", required=True),
        "source": text("", "scm", "ec2", "gce", "azure_rm", "vmware", "openstack", "rhv", "controller", "insights"),
        **{name: text() for name in ("source_path", "source_vars", "scm_branch", "enabled_var", "enabled_value")},
        **{name: text() for name in ("host_filter", "limit")},
        "credential": to("credentials"),
        "execution_environment": to("execution_environments"),
        "source_project": to("projects"),
        **{name: truth() for name in ("overwrite", "overwrite_vars", "update_on_launch")},
        "timeout": number(),
        "update_cache_timeout": number(),
        "verbosity": number(1, 0, 1, 2),
    },
    "job_templates": {
        **NAMED,
        "job_type": text("run", "run", "check"),
        "inventory": to("inventories"),
        "project": to("projects"),
        **{name: text() for name in ("playbook", "scm_branch", "limit", "extra_vars", "job_tags", "skip_tags")},
        **{name: text() for name in ("start_at_task", "host_config_key")},
        **{name: number() for name in ("forks", "timeout")},
        "verbosity": number(0, 0, 1, 2, 3, 4, 5),
        "job_slice_count": number(1),
        "execution_environment": to("execution_environments"),
        **{f"ask_{name}_on_launch": truth() for name in ASKED_OF_JOBS},
        **{name: truth() for name in ("force_handlers", "use_fact_cache", "survey_enabled", "become_enabled")},
        **{name: truth() for name in ("diff_mode", "allow_simultaneous", "prevent_instance_group_fallback")},
        "webhook_service": text("", "", "github", "gitlab"),
        "webhook_credential": to("credentials"),
    },
    "workflow_job_templates": {
        **NAMED,
        "organization": to("organizations"),
        "inventory": to("inventories"),
        "extra_vars": text(),
        **{name: text(None, null=True) for name in ("limit", "scm_branch", "job_tags", "skip_tags")},
        **{f"ask_{name}_on_launch": truth() for name in ASKED},
        **{name: truth() for name in ("survey_enabled", "allow_simultaneous")},
        "webhook_service": text("", "", "github", "gitlab"),
        "webhook_credential": to("credentials"),
    },
    "workflow_job_template_nodes": {
        **PROMPTS,
        "identifier": text(required=True),
        "extra_data": Field(dict, {}),
        "workflow_job_template": to("workflow_job_templates", required=True),
        "unified_job_template": to("unified_job_templates"),
        "inventory": to("inventories"),
        "execution_environment": to("execution_environments"),
        "all_parents_must_converge": truth(),
    },
    "workflow_approval_templates": {**NAMED, "timeout": number()},
}
#: Fields that the API shows and does not take; what clients send there is ignored.
READ_ONLY = {"job_templates": {"organization"}, "workflow_job_template_nodes": {"type"}}
#: Lists of other objects, each by an address below that of the object.
ASSOCIATIONS = {
    "job_templates": {"credentials": "credentials"},
    "workflow_job_template_nodes": dict.fromkeys(
        ("success_nodes", "failure_nodes", "always_nodes"), "workflow_job_template_nodes"
    ),
}
#: What a node of a workflow may start.
UNIFIED = ("job_templates", "projects", "inventory_sources", "workflow_job_templates", "workflow_approval_templates")

_QUESTION = {
    "question_name",
    "question_description",
    "variable",
    "type",
    "required",
    "choices",
    "default",
    "min",
    "max",
}
_ANSWERS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("text", "textarea", "password", "multiplechoice", "multiselect"), (str,)),
    "integer": (int,),
    "float": (float, int),
}


def survey_fault(spec: t.Any) -> str:
    """Why AWX would not take a survey; empty when it would."""
    if not isinstance(spec, dict) or set(spec) != {"name", "description", "spec"} or not spec["spec"]:
        return "a survey is a name, a description and a spec with questions"
    seen: set[str] = set()
    for question in spec["spec"]:
        fault = _question_fault(question)
        if fault or question["variable"] in seen:
            return f"{question}: {fault or 'its variable was asked before'}"
        seen.add(question["variable"])
    return ""


def _question_fault(question: dict[str, t.Any]) -> str:
    strange = set(question) - _QUESTION
    if strange:
        return f"{sorted(strange)} is no part of a question"
    for name, kind in (("type", str), ("question_name", str), ("variable", str), ("required", bool)):
        if not is_a(question.get(name), kind):
            return f"its {name} must be {kind.__name__}"
    answers = _ANSWERS.get(question["type"])
    if answers is None:
        return "there is no such type"
    default = question.get("default", "")
    if default != "" and (not isinstance(default, answers) or isinstance(default, bool)):
        return "its default is of another type"
    if any(question.get(limit) is not None and not is_a(question[limit], int) for limit in ("min", "max")):
        return "its limits must be int"
    if question["type"] in ("multiplechoice", "multiselect"):
        choices = question.get("choices")
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            return "it must have choices, which are text"
        if default != "" and default not in choices:
            return "its default is no choice"
    return ""
