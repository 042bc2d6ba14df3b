# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The move of a bare QEMU guest as a careful person scripts it: images, NBD mirrors, pre-switchover, handover, over monitor sockets.

Runs on the source host with the standard library alone: ``python3 by_hand.py '{"argv": [...], "disks": {...}, ...}'``. It checks
nothing, keeps no record and undoes nothing; it is what `./run bench qemu` measures our module against. Prints one JSON object.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import time

SSH = ["ssh", "-T", "-o", "BatchMode=yes"]


class Qmp:
    """One monitor."""

    def __init__(self, path):
        end = time.monotonic() + 60
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                self.stream = self.socket.makefile("rw")
                if self.stream.readline():
                    break
            except OSError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.02)
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}))
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "error" in answer:
                raise SystemExit(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]


def wait(condition, what, seconds=600, pause=0.02):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(pause)


def jobs_are(qmp, wanted):
    jobs = qmp.do("query-jobs")
    failed = [job["error"] for job in jobs if job.get("error")]
    if failed:
        raise SystemExit(failed[0])
    return all(job["status"] == wanted for job in jobs)


def start_destination(plan):
    """Images of the same size, the same arguments, waiting; and its monitor, here."""
    script = ["set -e"]
    for disk in plan["disks"]:
        words = ["qemu-img", "create", "-q", "-f", disk["format"], disk["path"], str(disk["size"])]
        script.append(shlex.join(words))
    words = [
        *plan["argv"],
        "-incoming",
        "defer",
        "-S",
        "-daemonize",
        "-qmp",
        "unix:/run/by-hand.sock,server=on,wait=off",
    ]
    script.append(shlex.join(words))
    subprocess.run([*SSH, plan["ssh"], "\n".join(script)], check=True)
    forward = ["-o", "StreamLocalBindUnlink=yes", "-N", "-L", "/run/by-hand-there.sock:/run/by-hand.sock"]
    return subprocess.Popen([*SSH, *forward, plan["ssh"]])


def mirror(source, there, plan):
    there.do("nbd-server-start", addr={"type": "inet", "data": {"host": plan["address"], "port": "49200"}})
    for disk in plan["disks"]:
        node = next(one["inserted"]["node-name"] for one in there.do("query-block") if one["device"] == disk["device"])
        there.do("block-export-add", type="nbd", id=disk["device"], node_name=node, name=disk["device"], writable=True)
        node = next(one["inserted"]["node-name"] for one in source.do("query-block") if one["device"] == disk["device"])
        target = {
            "driver": "raw", "node-name": f"to-{disk['device']}", "discard": "unmap", "detect-zeroes": "unmap",
            "file": {
                "driver": "nbd", "export": disk["device"], "node-name": f"nbd-{disk['device']}",
                "server": {"type": "inet", "host": plan["address"], "port": "49200"},
            },
        }  # fmt: skip
        source.do("blockdev-add", **target)
        source.do(
            "blockdev-mirror", job_id=f"mig-{disk['device']}", device=node, target=f"to-{disk['device']}",
            sync="full", auto_dismiss=False, on_target_error="report",
        )  # fmt: skip
    wait(lambda: jobs_are(source, "ready"), "the mirrors")


def hand_over(source, there, plan):
    source.do("migrate-set-capabilities", capabilities=[{"capability": "pause-before-switchover", "state": True}])
    source.do("migrate-set-parameters", max_bandwidth=1 << 40, downtime_limit=300)
    port = there.do("query-migrate")["socket-address"][0]["port"]
    source.do("migrate", uri=f"tcp:{plan['address']}:{port}")
    wait(lambda: source.do("query-migrate")["status"] == "pre-switchover", "the memory", pause=0.005)
    for disk in plan["disks"]:
        source.do("block-job-cancel", device=f"mig-{disk['device']}", force=False)
    wait(lambda: jobs_are(source, "concluded"), "the mirrors' end", pause=0.005)
    source.do("migrate-continue", state="pre-switchover")
    wait(lambda: source.do("query-migrate")["status"] == "completed", "the handover", pause=0.005)
    wait(lambda: there.do("query-status")["status"] == "paused", "the arrival", pause=0.005)
    if plan["disks"]:
        there.do("nbd-server-stop")
    there.do("cont")
    wait(lambda: there.do("query-status")["running"], "the guest to run", pause=0.005)
    return source.do("query-migrate").get("downtime", 0)


def main():
    plan = json.loads(sys.argv[1])
    began = time.monotonic()
    tunnel = start_destination(plan)
    try:
        source, there = Qmp(plan["monitor"]), Qmp("/run/by-hand-there.sock")
        there.do("migrate-incoming", uri=f"tcp:{plan['address']}:0")
        if plan["disks"]:
            mirror(source, there, plan)
        downtime = hand_over(source, there, plan)
        source.do("quit")
        wait(lambda: not os.path.exists(f"/proc/{plan['pid']}"), "the source to end")
    finally:
        tunnel.terminate()
    print(json.dumps({"seconds": time.monotonic() - began, "downtime_ms": downtime}))


if __name__ == "__main__":
    main()
