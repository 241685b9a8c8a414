"""What a request may reach and contain: a hostile client sends raw HTTP to a running page."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client
from PIL import Image

from tests.planning.scripted import ScriptedPlans
from tests.ui.calls import values
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import MAX_FILE_BYTES
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.ui import guard
from xcomposer_ui.ui.call_check import checked_values
from xcomposer_ui.ui.controls import DrawingInput
from xcomposer_ui.ui.guard import LARGEST_CALL_BYTES, LARGEST_OTHER_BYTES
from xcomposer_ui.ui.serve import launch

META = {"_type": "gradio.FileData"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture(scope="module")
def app(runner: ScriptedRunner) -> Iterator[tuple[Any, str]]:
    """(Gradio's app, its address)."""
    served, address, _ = launch(Settings(port=0), runner, ScriptedPlans())  # type: ignore[arg-type]  # the doubles fit
    yield served.app, address
    served.close()


@pytest.fixture
def http(app: tuple[Any, str], runner: ScriptedRunner) -> Iterator[httpx.Client]:
    runner.asked.clear()
    with httpx.Client(base_url=app[1], timeout=60) as client:
        yield client


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture on the server that nobody uploaded."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "secret.png")
    return tmp_path / "secret.png"


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """(an address on loopback, what was sent to it)."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                heard.append(connection.recv(1000))
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/picture.png", heard
        server.shutdown(socket.SHUT_RDWR)


def refusal(http: httpx.Client, data: Any, path: str = "/gradio_api/call/run", status: int = 422) -> str:
    """The sentence with which a call is refused."""
    answered = http.post(path, content=data if isinstance(data, bytes) else json.dumps({"data": data}), headers=JSON)
    assert answered.status_code == status
    assert answered.json()["error"] == answered.json()["detail"]
    return str(answered.json()["error"])


def outcome(http: httpx.Client, joined: dict[str, Any]) -> dict[str, Any]:
    """The last message of a call through the page's queue."""
    session = joined["session_hash"]
    http.post("/gradio_api/queue/join", json=joined).raise_for_status()
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as events:
        for line in events.iter_lines():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if message.get("msg") == "process_completed":
                return dict(message)
    raise AssertionError("no end")


def forms(path: str) -> list[Any]:
    """Ways of naming a file."""
    return [
        {"path": path}, {"path": path, "meta": META}, {"path": path, "url": "data:image/png;base64,aGk="},
        {"path": path, "meta": {"_type": "other"}}, {"path": path, "is_stream": True, "meta": META},
        [{"path": path}], {"image": {"path": path, "meta": META}}, {"background": None, "composite": {"path": path}},
        {"background": {"path": path}, "layers": [{"path": path, "meta": META}], "composite": None},
        {"file": [[{"a": {"path": path}}]]},
    ]  # fmt: skip


def test_a_path_is_opened_only_in_the_upload_cache(http: httpx.Client, secret: Path, runner: ScriptedRunner) -> None:
    link = Path(get_upload_folder()) / "link-of-a-test"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(secret.parent)
    try:
        for path in (
            str(secret), f"{get_upload_folder()}/../{secret.relative_to('/')}", f"{link}/secret.png",
            "../" * 12 + str(secret.relative_to("/")), "README.md", "assets/examples/night.png", f"{secret}\0",
            "/proc/self/environ", "//etc/passwd", "~/x.png", "C:\\x.png", str(get_upload_folder()) + "-other/x.png",
        ):  # fmt: skip
            for image in forms(path):
                for route in ("call/run", "run/run", "api/run", "call/compare"):
                    data = values(image=image) if route != "call/compare" else [image, *values()[1:], 0]
                    sentence = refusal(http, data, f"/gradio_api/{route}")
                    assert sentence == str(UserError("picture_outside")), (path, image)
    finally:
        link.unlink()
    assert not runner.asked


def test_an_address_is_never_requested(
    http: httpx.Client, listener: tuple[str, list[bytes]], runner: ScriptedRunner
) -> None:
    address, heard = listener
    for image in (
        *forms(address), {"url": address}, {"path": None, "url": address}, {"path": "", "url": address},
        {"url": "file:///etc/passwd"}, {"url": "//example.org/x.png"}, {"path": "ftp://example.org/x.png"},
    ):  # fmt: skip
        assert refusal(http, values(image=image)) == str(UserError("picture_address"))
    for route in ("file=", "proxy=", "file/"):
        assert http.get(f"/gradio_api/{route}{address}").status_code == 404
    assert http.get(f"/gradio_api/file={address.upper()}").status_code == 404
    assert heard == []
    assert not runner.asked


def test_the_page_itself_is_held_to_the_same(
    app: tuple[Any, str], http: httpx.Client, secret: Path, runner: ScriptedRunner
) -> None:
    """Every event that takes a picture or drawing, through the queue."""
    tried: set[str] = set()
    for index, function in app[0].get_blocks().fns.items():
        kinds = [block.get_block_name() for block in function.inputs]
        for at, kind in enumerate(kinds):
            if kind != "image" and not isinstance(function.inputs[at], DrawingInput):
                continue
            data: list[Any] = [None] * len(kinds)
            data[at] = {"path": str(secret), "meta": META} if kind == "image" else str(secret)
            error = str(UserError("picture_outside" if kind == "image" else "picture_data_url"))
            joined = {"fn_index": index, "data": data, "session_hash": f"s{index}-{at}"}
            assert outcome(http, joined)["output"]["error"] == error
            assert http.post("/gradio_api/run/predict", json=joined).json()["error"] == error
            tried.add(kind)
    assert len(tried) == 2
    data = {"index": 0, "value": {"image": {"path": str(secret)}}}
    ended = outcome(http, {"fn_index": index, "data": [], "event_data": data, "session_hash": "gallery"})
    assert ended["output"]["error"] == str(UserError("picture_outside"))
    assert not runner.asked


def test_an_upload_and_a_data_url_are_opened(http: httpx.Client, secret: Path, runner: ScriptedRunner) -> None:
    (uploaded,) = http.post("/gradio_api/upload", files={"files": secret.read_bytes()}).json()
    inline = "data:image/png;base64," + base64.b64encode(secret.read_bytes()).decode()
    for image in (
        {"path": uploaded}, {"path": uploaded, "meta": META, "url": "http://example.org", "size": "large"},
        {"url": inline}, {"path": None, "url": inline, "meta": META},
    ):  # fmt: skip
        answered = http.post("/gradio_api/run/run", json={"data": values(image=image)}).json()
        assert answered["data"][0]["answer"] == "You asked: What?"
    assert [request.picture_size for request in runner.asked] == [(8, 8)] * 4
    assert all(Path(str(request.file)).is_relative_to(get_upload_folder()) for request in runner.asked)


def test_what_the_browser_kept_may_hold_links_but_no_path(app: tuple[Any, str], secret: Path) -> None:
    """A kept failure has its references as {"url": ...}: a reload sends them back, and nothing requests them."""
    kept = gr.BrowserState(None, storage_key="a", secret="b")
    function = SimpleNamespace(inputs=[kept], api_visibility="private", fn=None)
    state = [{"failure": {"references": [{"url": "https://example.org/issue"}]}}]
    assert checked_values(function, state) == state  # type: ignore[arg-type]  # what is read of a BlockFunction
    with pytest.raises(UserError) as refused:
        checked_values(function, [{"runs": [{"path": str(secret), "meta": META}]}])  # type: ignore[arg-type]
    assert str(refused.value) == str(UserError("picture_outside"))


def test_a_data_url_is_counted_before_it_is_decoded(http: httpx.Client) -> None:
    before = set(Path(get_upload_folder()).iterdir())
    long = "data:image/png;base64," + "A" * (4 * MAX_FILE_BYTES // 3 + 4000)
    assert "up to 50 MiB are read" in refusal(http, values(image={"url": long}))
    for url in ("data:image/svg+xml,%3Csvg/%3E", "data:,", "data:", "data:image/png;base64"):
        assert refusal(http, values(image={"url": url})) == str(UserError("picture_data_url"))
    assert refusal(http, values(image={"url": "data:;base64,A"})) == str(UserError("picture_data_url"))
    assert set(Path(get_upload_folder()).iterdir()) == before


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"question": "\ud800"}, UserError("argument_surrogate", name="question")),
        ({"question": "x" * 1_000_001}, UserError("argument_long", name="question", length=1_000_001, longest=10**6)),
        ({"question": 5}, "question has to be a text, and a number was sent."),
        ({"question": ["What?"]}, "question has to be a text, and a list was sent."),
        ({"seed": "1"}, "seed has to be a whole number, and a text was sent."),
        ({"max_new_tokens": 1.5}, "max_new_tokens has to be a whole number, and a number was sent."),
        ({"max_new_tokens": True}, "max_new_tokens has to be a whole number, and true or false was sent."),
        ({"temperature": {}}, "temperature has to be a number, and an object was sent."),
        ({"temperature": float("nan")}, UserError("argument_number", name="temperature")),
        ({"seed": float("-inf")}, UserError("argument_number", name="seed")),
        ({"seed": 10**400}, UserError("argument_number", name="seed")),
        ({"anyway": "yes"}, "anyway has to be true or false, and a text was sent."),
        ({"image": "x.png"}, "image has to be a picture, and a text was sent."),
        ({"image": {}}, "image has to be a picture, and an object was sent."),
        ({"image": {"path": 5}}, UserError("picture_form")),
        ({"image": {"path": ["/etc/passwd"]}}, UserError("picture_form")),
        ({"strategy": "magic"}, UserError("unknown_strategy", name="magic", known="as_is, autocast, unified, full")),
        ({"max_new_tokens": 0}, UserError("out_of_range", name="max_new_tokens", value=0, lowest=1, highest=4096)),
        ({"question": ""}, UserError("empty_question")),
    ],
)
def test_a_wrong_value_is_a_sentence_at_once(
    app: tuple[Any, str], http: httpx.Client, runner: ScriptedRunner, changed: dict[str, Any], error: object
) -> None:
    assert refusal(http, values(**changed)) == str(error)
    index = next(i for i, f in app[0].get_blocks().fns.items() if f.api_name == "run")
    body = json.dumps({"fn_index": index, "data": values(**changed), "session_hash": "page"})
    http.post("/gradio_api/queue/join", content=body, headers=JSON).raise_for_status()
    assert not runner.asked


