# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the API of AWX, on the loopback: keeps objects, and refuses whatever the real API does not document."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
import typing as t
import urllib.parse

from tests.integration.fleet.controller_fields import ASSOCIATIONS, KINDS, READ_ONLY, UNIFIED, survey_fault

TOKEN = "a token of the tests"
ROOT = "/api/v2/"
Item = dict[str, t.Any]
Answer = tuple[int, t.Any]


class Refused(Exception):
    """A request that the API would not take, with the status that it would answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Controller:
    """The objects by kind and number. ``writes`` are the requests that changed something, ``faults`` what was refused."""

    def __init__(self, playbooks: t.Iterable[str]) -> None:
        self.objects: dict[str, dict[int, Item]] = {kind: {} for kind in KINDS}
        self.surveys: dict[str, t.Any] = {}
        self.linked: dict[str, list[int]] = {}
        self.writes: list[str] = []
        self.faults: list[str] = []
        self._playbooks = sorted(playbooks)
        self._last = 0

    def one(self, kind: str, name: str) -> Item:
        """The object of that name."""
        (found,) = (item for item in self.objects[kind].values() if item.get("name", item.get("identifier")) == name)
        return found

    def survey(self, item: Item) -> list[Item]:
        """The questions of a template."""
        return t.cast("list[Item]", self.surveys.get(item["url"], {}).get("spec", []))

    def names(self, item: Item, association: str) -> list[str]:
        """The names of what is associated with an object."""
        kind = ASSOCIATIONS[kind_of(item["url"])][association]
        found = (self.objects[kind][number] for number in self.linked.get(f"{item['url']}{association}/", []))
        return sorted(one.get("name", one.get("identifier")) for one in found)

    def add(self, kind: str, /, **fields: t.Any) -> Item:
        """Make an object, as a POST does."""
        self._check(kind, fields, partial=False)
        self._last += 1
        defaults = {name: field.default for name, field in KINDS[kind].items()}
        url = f"{ROOT}{kind}/{self._last}/"
        item = {"id": self._last, "type": kind[:-1] if kind != "inventories" else "inventory", "url": url, **defaults}
        self.objects[kind][self._last] = {**item, "summary_fields": {}, "related": {}, **fields}
        if kind == "projects":
            update = {"current_update": {"id": self._last, "status": "pending"}}
            self.objects[kind][self._last].update(summary_fields=update, scm_revision="")
        return self._shown(kind, self.objects[kind][self._last])

    # -- requests ----------------------------------------------------------------------------------------------------

    def answer(self, method: str, address: str, body: t.Any) -> Answer:
        """What the API answers."""
        parts = urllib.parse.urlsplit(address)
        try:
            if not parts.path.startswith(ROOT) or not parts.path.endswith("/"):
                raise Refused(404, "there is nothing")
            words = parts.path[len(ROOT) : -1].split("/")
            status, data = self._route(method, words, dict(urllib.parse.parse_qsl(parts.query)), body)
        except Refused as refused:
            self.faults.append(f"{method} {address} {json.dumps(body)}: {refused}")
            return refused.status, {"detail": str(refused), "error": str(refused)}
        if method != "GET":
            self.writes.append(f"{method} {address} {json.dumps(body)}")
        return status, data

    def _route(self, method: str, words: list[str], query: dict[str, str], body: t.Any) -> Answer:
        kind = words[0]
        if method == "GET" and len(words) == 1:
            return 200, self._listed(kind, query)
        if kind == "project_updates" and method == "GET" and len(words) == 2:
            return 200, {"id": int(words[1]), "status": "successful", "finished": "2026-01-01T00:00:00Z"}
        if method == "POST" and words == [kind] and kind in KINDS:
            return 201, self.add(kind, **self._taken(kind, body))
        if kind not in KINDS or len(words) < 2 or not words[1].isdigit() or int(words[1]) not in self.objects[kind]:
            raise Refused(404, "there is no such object")
        item = self.objects[kind][int(words[1])]
        if len(words) == 2 and method == "GET":
            return 200, self._shown(kind, item)
        if len(words) == 2 and method == "PATCH":
            taken = self._taken(kind, body)
            self._check(kind, taken, partial=True, own=item["id"])
            item.update(taken)
            return 200, self._shown(kind, item)
        if len(words) == 3:
            return self._below(method, kind, item, words[2], body)
        raise Refused(405, "there is no such method")

    def _below(self, method: str, kind: str, item: Item, name: str, body: t.Any) -> Answer:
        """What has its address below an object's."""
        if name == "survey_spec" and kind in ("job_templates", "workflow_job_templates"):
            if method == "GET":
                return 200, self.surveys.get(item["url"], {})
            fault = survey_fault(body)
            if method != "POST" or fault:
                raise Refused(400, fault or "there is no such method")
            self.surveys[item["url"]] = body
            return 200, {}
        if name == "create_approval_template" and kind == "workflow_job_template_nodes" and method == "POST":
            made = self.add("workflow_approval_templates", **self._taken("workflow_approval_templates", body))
            item["unified_job_template"] = made["id"]
            return 201, made
        if name not in ASSOCIATIONS.get(kind, {}):
            raise Refused(404, "there is no such list")
        others = self.objects[ASSOCIATIONS[kind][name]]
        numbers = self.linked.setdefault(f"{item['url']}{name}/", [])
        if method == "GET":
            return 200, _page([others[number] for number in numbers])
        if set(body) - {"id", "disassociate"} or body.get("id") not in others:
            raise Refused(400, "an association takes the id of an object")
        if body.get("disassociate"):
            numbers.remove(body["id"])
        else:
            numbers.append(body["id"])
        return 204, None

    # -- objects -----------------------------------------------------------------------------------------------------

    def _listed(self, kind: str, query: dict[str, str]) -> Item:
        kinds = UNIFIED if kind == "unified_job_templates" else (kind,)
        if any(one not in KINDS for one in kinds):
            raise Refused(404, "there is no such list")
        shown = [self._shown(one, item) for one in kinds for item in self.objects[one].values()]
        known = {name for one in kinds for name in KINDS[one]} | {"id", "type", "organization"}
        strange = [name for name in query if name not in known]
        if strange:
            raise Refused(400, f"nothing can be looked for by {strange}")
        return _page([item for item in shown if all(str(item.get(name)) == value for name, value in query.items())])

    def _shown(self, kind: str, item: Item) -> Item:
        """An object as the API shows it."""
        related: dict[str, str] = {name: f"{item['url']}{name}/" for name in ASSOCIATIONS.get(kind, {})}
        shown = {**item, "related": related}
        if kind in ("job_templates", "workflow_job_templates"):
            related["survey_spec"] = f"{item['url']}survey_spec/"
        if kind == "job_templates":
            shown["organization"] = self.objects["projects"].get(item["project"], {}).get("organization")
        started = next((one for one in UNIFIED if item.get("unified_job_template") in self.objects[one]), None)
        if kind == "workflow_job_template_nodes" and started:
            related["unified_job_template"] = f"{ROOT}{started}/{item['unified_job_template']}/"
        return shown

    def _taken(self, kind: str, body: t.Any) -> Item:
        if not isinstance(body, dict):
            raise Refused(400, "an object is a dictionary")
        return {name: value for name, value in body.items() if name not in READ_ONLY.get(kind, ())}

    def _check(self, kind: str, fields: Item, *, partial: bool, own: int = 0) -> None:
        known = KINDS[kind]
        missing = [name for name, field in known.items() if field.required and not partial and name not in fields]
        if missing:
            raise Refused(400, f"{missing} must be given")
        for name, value in fields.items():
            if name not in known:
                raise Refused(400, f"{kind} have no documented field {name}")
            fault = known[name].fault(value)
            refers = known[name].refers
            places = UNIFIED if refers == "unified_job_templates" else (refers,) if refers else ()
            if places and value is not None and not any(value in self.objects[place] for place in places):
                fault = f"is {value!r}, and there is no such object"
            if fault:
                raise Refused(400, f"{name} of {kind} {fault}")
        if kind == "job_templates" and fields.get("playbook", self._playbooks[0]) not in self._playbooks:
            raise Refused(400, f"the project has no playbook {fields['playbook']}")
        named = [item for item in self.objects[kind].values() if item["id"] != own and "name" in item]
        if kind != "workflow_approval_templates" and any(item["name"] == fields.get("name") for item in named):
            raise Refused(400, f"there is one of {kind} with the name {fields['name']}")


def kind_of(url: str) -> str:
    """The kind of the object with that address."""
    found = re.fullmatch(rf"{ROOT}(\w+)/\d+/", url)
    assert found is not None, url
    return found.group(1)


def _page(items: list[Item]) -> Item:
    return {"count": len(items), "next": None, "previous": None, "results": items}


@contextlib.contextmanager
def serving(controller: Controller) -> t.Iterator[str]:
    """Serve it on the loopback while entered; gives its address."""
    turn = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, data = 401, {"detail": "who are you?"}
            else:
                with turn:
                    status, data = controller.answer(self.command, self.path, body)
            text = b"" if data is None else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one

        def log_message(self, format: str, *args: t.Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
