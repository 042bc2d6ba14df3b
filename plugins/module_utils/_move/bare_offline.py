# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The offline move of a guest process: it shuts itself down, its images are copied and proven equal, and it starts on the destination.

Once the guest was asked to shut down, all goes by the record: what is off tells nothing about itself any more.
"""

from __future__ import annotations

import os

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.chain import jobs_of, layer_jobs
from ansible_collections.virtops.kvm.plugins.module_utils._disk.copy import copy_disk
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import CopyJob, CopyProgress
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._disk.source import chain_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import SHUT_DOWN, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_host import has_spoken, launch
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_still import forget_here
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_switch import end_source, release, verify
from ansible_collections.virtops.kvm.plugins.module_utils._move.timeouts import time_limit
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import processes
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse

_POLL = 0.25
#: Guests overlook the button while they boot, so it is pressed again.
_PRESS_AGAIN = 20.0
_PROGRAM_SECONDS = 90.0
_START_SECONDS = 60.0
_READABLE = ("raw", "qcow2")


def carry_out(context: BareContext) -> tuple[str, ...]:
    """From the shutdown to the end; gives the images that are still on the source."""
    _halt(context)
    return carry_on(context)


def carry_on(context: BareContext) -> tuple[str, ...]:
    """What is left to do for a guest that is off; what an earlier run copied is compared, and not sent again."""
    # One that an earlier run started there stands still, and has the images open.
    context.far.call("kill", key=context.key)
    _copy(context)
    _hand_over(context)
    return finish_there(context)


def finish_there(context: BareContext) -> tuple[str, ...]:
    """The destination has it for good: it runs there if it ran, and the source's half goes."""
    journal = context.record_now()
    if journal.state != SHUT_DOWN and journal.stage != "release":
        _start_there(context)
        verify(context)
        if "stopped_at" in context.figures:
            context.figures["stopped_seconds"] = round(context.clock.monotonic() - context.figures["stopped_at"], 1)
    if journal.unit_file or (journal.domain and not journal.source):
        forget_here(context)
    return release(context)


# ---- the shutdown ----


def _halt(context: BareContext) -> None:
    """The guest does not run on the source any more, and its process is gone."""
    with context.stage("stop"):
        context.record(stopped=True)
        context.figures["stopped_at"] = context.clock.monotonic()
        if _state(context) != SHUT_DOWN:
            stay_after_shutdown(context, stay=True)
            _ask_and_wait(context)
        end_source(context, for_good=False)
        if context.monitor is not None:
            context.monitor.close()
            context.monitor = None


def stay_after_shutdown(context: BareContext, *, stay: bool) -> None:
    """Let the process outlive the guest's shutdown, or not: a unit that starts it again when it ends must not notice."""
    source, line = context.source(), parse(processes.argv_of(int(context.record_now().source[0])))
    if line.has("no-shutdown") or line.merged("action").get("shutdown") == "pause":
        return
    if source.has_command("set-action"):
        source.execute("set-action", {"shutdown": "pause" if stay else "poweroff"})


def _state(context: BareContext) -> str:
    """The run state of the source; empty where its process has ended."""
    pid, start = int(context.record_now().source[0]), context.record_now().source[1]
    if not processes.is_alive(pid, start):
        return ""
    try:
        return str(context.source().execute("query-status")["status"])
    except KvmError as exc:
        if exc.error_code != "MONITOR_GONE":
            raise
        # It is about to end.
        return "ending"


def _ask_and_wait(context: BareContext) -> None:
    options = context.options
    began = pressed = context.clock.monotonic()
    _press(context)
    while _state(context) not in ("", SHUT_DOWN):
        now = context.clock.monotonic()
        context.tell("stop", f"shutting down for {now - began:.0f} s")
        context.check_stop("its shutdown")
        if now - began >= options.shutdown_timeout:
            if options.shutdown_action == "destroy":
                context.warnings.append(
                    f"The guest '{context.name}' did not shut down within {options.shutdown_timeout:g} s, and was ended, as asked."
                )
                return
            raise KvmError(
                "SHUTDOWN_TIMEOUT",
                f"it did not shut down within {options.shutdown_timeout:g} s; look at its console, give it more time by shutdown_timeout, "
                "or permit to end it hard by shutdown_action=destroy",
                seconds=options.shutdown_timeout,
            )
        if now - pressed >= _PRESS_AGAIN:
            pressed = now
            _press(context)
        context.clock.sleep(_POLL)