def test_a_wrong_call_does_not_wait_behind_a_run(http: httpx.Client, runner: ScriptedRunner) -> None:
    runner.held_at = 1
    try:
        http.post("/gradio_api/call/run", json={"data": values()}).raise_for_status()
        assert refusal(http, values(strategy="magic")).startswith("There is no strategy")
    finally:
        runner.reset()


def test_a_full_queue_says_so_to_a_script_and_to_a_page(
    app: tuple[Any, str], http: httpx.Client, runner: ScriptedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "MOST_COMPUTING", 2)
    sentence = str(UserError("queue_full", most=2))
    fns = app[0].get_blocks().fns
    run = next(i for i, f in fns.items() if f.api_name == "run")
    page = {"fn_index": run, "data": values(), "session_hash": "latecomer"}
    runner.held_at = 1
    try:
        taken = [http.post("/gradio_api/call/run", json={"data": values()}).json()["event_id"] for _ in range(2)]
        assert refusal(http, values(), status=503) == sentence
        assert outcome(http, page)["output"]["error"] == sentence
        assert http.post("/gradio_api/call/explain", json={"data": ["x", "en"]}).status_code == 200
    finally:
        runner.reset()
    for event in taken:
        assert "event: complete" in http.get(f"/gradio_api/call/run/{event}").text
    assert outcome(http, page)["success"]


