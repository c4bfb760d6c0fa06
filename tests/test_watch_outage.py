"""`sse-auction watch` while the store does not answer."""

import pytest

from tests.harness import Server, StoreProcess, create
from tests.test_cli import watching


@pytest.mark.parametrize("kind", ["service", "store"])
def test_watch_says_when_the_price_is_not_live_and_when_it_is_again(
    own_server: Server, own_store: StoreProcess, guid: str, kind: str
) -> None:
    create(own_server, guid)
    where = {"SSE_AUCTION_URL": own_server.url} if kind == "service" else {"REDIS_URL": own_store.url}
    with watching(guid, **where) as process:
        assert process.stdout is not None
        shown = process.stdout.readline()
        assert guid in shown
        with own_store.frozen():
            assert process.stdout.readline() == "not live\n"
        assert process.stdout.readline() == shown, "without a new bid"
