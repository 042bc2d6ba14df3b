# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What to open and to close in ufw, by the comments of its rules. Pure."""

from __future__ import annotations

import re
import shlex
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._host.firewall import (
    Ports,
    Step,
    closing,
    missing,
    opening,
    parse_ports,
    tag,
)

_PLACE = "ufw"


class Rule(t.NamedTuple):
    """A rule that somebody added: its words, for which ports, and its comment. ``plain`` is for everybody, in."""

    words: tuple[str, ...]
    ports: tuple[Ports, ...]
    comment: str
    plain: bool

    @property
    def lets_in(self) -> bool:
        """Whether it lets somebody in."""
        return self.words[0] in ("allow", "limit") and "out" not in self.words


def parse_added(text: str) -> list[Rule]:
    """What ``ufw show added`` prints: the commands that would add its rules. Those of routes are none of ours."""
    found = []
    for line in text.splitlines():
        words = shlex.split(line) if line.startswith("ufw ") else []
        if len(words) < 3 or words[1] == "route":
            continue
        comment = words[-1] if words[-2] == "comment" else ""
        rest = tuple(words[1:-2] if comment else words[1:])
        found.append(Rule(rest, _ports(rest), comment, len(rest) == 2))
    return found


def steps(owner: str, wanted: t.Sequence[Ports], rules: t.Sequence[Rule]) -> tuple[list[Step], list[str]]:
    """From the ``rules`` that there are to what is ``wanted``; and warnings of what somebody else shut on purpose."""
    ours = [rule for rule in rules if rule.comment == tag(owner) and rule.plain and rule.lets_in]
    others = [rule for rule in rules if rule not in ours]
    lacking = missing(wanted, [ports for rule in others if rule.lets_in for ports in rule.ports])
    # ufw would put ours in the place of one that says another thing of the same port.
    shut = {words: rule for rule in others if rule.plain and not rule.lets_in for words in (rule.words[1],)}
    found: list[Step] = []
    warnings: list[str] = []
    for ports in lacking:
        if _spelled(ports) in shut:
            warnings.append(
                f"ufw has a rule of somebody else, '{' '.join(shut[_spelled(ports)].words)}'; it is left alone, and {ports} stays closed. "
                "Delete it where somebody shall come in there."
            )
        elif not any(rule.words == ("allow", _spelled(ports)) for rule in ours):
            found.append(opening(_PLACE, str(ports), "ufw", "allow", _spelled(ports), "comment", tag(owner)))
    for rule in ours:
        if rule.words not in [("allow", _spelled(ports)) for ports in lacking]:
            found.append(closing(_PLACE, " ".join(map(str, rule.ports)), "ufw", "delete", *rule.words))
    return found, warnings


def _spelled(ports: Ports) -> str:
    return f"{ports.text(':')}/tcp"


def _ports(words: t.Sequence[str]) -> tuple[Ports, ...]:
    """The TCP ports on this host of which a rule speaks."""
    if len(words) == 2:
        text, _mark, protocol = words[1].partition("/")
    else:
        tail = words[words.index("to") :] if "to" in words else ()
        text = tail[tail.index("port") + 1] if "port" in tail else ""
        protocol = words[words.index("proto") + 1] if "proto" in words else ""
    found = [parse_ports(part) for part in re.split(",", text)] if protocol in ("", "tcp") else []
    return tuple(ports for ports in found if ports is not None)
