# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How ready a fleet is, as text, Markdown and HTML."""

from __future__ import annotations

import html.parser
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Cpu
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Reachability
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Readiness
from ansible_collections.virtops.kvm.plugins.module_utils._report import (
    ready_markdown,
    ready_page,
    ready_picture,
    ready_words,
)
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._checks.fleet_sample import domain, judged, member

EVIL = "<script>alert(1)</script>|`\"'\u202e"


class Seen(html.parser.HTMLParser):
    """What is in a page: its elements, and whether they are closed in order."""

    VOID = ("meta", "rect", "path", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.classes: dict[str, int] = {}
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, t.Optional[str]]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        for name in (dict(attrs).get("class") or "").split():
            self.classes[name] = self.classes.get(name, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def three(**fields: t.Any) -> Readiness:
    """Three hosts, with something in the way."""
    shut = tuple(Reachability(f"kvm{at}", f"kvm{at}", 49215, "timeout") for at in (2, 3))
    guests = [domain("a"), domain("b", cpu=Cpu("custom", "Skylake-Server", "<cpu/>"))]
    return judged(
        member("kvm1", *guests, reachability=shut, cpu_models={"kvm": ("Haswell", "Skylake-Server")}),
        member("kvm2", domain("c")),
        member("kvm3"),
        **fields,
    )


def many(count: int) -> Readiness:
    """So many hosts of two makes."""
    names = [f"host{at:03}.example.com" for at in range(count)]
    return judged(
        *(
            member(name, domain(f"vm-{name}"), others=names, cpu_models={"kvm": ("Haswell",) if at % 2 else ("EPYC",)})
            for at, name in enumerate(names)
        )
    )


@pytest.mark.parametrize(
    ("ready", "words"),
    [
        (judged(member("kvm1", domain("a")), member("kvm2")), "Every one of 2 hosts can take every VM"),
        (judged(member("kvm1", domain("a"))), "One host alone has nobody to take its VMs"),
        (three(), "2 errors on 3 hosts to put right"),
        (judged(member("kvm1", domain("a", arch="ppc64")), member("kvm2")), "1 VM of 1 with no other host to go to"),
        (judged(member("kvm1", domain("a", snapshots=("s",))), member("kvm2")), "Each of 2 hosts can be emptied"),
    ],
)
def test_the_headline(ready: Readiness, words: str) -> None:
    assert ready_words.headline(ready) == words
    assert ready_words.lines(ready)[0] == f"{words}."
    assert ready_markdown.render(ready).startswith(f"# {words}\n")
    assert f"<title>{words}</title>" in ready_page.render(ready)


def test_errors_come_with_what_to_do_everywhere() -> None:
    ready = three()
    for text in (
        "\n".join(ready_words.lines(ready)),
        ready_page.render(ready),
        ready_markdown.render(ready).replace("\\", ""),
    ):
        assert "PORT_BLOCKED" in text
        assert "configure_hosts, which opens the migration ports in" in text
        assert "CPU_INCOMPATIBLE" in text
    assert ready_words.verdict(ready).endswith("PORT_BLOCKED (kvm2), PORT_BLOCKED (kvm3).")


def test_the_matrix_of_a_few_hosts_has_words_in_each_cell() -> None:
    page = ready_page.render(three())
    seen = Seen(page)
    assert (seen.classes["m-self"], seen.classes["in"]) == (3, 6)
    assert "kvm1 → kvm2: 1 by a stop, 1 not at all" in page
    table = ready_markdown.render(three())
    assert "| kvm1 | - | some | some |" in table
    assert "| kvm3 | open | open | - |" in table


def test_the_matrix_of_many_hosts_stays_small() -> None:
    ready = many(60)
    page = ready_page.render(ready)
    seen = Seen(page)
    # Hosts that are alike stand together, so each row is a few pieces.
    assert sum(seen.classes[f"m-{state}"] for state in ("all", "none")) < 60 * 8
    assert len(page) < 300_000
    assert seen.classes["m-line"] == 1
    assert "host001 … host059" in page
    assert "| host001.example.com | 29 | 59 | 30 no |" in ready_markdown.render(ready)


def test_names_that_try_to_be_more_are_text() -> None:
    ready = judged(member(EVIL, domain(EVIL, arch="ppc64"), others=()), member("kvm2", others=()), name=EVIL)
    page = ready_page.render(ready)
    assert "<script" not in page
    assert "script" not in Seen(page).count
    assert "<script" not in ready_markdown.render(ready)
    assert "\u202e" not in page + ready_markdown.render(ready)


def test_an_empty_fleet_renders() -> None:
    ready = judged(unread=("kvm1",))
    assert "kvm1 could not be read" in ready_page.render(ready)
    assert "kvm1 could not be read" in ready_markdown.render(ready)
    Seen(ready_page.render(ready))


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a.example.com", "b.example.com"], ["a", "b"]),
        (["a.example.com", "b.example.org"], ["a.example.com", "b.example.org"]),
        (["a", "b.x"], ["a", "b.x"]),
        (["a.example.com"], ["a.example.com"]),
        (["x" * 30, "y"], ["x" * 19 + "…", "y"]),
    ],
)
def test_labels(names: list[str], labels: list[str]) -> None:
    assert ready_picture.short(names) == labels
