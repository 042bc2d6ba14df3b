# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is opened and closed in firewalld, ufw and nftables; and that nothing of others is touched."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._host import firewalld, nftables, ufw
from ansible_collections.virtops.kvm.plugins.module_utils._host.firewall import Step, asked_ports
from ansible_collections.virtops.kvm.plugins.modules import firewall_opening
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._host.fake_host import FakeFirewalls, chain, rule

OWNER = "libvirt_host"
ASKED = asked_ports(["16514", "49152-49215"])
NOW = "virtops.kvm.libvirt_host 16514 49152-49215"
BEFORE = "virtops.kvm.libvirt_host 16514 49152-49160"
CLOSED = chain("inet", "filter", "input", policy="drop")


def deeds(steps: t.Iterable[Step]) -> list[str]:
    return [f"{step.change.action} {step.change.object}" for step in steps]


def commands(steps: t.Iterable[Step]) -> list[str]:
    return [" ".join(step.words) for step in steps]


@pytest.mark.parametrize("text", ["", "0", "70000", "5-4", "ssh", "22/tcp", "1-2-3"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="ports"):
        asked_ports([text])


ZONES = """\
internal
  target: default
  services: ssh mdns
  ports:
  rich rules:
{rules}
public (default, active)
  target: default
  interfaces: eth0
  sources:
  services: ssh{services}
  ports: 8080/tcp {ports}
  forward-ports:
  rich rules:
{rich}
"""
OURS = '\trule priority="16514" port port="{}" protocol="tcp" accept\n'


def zones(ports: str = "", rich: str = "", rules: str = "", services: str = "") -> dict[str, firewalld.Zone]:
    return firewalld.parse_zones(ZONES.format(ports=ports, rich=rich, rules=rules, services=services))


RIGHT = OURS.format("16514") + OURS.format("49152-49215")


@pytest.mark.parametrize(
    ("now", "done"),
    [
        pytest.param(zones(), ["open public: 16514", "open public: 49152-49215"], id="nothing yet"),
        pytest.param(zones(rich=RIGHT), [], id="right"),
        pytest.param(zones("16514/tcp 49000-50000/tcp"), [], id="others let it in"),
        pytest.param(zones("16514/udp 49152-49215/tcp"), ["open public: 16514"], id="another protocol"),
        pytest.param(zones("49152-49215/tcp", services=" libvirt-tls"), [], id="a service of firewalld's own"),
        pytest.param(
            zones(rich=OURS.format("16514") + OURS.format("49152-49160")),
            ["open public: 49152-49215", "close public: 49152-49160"],
            id="another range before",
        ),
        pytest.param(
            zones("49152-49160/tcp", rich=RIGHT + '\trule priority="7" port port="99" protocol="tcp" accept\n'),
            [],
            id="rules of others stay",
        ),
        pytest.param(
            zones(rich=RIGHT + OURS.format("2049").replace("16514", "2049")),
            [],
            id="what is open for another owner stays",
        ),
        pytest.param(
            zones(
                rich=OURS.format("16514")
                + '\trule family="ipv4" source address="192.0.2.0/24" port port="49152-49215" protocol="tcp" accept\n'
            ),
            [],
            id="somebody else said from where",
        ),
        pytest.param(
            zones(rich=RIGHT, rules=RIGHT), ["close internal: 16514", "close internal: 49152-49215"], id="zone"
        ),
    ],
)
def test_firewalld(now: dict[str, firewalld.Zone], done: list[str]) -> None:
    found = firewalld.steps(OWNER, ASKED, "public", now, zones(rich=RIGHT))
    assert [deed.replace("firewalld, zone ", "").replace(", now", "") for deed in deeds(found)] == done


def test_firewalld_is_changed_for_good_too_and_by_the_rule_s_own_words() -> None:
    found = firewalld.steps(OWNER, ASKED[:1], "public", zones(rich=OURS.format("16514")), zones(rich=OURS.format("99")))
    assert commands(found) == [
        'firewall-cmd --zone=public --add-rich-rule=rule priority="16514" port port="16514" protocol="tcp" accept --permanent',
        'firewall-cmd --zone=public --remove-rich-rule=rule priority="16514" port port="99" protocol="tcp" accept --permanent',
    ]


@pytest.mark.parametrize(
    ("added", "done"),
    [
        pytest.param("", ["open ufw: 16514", "open ufw: 49152-49215"], id="nothing yet"),
        pytest.param("allow 16514/tcp|allow 49000:50000/tcp", [], id="others let it in"),
        pytest.param("allow from 192.0.2.0/24 to any port 16514 proto tcp|allow 49152:49215", [], id="from somewhere"),
        pytest.param(
            "deny out 16514/tcp|allow 49152:49215/tcp", ["open ufw: 16514"], id="what goes out is nothing to us"
        ),
        pytest.param(
            "allow out 16514/tcp|route allow to any port 16514 proto tcp|limit 49152:49215/tcp", ["open ufw: 16514"]
        ),
        pytest.param("allow 16514/udp|allow 49152:49215,22/tcp", ["open ufw: 16514"], id="another protocol"),
        pytest.param(
            "allow 16514/tcp comment 'virtops.kvm.libvirt_host'|allow 49152:49160/tcp comment 'virtops.kvm.libvirt_host'",
            ["open ufw: 49152-49215", "close ufw: 49152-49160"],
            id="another range before",
        ),
        pytest.param(
            "allow 16514/tcp comment 'virtops.kvm.libvirt_host'|allow 49152:49215/tcp comment 'virtops.kvm.libvirt_host'"
            "|allow 1000/tcp comment 'it is of others'|allow 2049/tcp comment 'virtops.kvm.nfs_server'",
            [],
            id="right",
        ),
    ],
)
def test_ufw(added: str, done: list[str]) -> None:
    text = "Added user rules (see 'ufw status' for running firewall):\n" + "".join(
        f"ufw {one}\n" for one in added.split("|")
    )
    found, warnings = ufw.steps(OWNER, ASKED, ufw.parse_added(text.replace("ufw \n", "(None)\n")))
    assert (deeds(found), warnings) == (done, [])


def test_ufw_is_changed_by_rules_with_our_comment() -> None:
    rules = ufw.parse_added("ufw allow 99/tcp comment 'virtops.kvm.libvirt_host'")
    assert commands(ufw.steps(OWNER, ASKED[1:], rules)[0]) == [
        "ufw allow 49152:49215/tcp comment virtops.kvm.libvirt_host",
        "ufw delete allow 99/tcp",
    ]


def test_what_somebody_shut_in_ufw_stays_shut_and_is_told() -> None:
    found, warnings = ufw.steps(OWNER, ASKED[:1], ufw.parse_added("ufw deny 16514/tcp"))
    assert found == []
    assert "'deny 16514/tcp'" in warnings[0]


@pytest.mark.parametrize(
    ("expressions", "refuses"),
    [
        ([{"drop": None}], True),
        ([{"counter": {"packets": 7, "bytes": 420}}, {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}], True),
        ([{"log": {"prefix": "refused: "}}, {"counter": None}, {"drop": None}], True),
        ([{"reject": None}], True),
        ([{"accept": None}], False),
        ([], False),
        ([{"counter": {"packets": 7, "bytes": 420}}], False),
        ([{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth1"}}, {"drop": None}], False),
        ([{"limit": {"rate": 9, "per": "second"}}, {"drop": None}], False),
        ([{"drop": None}, {"accept": None}], False),
    ],
)
def test_a_rule_that_refuses_all_that_is_left(expressions: list[dict[str, t.Any]], refuses: bool) -> None:
    open_chain = chain("inet", "filter", "input", policy="accept")
    ruleset = [open_chain, rule("inet", "filter", "input", 9, expressions)]
    assert nftables.refuses_all(ruleset[1]["rule"]) is refuses
    assert bool(nftables.closed_chains(ruleset)) is refuses


@pytest.mark.parametrize(
    "one",
    [
        chain("inet", "filter", "input", policy="accept"),
        chain("inet", "filter", "forward", hook="forward", policy="drop"),
        chain("bridge", "filter", "input", policy="drop"),
        chain("inet", "nat", "input", type="nat", policy="drop"),
        chain("inet", "firewalld", "filter_INPUT", policy="drop"),
        {"chain": {"family": "inet", "table": "filter", "name": "mine", "handle": 3}},
    ],
)
def test_a_chain_that_is_not_closed_for_us_is_left_alone(one: dict[str, t.Any]) -> None:
    assert nftables.closed_chains([{"metainfo": {"version": "1.1.3"}}, {"table": {"name": "filter"}}, one]) == []


def dport(right: t.Any, **fields: str) -> dict[str, t.Any]:
    payload = {"protocol": "tcp", "field": "dport", **fields}
    return {"match": {"op": "==", "left": {"payload": payload}, "right": right}}


FROM = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}}
ACCEPT = {"accept": None}
BOTH = {"set": [16514, {"range": [49152, 49215]}]}


def accepting(
    *expressions: dict[str, t.Any], comment: str = "", name: str = "input", handle: int = 5
) -> dict[str, t.Any]:
    return rule("inet", "filter", name, handle, [*expressions, ACCEPT], comment)


@pytest.mark.parametrize(
    ("rules", "done"),
    [
        pytest.param([], ["open : 16514 49152-49215"], id="nothing yet"),
        pytest.param([accepting(dport(BOTH), comment=NOW)], [], id="right"),
        pytest.param(
            [accepting(dport(BOTH), comment=BEFORE)],
            ["open : 16514 49152-49215", "close : 16514 49152-49160"],
            id="another range before",
        ),
        pytest.param([accepting(dport(BOTH))], [], id="others let it in"),
        pytest.param(
            [accepting(FROM, dport(BOTH), name="more")], [], id="others said from where, in a chain of their own"
        ),
        pytest.param([accepting(dport(16514))], ["open : 49152-49215"], id="others let a part in"),
        pytest.param(
            [accepting(dport(BOTH, protocol="udp")), accepting(dport(BOTH, field="sport"))],
            ["open : 16514 49152-49215"],
            id="another protocol, and ports of the others",
        ),
        pytest.param(
            [accepting(dport(BOTH), comment=NOW), accepting(dport(BOTH), comment=NOW, handle=6)],
            ["close : 16514 49152-49215"],
            id="twice",
        ),
        pytest.param(
            [accepting(dport(2049), comment="virtops.kvm.nfs_server 2049"), accepting(dport(BOTH), comment=NOW)],
            [],
            id="the other owner's stay",
        ),
    ],
)
def test_nftables(rules: list[dict[str, t.Any]], done: list[str]) -> None:
    ruleset = nftables.parse_ruleset(json.dumps({"nftables": [{"metainfo": {}}, CLOSED, *rules]}))
    found = nftables.steps(OWNER, nftables.wanted_rules(OWNER, ASKED, ruleset), ruleset)
    assert [deed.replace("nftables, chain inet filter input", "") for deed in deeds(found)] == done


def test_a_chain_that_is_open_by_now_needs_no_rule_of_ours() -> None:
    ruleset = [chain("inet", "filter", "input", policy="accept"), accepting(dport(BOTH), comment=NOW, handle=8)]
    found = nftables.steps(OWNER, nftables.wanted_rules(OWNER, ASKED, ruleset), ruleset)
    assert commands(found) == ["nft delete rule inet filter input handle 8"]


FILE = "flush ruleset\ntable inet filter {\n}\n"
BLOCK = (
    "# BEGIN virtops.kvm.libvirt_host\n"
    'insert rule inet filter input tcp dport { 16514, 49152-49215 } accept comment "virtops.kvm.libvirt_host 16514 49152-49215"\n'
    "# END virtops.kvm.libvirt_host\n"
)
WANTED = {nftables.Chain("inet", "filter", "input"): ASKED}


@pytest.mark.parametrize(
    ("text", "wanted", "new"),
    [
        ("", WANTED, BLOCK),
        (FILE, WANTED, FILE + BLOCK),
        (FILE.rstrip(), WANTED, FILE + BLOCK),
        (FILE + BLOCK, WANTED, FILE + BLOCK),
        (FILE + BLOCK.replace("49215", "49160") + "# mine\n", WANTED, FILE + BLOCK + "# mine\n"),
        (FILE + BLOCK + "# mine", {}, FILE + "# mine"),
        (FILE, {}, FILE),
    ],
)
def test_the_block_in_the_file(text: str, wanted: t.Any, new: str) -> None:
    assert nftables.with_block(text, OWNER, wanted) == new


def opened(host: FakeFirewalls, *ports: str, check_mode: bool = False) -> list[str]:
    asked = {"owner": OWNER, "ports": list(ports), "firewalld_zone": None}
    result = firewall_opening.run(asked, check_mode, t.cast("t.Any", host))
    return [change.action for change in result.changes]


def test_the_file_is_written_before_a_rule_is_in_force_and_both_are_announced() -> None:
    host = FakeFirewalls()
    assert opened(host, "16514", "49152-49215", check_mode=True) == ["write", "open"]
    assert host.done == ["try"]
    assert opened(host, "16514", "49152-49215") == ["write", "open"]
    assert [deed.split()[0] for deed in host.done] == ["try", "try", "write", "nft"]
    assert host.text == BLOCK


def test_firewalls_that_do_not_run_are_not_asked() -> None:
    assert opened(FakeFirewalls(running=()), "2049") == []
