# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The commands of QMP that a move needs, said by a human monitor: for a guest that has no other.

Block jobs are left out on purpose. A human monitor tells neither that one failed nor why: a job that ended well and one that did not are
both just gone.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import answers
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.hmp import HmpSession, failure
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.session import refused

Arguments = t.Mapping[str, t.Any]
_PROPERTY = re.compile(r"\s+([\w.-]+)=<(.*?)>(?:\s+- .*?)?(?:\s*\(default: (.*)\))?\Z")
_UNITS = {"bytes": 1, "B": 1, "kbytes": 1 << 10, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_COUNTS = {"transferred": "transferred", "remaining": "remaining", "total": "total"}
#: Said alike, without arguments.
_PLAIN = ("cont", "stop", "quit", "system_powerdown", "system_reset", "migrate_cancel")


class HumanSchema:
    """What this QEMU knows, as far as a move asks."""

    def __init__(self, migrate: str) -> None:
        self._migrate = migrate

    def has_argument(self, command: str, argument: str) -> bool:
        """Whether ``migrate`` still copies disks itself."""
        flag = {"blk": "[-b]", "inc": "[-i]"}.get(argument, "")
        return command == "migrate" and bool(flag) and flag in self._migrate


class HumanSession:
    """Like a session of QMP, for the commands that there are here; others raise MONITOR_REFUSED."""

    oob = False
    kind = "hmp"

    def __init__(self, spoken: HmpSession) -> None:
        self._spoken = spoken
        self._timeout: float | None = None
        self._said: dict[str, t.Callable[[Arguments], t.Any]] = {
            "query-version": self._version,
            "query-name": lambda _none: {"name": self._order("info name").strip()},
            "query-status": lambda _none: {"status": answers.status_by_hmp(self._order("info status"))},
            "query-migrate": lambda _none: migration(self._order("info migrate")),
            "query-migrate-capabilities": lambda _none: capabilities(self._order("info migrate_capabilities")),
            "query-block": lambda _none: blocks(self._order("info block -v")),
            "query-block-jobs": self._block_jobs,
            "query-jobs": lambda _none: [],
            "query-named-block-nodes": lambda _none: [],
            "query-cpus-fast": lambda _none: processors(self._order("info hotpluggable-cpus")),
            "query-memory-size-summary": lambda _none: memory(self._order("info memory_size_summary")),
            "qom-list": lambda given: listed(self._order(f"qom-list {given['path']}")),
            "qom-get": self._qom_get,
            "device-list-properties": lambda given: properties(self._order(f"device_add {given['typename']},help")),
            "human-monitor-command": lambda given: self._hmp(given["command-line"]),
            "migrate-set-capabilities": self._set_capabilities,
            "migrate-set-parameters": self._set_parameters,
            "migrate": self._migrate,
            "migrate-continue": lambda given: self._order(f"migrate_continue {given['state']}"),
            "eject": self._eject,
            "blockdev-change-medium": self._change_medium,
            "object-add": self._object_add,
            "object-del": lambda given: self._order(f"object_del {quoted(given['id'])}"),
        }

    @property
    def address(self) -> Address:
        """Where the monitor listens."""
        return self._spoken.address

    @property
    def version(self) -> tuple[int, int, int]:
        """QEMU's version."""
        return self._spoken.version

    def close(self) -> None:
        """End the session; QEMU goes on."""
        self._spoken.close()

    def pause(self, seconds: float, events: t.Container[str] = ()) -> None:
        """Wait so long: a human monitor tells of nothing by itself."""
        self._spoken.pause(seconds, events)

    def schema(self) -> HumanSchema:
        """What this QEMU knows."""
        return HumanSchema(self._hmp("help migrate"))

    def has_command(self, name: str) -> bool:
        """Whether this session has the command ``name``."""
        return name in self._said or name in _PLAIN

    def hmp(self, line: str, *, timeout: float | None = None) -> str:
        """What the monitor prints for ``line``, errors included."""
        return self._spoken.hmp(line, timeout=timeout)

    def execute(
        self, command: str, arguments: Arguments | None = None, *, timeout: float | None = None, oob: bool = False
    ) -> t.Any:
        """What QMP would return for ``command``. Raises MONITOR_REFUSED, MONITOR_SILENT and MONITOR_GONE as a session of QMP does."""
        self._timeout = timeout
        if command in _PLAIN and not oob:
            return self._order(command)
        if command not in self._said or oob:
            words = f"a human monitor has no {command}"
            raise refused(self.address, command, {"class": "CommandNotFound", "desc": words})
        return self._said[command](arguments or {})

    def _hmp(self, line: str) -> str:
        return self._spoken.hmp(line, timeout=self._timeout)

    def _order(self, line: str) -> str:
        text = self._hmp(line)
        words = failure(text)
        if words:
            raise refused(self.address, line.split(" ", 1)[0], {"class": "GenericError", "desc": words})
        return text

    def _version(self, _none: Arguments) -> dict[str, t.Any]:
        major, minor, micro = self.version
        return {"qemu": {"major": major, "minor": minor, "micro": micro}}

    def _block_jobs(self, _none: Arguments) -> list[dict[str, str]]:
        return [{"device": job.id} for job in answers.jobs_by_hmp(self._order("info block-jobs"))]

    def _qom_get(self, given: Arguments) -> t.Any:
        text = self._order(f"qom-get {given['path']} {given['property']}")
        try:
            return json.loads(text)
        except ValueError as exc:
            desc = {"class": "GenericError", "desc": f"it printed {text[:60]!r}"}
            raise refused(self.address, "qom-get", desc) from exc

    def _set_capabilities(self, given: Arguments) -> None:
        for one in given["capabilities"]:
            self._order(f"migrate_set_capability {one['capability']} {'on' if one['state'] else 'off'}")

    def _set_parameters(self, given: Arguments) -> None:
        for name, value in given.items():
            # A number without a unit would be MiB here.
            text = f"{value}B" if name == "max-bandwidth" else quoted(value) if isinstance(value, str) else str(value)
            self._order(f"migrate_set_parameter {name} {text}")

    def _migrate(self, given: Arguments) -> None:
        flags = [flag for flag, wanted in (("-b", given.get("blk")), ("-i", given.get("inc"))) if wanted]
        self._order(" ".join(["migrate", "-d", *flags, quoted(given["uri"])]))

    def _eject(self, given: Arguments) -> None:
        self._order(f"eject -f {quoted(self._drive(given))}")

    def _change_medium(self, given: Arguments) -> None:
        words = (self._drive(given), given["filename"], given["format"], given["read-only-mode"])
        self._order(f"change {' '.join(map(quoted, words))}")

    def _drive(self, given: Arguments) -> str:
        """The name of the drive: a human monitor knows media by nothing else."""
        device = str(given.get("device", ""))
        for block in self.execute("query-block") if not device else ():
            if block["qdev"] == given.get("id"):
                device = block["device"]
        if not device:
            raise KvmError("MONITOR_REFUSED", f"The human monitor {self.address} cannot name the drive of {given}.")
        return device

    def _object_add(self, given: Arguments) -> None:
        pairs = [f"{key}={_comma(_word(value))}" for key, value in given.items() if key != "qom-type"]
        self._order(f"object_add {','.join([str(given['qom-type']), *pairs])}")


def quoted(text: str) -> str:
    """One word, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _word(value: t.Any) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _comma(text: str) -> str:
    return text.replace(",", ",,")


# ---- what it prints. Pure. ----


def migration(text: str) -> dict[str, t.Any]:
    """The answer of query-migrate in what ``info migrate`` prints."""
    status, reasons = answers.migration_by_hmp(text)
    found: dict[str, t.Any] = {"blocked-reasons": list(reasons)} if reasons else {}
    if not status:
        return found
    found["status"] = status
    why = re.search(r"^(?:Migration status|Status):\s*[\w-]+ \((.*)\)\s*$", text, re.MULTILINE)
    if why:
        found["error-desc"] = why.group(1)
    downtime = re.search(r"^downtime: ([0-9]+)|\bdown=([0-9]+)", text, re.MULTILINE)
    if downtime:
        found["downtime"] = int(downtime.group(1) or downtime.group(2))
    for kind in ("ram", "disk"):
        counts = {key: _count(text, f"{word} {kind}") for key, word in _COUNTS.items()}
        if any(counts.values()):
            found[kind] = counts
    if "ram" not in found:
        # Since 10.1 it is told otherwise.
        counts = {
            "transferred": _size(text, "transferred"),
            "remaining": _size(text, "remain"),
            "total": _size(text, "total"),
        }
        if any(counts.values()):
            found["ram"] = counts
    return found


def _count(text: str, what: str) -> int:
    match = re.search(rf"^{what}: ([0-9]+) (\w+)", text, re.MULTILINE)
    return int(match.group(1)) * _UNITS.get(match.group(2), 1) if match else 0


def _size(text: str, key: str) -> int:
    match = re.search(rf"\b{key}=([0-9.]+) ?(B|KiB|MiB|GiB|TiB)\b", text)
    return int(float(match.group(1)) * _UNITS[match.group(2)]) if match else 0


def capabilities(text: str) -> list[dict[str, t.Any]]:
    """The answer of query-migrate-capabilities."""
    rows = re.findall(r"^([\w-]+): (on|off)\s*$", text, re.MULTILINE)
    return [{"capability": name, "state": state == "on"} for name, state in rows]


def blocks(text: str) -> list[dict[str, t.Any]]:
    """The answer of query-block, as far as a move reads it."""
    found = []
    for disk in answers.disks_by_hmp(text):
        entry: dict[str, t.Any] = {"device": disk.drive, "qdev": disk.device, "removable": disk.removable}
        if disk.source is not None:
            image: dict[str, t.Any] = {"virtual-size": disk.virtual_size or 0}
            below = image
            for layer in disk.backing_chain:
                below["backing-image"] = {"filename": layer.path, "format": layer.format}
                below = below["backing-image"]
            entry["inserted"] = {
                "file": disk.source, "node-name": disk.node, "drv": disk.format, "ro": disk.readonly, "image": image,
            }  # fmt: skip
        found.append(entry)
    return found


def processors(text: str) -> list[dict[str, t.Any]]:
    """The answer of query-cpus-fast in what ``info hotpluggable-cpus`` prints, by their places."""
    found = []
    for part in re.split(r"^\s*type: ", text, flags=re.MULTILINE)[1:]:
        path = re.search(r'^\s*qom_path: "(.*)"', part, re.MULTILINE)
        if path:
            places = re.findall(r'^\s*([a-z]+-id): "([0-9]+)"', part, re.MULTILINE)
            found.append({"qom-path": path.group(1), "props": {key: int(number) for key, number in places}})
    order = ("socket-id", "die-id", "module-id", "cluster-id", "core-id", "thread-id")
    return sorted(found, key=lambda one: [one["props"].get(key, 0) for key in order])


def memory(text: str) -> dict[str, int]:
    """The answer of query-memory-size-summary."""
    rows = re.findall(r"^(base memory|plugged memory): ([0-9]+)", text, re.MULTILINE)
    return {name.replace(" ", "-"): int(size) for name, size in rows}


def listed(text: str) -> list[dict[str, str]]:
    """The answer of qom-list."""
    rows = (re.match(r"(.+?) \((.+)\)\Z", line.strip()) for line in text.splitlines())
    return [{"name": row.group(1), "type": row.group(2)} for row in rows if row]


def properties(text: str) -> list[dict[str, t.Any]]:
    """The answer of device-list-properties in the help of a device."""
    found = []
    for row in map(_PROPERTY.match, text.splitlines()):
        if row:
            name, kind, default = row.groups()
            entry: dict[str, t.Any] = {"name": name, "type": kind}
            found.append(entry if default is None else {**entry, "default-value": _default(kind, default)})
    return found


def _default(kind: str, text: str) -> t.Any:
    if kind == "bool":
        return text in ("on", "true")
    try:
        return json.loads(text)
    except ValueError:
        return text
