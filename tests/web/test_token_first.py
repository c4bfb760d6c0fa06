"""A request without the right is refused for that before anything else that is wrong with it."""

import httpx
import pytest

from sse_auction.web.openapi import OPERATIONS, Operation
from tests.support.harness import Server, bidder
from tests.support.openapi_client import problem


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.token], ids=lambda each: each.summary)
@pytest.mark.parametrize("guid", ["no-such-auction", "a%20b"])
def test_a_token_comes_before_guid_and_body(service: Server, operation: Operation, guid: str) -> None:
    url = service.url + operation.path.replace("{guid}", guid) + "?guid=a%20b"
    body = {"nonsense": 1} if operation.body else None
    wrong: list[dict[str, str]] = [{}, {"Authorization": "Bearer rubbish"}]
    for headers in wrong:
        refused = httpx.request(operation.method, url, headers=headers, json=body)
        assert (refused.status_code, problem(refused)["code"]) == (401, "unauthorized")
    if "(operators)" in operation.summary:
        refused = httpx.request(operation.method, url, headers=bidder("ann"), json=body)
        assert (refused.status_code, problem(refused)["code"]) == (403, "forbidden")
