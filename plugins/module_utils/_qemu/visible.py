# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a guest can see of its machine, asked of its monitor, and the differences between two of them."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._qemu import qtree

Ask = t.Callable[..., t.Any]
#: Commands and their arguments, to what the monitor returns for each.
AskAll = t.Callable[[t.Sequence[tuple[str, t.Any]]], list[t.Any]]
_KIND = ("qom-get", {"path": "/machine", "property": "type"})
_TREE = ("human-monitor-command", {"command-line": "info qtree"})
_CPU = ("family", "model", "stepping", "vendor", "model-id", "feature-words")


@dataclasses.dataclass(frozen=True)
class Visible:
    """The machine's version, its devices as ``info qtree`` writes them, its processors, the sizes of its memory, and QEMU's version."""

    machine: str
    tree: str
    cpus: tuple[str, ...]
    memory: t.Mapping[str, int]
    version: str


def see(ask_all: AskAll) -> Visible:
    """Ask one monitor for all of it: in three rounds, for it may be far away."""
    told, kind, tree, cpus, memory = ask_all(
        [("query-version", None), _KIND, _TREE, ("query-cpus-fast", None), ("query-memory-size-summary", None)]
    )
    version = told["qemu"]
    return Visible(
        machine=kind[: -len("-machine")] if kind.endswith("-machine") else kind,
        tree=_lines(tree),
        cpus=tuple(_cpus(ask_all, cpus)),
        memory=memory,
        version=f"{version['major']}.{version['minor']}.{version['micro']}",
    )


def one_by_one(ask: Ask) -> AskAll:
    """Asks a monitor that is near."""
    return lambda commands: [ask(command, arguments) for command, arguments in commands]


def tree_of(ask: Ask) -> str:
    """Its devices, as ``info qtree`` writes them."""
    return _lines(ask(*_TREE))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _cpus(ask_all: AskAll, cpus: t.Iterable[t.Mapping[str, t.Any]]) -> t.Iterator[str]:
    first: dict[str, t.Any] = {}
    for cpu in cpus:
        if not first:
            first = _cpu(ask_all, cpu["qom-path"])
        # All processors of a machine are alike but for their place.
        yield json.dumps(
            {**first, "place": {key: value for key, value in cpu.get("props", {}).items() if key != "node-id"}},
            sort_keys=True,
        )


def _cpu(ask_all: AskAll, path: str) -> dict[str, t.Any]:
    (listed,) = ask_all([("qom-list", {"path": path})])
    names = {item["name"] for item in listed}
    keys = [key for key in ("type", *_CPU) if key in names or key == "type"]
    found = dict(zip(keys, ask_all([("qom-get", {"path": path, "property": key}) for key in keys])))
    found["feature-words"] = sorted(
        (word["cpuid-input-eax"], word.get("cpuid-input-ecx", 0), word["cpuid-register"], word["features"])
        for word in found.get("feature-words", ())
        if word["features"]
    )
    return found


def differences(here: Visible, there: Visible, *, named: bool = True) -> list[str]:
    """What the guest would notice; nothing where it would not. Without ``named`` devices and buses may be called otherwise there."""
    found = []
    if here.machine != there.machine:
        found.append(f"the machine is {here.machine} on the source and {there.machine} on the destination")
    if len(here.cpus) != len(there.cpus):
        found.append(f"the source has {len(here.cpus)} processors and the destination {len(there.cpus)}")
    elif here.cpus != there.cpus:
        found += _cpu_differences(json.loads(here.cpus[0]), json.loads(there.cpus[0])) or [
            "the processors have other places"
        ]
    for key, size in here.memory.items():
        if there.memory.get(key) != size:
            found.append(f"{key} is {size} bytes on the source and {there.memory.get(key)} on the destination")
    mine, other = (here.tree, there.tree) if named else (qtree.unnamed(here.tree), qtree.unnamed(there.tree))
    return found + qtree.differences(mine, other, one_version=here.version == there.version)


def _cpu_differences(here: dict[str, t.Any], there: dict[str, t.Any]) -> list[str]:
    found = []
    for key in sorted({*here, *there} - {"place", "feature-words"}):
        if here.get(key) != there.get(key):
            found.append(
                f"the processor's {key} is {here.get(key)} on the source and {there.get(key)} on the destination"
            )
    mine = {tuple(word) for word in here["feature-words"]} ^ {tuple(word) for word in there["feature-words"]}
    leaves = sorted({f"{leaf:#x}/{register}" for leaf, _sub, register, _value in mine})
    if leaves:
        found.append(f"the processor's features differ in CPUID {', '.join(leaves)}")
    return found
