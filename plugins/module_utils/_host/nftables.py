# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What to open and to close in nftables, by the comments of its rules. Pure.

Each chain for what comes in that lets nothing in but what a rule of it accepts, be it by its policy or by a rule in the end, gets a rule in
front: in force, and in a block of the file that is loaded at the start of the host.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._host.firewall import (
    Ports,
    Step,
    closing,
    missing,
    opening,
    tag,
)

Data = dict[str, t.Any]
_FAMILIES = ("inet", "ip", "ip6")
#: What may stand before a last word without choosing whom it is for.
_NOTES = ("counter", "log")
_REFUSALS = ("drop", "reject")
#: firewalld's own table is changed by firewalld alone.
_FOREIGN_TABLES = ("firewalld",)


class Chain(t.NamedTuple):
    """A chain, as nft addresses it."""

    family: str
    table: str
    name: str

    def __str__(self) -> str:
        return " ".join(self)


def parse_ruleset(text: str) -> list[Data]:
    """What ``nft --json --handle list ruleset`` prints."""
    return list(json.loads(text)["nftables"])


def refuses_all(rule: Data) -> bool:
    """Whether a rule refuses all that comes to it."""
    words = [next(iter(expression)) for expression in rule.get("expr", ())]
    return bool(words) and words[-1] in _REFUSALS and all(word in _NOTES for word in words[:-1])


def closed_chains(ruleset: t.Sequence[Data]) -> list[Chain]:
    """The chains for what comes in that let nothing in but what a rule accepts."""
    refusing = {_chain_of(rule) for rule in _rules(ruleset) if refuses_all(rule)}
    found = []
    for entry in ruleset:
        one = entry.get("chain", {})
        if one.get("hook") != "input" or one.get("type") != "filter" or one["family"] not in _FAMILIES:
            continue
        chain = Chain(one["family"], one["table"], one["name"])
        if chain.table not in _FOREIGN_TABLES and (one.get("policy") == "drop" or chain in refusing):
            found.append(chain)
    return found


def accepted(rule: Data) -> list[Ports]:
    """The TCP ports that a rule lets in, whomever from."""
    expressions = rule.get("expr", ())
    if not any("accept" in expression for expression in expressions):
        return []
    found: list[Ports] = []
    for expression in expressions:
        match = expression.get("match", {})
        field = match.get("left", {}).get("payload", {}) if isinstance(match.get("left"), dict) else {}
        if match.get("op") in ("==", "in") and field.get("field") == "dport" and field.get("protocol") in ("tcp", "th"):
            found += _ports(match["right"])
    return found


def wanted_rules(owner: str, wanted: t.Sequence[Ports], ruleset: t.Sequence[Data]) -> dict[Chain, tuple[Ports, ...]]:
    """The chains that get a rule of ours, and for which ports."""
    found = {}
    for chain in closed_chains(ruleset):
        theirs = [
            ports
            for rule in _rules(ruleset)
            if (rule["family"], rule["table"]) == chain[:2] and not _is_ours(owner, rule)
            for ports in accepted(rule)
        ]
        lacking = missing(wanted, theirs)
        if lacking:
            found[chain] = lacking
    return found


def steps(owner: str, wanted: t.Mapping[Chain, t.Sequence[Ports]], ruleset: t.Sequence[Data]) -> list[Step]:
    """From the rules in force to the ``wanted`` ones: first what is opened, then what is closed."""
    ours = [rule for rule in _rules(ruleset) if _is_ours(owner, rule)]
    found: list[Step] = []
    right = []
    for chain, ports in wanted.items():
        same = [rule for rule in ours if _chain_of(rule) == chain and rule["comment"] == _comment(owner, ports)]
        right += same[:1]
        if not same:
            words = ("nft", f"insert rule {chain} {_rule(owner, ports)}")
            found.append(opening(_place(chain), _spelled(ports), *words))
    for rule in ours:
        if rule not in right:
            words = ("nft", f"delete rule {_chain_of(rule)} handle {rule['handle']}")
            found.append(closing(_place(_chain_of(rule)), rule["comment"].partition(" ")[2], *words))
    return found


def with_block(text: str, owner: str, wanted: t.Mapping[Chain, t.Sequence[Ports]]) -> str:
    """The file with our block as it should be: where it stood, or in the end, or gone when there is nothing for it."""
    begin, end = f"# BEGIN {tag(owner)}", f"# END {tag(owner)}"
    lines = text.splitlines(keepends=True)
    bare = [line.strip() for line in lines]
    block = [f"insert rule {chain} {_rule(owner, ports)}\n" for chain, ports in wanted.items()]
    if block:
        block = [f"{begin}\n", *block, f"{end}\n"]
    if begin in bare and end in bare[bare.index(begin) :]:
        first = bare.index(begin)
        return "".join([*lines[:first], *block, *lines[bare.index(end, first) + 1 :]])
    if block and lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join([*lines, *block])


def _rules(ruleset: t.Sequence[Data]) -> list[Data]:
    return [entry["rule"] for entry in ruleset if "rule" in entry]


def _chain_of(rule: Data) -> Chain:
    return Chain(rule["family"], rule["table"], rule["chain"])


def _is_ours(owner: str, rule: Data) -> bool:
    return str(rule.get("comment", "")).startswith(f"{tag(owner)} ")


def _place(chain: Chain) -> str:
    return f"nftables, chain {chain}"


def _spelled(ports: t.Sequence[Ports]) -> str:
    return " ".join(map(str, ports))


def _comment(owner: str, ports: t.Sequence[Ports]) -> str:
    return f"{tag(owner)} {_spelled(ports)}"


def _rule(owner: str, ports: t.Sequence[Ports]) -> str:
    return f'tcp dport {{ {", ".join(map(str, ports))} }} accept comment "{_comment(owner, ports)}"'


def _ports(right: t.Any) -> list[Ports]:
    if isinstance(right, int):
        return [Ports(right, right)]
    if isinstance(right, dict) and "range" in right:
        return [Ports(*right["range"])]
    if isinstance(right, dict) and "set" in right:
        return [ports for one in right["set"] for ports in _ports(one)]
    return []
