# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The user's policies: a list of rules, each for the domains that its JMESPath expression matches. Pure.

All rules that match a domain apply to it, in the order of the list; a later one wins where both say something about the same.
Groups of affinity and anti-affinity add up.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import query
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import MOVE_METHODS, SUSPENDED
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts
from ansible_collections.virtops.kvm.plugins.module_utils._placement.terms import Terms

OPTION = "policies"
#: What a rule may ask of the method: all that a plan can be made for.
METHODS = tuple(method for method in MOVE_METHODS if method != SUSPENDED)
_MOST_PAUSE_MS, _MOST_STOP = 2_000_000, 30 * 24 * 3600
_NUMBERS: dict[str, tuple[str, float, float, str]] = {
    "max_stop": ("a number of seconds", 0, _MOST_STOP, "float"),
    "max_pause": ("a whole number of milliseconds", 1, _MOST_PAUSE_MS, "int"),
    "priority": ("a whole number", -1_000_000, 1_000_000, "int"),
    "order_group": ("a whole number", -1_000_000, 1_000_000, "int"),
}
_FLAGS = ("may_stop", "skip")
_GROUPS = ("affinity", "anti_affinity")
KEYS = ("name", "match", "method", *_FLAGS, *_NUMBERS, *_GROUPS, "pinned")


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule: ``says`` holds what it states, by the names of the fields of Terms."""

    label: str
    position: str
    match: str
    says: dict[str, t.Any]


def policies(
    rules: t.Sequence[t.Mapping[str, t.Any]], facts: t.Sequence[HostFacts], hosts: t.Collection[str] | None
) -> tuple[dict[str, Terms], tuple[str, ...]]:
    """UUID -> what the user's ``rules`` say of that domain, and a warning for each rule that matches none of the domains in ``facts``.

    ``hosts`` and errors are as parse and terms_of have them.
    """
    parsed = parse(rules, hosts)
    terms = terms_of(parsed, [(one.name, domain) for one in facts for domain in one.domains])
    return terms, tuple(f"{label} of the policies matches no domain." for label in idle(parsed, terms))


def parse(rules: t.Sequence[t.Mapping[str, t.Any]], hosts: t.Collection[str] | None) -> tuple[Rule, ...]:
    """The user's rules. ``hosts`` are the names that ``pinned`` may have; None where others may be meant, too.

    Raises InputError, which names the rule by its place in the list and the key, for whatever cannot be meant.
    """
    return tuple(_rule(number, rule, hosts) for number, rule in enumerate(rules))


def terms_of(rules: t.Sequence[Rule], domains: t.Sequence[tuple[str, Domain]]) -> dict[str, Terms]:
    """UUID -> what the rules say of that domain, for those of ``domains`` (host name, domain) that a rule matches.

    Raises InputError for an expression that cannot be answered for a domain.
    """
    found: dict[str, Terms] = {}
    if not rules:
        return found
    for host, domain in domains:
        row = {**to_data(domain), "host": host}
        matching = [rule for rule in rules if _matches(rule, row)]
        if matching:
            found[domain.uuid] = _together(matching)
    return found


def idle(rules: t.Sequence[Rule], terms: t.Mapping[str, Terms]) -> list[str]:
    """Labels of the rules that match no domain at all: perhaps a slip of the pen."""
    used = {label for one in terms.values() for label in one.rules}
    return [rule.label for rule in rules if rule.label not in used]


def _together(matching: t.Sequence[Rule]) -> Terms:
    said: dict[str, t.Any] = {"rules": tuple(rule.label for rule in matching)}
    for rule in matching:
        for key, value in rule.says.items():
            said[key] = tuple(dict.fromkeys((*said.get(key, ()), *value))) if key in _GROUPS else value
    return Terms(**said)


def _matches(rule: Rule, row: dict[str, t.Any]) -> bool:
    """By JMESPath's own idea of what is true: everything but null, false, and what is empty."""
    answer = query.search(rule.match, row, f"{rule.position}.match")
    return answer is not None and answer is not False and not (isinstance(answer, (str, list, dict)) and not answer)


def _rule(number: int, rule: t.Any, hosts: t.Collection[str] | None) -> Rule:
    position = f"{OPTION}[{number}]"
    if not isinstance(rule, dict):
        raise InputError(
            OPTION, f"{position} is no rule: a rule is a dictionary with the key match.", position=position
        )
    for key in rule:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it may have {', '.join(KEYS)}."
            raise _wrong(position, str(key), f"is unknown; {hint}")
    match = rule.get("match")
    if not isinstance(match, str) or not match.strip():
        raise _wrong(
            position, "match", "must be a JMESPath expression over the facts of one domain, such as name == 'web01'."
        )
    query.compiled(match, f"{position}.match")
    name = rule.get("name")
    if name is not None and not isinstance(name, str):
        raise _wrong(position, "name", "must be text.")
    says = {key: _value(position, key, value, hosts) for key, value in rule.items() if key not in ("name", "match")}
    if not says:
        raise _wrong(position, "match", f"stands alone: say what holds for these domains ({', '.join(KEYS[2:])}).")
    return Rule(f"rule {number + 1}" + (f" ({name})" if name else ""), position, match, says)


def _value(position: str, key: str, value: t.Any, hosts: t.Collection[str] | None) -> t.Any:
    if key == "method":
        if value not in METHODS:
            raise _wrong(position, key, f"is '{value}', and must be one of {', '.join(METHODS)}.")
        return value
    if key in _FLAGS:
        if not isinstance(value, bool):
            raise _wrong(position, key, f"is '{value}', and must be true or false.")
        return value
    if key in _NUMBERS:
        return _number(position, key, value)
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(one, str) and one.strip() for one in names):
        raise _wrong(position, key, "must be a name, or a list of names.")
    if key == "pinned" and hosts is not None:
        unknown = sorted(set(names) - set(hosts))
        if unknown:
            raise _wrong(position, key, f"names {', '.join(unknown)}; the hosts are {', '.join(sorted(hosts))}.")
    return tuple(names)


def _number(position: str, key: str, value: t.Any) -> float | int:
    what, least, most, kind = _NUMBERS[key]
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
    if not numeric or (kind == "int" and value != int(value)):
        raise _wrong(position, key, f"is '{value}', and must be {what} from {least:g} to {most:g}.")
    return int(value) if kind == "int" else float(value)


def _wrong(position: str, key: str, problem: str) -> InputError:
    place = f"{position}.{key}"
    return InputError(OPTION, f"{place} {problem}", position=place)
