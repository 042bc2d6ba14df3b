# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages about failures list every code that the collection can give, with cause, evidence and remedy, and no other."""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

import pytest

from tests.guides.blocks import pages

PLUGINS = pathlib.Path(__file__).resolve().parents[3] / "plugins"
PARTS = ("Cause", "Evidence", "Remedy")
#: Words of libvirt, QEMU, the C library and ssh, which look like codes.
FOREIGN = {
    "ABORT_ON_ERROR",
    "AUTO_CONVERGE",
    "F_OFD_SETLK",
    "JOB_STATUS_CHANGE",
    "LC_ALL",
    "NON_SHARED_DISK",
    "PERSIST_DEST",
    "PIIX4_PM",
    "SC_CLK_TCK",
    "SSH_CONNECTION",
    "UNDEFINE_SOURCE",
}
_CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
_ONE_WORD = re.compile(r"[A-Z]{4,}")
#: Where a single word in capitals is a code: given to one of these, or the first of what is returned beside a sentence.
_TAKE_CODES = {"KvmError", "Finding", "Staying", "__init__", "_stays", "blocker", "hard_blocker", "notice", "warning"}
_ENTRY = re.compile(r"^``([A-Z][A-Z0-9_]+)``$")


def codes_of(source: str) -> set[str]:
    """Every code in a file."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
            found.add(node.value)
        elif isinstance(node, ast.Call) and _name(node.func) in _TAKE_CODES:
            found |= _single_words(node.args)
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
            found |= _single_words(node.value.elts[:1])
    return {code for code in found if code not in FOREIGN and not code.startswith("VIR_")}


def _name(function: ast.expr) -> str:
    return getattr(function, "id", "") or getattr(function, "attr", "")


def _single_words(nodes: t.Iterable[ast.expr]) -> set[str]:
    words = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {word for word in words if _ONE_WORD.fullmatch(word)}


def entries(text: str) -> dict[str, str]:
    """What a page says about each code."""
    found: dict[str, str] = {}
    code = ""
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            code = entry.group(1)
            assert code not in found, f"{code} is explained twice"
            found[code] = ""
        elif line.startswith("  ") and code:
            found[code] += line + "\n"
        elif line.strip():
            code = ""
    return found


def explained() -> dict[str, str]:
    found: dict[str, str] = {}
    for page in pages():
        if page.stem.startswith("errors_"):
            for code, text in entries(page.read_text(encoding="utf-8")).items():
                assert code not in found, f"{code} is explained twice"
                found[code] = text
    return found


def given() -> set[str]:
    files = [path for path in PLUGINS.rglob("*.py") if path.parent.name != "doc_fragments"]
    return {code for path in files for code in codes_of(path.read_text(encoding="utf-8"))}


def test_every_code_is_explained_and_nothing_else() -> None:
    told, there = set(explained()), given()
    assert sorted(there - told) == [], "codes that docs/docsite/rst/errors_*.rst do not explain (or words for FOREIGN)"
    assert sorted(told - there) == [], "codes that nothing gives any more"


def test_every_failure_has_cause_evidence_and_remedy() -> None:
    short = [
        code
        for code, text in explained().items()
        if ":Cause:" in text and any(f":{part}: " not in text for part in PARTS)
    ]
    assert short == []
    without = {code for code, text in explained().items() if ":Cause:" not in text}
    assert {code for code in without if "_" in code} == {"ALREADY_THERE", "NOT_SELECTED", "RUNS_ELSEWHERE"}


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ('raise KvmError("DISK_LOST", f"x")', {"DISK_LOST"}),
        ('code = "A_ONE" if x else "B_TWO"', {"A_ONE", "B_TWO"}),
        ('yield blocker("CORDONED", name, "It is cordoned.", "")', {"CORDONED"}),
        ('return "EXCLUDED", "It is excluded."', {"EXCLUDED"}),
        ('words = ["POST", "VIR_DOMAIN_NOSTATE", "LC_ALL"]', set()),
    ],
)
def test_codes_are_found_wherever_they_are(source: str, codes: set[str]) -> None:
    found = codes_of(f"def f():\n    {source}\n")
    assert found == codes
