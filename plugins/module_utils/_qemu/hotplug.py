# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Devices that came after the start are in no command line: the words that would have made them, from what the monitor tells."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import Keys, Option, parse_keys, render_keys

Ask = t.Callable[..., t.Any]
#: Told by their place, or no option of -device at all.
_NOT_GIVEN = frozenset(
    ("addr", "bus", "id", "drive", "netdev", "type", "realized", "hotplugged", "hotpluggable", "chardev")
)
_USERS = ("mac", "serial", "wwn", "bootindex")
_PLAIN = re.compile(r"bool|u?int\d*|str|size|OnOffAuto|str<.*>")


def added(ask: Ask, named: t.Container[str]) -> tuple[list[Option], list[str]]:
    """The words for devices whose ids are not among ``named``, and why some have none."""
    found: list[Option] = []
    problems: list[str] = []
    for item in ask("qom-list", {"path": "/machine/peripheral"}):
        if not item["type"].startswith("child<") or item["name"] in named:
            continue
        try:
            found += _device(ask, item["name"], item["type"][len("child<") : -1])
        except KvmError as exc:
            problems.append(f"the device '{item['name']}' was added later, and QEMU does not tell how: {exc.message}")
    return found, problems


def removed(ask: Ask, named: t.Iterable[str]) -> frozenset[str]:
    """The ids among ``named`` that are not there any more."""
    there = {item["name"] for item in ask("qom-list", {"path": "/machine/peripheral"})}
    return frozenset(set(named) - there)


def _device(ask: Ask, name: str, kind: str) -> list[Option]:
    path = f"/machine/peripheral/{name}"

    def get(key: str) -> t.Any:
        return ask("qom-get", {"path": path, "property": key})

    pairs = [("driver", kind), ("id", name)]
    words = []
    for prop in ask("device-list-properties", {"typename": kind}):
        key = prop["name"]
        if key == "drive" and get(key):
            words.append(_drive(ask, str(get(key))))
            pairs.append((key, str(get(key))))
        elif key == "netdev" and get(key):
            words.append(_netdev(ask, str(get(key))))
            pairs.append((key, str(get(key))))
        elif key not in _NOT_GIVEN and not key.startswith(("x-", "legacy-")) and _PLAIN.fullmatch(prop["type"]):
            value = get(key)
            # What has no default is the user's where it is one of these, and else made by QEMU.
            given = "default-value" in prop or key in _USERS
            if given and value not in (prop.get("default-value", -1), "", None):
                pairs.append((key, _text(value)))
    bus = str(get("parent_bus")).rpartition("/")[2]
    pairs.append(("bus", bus))
    address = _address(get, ask, kind)
    if address:
        pairs.append(("addr", address))
    return [*words, _option("device", pairs)]


def _option(name: str, pairs: t.Sequence[tuple[str, str]]) -> Option:
    return Option(f"-{name}", render_keys(Keys(tuple(pairs)), "driver" if name == "device" else ""))


def _text(value: t.Any) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _address(get: t.Callable[[str], t.Any], ask: Ask, kind: str) -> str:
    if not any(prop["name"] == "addr" for prop in ask("device-list-properties", {"typename": kind})):
        return ""
    value = get("addr")
    return f"{value >> 3:x}.{value & 7:x}" if isinstance(value, int) else str(value)


def _drive(ask: Ask, name: str) -> Option:
    """The backend of a disk: a drive by its id, or a node by its name."""
    for block in ask("query-block"):
        inserted = block.get("inserted") or {}
        if not inserted or name not in (block.get("device"), inserted.get("node-name")):
            continue
        if name == block.get("device"):
            pairs = [("if", "none"), ("id", name), ("file", inserted["file"]), ("format", inserted["drv"])]
            return _option("drive", [*pairs, *([("readonly", "on")] if inserted["ro"] else [])])
        value = {
            "driver": inserted["drv"],
            "node-name": name,
            "read-only": inserted["ro"],
            "file": {
                "driver": "host_device" if inserted["file"].startswith("/dev/") else "file",
                "filename": inserted["file"],
            },
        }
        return Option("-blockdev", json.dumps(value, separators=(",", ":")))
    raise KvmError("HOTPLUG_UNKNOWN", f"its drive '{name}' is not to be found")


def _netdev(ask: Ask, name: str) -> Option:
    text = ask("human-monitor-command", {"command-line": "info network"}).replace("\r", "")
    for line in text.splitlines():
        found, _colon, told = line.strip(" \\").partition(": ")
        pairs = dict(parse_keys(told).pairs)
        if found != name:
            continue
        if pairs.get("type") == "user":
            return Option("-netdev", f"user,id={name}")
        if pairs.get("type") == "tap" and pairs.get("ifname"):
            return Option("-netdev", f"tap,id={name},ifname={pairs['ifname']},script=no,downscript=no")
        raise KvmError("HOTPLUG_UNKNOWN", f"its network '{name}' is of the type {pairs.get('type', 'unknown')}")
    raise KvmError("HOTPLUG_UNKNOWN", f"its network '{name}' is not to be found")
