"""What users of each framework do, done with clients that others wrote."""

import gzip
import shutil
import subprocess

import httpx2
import pytest

from tests.integration.frameworks.shops import Claim, Site, of_shops
from tests.waits import until_sync

# A client of its own kind, which not every machine has: httpx2 and websockets ask the same without it.
with_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@of_shops()
def test_a_path_and_a_query_reach_the_application(site: Site) -> None:
    answer = site.client.get("/items/7", params={"q": ["blue cheese", "käse"]})
    assert (answer.status_code, answer.json()) == (200, {"number": 7, "q": ["blue cheese", "käse"]})
    assert site.client.get("/items/seven").status_code in (404, 422)


@of_shops()
def test_a_json_body_comes_back(site: Site) -> None:
    item = {"name": "tea", "price": 2.5}
    answer = site.client.post("/items", json=item)
    assert (answer.status_code, answer.json()) == (201, item)


@of_shops()
def test_a_form_is_read(site: Site) -> None:
    assert site.client.post("/form", data={"name": "Ada & Co"}).json() == {"name": "Ada & Co"}


@of_shops()
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_file_is_uploaded(site: Site, size: int) -> None:
    answer = site.client.post("/upload", data={"title": "x"}, files={"file": ("a.bin", b"\x00" * size)})
    assert answer.json() == {"title": "x", "file": "a.bin", "size": size}


@with_curl
@of_shops()
def test_an_upload_of_curl_that_waits_to_be_asked_for_its_body_arrives(site: Site) -> None:
    command = [
        "curl",
        "-sS",
        "-H",
        "Expect: 100-continue",
        "-F",
        "title=x",
        "-F",
        "file=@-;filename=b",
        f"{site.url}/upload",
    ]
    done = subprocess.run(command, input=b"y" * 2_000_000, capture_output=True, timeout=30, check=True)
    assert b'"b"' in done.stdout
    assert b"2000000" in done.stdout


@of_shops()
def test_cookies_go_both_ways(site: Site) -> None:
    with httpx2.Client(base_url=site.url) as client:
        assert client.get("/cookie").json() == {"flavour": None}
        assert dict(client.cookies) == {"flavour": "oat", "shape": "round"}
        assert client.get("/cookie").json() == {"flavour": "oat"}


@of_shops()
def test_a_session_goes_on_whichever_worker_answers(site: Site) -> None:
    cookies = httpx2.Cookies()
    for visit in range(1, 7):
        with httpx2.Client(base_url=site.url, cookies=cookies) as client:
            assert client.get("/visits").json() == visit
            cookies = client.cookies


@of_shops()
def test_a_redirect_leads_to_what_it_names(site: Site) -> None:
    answer = site.client.get("/old")
    assert answer.status_code == 307
    target = httpx2.URL(site.url).join(answer.headers["location"])
    assert target == f"{site.url}{site.root_path}/items/1"


@of_shops()
def test_a_stream_arrives_and_its_connection_goes_on(site: Site) -> None:
    with site.client.stream("GET", "/stream", headers={"accept-encoding": "identity"}) as answer:
        assert answer.read() == b"0\n1\n2\n3\n4\n"
    assert site.client.get("/").status_code == 200


@of_shops()
def test_events_arrive_while_the_response_goes_on_and_the_application_hears_when_their_reader_leaves(
    site: Site,
) -> None:
    heard: list[str] = []
    with httpx2.stream("GET", f"{site.url}/events", headers={"accept-encoding": "identity"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data:"):
                heard.append(line)
            if len(heard) == 3:
                break
    assert heard == ["data: 0", "data: 1", "data: 2"]
    site.noted("left")


@of_shops()
def test_a_file_is_sent(site: Site) -> None:
    answer = site.client.get("/file", headers={"accept-encoding": "identity"})
    assert answer.text == "It is a truth universally acknowledged.\n"
    assert answer.headers["content-length"] == "40"
    assert answer.headers["content-type"].startswith("text/plain")


@of_shops()
def test_a_static_file_is_sent_once(site: Site) -> None:
    answer = site.client.get("/static/style.css")
    assert answer.text == "body { color: teal }\n"
    assert answer.headers["content-type"].startswith("text/css")
    assert site.client.get("/static/../shop.py").status_code == 404


@of_shops()
def test_what_is_not_there_is_not_found(site: Site) -> None:
    assert site.client.get("/nowhere").status_code == 404


@of_shops()
def test_head_has_the_fields_and_no_body(site: Site) -> None:
    answer = site.client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert site.client.get("/").text == "hello"


@with_curl
@of_shops()
def test_curl_gets_an_answer_over_http_1_0(site: Site) -> None:
    done = subprocess.run(
        ["curl", "-sS", "-0", "-i", f"{site.url}/stream"], capture_output=True, timeout=10, check=True
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == b"0\n1\n2\n3\n4\n"


@of_shops()
def test_an_exception_is_a_500_without_details(site: Site) -> None:
    answer = site.client.get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert site.client.get("/").status_code == 200


@of_shops(Claim.TRACEBACK)
def test_the_traceback_of_an_exception_is_in_the_log(site: Site) -> None:
    site.client.get("/broken")
    until_sync(lambda: "RuntimeError: secret" in site.server.logs, "a traceback")


@of_shops()
def test_the_application_knows_its_client(site: Site) -> None:
    seen = site.client.get("/me").json()
    assert (seen["client"][0], seen["host"], seen["scheme"]) == ("127.0.0.1", "127.0.0.1", "http")


@with_curl
@of_shops(Claim.PORT)
def test_the_application_knows_the_port_of_its_client(site: Site) -> None:
    done = subprocess.run(
        ["curl", "-sS", "-w", " %{local_port}", f"{site.url}/me"],
        capture_output=True,
        timeout=10,
        check=True,
        text=True,
    )
    body, _, port = done.stdout.rpartition(" ")
    assert port in body


@of_shops()
def test_an_address_that_the_application_makes_leads_to_it(site: Site) -> None:
    assert site.client.get("/where").text == f"{site.url}{site.root_path}/items/1"


@of_shops(Claim.LIFESPAN)
def test_what_was_made_at_the_start_is_there(site: Site) -> None:
    assert site.client.get("/opened").text == "by the lifespan"


@of_shops(Claim.GZIP)
def test_a_large_response_is_compressed(site: Site) -> None:
    with site.client.stream("GET", "/large", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join(answer.iter_raw())) == b"x" * 5000


@of_shops(Claim.CORS)
def test_a_preflight_of_a_browser_is_answered(site: Site) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "PUT"}
    answer = site.client.options("/items/1", headers=asked)
    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert site.client.get("/", headers=asked).headers["access-control-allow-origin"] == "https://shop.example"


@of_shops(Claim.BACKGROUND)
def test_what_is_to_be_done_after_the_response_is_done(site: Site) -> None:
    assert site.client.post("/later").text == "at once"
    site.noted("later")


@of_shops(Claim.CLEANUP)
def test_what_a_request_opened_is_closed(site: Site) -> None:
    assert site.client.get("/cleanup").text == "open"
    site.noted("cleaned")


@of_shops(Claim.ORM)
def test_what_one_worker_writes_to_the_database_all_workers_read(site: Site) -> None:
    before = site.client.get("/books").json()
    for title in ("Emma", "Persuasion"):
        before.append(title)
        assert httpx2.post(f"{site.url}/books", data={"title": title}).json() == before
    assert all(httpx2.get(f"{site.url}/books").json() == before for _ in range(6))