@pytest.mark.parametrize("count", [0, 2, len(values()) - 1, len(values()) + 1])
def test_a_wrong_number_of_values_is_a_sentence(http: httpx.Client, count: int) -> None:
    sentence = refusal(http, [*values(), 1][:count])
    assert sentence.startswith(
        f"/run takes {len(values())} values, and {count} were sent. They are, in this order: image, question"
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"{}", b"[]", b"null", b'{"data": {}}', b'{"data": "x"}', b"\xff\xfe", b'{"data": [' + b"9" * 5000,
     b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"],
)  # fmt: skip
def test_what_is_not_a_call_is_a_sentence(http: httpx.Client, body: bytes) -> None:
    assert refusal(http, body) == str(UserError("call_form"))


def test_values_by_name(http: httpx.Client, runner: ScriptedRunner) -> None:
    route = "/gradio_api/call/v2/run"
    assert "event_id" in http.post(route, json={"question": "What?", "strategy": "full"}).json()
    for wrong in ({"question": "What?", "colour": 1}, {"question": 5}, {"question": "What?", "strategy": "magic"}):
        refusal(http, json.dumps(wrong).encode(), route)
    assert "text" in refusal(http, b"{}", "/gradio_api/call/v2/explain")


def test_many_values_and_bytes_are_not_read(http: httpx.Client) -> None:
    assert refusal(http, b'{"data": [' + b"[]," * 200_000 + b"1]}") == str(UserError("call_large", most=100_000))
    for path, most in (("call/run", LARGEST_CALL_BYTES), ("queue/join", LARGEST_CALL_BYTES), ("upload", 10**8 * 2)):
        raw = HTTPConnection(http.base_url.host, http.base_url.port, timeout=60)  # httpx sends what it declares
        raw.putrequest("POST", f"/gradio_api/{path}")
        for header, value in {**JSON, "content-length": str(most + 1)}.items():
            raw.putheader(header, value)
        raw.endheaders(b"{")
        assert raw.getresponse().status == 413
        raw.close()


