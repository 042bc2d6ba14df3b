# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What really happens during a move: QEMU's own words and libvirt's events on the source, and the bytes on the wire."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import typing as t

from tests.lab.network import netns_of
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    import types

    from tests.lab import Lab
    from tests.lab.guest.guest import Guest

#: Runs on the source until it is ended: one JSON object per line, of every look and of every event.
LOOK = """
import json, sys, threading, time, libvirt, libvirt_qemu
libvirt.registerErrorHandler(lambda c, e: None, None)
libvirt.virEventRegisterDefaultImpl()
def turn():
    while True: libvirt.virEventRunDefaultImpl()
threading.Thread(target=turn, daemon=True).start()
def tell(**what): print(json.dumps(what), flush=True)
link = libvirt.open("qemu:///system")
domain = link.lookupByUUIDString(sys.argv[1])
link.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda c, d, e, x, o: tell(event=[e, x]), None)
link.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, lambda c, d, s, o: tell(completed=dict(s)), None)
def ask(what): return json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps({"execute": what}), 0))["return"]
tell(ready=True)
while True:
    try:
        able = [one["capability"] for one in ask("query-migrate-capabilities") if one["state"]]
        tell(state=domain.state(), able=able, set=ask("query-migrate-parameters"), now=ask("query-migrate"))
    except libvirt.libvirtError:
        pass
    time.sleep(0.15)
"""
#: Runs in the lab's own namespace at the plug of one host: counts, for each TCP port of the streams, bytes and marked packets.
TAP = """
import json, signal, socket, sys
plug, first, last, *marks = sys.argv[1:]
marks = [mark.encode() for mark in marks]
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
tap.bind((plug, 0))
tap.settimeout(0.2)
counts, opened, ended = {}, {}, []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
print("ready", flush=True)
while not ended:
    try: frame = tap.recv(1 << 17)
    except TimeoutError: continue
    if frame[12:14] != b"\\x08\\x00" or frame[23] != 6: continue
    head = 14 + (frame[14] & 15) * 4
    ends = [frame[at:at + 4] + frame[of:of + 2] for at, of in ((26, head), (30, head + 2))]
    # Whoever connects may have a port of these numbers, too: what counts is where it connects to.
    if frame[head + 13] & 18 == 2: opened[frozenset(ends)] = int.from_bytes(ends[1][4:], "big")
    port = opened.get(frozenset(ends), 0)
    if not int(first) <= port <= int(last): continue
    count = counts.setdefault(str(port), {"bytes": 0, "marked": 0})
    count["bytes"] += len(frame)
    count["marked"] += any(mark in frame for mark in marks)
print(json.dumps(counts), flush=True)
"""
#: Bytes.
_KNOCK = 4096


@dataclasses.dataclass
class Seen:
    """What was seen on the source of a move, in order."""

    lines: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)

    @property
    def looks(self) -> list[dict[str, t.Any]]:
        """The looks while QEMU was migrating."""
        return [
            line for line in self.lines if line.get("now", {}).get("status") in ("setup", "active", "postcopy-active")
        ]

    @property
    def able(self) -> set[str]:
        """The capabilities that QEMU was seen with; libvirt sets them for one move, and takes them back."""
        return {name for line in self.lines for name in line.get("able", ())}

    def values(self, name: str) -> list[t.Any]:
        """The values that a migration parameter of QEMU took meanwhile, in their order."""
        found: list[t.Any] = []
        for look in self.looks:
            if look["set"].get(name) not in found:
                found.append(look["set"].get(name))
        return found

    @property
    def events(self) -> list[tuple[int, int]]:
        """The lifecycle events, as pairs of libvirt's numbers."""
        return [(line["event"][0], line["event"][1]) for line in self.lines if "event" in line]

    @property
    def completed(self) -> dict[str, t.Any]:
        """libvirt's figures of the move that ended."""
        found = [line["completed"] for line in self.lines if "completed" in line]
        return t.cast("dict[str, t.Any]", found[-1]) if found else {}


class Observer:
    """Watches one guest's QEMU on the source while entered: `with Observer(...) as seen: ...; seen.able` after the block."""

    def __init__(self, lab: Lab, guest: Guest, host: str) -> None:
        self._path = pathlib.Path(tempfile.mkdtemp(prefix="virtops-seen-")) / "seen.jsonl"
        self._process = lab.host(host).start(["python3", "-c", LOOK, guest.uuid], self._path)
        self._seen = Seen()

    def __enter__(self) -> Observer:
        wait_for("the observer to look", lambda: "ready" in self._text(), 60, 0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._seen.lines = self.lines()
        self._process.terminate()
        self._process.wait()

    def lines(self) -> list[dict[str, t.Any]]:
        """What was seen up to now."""
        whole = self._text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    @property
    def now(self) -> Seen:
        """What was seen up to now, or in all once it has ended."""
        return self._seen if self._seen.lines else Seen(self.lines())

    def _text(self) -> str:
        return self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""


class Tap:
    """Counts what goes over a host's cable by stream port while entered; `streams` after the block."""

    def __init__(self, lab: Lab, host: str, *marks: str, ports: tuple[int, int] = (49152, 49215)) -> None:
        words = ["ip", "netns", "exec", netns_of(lab.name), sys.executable, "-c", TAP, host, *map(str, ports), *marks]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.streams: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Tap:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._process.terminate()
        text = self._process.communicate(timeout=60)[0]
        counts: dict[str, dict[str, int]] = json.loads(text) if text.strip() else {}
        # The preflight knocks at two ports, which is no stream.
        self.streams = {port: count for port, count in counts.items() if count["bytes"] > _KNOCK}
