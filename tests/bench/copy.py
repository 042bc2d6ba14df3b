# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One image from host to host: disk_copy (encrypted, proven, fsynced) against what people use, none of which proves anything.

Encryption and proof cost processor time that the other tools do not spend. So their own price is shown too: the same nbdcopy inside
TLS, which is the least that an encrypted copy by NBD costs without a proof, and the processor seconds of all that took part.

Every candidate begins with nothing on the destination and ends when its last command does; what it needs there (a server, a file
of the right size) is part of its time. Bytes on the wire are what the source put on its link, headers included.
"""

from __future__ import annotations

import json
import os
import secrets
import typing as t

from tests.bench.harness import Candidate, Figure, NotMeasured, Samples, interleave, median, ratio
from tests.bench.hosts import STAGE, stage_module, timed
from tests.lab.host import Host
from tests.lab.lab import Lab

OURS, DD = "disk_copy", "dd_ssh_dd"
SIZE_MIB = 2048
#: Memory, on both sides: only one candidate brings what it wrote to the disk, and how fast that is says nothing about the others.
FOLDER = "/mnt/bench"
PORT = 49170
#: The key of the tool that is measured inside TLS.
KEYS = "/root/bench-keys"
MODULE = "ansible_collections.virtops.kvm.plugins.modules.disk_copy"
#: Image -> (share of data, share of zeros that were written), scattered over blocks of 1 MiB; all else is holes.
CONTENTS = {"sparse": (0.27, 0.10), "tenth": (0.10, 0.0), "full": (1.0, 0.0)}
_MAKE = """
import os, random, sys
chance = random.Random(1)
size, data, zeros = int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
blocks = list(range(size))
chance.shuffle(blocks)
with open(sys.argv[1], "wb") as image:
    image.truncate(size << 20)
    for place, number in enumerate(blocks[: round(size * (data + zeros))]):
        image.seek(number << 20)
        image.write(chance.randbytes(1 << 20) if place < round(size * data) else bytes(1 << 20))
    os.fsync(image.fileno())
"""
_DIGEST = (
    "from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import digest_file; import sys; "
    "print(digest_file(sys.argv[1]).total)"
)
#: The processor time of all processes of a host, the ended ones included, in ticks. What a benchmark starts there itself is not one
#: of them: its time is that of this process's children.
_TICKS = """
import os
total = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        total += sum(map(int, open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[11:15]))
    except OSError:
        pass