def test_a_body_without_a_declared_length_is_counted(http: httpx.Client) -> None:
    chunks = (b" " * 1024 for _ in range(2 * LARGEST_OTHER_BYTES // 1024))
    try:
        answered = http.post("/gradio_api/cancel", content=chunks, headers=JSON)
        assert answered.status_code == 413
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass  # the server closed the connection while the client still wrote


@pytest.mark.parametrize(
    "path",
    ["monitoring", "monitoring/summary", "monitoring/x", "gradio_api/dev/reload", "gradio_api/vibe-code",
     "gradio_api/proxy=http://127.0.0.1:1/", "gradio_api/stream/a/b/1/playlist.m3u8", "gradio_api/runs",
     "gradio_api/profiling/traces", "gradio_api/custom_component/1/client/component/index.js", "gradio_api/token",
     "gradio_api/deep_link?session_hash=x", "gradio_api/user", "docs", "openapi.json", "redoc", "login", "logout",
     "gradio_api/mcp/sse", ".env", "app.py"],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(http: httpx.Client, path: str) -> None:
    assert http.get(f"/{path}").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["component_server", "component_server/", "vibe-edit", "vibe-code", "undo-vibe-edit", "vibe-starter-queries",
     "process_recording", "stream/x", "login", "run/answer", "call/answer", "call/refused", "run-history/connect"],
)  # fmt: skip
def test_nothing_else_can_be_posted_to(http: httpx.Client, path: str) -> None:
    assert http.post(f"/gradio_api/{path}", json={"data": []}).status_code == 404
    assert http.put(f"/gradio_api/{path}", json={}).status_code == 405


@pytest.mark.parametrize("index", [-1, 10**6, "1", None, 1.5, True, [0]])
def test_an_event_that_does_not_exist(http: httpx.Client, index: object) -> None:
    joined = {"fn_index": index, "data": [], "session_hash": "page"}
    for route in ("queue/join", "run/predict"):
        assert http.post(f"/gradio_api/{route}", json=joined).status_code == 404


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "README.md", "assets/examples/../../README.md", "%2fetc%2fpasswd", "/proc/self/environ", ""]
)
def test_gradios_file_route_gives_out_uploads_only(http: httpx.Client, path: str) -> None:
    assert http.get(f"/gradio_api/file={path}").status_code in (403, 404)


