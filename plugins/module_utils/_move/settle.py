# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""After the migration call: wait until both sides say something definite, then end the move on the safe side."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import decide as table
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.transfer import ABORT_GRACE, Ended
from ansible_collections.virtops.kvm.plugins.module_utils._move.undo import undo

#: How long two daemons may need to agree after a move (an incoming half dies with its connection).
SETTLE_SECONDS = 30.0
_POLL = 0.2
#: libvirt's words for an aborted job. It has a code for that, but not when both hosts have something to say.
_CANCELED = "canceled by client"
#: What libvirt 11 says instead of the reason when a move ends while disks are copied: closing the peer's connection overwrites it.
_REASON_LOST = "End of file while reading data"
#: What QEMU lacks on a host shows only when the move begins: its own words, our code, and what to do about it.
_LACKS = (
    (
        "Unable to access credentials",
        "TLS_UNAVAILABLE",
        "QEMU has no certificates on one of the hosts. Install them on both, or leave the option 'tls' out.",
    ),
    (
        "ostcopy is not supported",
        "OPTION_UNSUPPORTED",
        "QEMU may not do post-copy on one of the hosts. It needs /dev/userfaultfd there, or the sysctl "
        "vm.unprivileged_userfaultfd=1; or leave the option 'postcopy' out.",
    ),
)


def settle(context: Context, uuid: str) -> tuple[Sighting, Sighting, table.Decision]:
    """Both sightings and what they mean, once neither side is on its way any more."""
    end = context.clock.monotonic() + SETTLE_SECONDS
    while True:
        source, there = context.gateway.look(SOURCE, uuid), context.gateway.look(DESTINATION, uuid)
        decision = _after(context, source, there)
        if decision.action not in (table.WAIT, table.ATTACH):
            return source, there, decision
        if context.clock.monotonic() >= end:
            return source, there, table.Decision(
                table.REFUSE,
                "OWNERSHIP_UNPROVEN",
                f"Domain '{context.name}' is {source.state or 'absent'} ({source.reason}) on {source.host} and {there.state or 'absent'} "
                f"({there.reason}) on {there.host}, and this does not change; so nobody can say where it belongs. Nothing was "
                "started, stopped or deleted. Look at QEMU's logs on both hosts.",
            )  # fmt: skip
        context.clock.sleep(_POLL)


def _after(context: Context, source: Sighting, there: Sighting) -> table.Decision:
    journal: Journal | None = context.journal
    if not source.reachable:
        return table.Decision(table.WAIT)
    if journal is None:
        return table.decide(context.name, source, there, None)
    return table.after_attempt(context.name, source, there, journal)


def failed(context: Context, uuid: str, ended: Ended) -> KvmError:
    """Undo a move that ended with the domain on the source, and give the error that says all of it."""
    source = context.gateway.look(SOURCE, uuid)
    stage = context.journal.stage if context.journal is not None else "claim"
    code, cause = _cause(context, ended, source)
    full = _full_folder(context) if code == "MOVE_FAILED" else ""
    if full:
        code = "DISK_SPACE_SHORT"
        cause = f"{cause} There is no space left at {full} on {context.gateway.destination_host}."
    undone = undo(context, context.journal) if context.journal is not None else None
    words = [
        f"The move of domain '{context.name}' from {source.host} to {context.gateway.destination_host} failed: {cause}"
    ]
    words.append(f"The domain is {source.state or 'gone'} on {source.host}.")
    if undone is not None and undone.left:
        words.append(
            f"Left on {context.gateway.destination_host}: {', '.join(undone.left)} ({undone.reason}); run again to clean up."
        )
    else:
        words.append("Nothing of this move is left on the destination.")
    context.record(error_code=code, message=cause, persistent_xml="", source_xml="")
    error = KvmError(
        code,
        " ".join(words),
        stage=stage,
        domain_state=source.state,
        removed=list(undone.removed) if undone else [],
        left=list(undone.left) if undone else [],
        stages=dict(context.stages),
        source=to_data(source),
    )
    if ended.error is not None:
        error.details.update({key: value for key, value in ended.error.details.items() if key not in error.details})
    return error


def _cause(context: Context, ended: Ended, source: Sighting) -> tuple[str, str]:
    if ended.cause == "abort" or (
        ended.error is not None and ended.error.error_code == "MOVE_ABORTED" and context.stop.asked
    ):
        return "MOVE_ABORTED", f"it was aborted ({context.stop.reason})."
    if ended.cause == "timeout":
        return "MOVE_TIMEOUT", "it did not end within its time limit, and was aborted."
    if not source.active:
        said = f" libvirt said: {ended.error.message}" if ended.error is not None else ""
        return "GUEST_DIED", f"the guest ended on the source meanwhile ({source.state}, {source.reason}).{said}"
    if ended.error is None:
        return "MOVE_FAILED", "libvirt reported success, and yet the domain is still on the source."
    if _CANCELED in ended.error.message:
        return "MOVE_ABORTED", f"somebody aborted its job. {ended.error.message}"
    if _REASON_LOST in ended.error.message:
        return "MOVE_FAILED", _lost_reason(context, ended.error)
    for words, code, remedy in _LACKS:
        if words in ended.error.message:
            return code, f"{remedy} {ended.error.message}"
    return _move_code(ended.error), ended.error.message


def _lost_reason(context: Context, error: KvmError) -> str:
    images = context.journal.created_images if context.journal is not None else ()
    copied = f" of {', '.join(image.path for image in images)}" if images else ""
    return (
        f"the copy{copied} ended early, or somebody aborted the job with 'virsh domjobabort': libvirt lost the reason, its "
        f"log on both hosts has it. {error.message}"
    )


def _full_folder(context: Context) -> str:
    """The folder of an image of this move where nothing more can be written: libvirt often says no more than that I/O failed."""
    images = context.journal.created_images if context.journal is not None else ()
    for folder in sorted({image.pool_path for image in images}):
        if context.gateway.folder_full(folder):
            return folder
    return ""


def _move_code(error: KvmError) -> str:
    """Generic libvirt errors become MOVE_FAILED; what a user can act on keeps its code."""
    if error.error_code.startswith("LIBVIRT_") or error.error_code == "DOMAIN_NOT_FOUND":
        return "MOVE_FAILED"
    return error.error_code


def still_aborting(context: Context, uuid: str, ended: Ended) -> KvmError:
    """The call does not come back although it was aborted: say so, and touch nothing."""
    source, there = context.gateway.look(SOURCE, uuid), context.gateway.look(DESTINATION, uuid)
    error = KvmError(
        "MOVE_ABORTING_UNKNOWN",
        f"The move of domain '{context.name}' was told to end ({ended.cause}), and libvirt on {source.host} has not done so within "
        f"{ABORT_GRACE:g} s, most likely because it waits for the network. The domain is {source.state or 'not seen'} on {source.host}; "
        "nothing was deleted or started. Restore the network, wait for the job to end, and run again.",
        source=to_data(source),
        destination=to_data(there),
        cause=ended.cause,
    )
    context.record(error_code=error.error_code, message=error.message)
    return error
