"""The embedded store's log was lost, cut or altered: the start reports it, and names the remedy."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sized
from functools import partial
from itertools import count
from pathlib import Path

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sse_auction.store.embedded.log_files import scan
from tests.support.harness import Server, bid, create, server_process, until
from tests.support.processes import assert_one_sentence, bids_in_log, command, stores_in, the_store_in

BIDS, LOT = 30, "lot"


@pytest.fixture
def data_dir(directory: Path) -> Iterator[Path]:
    path = directory / "data"
    yield path
    for pid in stores_in(path):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server(directory: Path, data_dir: Path) -> Iterator[Server]:
    """A server on an embedded store; not started yet."""
    made = server_process(directory, REDIS_URL="", SSE_AUCTION_DATA_DIR=str(data_dir))
    yield made
    if made.process is not None:
        made.stop()
    assert "Traceback" not in made.log()


def some_bids(server: Server, guid: str) -> None:
    create(server, guid)
    for number in range(BIDS):
        assert bid(server, guid, f"bidder-{number % 3}", f"{10 + number}.00").status_code == 201


def kill_all(server: Server, data_dir: Path) -> None:
    """A power failure: no process stops cleanly."""
    store = the_store_in(data_dir)
    server.stop(signal.SIGKILL)
    os.kill(store, signal.SIGKILL)
    until(lambda: not stores_in(data_dir), "its end")


def start_again(server: Server) -> None:
    if server.port:
        server.restart_on_same_port()
    else:
        server.start()


def appended(data_dir: Path) -> Path:
    (path,) = (data_dir / "appendonlydir").glob("*.incr.aof")
    return path


def contents(data_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (data_dir / "appendonlydir").glob("*")}


def marked_length(data_dir: Path) -> int:
    """How much of the log is known to be on disk."""
    text = (data_dir / "log.mark").read_text()
    return int(text.rpartition(f'"{appended(data_dir).name}":[')[2].partition(",")[0])


def change(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


def cut_the_end(data_dir: Path) -> None:
    """Cut in the middle of the last bid."""
    os.truncate(appended(data_dir), appended(data_dir).read_bytes().rindex(b"XADD") + 10)


def cut_at_a_command(data_dir: Path) -> None:
    """Cut between two bids: the rest can be read without an error."""
    path = appended(data_dir)
    os.truncate(path, path.stat().st_size * 2 // 3)
    os.truncate(path, scan(path)[0])


def empty_it(data_dir: Path) -> None:
    os.truncate(appended(data_dir), 0)


def lose_it(data_dir: Path) -> None:
    appended(data_dir).unlink()


def lose_the_base(data_dir: Path) -> None:
    (path,) = (data_dir / "appendonlydir").glob("*.base.*")
    path.unlink()


def lose_the_manifest(data_dir: Path) -> None:
    (data_dir / "appendonlydir" / "appendonly.aof.manifest").unlink()


def spoil_the_manifest(data_dir: Path) -> None:
    (data_dir / "appendonlydir" / "appendonly.aof.manifest").write_text("rubbish\n")


def lose_everything(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "appendonlydir")


def alter_an_amount(data_dir: Path) -> None:
    """A log of another auction, which can be read."""
    data = appended(data_dir).read_bytes()
    at = data.index(b"\r\n15.00\r\n") + 2
    change(appended(data_dir), at, b"95.00")


def zero_the_middle(data_dir: Path) -> None:
    change(appended(data_dir), appended(data_dir).stat().st_size // 2, bytes(4096))


def spoil_the_base(data_dir: Path) -> None:
    (path,) = (data_dir / "appendonlydir").glob("*.base.*")
    change(path, path.stat().st_size // 2, b"\xff\xff")


Damage = Callable[[Path], None]
MENDABLE: list[Damage] = [
    cut_the_end, cut_at_a_command, empty_it, lose_the_manifest, spoil_the_manifest, alter_an_amount, zero_the_middle,
]  # fmt: skip
LOST: list[Damage] = [lose_it, lose_the_base, lose_everything, spoil_the_base]


@pytest.fixture(scope="module", params=["stopped"])
def sound_data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with some bids; its service was stopped cleanly, or `killed` with its store."""
    place = tmp_path_factory.mktemp(request.param)
    data_dir = place / "data"
    server = server_process(place, REDIS_URL="", SSE_AUCTION_DATA_DIR=str(data_dir))
    server.start()
    some_bids(server, LOT)
    until(lambda: marked_length(data_dir) == appended(data_dir).stat().st_size, "the mark")
    if request.param == "killed":
        kill_all(server, data_dir)
    else:
        assert server.stop() == 0
    return data_dir


