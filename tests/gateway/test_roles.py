"""Every role at every route of a running gateway. The broker decides about jobs, and the gateway about people."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.gateway.running import PASSWORD

if TYPE_CHECKING:
    from tests.gateway.running import Client, Gateway

ROLES = ("viewer", "submitter", "member", "operator")


class Route(NamedTuple):
    """A route behind the service's, and who may use it. `own`: with a job of one's own; `others`: with another's."""

    method: str
    path: str
    own: str
    others: str | None = None
    body: Any = None


EVERYBODY, SUBMITTERS = " ".join(ROLES), "submitter member operator"
ROUTES = (
    Route("GET", "jobs/{id}", EVERYBODY, "viewer member operator"),
    Route("GET", "jobs/{id}/show", EVERYBODY, "viewer member operator"),
    Route("GET", "jobs/{id}/events", EVERYBODY, "viewer member operator"),
    Route("GET", "jobs/{id}/data", SUBMITTERS, "operator"),
    Route("GET", "jobs/{id}/result", SUBMITTERS, "operator"),
    Route("GET", "jobs/{id}/log", SUBMITTERS, "operator"),
    Route("POST", "jobs/{id}/retry", SUBMITTERS, "operator"),
    Route("PATCH", "jobs/{id}", SUBMITTERS, "operator", {"priority": 3}),
    Route("POST", "jobs/{id}/hold", SUBMITTERS, "operator"),
    Route("POST", "jobs/{id}/release", SUBMITTERS, "operator"),
    Route("POST", "edit", SUBMITTERS, "operator", {"ids": ["{id}"], "priority": 3}),
    Route("POST", "hold", SUBMITTERS, "operator", {"ids": ["{id}"]}),
    Route("POST", "release", SUBMITTERS, "operator", {"ids": ["{id}"]}),
    Route("POST", "retry", SUBMITTERS, "operator", {"ids": ["{id}"]}),
    Route("POST", "jobs/{id}/cancel", SUBMITTERS, "operator"),
    Route("POST", "cancel", SUBMITTERS, "operator", {"ids": ["{id}"]}),
    Route("DELETE", "jobs/{id}", SUBMITTERS, "operator"),
    Route("POST", "forget", SUBMITTERS, "operator", {"ids": ["{id}"]}),
    Route("GET", "jobs", EVERYBODY),
    Route("GET", "queue", EVERYBODY),
    Route("GET", "types", EVERYBODY),
    Route("GET", "types/{type}", EVERYBODY),
    Route("GET", "info", EVERYBODY),
    Route("GET", "events", EVERYBODY),
    Route("GET", "audit", SUBMITTERS),
    Route("POST", "jobs", SUBMITTERS, None, {"type": "echo"}),
    Route("POST", "pause", "member operator", None, {"for_ms": 60_000}),
    Route("POST", "pause", "operator", None, {"reason": "without end"}),
    Route("POST", "resume", "member operator"),
    Route("POST", "resume", "operator", None, {"all": True}),
)
FINE = (200, 201, 202, 204, 409)


def test_what_each_role_may_do_with_jobs(gateway: Gateway) -> None:
    """The broker refuses what a role may not do, whoever built the request."""
    people = {role: gateway.user(f"the-{role}", role) for role in ROLES}
    for route in ROUTES:
        for role, person in people.items():
            for jobs, allowed in (("own", route.own), ("others", route.others)):
                if allowed is not None:
                    status = asked(person, route, made_for(gateway, person if jobs == "own" else gateway.admin, route))
                    assert (status != 403) == (role in allowed.split()), (role, jobs, route, status)
                    assert status in (*FINE, 403), (role, jobs, route, status)


def made_for(gateway: Gateway, owner: Client, route: Route) -> int:
    """The id of a job that has ended, whose owner is this person: for a viewer, who has none, anybody's."""
    if route.others is None:
        return 0
    answered = owner.post("jobs", json={"type": "echo", "data": 1})
    job_id = gateway.admin.submit("echo", 1) if answered.status_code == 403 else int(answered.json()["first_id"])
    gateway.admin.ended(job_id)
    return job_id