print(total)
"""
#: A server for tools that speak NBD without encryption. It ends with its last client.
_SERVE = f"truncate -s {SIZE_MIB}M %(copy)s && qemu-nbd --fork -f raw -p {PORT} -e 8 --discard=unmap %(copy)s"
_SERVE_TLS = f"{_SERVE} --object tls-creds-psk,id=tls0,dir={KEYS},endpoint=server --tls-creds=tls0"

SCRIPTS = {
    DD: "dd if=%(image)s bs=1M status=none | ssh %(far)s 'dd of=%(copy)s bs=1M status=none'",
    "rsync_sparse": "rsync --sparse --whole-file %(image)s %(far)s:%(copy)s",
    "scp": "scp -q %(image)s %(far)s:%(copy)s",
    "qemu_img_nbd": f"ssh %(far)s '{_SERVE}' && qemu-img convert -n -W -m 16 --target-is-zero -f raw -O raw %(image)s "
    f"nbd://%(far)s:{PORT}",
    "nbdcopy": f"ssh %(far)s '{_SERVE}' && nbdcopy --destination-is-zero %(image)s nbd://%(far)s:{PORT}",
}
#: No rival of the targets, which are held against the fastest of all that neither encrypts nor proves.
ENCRYPTED = "nbdcopy_tls"
_ALL = {
    **SCRIPTS,
    ENCRYPTED: f"ssh %(far)s '{_SERVE_TLS}' && nbdcopy --destination-is-zero %(image)s "
    f"'nbds://bench@%(far)s:{PORT}/?tls-psk-file={KEYS}/keys.psk'",
}


def far_seconds(host: Host) -> float:
    return int(host.run(["python3", "-c", _TICKS]).stdout) / os.sysconf("SC_CLK_TCK")


def near_seconds() -> float:
    own = os.times()
    return own.children_user + own.children_system


def on_wire(host: Host) -> int:
    lines = host.read("/proc/net/dev").splitlines()
    return next(int(line.split(":")[1].split()[8]) for line in lines if line.strip().startswith("eth0:"))


def make_folder(host: Host) -> None:
    host.run(["sh", "-euc", f"mkdir -p {FOLDER}; mount -t tmpfs -o size={3 * SIZE_MIB}M tmpfs {FOLDER}"])


def make_images(host: Host) -> None:
    for name, (data, zeros) in CONTENTS.items():
        host.run(["python3", "-c", _MAKE, f"{FOLDER}/{name}.raw", str(SIZE_MIB), str(data), str(zeros)])


def make_keys(hosts: t.Sequence[Host]) -> None:
    """One key for the tool that is measured inside TLS."""
    key = secrets.token_hex(32)
    for host in hosts:
        host.run(["mkdir", "-p", "-m", "700", KEYS])
        host.write(f"{KEYS}/keys.psk", f"bench:{key}\n")


def words_of(name: str, image: str, far: Host) -> list[str]:
    """The command line of one candidate on the source."""
    path, copy = f"{FOLDER}/{image}.raw", f"{FOLDER}/{image}.copy"
    if name != OURS:
        return ["sh", "-euc", _ALL[name] % {"image": path, "copy": copy, "far": far.name}]
    return ["env", f"PYTHONPATH=/{STAGE}", "python3", "-m", MODULE, f"/tmp/bench-{image}.json"]


def candidate(name: str, near: Host, far: Host) -> Candidate:
    """Copy every image once; in the first round it is compared."""

    def measure(number: int) -> dict[str, float]:
        samples: dict[str, float] = {}
        for image in CONTENTS:
            copy = f"{FOLDER}/{image}.copy"
            far_before, wire, near_before = far_seconds(far), on_wire(near), near_seconds()
            seconds, output = timed(near, words_of(name, image, far))
            near_used = near_seconds() - near_before
            far.run(["sh", "-c", "while pgrep -x qemu-nbd >/dev/null; do sleep 0.05; done"])
            samples[f"{image}_seconds"] = seconds
            samples[f"{image}_cpu"] = near_used + far_seconds(far) - far_before
            samples[f"{image}_wire"] = on_wire(near) - wire
            samples[f"{image}_allocated"] = int(far.run(["stat", "-c", "%b", copy]).stdout) * 512
            if name == OURS and not json.loads(output)["copies"][0]["proven"]:
                raise NotMeasured(f"the copy was not proven: {output}")
            if number == 0:
                sums = [
                    host.run(["sh", "-c", f"sha256sum < {path}"]).stdout
                    for host, path in ((far, copy), (near, f"{FOLDER}/{image}.raw"))
                ]
                if sums[0] != sums[1]:
                    raise NotMeasured(f"{name} did not copy {image}.raw as it is")
            far.run(["rm", copy])
        return samples

    return Candidate(name, measure)


def digest_candidate(name: str, near: Host, words: list[str]) -> Candidate:
    """Read the sparse image once for a digest of all of it."""
    return Candidate(name, lambda unused_round: {"digest_seconds": timed(near, [*words, f"{FOLDER}/sparse.raw"])[0]})


def measure(rounds: int) -> tuple[Samples, list[Figure], dict[str, t.Any]]:
    """Samples, figures and conditions of one interleaved run in a lab of two hosts."""
    lab = Lab.up(name="bcopy", hosts=2)
    try:
        near, far = lab.hosts
        stage_module(near)
        for host in lab.hosts:
            make_folder(host)
        make_keys(lab.hosts)
        make_images(near)
        for image in CONTENTS:
            options = {"source": f"{FOLDER}/{image}.raw", "source_format": "raw", "destination": f"root@{far.name}"}
            options["destination_path"] = f"{FOLDER}/{image}.copy"
            near.write(f"/tmp/bench-{image}.json", json.dumps({"ANSIBLE_MODULE_ARGS": options}))
        samples = interleave([candidate(name, near, far) for name in (OURS, *_ALL)], rounds)
        ours = ["env", f"PYTHONPATH=/{STAGE}", "python3", "-c", _DIGEST]
        digests = interleave(
            [digest_candidate("digest", near, ours), digest_candidate("sha256sum", near, ["sha256sum"])], rounds
        )
        samples.update(digests)
    finally:
        lab.down()
    return (
        samples,
        figures_of(samples),
        {"hosts": 2, "suite": "trixie", "size_mib": SIZE_MIB, "contents": CONTENTS, "storage": "tmpfs"},
    )


def figures_of(samples: Samples) -> list[Figure]:
    """What came of it, against its targets."""
    figures = [
        Figure("copy_sparse_speedup_over_dd", ratio(samples, DD, OURS, "sparse_seconds"), "ratio", ">=", 3.5),
        Figure(
            "digest_speedup_over_sha256sum", ratio(samples, "sha256sum", "digest", "digest_seconds"), "ratio", ">=", 5.0
        ),
    ]
    for image, (share, _unused_zeros) in CONTENTS.items():
        data = round(SIZE_MIB * share) << 20
        fastest = min(SCRIPTS, key=lambda name: median(samples, name, f"{image}_seconds"))
        figures += [
            Figure(f"copy_{image}_wire_over_data", median(samples, OURS, f"{image}_wire") / data, "ratio", "<=", 1.05),
            Figure(
                f"copy_{image}_over_fastest_{fastest}",
                ratio(samples, OURS, fastest, f"{image}_seconds"),
                "ratio",
                "<=",
                1.3,
            ),
            Figure(f"copy_{image}_over_{ENCRYPTED}", ratio(samples, OURS, ENCRYPTED, f"{image}_seconds"), "ratio"),
            Figure(f"copy_{image}_cpu_over_fastest_{fastest}", ratio(samples, OURS, fastest, f"{image}_cpu"), "ratio"),
            Figure(f"copy_{image}_cpu_over_{ENCRYPTED}", ratio(samples, OURS, ENCRYPTED, f"{image}_cpu"), "ratio"),
        ]
        for name in (OURS, *_ALL):
            figures += [
                Figure(f"{image}_{name}_seconds", median(samples, name, f"{image}_seconds"), "s"),
                Figure(f"{image}_{name}_cpu", median(samples, name, f"{image}_cpu"), "s"),
                Figure(f"{image}_{name}_wire", median(samples, name, f"{image}_wire") / (1 << 20), "MiB"),
                Figure(f"{image}_{name}_allocated", median(samples, name, f"{image}_allocated") / (1 << 20), "MiB"),
            ]
    return figures
