# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain out of a stream: libvirt gets the header as often as it reads it, then all that QEMU sends, and an end where that breaks off."""

from __future__ import annotations

import pathlib
import socket
import sys
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock, wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.savefile import parse_save_header, save_header
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_restore

UUID = "11111111-2222-3333-4444-555555555555"
XML = "<domain><name>wéb</name></domain>"
#: virsh restore, as libvirt reads a save file: header and definition twice, each time anew, then the stream to its end.
VIRSH = """#!{python}
import pathlib, struct, sys
home = pathlib.Path(__file__).parent
if "domstate" in sys.argv:
    print((home / "state").read_text() if (home / "state").exists() else "shut off")
elif "destroy" in sys.argv:
    (home / "state").unlink()
elif "restore" in sys.argv:
    if (home / "refuse").exists():
        sys.exit("error: Failed to restore domain\\nerror: there is no such folder")
    for time in (1, 2):
        pipe = open(sys.argv[-1], "rb", 0)
        head = pipe.read(92)
        length = struct.unpack_from("=I", head, 20)[0]
        (home / "xml").write_bytes(pipe.read(length))
    (home / "state").write_text("paused (starting up)")
    got = b""
    while part := pipe.read(65536):
        got += part
    (home / "got").write_bytes(got)
    if not got.endswith(b"END"):
        (home / "state").unlink()
        sys.exit("error: load of migration failed")
    (home / "state").write_text("paused (migrating)")
"""


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    virsh = tmp_path / "virsh"
    virsh.write_text(VIRSH.replace("{python}", sys.executable))
    virsh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.fixture
def arrival() -> t.Iterator[bare_restore.Arrival]:
    made = bare_restore.Arrival(Clock())
    yield made
    made.close()


def record(home: pathlib.Path) -> dict[str, t.Any]:
    return {
        "uuid": UUID,
        "domain": XML,
        "method": "live_shared",
        "stage": "switch",
        "socket": str(home / "run" / "qmp.sock"),
    }


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ended(arrival: bare_restore.Arrival) -> dict[str, str]:
    return wait_until(
        Clock(), lambda: arrival.arrived(UUID), lambda seen: seen["state"] != "inmigrate", what="virsh", timeout=60, interval=0.02
    )  # fmt: skip


def test_the_header_is_libvirt_s() -> None:
    head = save_header(XML)
    assert parse_save_header(head) is True
    assert head[92:].decode() == XML + "\0"


def test_all_of_the_stream_gets_there(home: pathlib.Path, arrival: bare_restore.Arrival) -> None:
    at, data = port(), b"QEVM" + bytes(3_000_000) + b"END"
    arrival.receive(record(home), "127.0.0.1", at, "")
    assert (home / "xml").read_bytes().decode() == XML + "\0"
    assert arrival.arrived(UUID) == {"state": "inmigrate", "reason": ""}
    seen = arrival.seen(record(home))
    assert seen is not None
    assert (seen["state"], seen["error"]) == ("inmigrate", "")
    with socket.create_connection(("127.0.0.1", at)) as source:
        source.sendall(data)
    assert ended(arrival) == {"state": "paused", "reason": ""}
    assert (home / "got").read_bytes() == data
    assert arrival.end(record(home))
    assert arrival.seen(record(home)) is None


def test_one_that_is_being_ended_is_not_taken_for_one_that_runs(
    home: pathlib.Path, arrival: bare_restore.Arrival
) -> None:
    (home / "state").write_text("in shutdown (unknown)")
    seen = arrival.seen(record(home))
    assert seen is not None
    assert (seen["alive"], seen["state"], seen["error"]) == (True, "", "its domain is being shut down.")
    assert arrival.end(record(home))


def test_what_breaks_off_is_the_end_of_it(home: pathlib.Path, arrival: bare_restore.Arrival) -> None:
    at = port()
    arrival.receive(record(home), "127.0.0.1", at, "")
    with socket.create_connection(("127.0.0.1", at)) as source:
        source.sendall(b"QEVM")
    assert ended(arrival) == {"state": "", "reason": "load of migration failed"}
    # And where nothing came at all.
    arrival.receive(record(home), "127.0.0.1", port(), "")
    assert arrival.end(record(home))
    assert arrival.seen(record(home)) is None


def test_what_libvirt_refuses_is_told_in_its_words(home: pathlib.Path, arrival: bare_restore.Arrival) -> None:
    (home / "refuse").touch()
    with pytest.raises(KvmError, match="did not restore the domain: there is no such folder") as caught:
        arrival.receive(record(home), "127.0.0.1", port(), "")
    assert caught.value.error_code == "ADOPTION_FAILED"


def test_a_process_of_which_libvirt_tells_nothing_is_no_end(
    home: pathlib.Path, arrival: bare_restore.Arrival, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bare_restore.bare_domain, "process_of", lambda uuid: 77)
    seen = arrival.seen(record(home))
    assert seen is not None
    assert (seen["alive"], seen["pid"]) == (True, 77)
    assert "does not tell" in seen["error"]
    assert not arrival.end(record(home)), "it may run"


def test_a_port_that_is_taken_is_told_before_libvirt_is_asked(
    home: pathlib.Path, arrival: bare_restore.Arrival
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        with pytest.raises(KvmError, match="in use") as caught:
            arrival.receive(record(home), "127.0.0.1", other.getsockname()[1], "")
    assert caught.value.error_code == "PORT_TAKEN"
    assert not (home / "xml").exists()
