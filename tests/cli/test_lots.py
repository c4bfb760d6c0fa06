"""Auctions from a file: all of them or none, and every wrong line is named."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from sse_auction.wire.lots import COLUMNS, WrongLots, read_lots
from tests.support.commands import refusal, run_command
from tests.support.harness import OPERATOR, Server, StoreProcess, now_ms

CSV = '''title,start_price,closes_at,currency,increments,reserve,soft_close,guid,buy_now,priority,aligned
Walnut desk,640.00,+2h,EUR,ebay-us,900.00,live,{0}-desk,2000.00:ceiling,ann;bob,true
"花瓶, ""Ming""",800,+3h,CNY,"0:50,1000:100",,none,{0}-vase,,,
,,,,,,,,,,
Chair,1.00,+1d,,,,60:90,,,,
'''


@pytest.fixture(params=["store", "service"])
def where(request: pytest.FixtureRequest, service: Server, valkey: StoreProcess) -> Mapping[str, str]:
    if request.param == "store":
        return {"REDIS_URL": valkey.url}
    return {"SSE_AUCTION_URL": service.url, "SSE_AUCTION_TOKEN": OPERATOR["Authorization"].removeprefix("Bearer ")}


def test_all_auctions_of_a_file_are_created(
    service: Server, where: Mapping[str, str], directory: Path, guid: str
) -> None:
    path = directory / "lots.csv"
    path.write_text(CSV.format(guid), "utf-8-sig")
    answer = run_command("create", "--from", str(path), "--json", **where)
    assert (answer.returncode, answer.stderr) == (0, ""), answer.stderr
    desk, vase, chair = (json.loads(line)["terms"] for line in answer.stdout.splitlines())
    assert (desk["currency"], desk["aligned"], desk["soft_close"]["window_s"]) == ("EUR", True, 30)
    assert desk["buy_now"] == {"price": "2000.00", "mode": "ceiling"}
    assert (vase["title"], vase["soft_close"]) == ('花瓶, "Ming"', None)
    assert vase["increments"] == [{"from": "0.00", "step": "50.00"}, {"from": "1000.00", "step": "100.00"}]
    assert (chair["start_price"], chair["soft_close"]) == ("1.00", {"window_s": 60, "extend_s": 90})
    for terms in (desk, vase, chair):
        assert httpx.get(f"{service.url}/auctions/{terms['guid']}").json()["terms"] == terms


def test_nothing_is_created_when_a_guid_is_in_use(
    service: Server, where: Mapping[str, str], directory: Path, guid: str
) -> None:
    path = directory / "lots.ndjson"
    lots = [{"title": str(number), "start_price": "1", "closes_at": now_ms() + 10**7, "guid": f"{guid}-{number}"}
            for number in range(3)]  # fmt: skip
    path.write_text(json.dumps(lots[2]))
    assert run_command("create", "--from", str(path), **where).returncode == 0
    path.write_text("\n".join(json.dumps(lot) for lot in lots))
    said = run_command("create", "--from", str(path), **where)
    assert (said.returncode, said.stdout) == (1, "")
    assert f"line 3: auction '{guid}-2' exists already" in said.stderr
    assert "nothing was created" in said.stderr
    assert httpx.get(f"{service.url}/auctions/{guid}-0").status_code == 404


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "nowhere.csv"], "does not exist"),
        (["Desk", "--from", "{0}"], "leave out title"),
        (["--from", "{0}", "--reserve", "1"], "leave out reserve"),
        (["--start-price", "1"], "Missing TITLE, --closes"),
    ],
)
def test_usage(directory: Path, arguments: list[str], said: str) -> None:
    path = directory / "lots.csv"
    path.write_text(CSV)
    answer = run_command("create", *(argument.format(path) for argument in arguments))
    assert answer.returncode == 2
    assert said in answer.stderr


def test_another_kind_of_file_is_refused(directory: Path) -> None:
    path = directory / "lots.xls"
    path.write_text(CSV)
    assert run_command("create", "--from", str(path)).returncode == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("\ufefftitle,start_price\n".encode("utf-16-le"), "it is UTF-16"),
        ("\ufefftitle,start_price\n".encode("utf-16-be"), "it is UTF-16"),
        ("\ufefftitle,start_price\n".encode("utf-32-le"), "it is UTF-32"),
        ("title,start_price\n".encode("utf-16-le"), "it has a NUL in line 1"),
        ("title,start_price,closes_at\nCaf\xe9,1.00,+1h\n".encode("latin-1"), "byte 32, in line 2, is 0xE9"),
        ("title\n\u82b1\u74f6\n".encode("gb18030"), "byte 7, in line 2, is 0xBB"),
    ],
)
def test_another_encoding_is_refused_in_one_sentence(directory: Path, data: bytes, said: str) -> None:
    path = directory / "lots.csv"
    path.write_bytes(data)
    answer = refusal(run_command("create", "--from", str(path)))
    assert answer.startswith(f"{path} cannot be taken, and nothing was created: ")
    assert said in answer
    assert answer.endswith("save it as UTF-8")


@pytest.mark.parametrize("name", ["LOTS.CSV", "Lots.Csv", "LOTS.NDJSON"])
def test_the_end_of_a_name_may_be_in_upper_case(valkey: StoreProcess, directory: Path, name: str) -> None:
    path = directory / name
    csv = "title,start_price,closes_at\r\nDesk,1.00,+1h\r\n" + "\r\n" * (name == "Lots.Csv")
    line = json.dumps({"title": "Desk", "start_price": "1", "closes_at": now_ms() + 10**7}) + "\r\n"
    path.write_bytes((line if "NDJSON" in name else csv).encode())
    answer = run_command("create", "--from", str(path), REDIS_URL=valkey.url)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Desk | open" in answer.stdout


def test_a_record_of_several_lines_is_named_by_its_first() -> None:
    text = (
        'title,start_price,closes_at,seller\n"a",1.00,+1h,"two\nlines"\n\n"b\n\nb",1.00,+1h,\n'
        'c,none,+1h,\n"d,1.00,+1h,\ne,1.00,+1h,\n'
    )
    answer = wrong(text)
    assert answer.startswith("line 9: ")  # the quote that is never closed
    answer = wrong(text[: text.index('"d')])
    assert [line.partition(":")[0] for line in answer.splitlines()] == ["line 2", "line 5", "line 8"]
    assert wrong('title,start_price\r"a\r\r",1\rb,x\r').splitlines()[-1].startswith("line 5: ")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029"])
def test_a_line_ends_where_csv_and_json_say(separator: str) -> None:
    title = f"East{separator}West"
    ndjson = json.dumps({"title": title, "start_price": "1", "closes_at": now_ms() + 10**7}, ensure_ascii=False)
    csv = f"title,start_price,closes_at\n{title},1.00,+1h\n"
    for text, is_csv in ((ndjson, False), (csv, True)):
        (lot,) = read_lots(text, is_csv=is_csv, currency="CNY")
        assert lot.request.title == title
    csv = csv.replace(separator, "\u0085")
    assert "title has a line break" in wrong(csv)


def wrong(text: str, *, is_csv: bool = True) -> str:
    with pytest.raises(WrongLots) as answer:
        read_lots(text, is_csv=is_csv, currency="CNY")
    return str(answer.value)


def test_every_wrong_line_is_named() -> None:
    text = (
        "title,start_price,closes_at,guid,aligned,max_extensions\n"
        "a,1.00,+1h,x,maybe,\n"
        "b,1.001,+1h,,,\n"
        "c,1.00,tomorrow,,,\n"
        "fine,1.00,+1h,y,yes,3\n"
        "d,1.00,1000,,,\n"
        "e,1.00,+1h,y,,\n"
        "f,1.00,+1h,z,,many\n"
        ",1.00,+1h,,,\n"
        "g,1.00,+1h,,,,,\n"
    )
    answer = wrong(text).splitlines()
    assert [line.partition(":")[0] for line in answer] == [f"line {number}" for number in (2, 3, 4, 6, 7, 8, 9, 10)]
    for line, said in zip(answer, ["aligned 'maybe'", "1.001", "'tomorrow'", "not in the future", "also in line 5",
                                 "'many'", "title", "8 cells"], strict=True):  # fmt: skip
        assert said in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no lots"),
        ("title,start_price,closes_at\n", "no lots"),
        ("title,price\na,1\n", "'price' is not a column"),
        ("title,title\na,b\n", "'title' appears twice"),
        ('title,start_price,closes_at\n"a,1.00,+1h\nb,1.00,+1h\n', "line 2"),
        ("title,start_price,closes_at\n" + "x" * 200_000 + ",1.00,+1h\n", "line 2"),
        ("title,start_price,closes_at,guid\na,1.00,+1h,stream\n", "line 2: guid 'stream' cannot"),
    ],
)
def test_a_file_that_has_no_lots(text: str, said: str) -> None:
    assert said in wrong(text)


def test_a_line_of_json_is_what_a_post_takes() -> None:
    answer = wrong('{"title": "x"}\n\nrubbish\n{"title": "x", "start_price": 5}', is_csv=False).splitlines()
    assert [line.partition(":")[0] for line in answer] == ["line 1", "line 3", "line 4"]


def test_the_columns_are_in_the_reference() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
    described: Any = reference.partition("### A file of auctions")[2].partition("```csv")[0]
    assert all(f"`{column}`" in described for column in COLUMNS)
