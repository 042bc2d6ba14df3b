# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HMP with a real socket: prompt and echo go, what is late does not mix with what comes after."""

from __future__ import annotations

import pathlib
import time

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import hmp, monitor
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._qemu.peer import BANNER, GREETING, Peer, serving

SOON = 0.2


def echo(line: str) -> bytes:
    """What QEMU's line editor draws while somebody types ``line``."""
    drawn = b""
    for count in range(1, len(line) + 1):
        drawn += b"\x1b[D" * (count - 1) + line[:count].encode() + b"\x1b[K"
    return drawn + b"\r\n"


def reply(peer: Peer, text: bytes) -> None:
    line = peer.line().rstrip(b"\n").decode()
    peer.say(echo(line) + text + b"(qemu) ")


def test_prompt_and_echo_are_taken_off(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.say(BANNER)
        reply(peer, b"VM status: running\r\nsee (qemu) here\r\n")
        reply(peer, b"")
        assert peer.heard == [b"info status\n", b"stop\n"]
        peer.hang()

    with serving(tmp_path, script) as address, hmp.connect(address) as one:
        assert one.version == (7, 2, 22)
        assert one.hmp("info status") == "VM status: running\nsee (qemu) here\n"
        assert one.hmp("stop") == ""


def test_a_late_answer_is_waited_for_and_dropped(tmp_path: pathlib.Path) -> None:
    def script(peer: Peer) -> None:
        peer.say(BANNER[:20])
        peer.say(BANNER[20:])
        line = peer.line()
        assert peer.line() == b""
        assert line == b"info migrate\n"

    with serving(tmp_path, script) as address, hmp.connect(address) as one:
        for _time in range(2):
            with pytest.raises(KvmError, match="info") as caught:
                one.hmp("info migrate", timeout=SOON)
            assert caught.value.error_code == "MONITOR_SILENT"

    def in_the_end(peer: Peer) -> None:
        peer.say(BANNER)
        first = peer.line()
        time.sleep(2 * SOON)
        peer.say(echo(first.decode().strip()))
        peer.say(b"late\r\n(qemu) ")
        reply(peer, b"now\r\n")

    (tmp_path / "2").mkdir()
    with serving(tmp_path / "2", in_the_end) as address, hmp.connect(address) as one:
        with pytest.raises(KvmError, match="late"):
            one.hmp("late", timeout=SOON)
        assert one.hmp("now") == "now\n"


@pytest.mark.parametrize("line", ["stop\nquit", "a\tb", "\x1b[A", "stop\r", "\x7f", "Û", "x" * 4001])
def test_nothing_but_one_line_is_sent(tmp_path: pathlib.Path, line: str) -> None:
    def script(peer: Peer) -> None:
        peer.say(BANNER)
        assert peer.line() == b""

    with serving(tmp_path, script) as address, hmp.connect(address) as one:
        with pytest.raises(KvmError, match="cannot be given to the human monitor") as caught:
            one.hmp(line)
        assert caught.value.error_code == "MONITOR_LINE"


def test_either_kind_is_known_by_its_greeting(tmp_path: pathlib.Path) -> None:
    def human(peer: Peer) -> None:
        peer.say(BANNER)
        reply(peer, b"Error: no\r\n  way\r\n")
        reply(peer, b"fine\r\n")

    with serving(tmp_path, human) as address, monitor.connect(address) as one:
        assert (one.kind, one.session, one.version) == ("hmp", None, (7, 2, 22))
        with pytest.raises(KvmError, match="refused migrate: no way") as caught:
            one.order("migrate tcp:x")
        assert caught.value.error_code == "MONITOR_REFUSED"
        assert one.order("info x") == "fine\n"

    def machine(peer: Peer) -> None:
        peer.say(GREETING)
        peer.answer()
        peer.answer("unknown command: 'x'\r\n")

    (tmp_path / "2").mkdir()
    with serving(tmp_path / "2", machine) as address, monitor.connect(address) as one:
        assert (one.kind, one.version) == ("qmp", (10, 0, 13))
        with pytest.raises(KvmError, match="refused x: unknown command"):
            one.order("x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("VM status: paused\n", ""),
        ("Error: invalid parameter value: xx\n", "invalid parameter value: xx"),
        ("unknown command: 'foo'\n", "unknown command: 'foo'"),
        (
            'stop: extraneous characters at the end of line\nTry "help stop" for more information\n',
            'stop: extraneous characters at the end of line Try "help stop" for more information',
        ),
    ],
)
def test_errors_are_told_from_answers(text: str, words: str) -> None:
    assert hmp.failure(text) == words