def _press(context: BareContext) -> None:
    """The power button. The guest may have ended in this very moment."""
    try:
        context.source().execute("system_powerdown")
    except KvmError as exc:
        if exc.error_code != "MONITOR_GONE":
            raise


# ---- the images ----


def _copy(context: BareContext) -> None:
    """Every image of the record becomes equal on the destination, proven block by block."""
    journal, options = context.record_now(), context.options
    sizes = sum(disk.size for disk in journal.disks)
    end = context.clock.monotonic() + time_limit(options.timeout, 0, sizes)

    def ends() -> bool:
        return _stopping(context) or context.clock.monotonic() > end

    with context.stage("transfer"):
        if not journal.disks:
            return
        done = 0
        with Remote.connect(context.destination, context.far.host) as remote:
            for disk in journal.disks:
                # What this move has made there before may be out of date, and is replaced.
                job = _job(context, disk, ours=disk.path in journal.images)
                _note_images(context, disk, job)

                def tell(progress: CopyProgress, before: int = done, size: int = disk.size) -> None:
                    part = size * progress.done // progress.total if progress.total else size
                    context.tell("transfer", progress.stage, disk_total=sizes, disk_done=before + part)

                try:
                    result = copy_disk(job, remote, tell=tell, stop=ends, clock=context.clock)
                except KvmError as exc:
                    raise _named(context, disk, exc, options.timeout) from exc
                done += disk.size
                sent = int(context.figures.get("disk_bytes") or 0) + result.sent_bytes
                context.figures.update(disk_bytes=sent)


def _job(context: BareContext, disk: MovedDisk, *, ours: bool) -> CopyJob:
    form = disk.format if disk.format in _READABLE else "raw"
    job = CopyJob(
        source=disk.source,
        destination=disk.path,
        source_format=form,
        destination_format=form,
        owner=context.record_now().user or disk.owner or None,
        device=disk.path.startswith("/dev/"),
        replace=ours or disk.path.startswith("/dev/"),
        bandwidth=context.options.bandwidth,
        address=context.options.migration_address or "",
    )
    if context.record_now().base != "shared" or not disk.backing:
        return jobs_of(job, keep=False)[0]
    layers = chain_of(disk.source, form)
    places = {layer.path: context.mapping.base.path(layer.path) for layer in layers}
    return layer_jobs(job, layers, {**places, disk.source: disk.path})[-1]


def _note_images(context: BareContext, disk: MovedDisk, job: CopyJob) -> None:
    """In the records before they are made: an undo removes them. What somebody put there since the survey is not ours."""
    if job.device:
        return
    known = context.record_now().images
    partial = f"{disk.path}.partial-{job.key}"
    if disk.path not in known:
        if disk.path in context.far.facts(images=[disk.path])["existing"]:
            raise KvmError("IMAGE_EXISTS", f"{context.far.host} has {disk.path} already.", path=disk.path)
        context.record(images=(*known, disk.path, partial))


def _stopping(context: BareContext) -> bool:
    try:
        context.check_stop("the copy of its disks")
    except KvmError:
        return True
    return False


def _named(context: BareContext, disk: MovedDisk, error: KvmError, timeout: float) -> KvmError:
    """What ended the copy of a disk: a wish, the time, or a failure."""
    if error.error_code != "COPY_STOPPED":
        return KvmError(
            error.error_code,
            f"Copying the disk {disk.key} ({disk.source}) failed: {error.message}",
            **{**error.details, "disk": disk.key},
        )
    try:
        context.check_stop("the copy of its disks")
    except KvmError as wish:
        return wish
    limit = f" than {timeout:g} s" if timeout else " than its size allows"
    return KvmError("MOVE_TIMEOUT", f"the copy of its disks took longer{limit}")