def test_an_upload_is_shown_only_if_it_is_a_picture(http: httpx.Client, secret: Path) -> None:
    def served(name: str, content: bytes) -> httpx.Response:
        (path,) = http.post("/gradio_api/upload", files={"files": (name, content)}).json()
        return http.get(f"/gradio_api/file={path}", headers={"Range": "bytes=0-"} if "range" in name else {})

    shown = served("red.png", secret.read_bytes())
    assert shown.headers["content-disposition"].startswith("inline")
    for name in ("x.html", "x.svg", "x.txt", "x.pdf", "x.mp4", "x.js", "range.html", "range.txt"):
        downloaded = served(name, b"<script>alert(1)</script>")
        assert downloaded.headers["content-disposition"].startswith("attachment"), name
        assert "sandbox" in downloaded.headers["content-security-policy"]
        assert downloaded.headers["x-content-type-options"] == "nosniff"


def test_every_answer_has_the_security_headers(http: httpx.Client) -> None:
    for path in ("/", "/config", "/nothing", "/gradio_api/info"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self' https://huggingface.co" in headers["content-security-policy"]
        assert "x-frame-options" not in headers


def test_another_sites_page_cannot_post(http: httpx.Client, secret: Path) -> None:
    upload = {"files": secret.read_bytes()}
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert http.post("/gradio_api/upload", files=upload, headers=foreign).status_code == 403
    for name in (
        "127.0.0.1",
        "LOCALHOST",
        "x.localhost",
        "localhost.",
        "127.1.2.3",
        "[::1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
    ):
        posted = http.post("/gradio_api/call/run", json={"data": values()}, headers={**foreign, "host": f"{name}:7860"})
        assert posted.status_code == 403, name
    # A form can send these without the browser asking first, JSON it cannot.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        body = json.dumps({"data": values()})
        answered = http.post("/gradio_api/run/run", content=body, headers={"content-type": kind})
        assert answered.status_code == 415
    asked = http.options(
        "/gradio_api/call/run", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in asked.headers
    own = {"origin": str(http.base_url), "sec-fetch-site": "same-origin"}
    assert http.post("/gradio_api/upload", files=upload, headers=own).status_code == 200


def test_a_foreign_host_header_is_not_written_into_the_page(http: httpx.Client) -> None:
    for host in ('evil.example"><script>alert(1)</script>', "evil.example/</script>"):
        page = http.get("/", headers={"host": host})
        assert "<script>alert(1)" not in page.text and "example/</script>" not in page.text


def test_a_refusal_is_in_the_pages_language(app: tuple[Any, str], http: httpx.Client) -> None:
    fns = app[0].get_blocks().fns
    loaded = next(i for i, f in fns.items() if f.fn is not None and f.fn.__name__ == "in_language")
    data: list[Any] = [None] * len(fns[loaded].inputs)
    data[[block.elem_id for block in fns[loaded].inputs].index("language")] = "zh"
    outcome(http, {"fn_index": loaded, "data": data, "session_hash": "chinese"})
    run = next(i for i, f in fns.items() if f.api_name == "run")
    ended = outcome(http, {"fn_index": run, "data": values(seed="1"), "session_hash": "chinese"})
    assert ended["output"]["error"] == "seed 应为整数，收到的是文本。"


def test_a_scripts_sessions_are_released(app: tuple[Any, str], http: httpx.Client) -> None:
    holder = app[0].state_holder
    before = set(holder.session_data)
    for data in (values(), values(image={"url": "data:;base64,aGk="}), values(strategy="magic")):
        answered = http.post("/gradio_api/call/run", json={"data": data})
        if answered.status_code == 200:
            event = answered.json()["event_id"]
            assert "event: " in http.get(f"/gradio_api/call/run/{event}").text
    assert set(holder.session_data) <= before


def test_gradios_own_clients_still_work(app: tuple[Any, str], secret: Path) -> None:
    client = Client(app[1], verbose=False)
    assert client.predict(question="What?", api_name="/run")["answer"] == "You asked: What?"
    client.close()
