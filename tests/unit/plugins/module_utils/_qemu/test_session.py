# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QMP with a real socket whose other end is slow, hung, talks nonsense, or goes."""

from __future__ import annotations

import pathlib
import socket
import threading
import time

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import monitor, session
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._qemu.peer import GREETING, Peer, serving

SOON = 0.2
LONG = 20.0


def code_of(caught: pytest.ExceptionInfo[KvmError]) -> str:
    return caught.value.error_code


def test_a_command_and_its_answer(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.say(GREETING)
        assert peer.answer() == {"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}, "id": 1}
        assert peer.answer({"status": "running"}) == {"execute": "query-status", "id": 2}
        assert peer.answer() == {"execute": "stop", "arguments": {"größe": [1]}, "id": 3}
        assert peer.answer() == {"exec-oob": "yank", "id": 4}
        peer.hang()

    with serving(tmp_path, script) as address, session.connect(address) as one:
        assert (one.version, one.package, one.oob) == ((10, 0, 13), "Debian", True)
        assert one.execute("query-status") == {"status": "running"}
        assert one.execute("stop", {"größe": [1]}) == {}
        assert one.execute("yank", oob=True) == {}


def test_without_out_of_band_nothing_is_sent_so(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.say(GREETING.replace(b'"oob"', b""))
        assert peer.answer() == {"execute": "qmp_capabilities", "id": 1}
        assert peer.line() == b""

    with serving(tmp_path, script) as address, session.connect(address) as one:
        with pytest.raises(KvmError) as caught:
            one.execute("yank", oob=True)
        assert code_of(caught) == "MONITOR_NO_OOB"


def test_what_qemu_refuses_is_told_in_its_words(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.tell({"error": {"class": "CommandNotFound", "desc": "no such thing"}, "id": peer.command()["id"]})
        peer.command()
        peer.tell({"error": {"class": "GenericError", "desc": "JSON parse error"}})
        peer.answer(7)

    with serving(tmp_path, script) as address, session.connect(address) as one:
        with pytest.raises(KvmError, match="refused frob: no such thing") as caught:
            one.execute("frob")
        assert code_of(caught) == "MONITOR_REFUSED"
        assert caught.value.details == {
            "address": f"unix:{address}", "command": "frob", "class": "CommandNotFound", "desc": "no such thing",
        }  # fmt: skip
        with pytest.raises(KvmError, match="JSON parse error"):
            one.execute("frob")
        assert one.execute("query-x") == 7


def test_events_keep_their_order_and_can_be_waited_for(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.event("STOP")
        peer.event("JOB", id="a")
        peer.answer()
        peer.event("JOB", id="b")
        peer.line()
        peer.event("RESUME")
        peer.hang()

    with serving(tmp_path, script) as address, session.connect(address) as one:
        one.execute("x")
        assert one.wait_event("JOB", LONG, lambda event: event.data["id"] == "b").data == {"id": "b"}
        assert one.wait_event(("JOB", "RESUME"), LONG).data == {"id": "a"}
        assert [(event.name, event.seconds) for event in one.events] == [("STOP", 5.25)]
        with pytest.raises(KvmError) as caught:
            one.wait_event("RESUME", SOON)
        assert code_of(caught) == "MONITOR_SILENT"
        one._stream.send(b"go on\n", time.monotonic() + LONG, "test")
        assert one.wait_event({"RESUME"}, LONG).name == "RESUME"
        assert [event.name for event in one.take_events()] == ["STOP"]
        assert one.take_events() == ()


def test_events_before_the_end_are_kept(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.answer()
        peer.event("SHUTDOWN")

    with serving(tmp_path, script) as address, session.connect(address) as one:
        one.execute("quit")
        assert one.wait_event("SHUTDOWN", LONG)
        with pytest.raises(KvmError) as caught:
            one.execute("query-status", timeout=LONG)
        assert code_of(caught) == "MONITOR_GONE"
        with pytest.raises(KvmError) as caught:
            one.wait_event("SHUTDOWN", LONG)
        assert code_of(caught) == "MONITOR_GONE"
        assert one.events == ()


def test_a_late_answer_is_not_taken_for_the_next_one(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        first = peer.command()
        assert peer.answer("second")["exec-oob"] == "yank"
        peer.tell({"return": "first", "id": first["id"]})
        peer.answer("third")

    with serving(tmp_path, script) as address, session.connect(address) as one:
        with pytest.raises(KvmError, match="query-migrate") as caught:
            one.execute("query-migrate", timeout=SOON)
        assert code_of(caught) == "MONITOR_SILENT"
        assert one.execute("yank", oob=True) == "second"
        assert one.execute("query-status") == "third"


def test_an_answer_in_pieces(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        for byte in GREETING:
            peer.say(bytes([byte]))
        peer.answer()
        peer.command()
        for piece in (b'\r\n{"ret', b'urn": "\xc3', b'\xb6", "id": 2}\r', b'\n{"event": "A", "timest'):
            peer.say(piece)
            time.sleep(0.02)
        peer.say(b'amp": {}}\n')
        peer.hang()

    with serving(tmp_path, script) as address, session.connect(address) as one:
        assert one.execute("x") == "ö"
        assert one.wait_event("A", LONG).data == {}


def test_a_peer_that_says_nothing(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path, Peer.hang) as address, pytest.raises(KvmError, match="the greeting") as caught:
        session.connect(address, timeout=SOON)
    assert code_of(caught) == "MONITOR_SILENT"


def test_a_peer_that_never_ends_a_line_and_one_that_only_greets(tmp_path: pathlib.Path) -> None:
    def drip(peer: Peer) -> None:
        for _time in range(1000):
            try:
                peer.say(b"{")
            except OSError:
                return
            time.sleep(0.02)

    with serving(tmp_path, drip) as address, pytest.raises(KvmError) as caught:
        session.connect(address, timeout=SOON)
    assert code_of(caught) == "MONITOR_SILENT"

    def greet_only(peer: Peer) -> None:
        peer.say(GREETING)
        peer.hang()

    (tmp_path / "2").mkdir()
    with serving(tmp_path / "2", greet_only) as address, pytest.raises(KvmError, match="qmp_capabilities") as caught:
        session.connect(address, timeout=SOON)
    assert code_of(caught) == "MONITOR_SILENT"


@pytest.mark.parametrize(
    "words",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"[1, 2]\r\n", b"{}\r\n", b'{"QMP": 3}\r\n', b'{"QMP": {"version": {}}}\n', b"\xff\n"],
)
def test_a_peer_that_is_no_monitor(tmp_path: pathlib.Path, words: bytes) -> None:
    with serving(tmp_path, lambda peer: (peer.say(words), peer.hang())[1]) as address:
        with pytest.raises(KvmError) as caught:
            monitor.connect(address)
        assert code_of(caught) == "MONITOR_GARBLED"


def test_after_nonsense_the_session_is_over(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(b"(qemu) what?\n")
        peer.hang()

    with serving(tmp_path, script) as address, session.connect(address) as one:
        with pytest.raises(KvmError) as caught:
            one.execute("x")
        assert code_of(caught) == "MONITOR_GARBLED"
        with pytest.raises(KvmError) as caught:
            one.execute("x")
        assert code_of(caught) == "MONITOR_GONE"


def test_a_peer_that_does_not_read(tmp_path: pathlib.Path) -> None:
    enough = threading.Event()

    def script(peer: Peer) -> None:
        peer.greet()
        enough.wait(60)

    with serving(tmp_path, script) as address, session.connect(address) as one:
        with pytest.raises(KvmError) as caught:
            one.execute("x", {"much": "x" * (8 << 20)}, timeout=SOON)
        assert code_of(caught) == "MONITOR_SILENT"
        with pytest.raises(KvmError, match="in part only") as caught:
            one.execute("x")
        assert code_of(caught) == "MONITOR_GONE"
        enough.set()


def test_nobody_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "gone"
    with pytest.raises(KvmError, match="No such file") as caught:
        session.connect(f"unix:{path}")
    assert code_of(caught) == "MONITOR_GONE"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with pytest.raises(KvmError, match="refused") as caught:
        session.connect(f"unix:{path}")
    assert code_of(caught) == "MONITOR_GONE"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(KvmError, match="refused") as caught:
            session.connect(f"tcp:127.0.0.1:{unused.getsockname()[1]}")
    assert code_of(caught) == "MONITOR_GONE"


def test_a_monitor_that_somebody_else_has(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.hang()

    with serving(tmp_path, script) as address, session.connect(address):
        for _time in range(3):
            with pytest.raises(KvmError, match="another client") as caught:
                monitor.connect(address, timeout=SOON)
            assert code_of(caught) == "MONITOR_BUSY"


def test_a_path_longer_than_the_system_call_takes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.chdir(deep)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("monitor")
        listener.listen(1)
        with pytest.raises(KvmError) as caught:
            session.connect(f"unix:{deep}/monitor", timeout=SOON)
    assert code_of(caught) == "MONITOR_SILENT"


SCHEMA = [
    {"name": "migrate", "meta-type": "command", "arg-type": "1", "ret-type": "0"},
    {"name": "STOP", "meta-type": "event", "arg-type": "0"},
    {"name": "0", "meta-type": "object", "members": []},
    {"name": "1", "meta-type": "object", "members": [{"name": "uri", "type": "str"}, {"name": "modes", "type": "[3]"}],
     "tag": "x", "variants": [{"case": "a", "type": "2"}]},
    {"name": "2", "meta-type": "object", "members": [{"name": "blk", "type": "bool"}]},
    {"name": "[3]", "meta-type": "array", "element-type": "3"},
    {"name": "3", "meta-type": "enum", "values": ["fast", "slow"]},
]  # fmt: skip


def test_the_schema_is_asked_once(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        assert peer.answer(SCHEMA)["execute"] == "query-qmp-schema"
        assert peer.answer("info\r\nmore\r\n")["arguments"] == {"command-line": "info x"}
        peer.hang()

    with serving(tmp_path, script) as address, session.connect(address) as one:
        assert one.has_command("migrate")
        assert not one.has_command("STOP")
        schema = one.schema()
        assert (schema.commands, schema.has_event("STOP")) == ({"migrate"}, True)
        assert schema.arguments("migrate") == {"uri", "modes", "blk"}
        assert schema.has_argument("migrate", "blk")
        assert not schema.has_argument("frob", "blk")
        assert schema.choices("migrate", "modes") == {"fast", "slow"}
        assert schema.choices("migrate", "uri") == frozenset()
        assert one.hmp("info x") == "info\nmore\n"


def test_a_pause_ends_with_the_event_that_is_waited_for_or_with_its_time(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.event("OLD")
        peer.answer()
        peer.line()
        peer.event("OTHER")
        peer.event("JOB")
        peer.hang()

    with serving(tmp_path, script) as address, session.connect(address) as one:
        one.execute("x")
        one.pause(SOON, ("JOB",))
        assert one.events == ()
        one._stream.send(b"go on\n", time.monotonic() + LONG, "test")
        begun = time.monotonic()
        one.pause(LONG, ("JOB",))
        assert time.monotonic() - begun < LONG
        assert one.events == (), "who has looked once needs no event of before that"


def test_a_pause_of_one_whose_qemu_ended_leaves_that_to_the_next_command(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path, Peer.greet) as address, session.connect(address) as one:
        one.pause(LONG, ("JOB",))
        with pytest.raises(KvmError) as caught:
            one.execute("x", timeout=LONG)
        assert code_of(caught) == "MONITOR_GONE"
