"""Every reply against the service's own description: an httpx client that fails on what /openapi.json does not list."""

import re
from typing import Any

import httpx
from openapi_schema_validator import OAS31Validator

from tests.support.harness import DEADLINE_SECONDS, Server


class Description:
    """The OpenAPI document of a running server, and the check of any reply of that server against it."""

    def __init__(self, server: Server) -> None:
        self.document: dict[str, Any] = httpx.get(f"{server.url}/openapi.json").json()

    def check(self, response: httpx.Response) -> None:
        """AssertionError unless the reply's status, media type and body are described for its route."""
        response.read()
        where = f"{response.request.method} {response.request.url} -> {response.status_code}"
        operations = self._operations_at(response.request.url.path)
        method = response.request.method.lower().replace("head", "get")
        if method not in operations:
            expected = 405 if operations else 404
            assert response.status_code == expected, where
            assert problem(response)["status"] == expected
            return
        described = operations[method]["responses"]
        assert str(response.status_code) in described, f"{where} is not described: {response.text[:300]}"
        self._check_body(response, described[str(response.status_code)].get("content", {}), where)

    def _operations_at(self, path: str) -> dict[str, Any]:
        paths = self.document["paths"]
        if path in paths:
            return dict(paths[path])
        for template, operations in paths.items():
            pattern = re.sub(r"\\\{path\\\}", ".*", re.escape(template))
            if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", pattern), path, re.DOTALL):
                return dict(operations)
        return {}

    def _check_body(self, response: httpx.Response, content: dict[str, Any], where: str) -> None:
        if not content:
            assert response.content == b"", where
            return
        media_type = response.headers["content-type"].partition(";")[0]
        assert media_type in content or "*/*" in content, f"{where} is {media_type}, described as {list(content)}"
        if (
            media_type.endswith("json")
            and media_type != "application/x-ndjson"
            and response.request.method != "HEAD"
            and media_type in content
        ):
            schema = content[media_type]["schema"]
            OAS31Validator(schema | {"components": self.document["components"]}).validate(response.json())
            self._check_names(response.json(), schema, where)

    def _check_names(self, body: dict[str, Any], schema: dict[str, Any], where: str) -> None:
        """No field that the description does not have."""
        if "$ref" in schema:
            named = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            assert set(body) <= set(named["properties"]), f"{where} has fields that are not described"


def openapi_client(server: Server, description: Description | None = None, **options: Any) -> httpx.Client:
    """A client of `server` that checks every reply against the description (no certificates: slow to read)."""
    check = (description or Description(server)).check
    return httpx.Client(
        base_url=server.url, timeout=2 * DEADLINE_SECONDS, verify=False, event_hooks={"response": [check]}, **options
    )


def problem(response: httpx.Response) -> dict[str, Any]:
    """The problem document of a refusal, checked for what each of them must have."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document["title"]
    assert document["detail"]
    assert document["code"]
    return document