# ---- the switch ----


def _hand_over(context: BareContext) -> None:
    """From here on the destination has the guest, and the source does not start it by itself."""
    with context.stage("switch"):
        journal = context.record_now()
        if journal.unit_file:
            enabled = _asked(journal.source_unit, "UnitFileState") == "enabled"
            context.far.call("unit_write", name=journal.source_unit, text=journal.unit_file, enable=enabled)
        if (
            journal.source
            and journal.source_unit
            and not journal.disabled
            and _asked(journal.source_unit, "UnitFileState") == "enabled"
        ):
            context.record(disabled=True)
            _systemctl("disable", "--quiet", journal.source_unit)
        context.record(there=())
        if journal.domain:
            _define(context)
        if journal.state != SHUT_DOWN:
            _start_there(context)


def _start_there(context: BareContext) -> None:
    """Start it, standing still, where it is not there yet."""
    journal = context.record_now()
    seen = context.far.look(context.key, context.name, context.uuid)[0]
    if seen.found and seen.ours:
        return
    if journal.domain:
        context.far.call("domain_start", uuid=journal.uuid)
        return
    argv = [*journal.argv, "-S", "-qmp", f"unix:{context.socket()},server=on,wait=off"]
    there = context.far.call("start", key=context.key, argv=argv, user=journal.user)
    context.record(there=tuple(there))


def _define(context: BareContext) -> None:
    """Give its definition to libvirt there, unless somebody has another one of that name since the survey."""
    journal = context.record_now()
    if not journal.defined:
        seen = context.far.facts(domain=[context.name, journal.uuid, ""])["domain"]
        if seen["name"] or seen["uuid"]:
            raise KvmError("NAME_CONFLICT", f"libvirt on {context.far.host} has a domain '{context.name}' by now.")
        context.record(defined=True)
    context.far.call("domain_define", xml=journal.domain)


# ---- back ----


def bring_home(context: BareContext) -> str:
    """Start the guest on the source again, where this move has shut it down; gives why it could not be started, empty where it was."""
    journal = context.record_now()
    if not journal.stopped or journal.state == SHUT_DOWN or processes.guests(context.name):
        return ""
    try:
        if journal.source_unit and _asked(journal.source_unit, "LoadState") == "loaded":
            if journal.disabled:
                _systemctl("enable", "--quiet", journal.source_unit)
            _systemctl("start", journal.source_unit)
        else:
            _start_here(context)
        wait_until(
            context.clock,
            lambda: processes.guests(context.name),
            bool,
            what=f"QEMU to start on {context.source_host}",
            timeout=_START_SECONDS,
        )
    except KvmError as exc:
        return exc.message
    context.record(far=False, stopped=False, disabled=False)
    return ""


def _start_here(context: BareContext) -> None:
    journal = context.record_now()
    folder = f"{os.path.dirname(journal.socket)}-back"
    path, log = f"{folder}/qmp.sock", journal.log
    argv = [*journal.home, "-qmp", f"unix:{path},server=on,wait=off"]
    launch(journal.unit.replace(".service", "-back.service"), argv, journal.home_user, log, path)
    context.monitor_address = f"unix:{path}"
    wait_until(
        context.clock,
        lambda: os.path.exists(path) or has_spoken(log),
        bool,
        what=f"QEMU to start on {context.source_host}",
        timeout=_START_SECONDS,
    )


def _asked(unit: str, what: str) -> str:
    return command.run(["systemctl", "show", "-P", what, unit], timeout=_PROGRAM_SECONDS).stdout.strip()


def _systemctl(*words: str) -> None:
    what = f"systemctl {' '.join(words)}"
    command.check(["systemctl", *words], "UNIT_FAILED", what, timeout=_PROGRAM_SECONDS)
