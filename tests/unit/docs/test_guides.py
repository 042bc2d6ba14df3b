# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block of the guides is run by a test, and names only what there is."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from tests.guides import blocks, nfs, static
from tests.guides.blocks import Block, read
from tests.guides.walk import pattern

PAGES = blocks.pages()
DOCS = blocks.PAGES.parent


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_is_run_by_a_test(page: pathlib.Path) -> None:
    found = read(page)
    files = [block.word for block in found if " file " in block.how]
    assert [fault for block in found for fault in static.faults(block, files)] == []
    unknown = [line for block in found if block.how == "nfs" for line in block.commands if not nfs.is_run(line)]
    assert unknown == []


def test_the_readme_names_only_what_there_is() -> None:
    text = (static.COLLECTION / "README.md").read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^( *)```(console|yaml)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        line = text[: match.start()].count("\n") + 1
        body = "\n".join(part[len(match.group(1)) :] for part in match.group(3).split("\n"))
        block = Block("README", line, match.group(2), "static", body)
        found += static.faults(block, ["my-awx.yml", "policies.yml"])
    assert found == []


def test_every_page_is_listed_once() -> None:
    sections = yaml.safe_load((DOCS / "extra-docs.yml").read_text(encoding="utf-8"))["sections"]
    listed = [name for section in sections for name in section["toctree"]]
    assert sorted(listed) == [page.stem for page in PAGES]


def test_the_readme_leads_to_every_page() -> None:
    text = (static.COLLECTION / "README.md").read_text(encoding="utf-8")
    guides = [page.stem for page in PAGES if not page.stem.startswith("errors_")]
    assert [name for name in guides if f"docs/docsite/rst/{name}.rst" not in text] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (".. code-block:: console\n\n  ./run help\n", "where '.. test: HOW' should say"),
        (".. test: never\n\n.. code-block:: console\n\n  ./run help\n", "says 'never'"),
        (".. test: static\n\nWords.\n\n.. code-block:: console\n\n  ./run help\n", "stands between"),
        ("Do this::\n\n  ./run help\n", "without code-block"),
        (".. test: static\n\n.. literalinclude:: thing.yml\n", "uses literalinclude"),
    ],
)
def test_a_block_that_no_test_runs_is_found(tmp_path: pathlib.Path, text: str, fault: str) -> None:
    page = tmp_path / "page.rst"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(fault)):
        read(page)


@pytest.mark.parametrize(
    ("language", "text", "fault"),
    [
        ("console", "./run help", None),
        ("console", "./run nothing", "./run has no verb 'nothing'"),
        ("console", "rm -rf /", "nobody looks at the program 'rm'"),
        ("console", "ansible-playbook -i inventory.yml virtops.kvm.nothing", "there is no playbook"),
        ("console", "ansible-playbook virtops.kvm.evacuate -e evacuate_nothing=1", "no variable 'evacuate_nothing'"),
        ("console", "ansible-playbook virtops.kvm.evacuate \\\n  -e evacuate_source=kvm1", None),
        ("console", "ansible-playbook virtops.kvm.evacuate -e @nothing.yml", "which no block makes"),
        ("console", "ansible -i x all -m virtops.kvm.host_cordon -a state=cordoned", None),
        ("console", "ansible -i x all -m virtops.kvm.host_cordon -a nothing=1", "no option 'nothing'"),
        ("console", "ansible-doc virtops.kvm.nothing", "there is no virtops.kvm.nothing"),
        ("yaml", "- hosts: all\n  tasks:\n    - virtops.kvm.domain_migration: {nothing: 1}", "no option 'nothing'"),
        ("yaml", "hypervisors: {hosts: {kvm1: {evacuate_nothing: 1}}}", "no role has the variable"),
        ("yaml", "- ansible.builtin.import_playbook: virtops.kvm.nothing", "there is no virtops.kvm.nothing"),
        ("ini", "a = b", "nothing looks at ini"),
    ],
)
def test_what_does_not_exist_is_found(language: str, text: str, fault: str | None) -> None:
    found = static.faults(Block("page", 1, language, "static", text))
    assert (found == []) if fault is None else (fault in " ".join(found)), found


def test_only_what_the_tests_on_nfs_run_counts_as_run() -> None:
    run = "ansible-playbook -i x virtops.kvm.configure_nfs -e shared_storage_hosts=all -e shared_storage_server_host=stor1"
    assert nfs.is_run(run)
    assert not nfs.is_run(f"{run} -e shared_storage_timeout=1")
    assert not nfs.is_run("ansible-playbook -i x virtops.kvm.evacuate")


def test_output_is_compared_by_its_words() -> None:
    line = pattern("1  mail  kvm1 -> kvm3  live_block  520 KiB  ...  it is running")
    assert re.search(line, "x 12 mail kvm1 -> kvm3   live_block 1.5 KiB 192 MiB 5 s  it is running")
    for other in (
        "1  mail  kvm1 -> kvm3  offline  520 KiB  5 s  it is running",
        "1 mail kvm1 -> kvm2 live_block 520 KiB 5 s  it is running",
    ):
        assert not re.search(line, other)
    assert not re.search(pattern("kvm1 ... changed=0"), "kvm1 : ok=3 changed=1")
