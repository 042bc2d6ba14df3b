# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import html.parser
import re
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Blocked, Placement, Staying
from ansible_collections.virtops.kvm.plugins.module_utils._report import build, markdown, outcome, page, timeline
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._report import samples

HOSTILE = "<script>alert('1')</script>\"&|`*\x00\u202e\n# x"


class Outline(html.parser.HTMLParser):
    """Elements, texts and attribute values of a page; and whether all that is open gets closed."""

    VOID = ("meta", "line", "rect", "path")

    def __init__(self, page_text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page_text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID or (tag == "rect" and "/>" not in (self.get_starttag_text() or "")):
            self.open.append(tag)
        if tag == "path" and "/>" not in (self.get_starttag_text() or ""):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def full(name: str = "web01") -> outcome.Report:
    """A report in which ``name`` stands wherever a name or a sentence can."""
    plan = samples.plan(
        samples.move(name, warnings=(f"Mind {name}.",)),
        samples.move(f"{name}-2"),
        samples.move(f"{name}-3"),
        sources=(name, "kvm1"),
        blocked=(Blocked(name, "u", name, {name: (f"Not {name}.",)}),),
        staying=(Staying(name, "u", name, name, f"Stay {name}."),),
        before=(Placement(name, (name,), 1, 2, 1, 1),),
    )
    finding = {"code": name, "severity": "warning", "object": name, "message": f"See {name}.", "remedy": f"Do {name}."}
    results = {
        name: samples.moved(name, findings=[finding]),
        f"{name}-2": samples.failed(f"Bad {name}.", name, started=samples.BEGIN, seconds=3.0),
        f"{name}-3": {},
    }
    return build.build(plan, results, samples.after(kvm1=[f"{name}-3"], kvm2=[name]), name=name)


@pytest.mark.parametrize("name", ["web01", HOSTILE, "ü 人", "' onload='x", "</style><b>"])
def test_whatever_a_domain_is_called_stays_text(name: str) -> None:
    outline = Outline(page.render(full(name)))
    assert outline.open == []
    assert not {"script", "b2", "img", "iframe", "link", "object"} & set(outline.tags)
    assert not [attribute for attribute, _value in outline.attributes if attribute.startswith("on")]
    assert any(page.words.plain(name) in text for text in outline.texts)


def test_the_page_needs_nothing_from_elsewhere_and_no_script() -> None:
    text = page.render(full())
    assert not re.search(r"(src|href|srcset|action)\s*=|url\(|@import|https?://|javascript:", text)
    assert "default-src 'none'" in text


def test_the_page_is_for_light_dark_and_for_those_who_hear_it() -> None:
    text = page.render(full())
    assert "prefers-color-scheme:dark" in text
    assert '<html lang="en">' in text
    outline = Outline(text)
    assert outline.tags.count("h1") == 1
    assert all(value for name, value in outline.attributes if name == "aria-label")
    assert ("role", "img") in outline.attributes


def test_markdown_keeps_hostile_names_in_their_cell() -> None:
    text = markdown.render(full(HOSTILE))
    assert "<script" not in text
    for line in text.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in (4, 5, 11, 12), line
    assert not [line for line in text.splitlines() if line.startswith("# x")]


@pytest.mark.parametrize(
    ("length", "ticks"),
    [(0.3, 4), (1.0, 6), (4.2, 6), (65.0, 6), (657.0, 5), (7200.0, 5), (400000.0, 6)],
)
def test_the_axis_has_few_round_ticks_that_cover_all(length: float, ticks: int) -> None:
    scale = timeline.Scale(0.0, length)
    assert len(scale.ticks()) == ticks
    assert scale.ticks()[-1] >= length - 1e-6
    assert scale.at(scale.ticks()[-1]) == 100.0


def test_bars_stay_within_the_row() -> None:
    text = page.render(full())
    for left, width in re.findall(r'<rect class="b-[a-z]+" x="([\d.]+)%" width="([\d.]+)%"', text):
        assert float(left) >= 0
        assert float(left) + float(width) <= 100.2


def test_unknown_stages_are_drawn_last_and_done_is_not() -> None:
    stages = {"done": 1.0, "polish": 1.0, "transfer": 2.0, "claim": 0.5, "verify": 0.0}
    assert [stage for stage, _seconds in timeline.ordered_stages(stages)] == ["claim", "transfer", "polish"]


@pytest.mark.parametrize("results", [{}, {"web01": {"changed": True, "outcome": "moved"}}])
def test_a_run_that_measured_nothing_still_renders(results: dict[str, t.Any]) -> None:
    built = build.build(samples.plan(samples.move("web01")), results, None, name="run", started=False)
    assert Outline(page.render(built)).open == []
    assert "planned" in markdown.render(built)


def test_the_page_shows_for_how_long_a_guest_was_stopped() -> None:
    stopped = samples.moved("a", pause=None)
    stopped["move"].update(
        stopped_seconds=4.0, stages={"prepare": 1.0, "seed": 3.0, "stop": 2.0, "transfer": 2.0, "switch": 1.0}
    )
    built = build.build(samples.plan(samples.move("a", method="seeded")), {"a": stopped}, None, name="run")
    text = page.render(built)
    assert "Longest stop" in text
    assert "while the guest was stopped" in text
    assert re.search(r'class="b-off" x="[0-9.]+%" width="[0-9.]+%"', text)
    assert Outline(text).open == []
    assert "stopped 4.0 s" in markdown.render(built)


@pytest.mark.parametrize("back", [True, False])
def test_every_rendering_tells_for_how_long_a_service_was_silent(back: bool) -> None:
    seen = {"service": "tcp web<1>:80", "asked": 90, "answered": 84, "pause_ms": 2400, "interval_ms": 100, "back": back}
    result = samples.moved("a", service=seen)
    built = build.build(samples.plan(samples.move("a")), {"a": result}, None, name="run")
    for text in (markdown.render(built), page.render(built)):
        assert "service 2.4 s" in text
        assert "84 of 90 answers" in text
        assert "web<1>" not in text
        assert ("has not since" in text) is not back