@pytest.fixture
def damaged_dir(sound_data: Path, data_dir: Path) -> Path:
    """A copy, to be damaged."""
    shutil.copytree(sound_data, data_dir, ignore=shutil.ignore_patterns("*.sock"))
    return data_dir


def assert_refused(data_dir: Path) -> None:
    """The start is refused with a sentence, and nothing is changed."""
    found = contents(data_dir)
    result = command(data_dir, "price", LOT)
    assert_one_sentence(result, "log is damaged", str(data_dir), "repair", "restore FILE", "restore --empty")
    assert contents(data_dir) == found
    assert stores_in(data_dir) == []


@pytest.mark.parametrize("damage", MENDABLE)
def test_a_damaged_log_stops_the_start_and_what_can_be_read_of_it_can_be_kept(
    damaged_dir: Path, damage: Damage
) -> None:
    damage(damaged_dir)
    found = contents(damaged_dir)
    assert_refused(damaged_dir)
    mended = command(damaged_dir, "repair")
    assert (mended.returncode, mended.stderr) == (0, ""), mended
    (kept,) = damaged_dir.glob("damaged-*")
    assert contents(kept) == found
    exported = command(damaged_dir, "export", LOT)
    if damage is empty_it:
        assert_one_sentence(exported, "there is no auction")
        return
    bids = exported.stdout.count(",bidder-")
    whole = damage in (lose_the_manifest, spoil_the_manifest, alter_an_amount)
    assert bids == BIDS if whole else 0 < bids < BIDS
    taken = command(damaged_dir, "bid", LOT, "99.00", "--bidder", "another")
    assert "99.00" in taken.stdout, taken
    assert "99.00" in command(damaged_dir, "price", LOT).stdout


@pytest.mark.parametrize("damage", LOST)
def test_a_log_beyond_repair_is_refused_until_a_person_starts_with_a_new_one(damaged_dir: Path, damage: Damage) -> None:
    damage(damaged_dir)
    found = contents(damaged_dir)
    assert_refused(damaged_dir)
    assert_one_sentence(command(damaged_dir, "repair"), "restore")
    assert_refused(damaged_dir)
    begun = command(damaged_dir, "restore", "--empty", "--replace")
    assert (begun.returncode, begun.stderr) == (0, ""), begun
    (kept,) = damaged_dir.glob("replaced-*")
    assert contents(kept) == found
    assert_one_sentence(command(damaged_dir, "price", LOT), "there is no auction")


@pytest.mark.parametrize("sound_data", ["killed"], indirect=True)
@pytest.mark.parametrize("damage", [cut_the_end, alter_an_amount, lose_everything])
def test_after_a_kill_a_damaged_log_is_noticed_as_well(damaged_dir: Path, damage: Damage) -> None:
    damage(damaged_dir)
    assert_refused(damaged_dir)


def test_a_service_that_is_refused_says_the_same_and_ends(damaged_dir: Path) -> None:
    lose_everything(damaged_dir)
    assert_one_sentence(command(damaged_dir, "serve", "--port", "0"), "log is damaged", "gone")


@pytest.mark.parametrize("share", [0.0, 0.6, 0.99])
def test_an_incomplete_write_is_cut_with_a_warning_and_nothing_else_is_lost(
    data_dir: Path, server: Server, guid: str, share: float
) -> None:
    server.start()
    some_bids(server, guid)
    kill_all(server, data_dir)
    path = appended(data_dir)
    data = path.read_bytes()
    begin = data.rindex(b"*1\r\n$5\r\nMULTI\r\n")
    transaction = data[begin : data.index(b"EXEC\r\n", begin) + 6]
    torn = transaction[: 1 + int(share * (len(transaction) - 1))]
    path.write_bytes(data + torn)
    start_again(server)
    (line,) = [line for line in server.log_lines(level="WARNING") if "cut off" in line["message"]]
    assert f" {len(torn)} bytes" in line["message"]
    assert len(bids_in_log(server, guid)) == BIDS
    (kept,) = data_dir.glob("torn-*")
    assert kept.read_bytes() == torn
    assert bid(server, guid, "another", "99.00").status_code == 201
    server.stop()
    assert command(data_dir, "verify", guid).returncode == 0