def asked(person: Client, route: Route, job_id: int) -> int:
    """The status that this person is answered."""
    body = route.body | {"ids": [job_id]} if route.body and "ids" in route.body else route.body
    path = route.path.format(id=job_id, type="echo")
    return person.status(route.method, path, **({} if body is None else {"json": body}))


class PeoplesRoute(NamedTuple):
    """A route that is about people, and who may use it: `nobody` who is logged in, a user's `program`, a `user`, a
    `boss`, who is a superuser, and a boss's program, a `robot`."""

    method: str
    path: str
    who: str
    body: Any = None


NEW = {"name": "", "role": "viewer"}
OF_PEOPLE = (
    PeoplesRoute("GET", "services", "program user boss robot"),
    PeoplesRoute("GET", "me", "program user boss robot"),
    PeoplesRoute("GET", "me/tokens", "program user boss robot"),
    PeoplesRoute("POST", "me/tokens", "user boss", {"name": ""}),
    PeoplesRoute("DELETE", "me/tokens/999", "user boss"),
    PeoplesRoute("GET", "users", "boss"),
    PeoplesRoute("POST", "users", "boss", NEW),
    PeoplesRoute("GET", "users/kim", "boss"),
    PeoplesRoute("PATCH", "users/kim", "boss", {}),
    PeoplesRoute("GET", "users/kim/tokens", "boss"),
    PeoplesRoute("DELETE", "users/kim/tokens/999", "boss"),
    PeoplesRoute("PUT", "users/nobody/password", "boss", {}),
    PeoplesRoute("DELETE", "users/nobody", "boss"),
    PeoplesRoute("GET", "audit", "boss"),
    PeoplesRoute("POST", "auth/token", "nobody program user boss robot"),
    PeoplesRoute("POST", "auth/session", "nobody program user boss robot"),
    PeoplesRoute("PUT", "me/password", "user boss", {"current": PASSWORD, "new": PASSWORD}),
    PeoplesRoute("DELETE", "auth/token", "program user boss robot"),
)


def test_what_each_may_do_with_people(gateway: Gateway) -> None:
    """Superusers manage users, after a login; a program's token does no more than ask for its owner."""
    asking = {"nobody": gateway.visitor()}
    for name, owner, superuser in (("user", "program", False), ("boss", "robot", True)):
        asking[name] = gateway.user("kim" if name == "user" else name, "operator", superuser=superuser)
        made = asking[name].post(f"{asking[name].api}/me/tokens", json={"name": "first"})
        asking[owner] = gateway.visitor()
        asking[owner].headers["Authorization"] = f"Bearer {made.json()['token']}"
    numbers = itertools.count()
    for route in OF_PEOPLE:
        for who, client in asking.items():
            body = {
                name: f"n{next(numbers)}" if name == "name" else value for name, value in (route.body or {}).items()
            }
            how = {} if route.body is None else {"json": body}
            if route.path.startswith("auth/") and route.method == "POST":
                how = {"data": {"username": "kim", "password": PASSWORD}}
            status = client.status(route.method, f"{client.api}/{route.path}", **how)
            client.cookies.clear()
            refused = 401 if who == "nobody" else 403
            assert (status != refused) == (who in route.who.split()), (who, route, status)
            assert status in (200, 201, 204, 404, refused), (who, route, status)


def test_the_tables_have_every_route(gateway: Gateway) -> None:
    """So none is added without saying who may use it."""
    described = gateway.visitor().get(f"http://{gateway.at}/openapi.json").json()["paths"]
    routes = {(method.upper(), path.removeprefix("/api/v1/")) for path, each in described.items() for method in each}
    tables = {(route.method, f"services/{{service}}/{route.path}") for route in ROUTES}
    names = {"kim": "{name}", "nobody": "{name}", "999": "{token_id}"}
    for route in OF_PEOPLE:
        tables.add((route.method, "/".join(names.get(part, part) for part in route.path.split("/"))))
    assert tables == routes
