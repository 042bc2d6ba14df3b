# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One domain from what it is to what is asked for: first the whole plan, which changes nothing; then its steps."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError, TimeoutExpired
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.define import DomainGateway
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.definition import Normalized, Prediction
from ansible_collections.virtops.kvm.plugins.module_utils._model.lifecycle import Leftovers, Present, Step, steps_to
from ansible_collections.virtops.kvm.plugins.module_utils._xml.carry import is_uuid, names_of, same_uuid
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import exact_texts
from ansible_collections.virtops.kvm.plugins.module_utils._xml.predict import predict, refused
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import without_secrets

#: A guest that still boots misses the button; so it is pressed again, as nova does.
_ASK_AGAIN = 10.0


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked for. ``name`` is a name or UUID, ``xml`` a document (already mapped) that says who it is of."""

    state: str
    name: t.Optional[str] = None
    xml: t.Optional[str] = None
    autostart: t.Optional[bool] = None
    may_stop: bool = False
    shutdown_timeout: float = 300.0
    shutdown_action: str = "fail"
    leftovers: Leftovers = dataclasses.field(default_factory=Leftovers)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done. ``present`` is None for a domain that is not there."""

    name: str
    present: t.Optional[Present]
    before_xml: t.Optional[str] = None
    prediction: t.Optional[Prediction] = None
    autostart: t.Optional[bool] = None
    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def defines(self) -> bool:
        """Whether a definition is written."""
        return self.prediction is not None and self.prediction.changes

    @property
    def state(self) -> str:
        """The state in the end."""
        if self.steps:
            return str(self.steps[-1].after)
        if self.present is None:
            return "shutoff" if self.prediction else "absent"
        return self.present.shown_state

    @property
    def restart_needed(self) -> bool:
        """Whether the domain goes on with its old definition."""
        goes_on = self.present is not None and self.present.shown_state not in ("shutoff", "crashed")
        return self.defines and goes_on and not any(step.after == "shutoff" for step in self.steps)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Everything that changes, in its order."""
        found: list[Change] = []
        what = f"domain {self.name}"
        if self.defines and self.prediction is not None:
            action = "define" if self.prediction.new else "redefine"
            found.append(Change(f"definition of {what}", action, None, list(self.prediction.differences)))
        if self.autostart is not None:
            found.append(Change(f"autostart of {what}", "set", not self.autostart, self.autostart))
        found += [Change(what, step.action, step.before, step.after) for step in self.steps]
        return tuple(found)


def make_plan(gateway: DomainGateway, wanted: Wanted) -> Plan:
    """What has to be done, with every check that can be made before. Raises KvmError; changes nothing."""
    present = _identify(gateway, wanted)
    name = present.name if present else names_of(wanted.xml)[0] if wanted.xml else str(wanted.name)
    if present is None and (wanted.state == "absent" or not wanted.xml):
        if wanted.state == "absent":
            return Plan(name, None)
        raise gateway.unknown(name)
    if wanted.state == "absent" and present is not None:
        steps = tuple(_steps(present, wanted))
        return Plan(name, present, gateway.definition(present), steps=steps)
    before, prediction, warnings = _predict(gateway, wanted, present, name)
    becomes = present or Present(name, "", "shutoff")
    persistent = becomes.persistent or prediction is not None
    autostart = wanted.autostart if wanted.autostart not in (None, becomes.autostart) else None
    if wanted.autostart and not persistent:
        raise KvmError(
            "DOMAIN_TRANSIENT",
            f"The domain '{name}' is transient, and only a defined one starts with its host; give its definition.",
            domain=name,
        )
    steps = tuple(_steps(dataclasses.replace(becomes, persistent=persistent), wanted))
    return Plan(name, present, before, prediction, autostart, steps, tuple(warnings))


def _steps(present: Present, wanted: Wanted) -> list[Step]:
    hard = wanted.shutdown_action == "destroy"
    return steps_to(present, wanted.state, wanted.leftovers, may_stop=wanted.may_stop, hard_stop=hard)


def _identify(gateway: DomainGateway, wanted: Wanted) -> Present | None:
    """The domain that is meant. Raises KvmError where name and UUID mean two, or one that is not meant."""
    if not wanted.xml:
        return gateway.find(str(wanted.name))
    name, uuid = names_of(wanted.xml)
    by_name = gateway.find(name) if name else None
    by_uuid = gateway.find(uuid) if is_uuid(uuid) else None
    if by_name is not None and is_uuid(uuid) and not same_uuid(by_name.uuid, uuid):
        raise KvmError(
            "NAME_CONFLICT",
            f"There is a domain '{name}' on {gateway.host} with the UUID {by_name.uuid}, and the document says {uuid}: "
            "leave the UUID out of the document, or remove or rename that domain.",
            domain=name,
            uuid=by_name.uuid,
        )
    if by_uuid is not None and name and by_uuid.name != name:
        raise KvmError(
            "UUID_CONFLICT",
            f"The UUID {uuid} of the document for '{name}' is that of the domain '{by_uuid.name}' on {gateway.host}: "
            "leave the UUID out of the document, or give it another.",
            domain=by_uuid.name,
            uuid=uuid,
        )
    if by_uuid is None and not name:
        raise InputError(
            "name", f"There is no domain {uuid} on {gateway.host}, and the document of a new one needs a name."
        )
    return by_name or by_uuid


def _predict(
    gateway: DomainGateway, wanted: Wanted, present: Present | None, name: str
) -> tuple[str | None, Prediction | None, list[str]]:
    before = gateway.definition(present) if present else None
    if not wanted.xml:
        return before, None, []
    warnings = []
    reason = gateway.exact()
    if reason:
        warnings.append(
            f"The definition of '{name}' is compared by rules, because libvirt cannot be asked what it would make of it: {reason}."
        )
        objection = gateway.objection(wanted.xml)
        if objection:
            raise refused(wanted.xml, Normalized(error=objection))
    prediction = predict(wanted.xml, before, None if reason else gateway.normalize)
    if present is not None and not present.persistent:
        prediction = dataclasses.replace(prediction, new=True)
    if prediction.ignored:
        said = " ".join(prediction.ignored.split())
        warnings.append(
            f"The document of '{name}' does not follow libvirt's schema, so a part of it may have no effect: {said}."
        )
    return before, prediction, warnings


def diff_texts(plan: Plan) -> dict[str, str]:
    """Before and after for diff mode: state and autostart, and where it changes the definition, without secrets."""
    present = plan.present
    gone = plan.state == "absent"
    before = {} if present is None else {"state": present.shown_state, "autostart": present.autostart}
    autostart = plan.autostart if plan.autostart is not None else bool(present and present.autostart)
    after = {} if gone else {"state": plan.state, "autostart": autostart}
    old_xml = new_xml = ""
    if plan.defines and plan.prediction is not None:
        new_xml = without_secrets(plan.prediction.after)
        if present is not None and present.persistent and plan.before_xml:
            old_xml, new_xml = exact_texts(plan.before_xml, plan.prediction.after)
    elif gone and plan.before_xml:
        old_xml = without_secrets(plan.before_xml)
    return {
        "before_header": plan.name,
        "after_header": plan.name,
        "before": _settings(before) + old_xml,
        "after": _settings(after) + new_xml,
    }


def _settings(values: dict[str, t.Any]) -> str:
    return "".join(f"{key}: {str(value).lower()}\n" for key, value in values.items())


def carry_out(gateway: DomainGateway, wanted: Wanted, plan: Plan) -> Present | None:
    """Do what ``plan`` says, and give the domain as it is then."""
    domain = plan.present
    if plan.defines and plan.prediction is not None:
        domain = gateway.define(plan.prediction.xml)
    if domain is None:
        return None
    if plan.autostart is not None:
        gateway.set_autostart(domain, on=plan.autostart)
    for step in plan.steps:
        _take(gateway, wanted, domain, step.action)
    return gateway.find(domain.uuid)


def _take(gateway: DomainGateway, wanted: Wanted, domain: Present, action: str) -> None:
    if action == "start":
        gateway.start(domain)
    elif action == "start paused":
        gateway.start(domain, paused=True)
    elif action == "resume":
        gateway.resume(domain)
    elif action == "wake up":
        gateway.wake_up(domain)
    elif action == "pause":
        gateway.pause(domain)
    elif action == "save":
        gateway.save(domain)
    elif action == "delete the saved state":
        gateway.delete_saved_state(domain)
    elif action == "undefine":
        gateway.undefine(domain, wanted.leftovers)
    elif action == "shut down":
        shut_down(gateway, domain, wanted.shutdown_timeout, wanted.shutdown_action)


def shut_down(gateway: DomainGateway, domain: Present, timeout: float, action: str) -> None:
    """Shut the guest down, and wait until it is off. Raises KvmError SHUTDOWN_TIMEOUT, unless ``action`` is destroy."""
    if domain.state == "crashed":
        gateway.kill(domain)
        return
    asked = gateway.clock.monotonic()
    gateway.shut_down(domain)

    def look() -> str | None:
        nonlocal asked
        state = gateway.state(domain)
        if state not in (None, "shutoff") and gateway.clock.monotonic() - asked >= _ASK_AGAIN:
            asked = gateway.clock.monotonic()
            gateway.shut_down(domain)
        return state

    try:
        wait_until(
            gateway.clock,
            look,
            lambda state: state in (None, "shutoff"),
            what="the guest to shut down",
            timeout=timeout,
        )
    except TimeoutExpired as exc:
        if action == "destroy":
            gateway.kill(domain)
            return
        raise KvmError(
            "SHUTDOWN_TIMEOUT",
            f"The domain '{domain.name}' on {gateway.host} did not shut down within {timeout:g} s, and is still {exc.details['last']}: "
            "look at its console for what holds it, give it longer by shutdown_timeout, "
            "or have it ended hard, at the risk of its unwritten data, by shutdown_action=destroy.",
            domain=domain.name,
            host=gateway.host,
            seconds=timeout,
        ) from exc
