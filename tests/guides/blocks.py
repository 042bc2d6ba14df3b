# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks of code in the guides, and what their comments say.

.. test: lab                    run in order in the lab, as the page's reader would
.. test: lab on kvm1            the same, as root on that host
.. test: lab file inventory.yml written into the reader's folder under that name
.. test: lab prints             what the command before printed; "..." stands for anything, a number for any number
.. test: nfs                    run by the tests on real NFS (tests/integration/nfs)
.. test: static                 only looked at: playbooks, modules, options and variables exist
.. test: static file my.yml     the same, for a file that commands name
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import textwrap

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst"
HOW = re.compile(r"lab(?: prints| on [a-z0-9.]+| file [\w.-]+)?|nfs|static(?: file [\w.-]+)?")
_COMMENT = re.compile(r"\.\. test: *(.*)$")
_DIRECTIVE = re.compile(
    r"\.\. (code-block|code|sourcecode|literalinclude|parsed-literal|highlight|include|raw)::\s*(\S*)\s*$"
)
_OPTION = re.compile(r"\s+:[\w-]+:")


@dataclasses.dataclass(frozen=True)
class Block:
    """One block: where it is, its language, what its comment says, and its text."""

    page: str
    line: int
    language: str
    how: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a console block, continued lines put together."""
        if self.language != "console":
            return []
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]

    @property
    def word(self) -> str:
        """The host or file that the comment names."""
        return self.how.split()[2]


def pages() -> list[pathlib.Path]:
    return sorted(PAGES.glob("*.rst"))


def read(path: pathlib.Path) -> list[Block]:
    """The blocks of a page. Raises ValueError for one that no test would run."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found, how = [], ""
    at = 0
    while at < len(lines):
        line, number = lines[at], at + 1
        comment, directive = _COMMENT.match(line.strip()), _DIRECTIVE.match(line.strip())
        if comment:
            how = comment.group(1)
        elif directive:
            body, at = _body(lines, at)
            found.append(_block(path, number, directive.group(1), directive.group(2), how, body))
            how = ""
            continue
        elif line.rstrip().endswith("::") and not line.strip().startswith(".. "):
            raise ValueError(f"{path.name}:{number} begins a block without code-block, which no test runs")
        elif line.strip() and how:
            raise ValueError(f"{path.name}:{number} stands between a comment for a test and its block")
        at += 1
    return found


def _block(path: pathlib.Path, number: int, directive: str, language: str, how: str, text: str) -> Block:
    place = f"{path.name}:{number}"
    if directive != "code-block":
        raise ValueError(f"{place} uses {directive}; no test looks at that, so use code-block")
    if not HOW.fullmatch(how):
        raise ValueError(f"{place} says '{how}' where '.. test: HOW' should say which test runs it")
    return Block(path.stem, number, language, how, text)


def _body(lines: list[str], at: int) -> tuple[str, int]:
    """The text below the directive in line ``at``, and where the page goes on."""
    indent = len(lines[at]) - len(lines[at].lstrip())
    end = at + 1
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
        end += 1
    body = lines[at + 1 : end]
    while body and (not body[0].strip() or _OPTION.match(body[0])):
        body.pop(0)
    return textwrap.dedent("\n".join(body)).strip("\n") + "\n", end