@pytest.mark.parametrize("is_torn", [False, True])
def test_a_directory_of_an_older_version_has_no_mark_and_is_taken(
    data_dir: Path, server: Server, guid: str, is_torn: bool
) -> None:
    server.start()
    some_bids(server, guid)
    server.stop()
    (data_dir / "log.mark").unlink()
    if is_torn:
        cut_the_end(data_dir)
    start_again(server)
    assert len(bids_in_log(server, guid)) == BIDS - is_torn
    until((data_dir / "log.mark").exists, "a mark")
    server.stop()
    cut_the_end(data_dir)
    assert_one_sentence(command(data_dir, "price", guid), "log is damaged")


def test_damage_in_the_middle_is_not_taken_for_an_incomplete_end_without_a_mark(
    data_dir: Path, server: Server, guid: str
) -> None:
    server.start()
    some_bids(server, guid)
    server.stop()
    (data_dir / "log.mark").unlink()
    zero_the_middle(data_dir)
    assert_one_sentence(command(data_dir, "price", guid), "log is damaged", "cannot be read at byte")


def test_an_older_log_in_the_place_of_the_present_one_is_noticed(data_dir: Path, server: Server, guid: str) -> None:
    server.start()
    create(server, guid)
    server.stop()
    shutil.copytree(data_dir / "appendonlydir", data_dir / "copy")
    start_again(server)
    assert bid(server, guid, "ann", "10.00").status_code == 201
    rewrite(data_dir)
    server.stop()
    shutil.rmtree(data_dir / "appendonlydir")
    (data_dir / "copy").rename(data_dir / "appendonlydir")
    assert_one_sentence(command(data_dir, "price", guid), "log is damaged", "older")


def own_client(data_dir: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(data_dir / "valkey.sock"), retry=Retry(NoBackoff(), 0))


def rewrite(data_dir: Path) -> None:
    """Let the server rewrite its log, and wait for the end."""
    with own_client(data_dir) as client:
        until(lambda: begins_to_rewrite(client), "the beginning")
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the end")


def begins_to_rewrite(client: redis.Redis) -> bool:
    try:
        return bool(client.bgrewriteaof())
    except redis.ResponseError:  # it has begun
        return False


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "in the middle"])
def test_a_log_that_the_server_writes_anew_raises_no_false_alarm_at_a_kill(
    data_dir: Path, server: Server, guid: str, is_done: bool
) -> None:
    server.start()
    create(server, guid)
    answered: dict[int, str] = {}
    prices = count(10)
    for turn in range(3):
        stop = threading.Event()
        bidders = [threading.Thread(target=bid_on, args=(server, guid, answered, prices, stop)) for _ in range(2)]
        for each in bidders:
            each.start()
        wanted = len(answered) + 30
        until(partial(has_more, answered, wanted), f"bids of turn {turn}")
        if is_done:
            rewrite(data_dir)
        else:
            with own_client(data_dir) as client:
                client.config_set("rdb-key-save-delay", "100000")
                until(lambda: begins_to_rewrite(client), "the beginning")
                assert client.info("persistence")["aof_rewrite_in_progress"] == 1
                wanted = len(answered) + 20
                until(partial(has_more, answered, wanted), "bids meanwhile")
        kill_all(server, data_dir)
        stop.set()
        for each in bidders:
            each.join()
        start_again(server)
        assert answered.items() <= bids_in_log(server, guid).items()
    server.stop()
    assert command(data_dir, "verify", guid).returncode == 0


def has_more(answers: Sized, count: int) -> bool:
    return len(answers) > count


def bid_on(server: Server, guid: str, answered: dict[int, str], prices: Iterator[int], stop: threading.Event) -> None:
    name = threading.current_thread().name
    while not stop.is_set():
        try:
            reply = bid(server, guid, name, f"{next(prices)}.00")
        except httpx.TransportError:
            return
        if reply.status_code == 201:
            answered[reply.json()["seq"]] = reply.json()["state"]["price"]
