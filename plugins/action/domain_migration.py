# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of domain_migration: starts the module in the background, tells its progress, and ends it on Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import time
import typing as t
import uuid

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.statefile import FileLock
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Progress
from ansible_collections.virtops.kvm.plugins.module_utils._model.service import Service, ServiceSeen
from ansible_collections.virtops.kvm.plugins.module_utils._move.progress import line
from ansible_collections.virtops.kvm.plugins.module_utils._move.service_probe import ServiceProbe
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import UPTIME, Workspace, check_progress_id

display = Display()

#: The module has its own time limit, scaled by size; Ansible's may only be there because there must be one.
ASYNC_LIMIT = 30 * 24 * 3600
DEFAULT_INTERVAL = 5.0
#: How long the host may be out of reach, and how long an aborted move may take to end cleanly.
LOST_SECONDS = 300.0
ABORT_SECONDS = 90.0
#: One look waits on the host for up to two seconds, so that the end is seen at once and by one round trip. Many moves are watched at a
#: time, so a look must cost little on both sides.
_LOOK_SECONDS, _STEP_SECONDS = 2.0, 0.5
_LOOK = (
    "{sign}n=0; while [ $n -lt {steps} ] && grep -q '^{{\"started\"' {job} 2>/dev/null; do sleep {step}; n=$((n+1)); done; "
    "cat {progress} 2>/dev/null; echo; grep -q '^{{\"started\"' {job} 2>/dev/null && echo running || echo ended"
)
#: A sign of life for a move that ends with its controller.
_SIGN = "cat {uptime} >{alive}; "
_TURN_SECONDS = 0.05
_BOOKKEEPING = (
    "ansible_job_id",
    "started",
    "finished",
    "results_file",
    "erased",
    "stdout",
    "stdout_lines",
    "stderr",
    "stderr_lines",
)

Result = dict[str, t.Any]


class ActionModule(ActionBase):
    """Runs the module directly in check mode, and in the background otherwise."""

    #: The module whose half this is, and what it moves.
    MODULE = "virtops.kvm.domain_migration"
    NOUN = "domain"
    #: The main process, to which the result goes.
    parent = 0

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """Run it to its end and give the module's own result."""
        super().run(tmp, task_vars)
        self.parent = os.getppid()
        arguments = dict(self._task.args)
        try:
            service = Service.from_user(arguments["service"]) if arguments.get("service") else None
        except InputError as error:
            return {"failed": True, "msg": error.message, "error_code": error.error_code, "details": error.details}
        if self._task.check_mode:
            checked = self._execute_module(module_name=self.MODULE, module_args=arguments, task_vars=task_vars)
            return _with_service(checked, ServiceProbe(service).once() if service else None)
        probe = ServiceProbe(service) if service else None
        if probe is not None:
            probe.start()
        return _with_service(self._move(arguments, task_vars), probe.finish() if probe else None)

    def _move(self, arguments: Result, task_vars: dict[str, t.Any] | None) -> Result:
        progress_id = str(arguments.get("progress_id") or uuid.uuid4().hex)
        try:
            check_progress_id(progress_id)
        except InputError:
            # The module says it better.
            return t.cast(
                Result, self._execute_module(module_name=self.MODULE, module_args=arguments, task_vars=task_vars)
            )
        arguments["progress_id"] = progress_id
        with _Interrupts() as interrupts:
            with _turn(interrupts):
                started = self._start(arguments, task_vars)
            if started.get("failed") or not started.get("results_file"):
                return started
            watch = _Watch(
                self,
                str(started["results_file"]),
                progress_id,
                _interval(arguments),
                interrupts,
                needed=arguments.get("on_controller_loss") == "abort",
            )
            ended = watch.until_end()
            result = (
                self._fetch(started, progress_id, task_vars) if ended else watch.given_up(str(arguments.get("name")))
            )
            if interrupts.count:
                _say_last(str(result.get("msg", "")))
                # Nobody reads results any more: one that does not fit into the pipe would keep this process, and with it
                # the main process, for ever.
                raise KeyboardInterrupt
            return result

    def shell(self, command: str) -> str | None:
        """What ``command`` prints on the host; None while the host is out of reach."""
        try:
            answer = self._low_level_execute_command(command)
        except AnsibleError:
            with contextlib.suppress(AnsibleError, AttributeError):
                self._connection.reset()
            return None
        return None if answer["rc"] == 255 else str(answer["stdout"])

    def _start(self, arguments: Result, task_vars: dict[str, t.Any] | None) -> Result:
        before = self._task.async_val
        self._task.async_val = ASYNC_LIMIT
        try:
            return t.cast(
                Result,
                self._execute_module(
                    module_name=self.MODULE, module_args=arguments, task_vars=task_vars, wrap_async=True
                ),
            )
        finally:
            self._task.async_val = before

    def _fetch(self, started: Result, progress_id: str, task_vars: dict[str, t.Any] | None) -> Result:
        """The result of the ended job; then its file and the progress file go."""
        path = str(started["results_file"])
        asked = {"jid": started["ansible_job_id"], "_async_dir": os.path.dirname(path)}
        result = t.cast(
            Result,
            self._execute_module(module_name="ansible.legacy.async_status", module_args=asked, task_vars=task_vars),
        )
        for key in _BOOKKEEPING:
            result.pop(key, None)
        space = Workspace()
        files = [path, space.progress_path(progress_id), space.abort_path(progress_id), space.alive_path(progress_id)]
        self.shell("rm -f " + " ".join(shlex.quote(name) for name in files))
        return result


