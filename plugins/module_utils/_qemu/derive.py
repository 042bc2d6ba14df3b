# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The command line of the destination from that of the source: what the guest sees stays, what the host has is mapped. Pure."""

from __future__ import annotations

import dataclasses
import json
import posixpath
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import (
    IMPLIED,
    Keys,
    Option,
    parse,
    parse_keys,
    render_keys,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping

Pairs = list[tuple[str, str]]

#: How the process was started, which we do in our own way.
_DROPPED = ("incoming", "S", "daemonize", "loadvm")
#: The monitor that an earlier move of ours gave it; the next one brings its own.
_OURS = "unix:/run/virtops-kvm/guests/"
#: -hda and its kin, as QEMU itself understands them.
_SHORT = {
    "hda": "index=0,media=disk", "hdb": "index=1,media=disk", "hdc": "index=2,media=disk", "hdd": "index=3,media=disk",
    "cdrom": "index=2,media=cdrom", "fda": "if=floppy,index=0", "fdb": "if=floppy,index=1", "sd": "if=sd",
    "mtdblock": "if=mtd", "pflash": "if=pflash",
}  # fmt: skip
#: Their whole value is one path.
_PATHS = ("pidfile", "D", "kernel", "initrd", "dtb", "bios", "option-rom", "L", "mem-path", "readconfig", "qtest-log")
#: Text for the guest, in which nothing is a path of the host.
_GUEST_TEXT = ("append", "name", "uuid", "smbios", "m", "smp", "cpu", "accel", "rtc", "boot", "k", "msg")
#: Of options that our reading of command lines knows no names for.
_MORE_IMPLIED = {"fw_cfg": "name"}
_STREAMS = ("monitor", "qmp", "qmp-pretty", "serial", "parallel", "vnc", "gdb", "debugcon")
#: Their paths are made by QEMU, or are images: nobody has to put them there.
_MADE_KEYS = ("path", "logfile")
_HANDED = re.compile(r"(?:^|,)(?:fd|fds|vhostfd|vhostfds)=|/dev/fdset/")


@dataclasses.dataclass(frozen=True)
class Derived:
    """``argv`` is complete but for how it waits. ``needs`` are files that must be there, ``places`` folders in which QEMU makes
    something, ``taps`` and ``bridges`` what its network needs, ``problems`` why it cannot be derived."""

    argv: tuple[str, ...]
    needs: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    taps: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the source's monitor adds to its command line: the machine's version, the image of each path (destination path and
    format), paths of media that the destination goes without, devices that came later, and ids of those that went."""

    machine: str
    images: t.Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    ejected: frozenset[str] = frozenset()
    added: t.Sequence[Option] = ()
    removed: frozenset[str] = frozenset()


def derive(argv: t.Sequence[str], cwd: str, mapping: GuestMapping, seen: Seen) -> Derived:
    """The destination's command line, without -incoming and without our own monitor."""
    work = _Work(cwd, mapping, seen)
    whole = parse(argv)

    def change(option: Option) -> Option | None:
        if option.name in _DROPPED or (option.name == "qmp" and _OURS in (option.value or "")):
            return None
        if option.name == "device" and option.keys.get("id") in seen.removed:
            return None
        if option.name == "machine":
            keys = option.keys.without("type")
            option = option.with_keys(Keys((("type", seen.machine), *keys.pairs)))
        return work.mapped(option)

    found = whole.mapped(change)
    if not whole.has("machine"):
        found = dataclasses.replace(found, options=(Option("-machine", seen.machine), *found.options))
    found = dataclasses.replace(found.plus(*map(work.mapped, seen.added)), program=mapping.base.emulator or argv[0])
    return Derived(
        tuple(found.words()),
        tuple(sorted(work.needs)),
        tuple(sorted(work.places)),
        tuple(sorted(work.taps)),
        tuple(sorted(work.bridges)),
        tuple(work.problems),
    )


class _Work:
    """Maps word by word, and gathers what the destination must have for them."""

    def __init__(self, cwd: str, mapping: GuestMapping, seen: Seen) -> None:
        self._cwd = cwd
        self._mapping = mapping
        self._seen = seen
        self.needs: set[str] = set()
        self.places: set[str] = set()
        self.taps: set[str] = set()
        self.bridges: set[str] = set()
        self.problems: list[str] = []

    def mapped(self, option: Option) -> Option:
        """The option for the destination."""
        self._judge(option)
        name, value = option.name or "hda", option.value
        if value is None or name in _GUEST_TEXT:
            return option
        if name in _SHORT:
            return self._drive([("file", value), *parse_keys(_SHORT[name]).pairs])
        if name in _PATHS:
            return dataclasses.replace(option, value=self._file(name, value))
        if option.json:
            return dataclasses.replace(option, value=json.dumps(self._json(json.loads(value)), separators=(",", ":")))
        if name == "drive":
            return self._drive(list(option.keys.pairs))
        if name in _STREAMS:
            return dataclasses.replace(option, value=self._stream(self._display(value) if name == "vnc" else value))
        implied = IMPLIED.get(name) or _MORE_IMPLIED.get(name, "")
        keys = parse_keys(value, implied)
        new = Keys(tuple((key, self._property(name, key, text)) for key, text in keys.pairs))
        # What needs no change keeps its very text.
        return option if new == keys else dataclasses.replace(option, value=render_keys(new, implied))

    def _file(self, name: str, value: str) -> str:
        path = self._path(value)
        if name in ("pidfile", "D"):
            self.places.add(posixpath.dirname(path))
        else:
            self.needs.add(path)
        return path

    def _judge(self, option: Option) -> None:
        name, value = option.name, option.value or ""
        if name == "snapshot" or (name == "drive" and option.keys.is_on("snapshot")):
            self.problems.append("it writes to temporary snapshots (snapshot=on), which no other process can open")
        if name in ("virtfs", "fsdev"):
            self.problems.append(f"it passes a folder of the host to the guest (-{name}), which cannot follow it")
        if name == "add-fd" or (name not in _GUEST_TEXT and _HANDED.search(value)):
            self.problems.append(f"-{name} {value} uses a file that was opened before QEMU started")
        if name == "device" and (option.keys.get("driver").startswith("vfio") or "host" in option.keys):
            self.problems.append(f"-device {value} hands a device of the host to the guest")

    def _path(self, path: str) -> str:
        return self._mapping.base.path(posixpath.normpath(posixpath.join(self._cwd, path)))

    # ---- images ----

    def _drive(self, pairs: Pairs) -> Option:
        found, form = [], any(key in ("format", "driver") for key, _text in pairs)
        for key, text in pairs:
            if key in ("file", "file.filename") and not _is_remote(text):
                path = posixpath.normpath(posixpath.join(self._cwd, text))
                if path in self._seen.ejected:
                    continue
                target, known = self._seen.images.get(path, ("", ""))
                found.append((key, target or self._needed(path)))
                if known and not form and key == "file":
                    # Not to be guessed again from an image that is empty yet.
                    found.append(("format", known))
            else:
                found.append((key, self._path(text) if text.startswith("/") else text))
        return Option("-drive", render_keys(Keys(tuple(found))))

    def _needed(self, path: str) -> str:
        target = self._mapping.base.path(path)
        self.needs.add(target)
        return target

    def _json(self, value: t.Any, key: str = "") -> t.Any:
        if isinstance(value, dict):
            return {name: self._json(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._json(item, key) for item in value]
        if isinstance(value, str) and key == "filename":
            path = posixpath.normpath(posixpath.join(self._cwd, value))
            return self._seen.images.get(path, ("", ""))[0] or self._needed(path)
        return self._property("blockdev", key, value) if isinstance(value, str) else value

    # ---- everything else ----

    def _property(self, option: str, key: str, text: str) -> str:
        if key == "ifname":
            text = self._mapping.taps.get(text, text)
            self.taps.add(text)
            return text
        if key == "br":
            text = self._mapping.base.bridges.get(text, text)
            self.bridges.add(text)
            return text
        if key in ("filename", "file.filename") and option == "blockdev" and not _is_remote(text):
            path = posixpath.normpath(posixpath.join(self._cwd, text))
            return self._seen.images.get(path, ("", ""))[0] or self._needed(path)
        if option in ("chardev", "spice") and key == "port" and text.isdigit():
            return str(self._mapping.ports.get(int(text), int(text)))
        if key in ("host", "addr") and option in ("chardev", "spice"):
            return self._mapping.addresses.get(text, text)
        if key in ("hostfwd", "guestfwd"):
            return re.sub(r":(\d+)-", lambda found: f":{self._port(found.group(1))}-", text)
        if text.startswith("/") or (option == "chardev" and key in _MADE_KEYS):
            path = self._path(text)
            if key in _MADE_KEYS and option in ("chardev", "serial"):
                self.places.add(posixpath.dirname(path))
            elif key in ("script", "downscript", "romfile", "mem-path", "file", "helper"):
                self.needs.add(path)
            return path
        return text

    def _port(self, text: str) -> int:
        return self._mapping.ports.get(int(text), int(text))

    def _display(self, value: str) -> str:
        """VNC counts its ports from 5900."""
        where, comma, rest = value.partition(",")
        host, colon, number = where.rpartition(":")
        if where.startswith("unix:") or not colon or not number.isdigit():
            return value
        host = self._mapping.addresses.get(host, host)
        return f"{host}:{self._port(str(5900 + int(number))) - 5900}{comma}{rest}"

    def _stream(self, value: str) -> str:
        kind, colon, rest = value.partition(":")
        where, comma, more = rest.partition(",")
        if kind in ("unix", "file", "pipe") and colon:
            path = self._path(where)
            self.places.add(posixpath.dirname(path))
            return f"{kind}:{path}{comma}{more}"
        if kind in ("tcp", "telnet", "websocket") and colon:
            host, _colon, port = where.rpartition(":")
            if port.isdigit():
                where = f"{self._mapping.addresses.get(host, host)}:{self._port(port)}"
            return f"{kind}:{where}{comma}{more}"
        return value


def _is_remote(text: str) -> bool:
    """Whether it names no file of this host: a protocol, or nothing."""
    return not text or text.startswith("json:") or bool(re.match(r"[a-z0-9+]+:", text))


def parts_named(argv: t.Sequence[str]) -> frozenset[str]:
    """The ids of the devices that the command line has."""
    return frozenset(filter(None, (option.keys.get("id") for option in parse(argv).all("device"))))