class _Interrupts:
    """While it is entered, SIGINT and SIGTERM are noted. The main process sends several for one Ctrl-C, so only a further SIGINT
    after the request to abort was ``answered`` has its usual effect."""

    def __init__(self) -> None:
        self.count = 0
        self.answered = False
        self._before: dict[int, t.Any] = {}

    def __enter__(self) -> _Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *unused_details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, unused_frame: t.Any) -> None:
        self.count += 1
        if self.answered and number == signal.SIGINT and self.count >= 3:
            signal.signal(number, self._before.get(number) or signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextlib.contextmanager
def _turn(interrupts: _Interrupts) -> t.Iterator[None]:
    """Hold one of as many places as this machine has processors. Starting a module is work for one: were all moves of a host started
    at once, the first of them would begin only when the last one does."""
    places = [
        FileLock(os.path.join(t.cast("t.Any", constants).DEFAULT_LOCAL_TMP, f"move-start-{n}"))
        for n in range(max(2, os.cpu_count() or 2))
    ]
    while not any(place.try_acquire() for place in places):
        if interrupts.count:
            raise KeyboardInterrupt
        time.sleep(_TURN_SECONDS)
    try:
        yield
    finally:
        for place in places:
            place.release()


class _Watch:
    """Watches one job on its host until it ends. ``needed``: the job ends with its controller."""

    def __init__(
        self,
        action: ActionModule,
        job: str,
        progress_id: str,
        interval: float,
        interrupts: _Interrupts,
        *,
        needed: bool,
    ) -> None:
        self._action = action
        self._needed = needed
        space = Workspace()
        seconds = min(_LOOK_SECONDS, interval) if interval > 0 else _LOOK_SECONDS
        alive = shlex.quote(space.alive_path(progress_id))
        self._look = _LOOK.format(
            sign=_SIGN.format(uptime=UPTIME, alive=alive) if needed else "",
            job=shlex.quote(job),
            progress=shlex.quote(space.progress_path(progress_id)),
            steps=max(1, round(seconds / _STEP_SECONDS)),
            step=_STEP_SECONDS,
        )
        self._abort = space.abort_path(progress_id)
        self._interval = interval
        self._interrupts = interrupts
        self._told_at: float | None = None
        self._aborted_at: float | None = None
        self._name = ""

    def until_end(self) -> bool:
        """True when the job ended; false when the host stayed away, or an abort took too long."""
        lost_since: float | None = None
        while True:
            if self._interrupts.count and self._aborted_at is None:
                self._ask_to_abort()
            if os.getppid() != self._action.parent:
                self._leave()
            answer = self._action.shell(self._look)
            now = time.monotonic()
            if answer is None:
                lost_since = now if lost_since is None else lost_since
                if now - lost_since > LOST_SECONDS or (self._aborted_at and now - self._aborted_at > ABORT_SECONDS):
                    return False
                time.sleep(1)
                continue
            lost_since = None
            text, state = answer.strip().rpartition("\n")[::2]
            if state.strip() == "ended":
                return True
            self._tell(text.strip(), now)
            if self._aborted_at is not None and now - self._aborted_at > ABORT_SECONDS:
                return False

    def given_up(self, name: str) -> Result:
        """The result when nobody waits any longer."""
        if self._aborted_at is not None:
            why = f"was asked to end, and has not done so within {ABORT_SECONDS:g} s"
            code = "MOVE_ABORTING_UNKNOWN"
        else:
            why = f"could not be watched, because its host was out of reach for {LOST_SECONDS:g} s; it goes on there"
            code = "HOST_LOST"
        msg = f"The move of the {self._action.NOUN} '{name}' {why}. Run again: that follows it to its end, or starts it anew."
        return {"failed": True, "msg": msg, "error_code": code, "details": {}}

    def _leave(self) -> t.NoReturn:
        """The main process was killed: newer ansible-core has us in a session of our own, so that we are still here. A move that ends
        with its controller ends now; with us nobody is left to hear of it."""
        if self._needed:
            self._abort_asked()
        raise KeyboardInterrupt

    def _abort_asked(self) -> bool:
        folder = os.path.dirname(self._abort)
        command = f"mkdir -p {shlex.quote(folder)} && touch {shlex.quote(self._abort)} && echo asked"
        answer = self._action.shell(command)
        return answer is not None and "asked" in answer

    def _ask_to_abort(self) -> None:
        if self._abort_asked():
            self._aborted_at = time.monotonic()
            self._interrupts.answered = True
            _say_last(
                f"{self._name or 'the move'}  aborting: waits until the {self._action.NOUN} is safe on its source"
            )

    def _tell(self, text: str, now: float) -> None:
        if not text:
            return
        try:
            progress = from_data(Progress, json.loads(text))
        except (ValueError, TypeError):
            return
        self._name = progress.domain
        if self._interval <= 0 or not (progress.rate or progress.note or progress.disk_total or progress.memory_total):
            return
        if self._told_at is None or now - self._told_at >= self._interval:
            self._told_at = now
            _say(line(progress))


def _with_service(result: Result, seen: ServiceSeen | None) -> Result:
    """The module's result with what the controller saw of the guest's service."""
    if seen is None:
        return result
    warnings = [*result.get("warnings", ()), *filter(None, [seen.warning])]
    return {**result, "service": to_data(seen), **({"warnings": warnings} if warnings else {})}


def _interval(arguments: Result) -> float:
    try:
        return float(arguments.get("progress_interval", DEFAULT_INTERVAL))
    except (TypeError, ValueError):
        return DEFAULT_INTERVAL


def _say(text: str) -> None:
    """Print a line through the main process."""
    with contextlib.suppress(OSError, ValueError):
        display.display(text)


def _say_last(text: str) -> None:
    """Print a line after a Ctrl-C: the main process listens no more, and newer versions give us no terminal of our own; what is
    left is the error output that the main process has."""
    with contextlib.suppress(OSError):
        descriptor = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
        try:
            os.write(descriptor, f"{text}\n".encode())
        finally:
            os.close(descriptor)
