"""Adapters to and from a Hub that runs in this test: what leaves, what is refused, and that it comes back the same."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
from safetensors.torch import save, save_file

from clinical_peft.errors import ClinicalPeftError, ConfigError, DataError
from clinical_peft.models.hub import plan_shipments, pull_adapter, push_adapters

COMMIT = "c" * 40


class FakeHub(ThreadingHTTPServer):
    """The few addresses of the Hub that a push and a pull of small files need."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *arguments: Any) -> None:
        pass

    def reply(self, value: Any, status: int = 200) -> None:
        self.send(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.body()
        self.server.requests.append(f"POST {path}")
        if path == "/api/repos/create":
            self.create(json.loads(body))
        elif "/preupload/" in path:
            names = [one["path"] for one in json.loads(body)["files"]]
            self.reply({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        elif "/commit/" in path:
            repository = path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[repository][line["value"]["path"]] = content
            place = f"{self.server.address}/{repository}/commit/{COMMIT}"
            self.reply({"commitOid": COMMIT, "commitUrl": place, "success": True})
        elif path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        else:
            self.reply({"error": "unknown"}, 404)

    def create(self, asked: dict[str, Any]) -> None:
        name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
        if name in self.server.files:
            self.reply({"error": "exists", "url": f"{self.server.address}/{name}"}, 409)
            return
        self.server.files[name] = {}
        self.server.private[name] = bool(asked.get("private") or asked.get("visibility") == "private")
        self.reply({"url": f"{self.server.address}/{name}", "name": name, "id": "1"})

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        if path.startswith("/api/models/"):
            repository = path.removeprefix("/api/models/").partition("/revision/")[0]
            if repository not in self.server.files:
                self.reply({"error": "not found"}, 404)
                return
            siblings = [{"rfilename": name} for name in self.server.files[repository]]
            private = self.server.private[repository]
            self.reply({"id": repository, "sha": COMMIT, "private": private, "siblings": siblings, "tags": []})
            return
        repository, _, rest = path.removeprefix("/").partition("/resolve/")
        content = self.server.files.get(repository, {}).get(rest.partition("/")[2])
        if content is None:
            self.reply({"error": "not found"}, 404)
            return
        digest = hashlib.sha256(content).hexdigest()
        self.send(content, 200, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
    server = FakeHub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def adapters(tmp_path: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Folders and cards of two adapters; the folders hold more than what may leave."""
    folders, cards = {}, {}
    for name in ("lora", "prefix"):
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        tensors = {"layer.lora_A.weight": torch.ones(2, 4), "layer.lora_B.weight": torch.ones(len(name), 2)}
        save_file(tensors, folder / "adapter_model.safetensors")
        (folder / "notes_of_a_patient.txt").write_text("must stay")
        cards[name] = tmp_path / f"{name}.md"
        cards[name].write_text(f"---\nlibrary_name: peft\nlicense: mit\n---\n\n# {name}\n")
        folders[name] = folder
    return folders, cards


def push(hub: FakeHub, pattern: str | None, adapters: Any, **changes: Any) -> list[dict[str, Any]]:
    consent: dict[str, Any] = {"private": True, "synthetic": True, "share_derived_weights": False}
    return push_adapters(plan_shipments(pattern, *adapters), **(consent | changes), endpoint=hub.address)


def test_an_adapter_comes_back_as_it_was_pushed(hub: FakeHub, adapters: Any, tmp_path: Path):
    sent = push(hub, "me/clinical-{adapter}", adapters)
    assert [one["repository"] for one in sent] == ["me/clinical-lora", "me/clinical-prefix"]
    assert set(hub.files["me/clinical-lora"]) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert hub.private["me/clinical-lora"]
    pulled = pull_adapter(
        "lora", repository="me/clinical-lora", revision=None, output=tmp_path / "pulled", endpoint=hub.address
    )
    assert pulled["files"] == sent[0]["files"]
    assert pulled["commit"] == COMMIT
    assert {path.name for path in (tmp_path / "pulled").iterdir()} == set(pulled["files"])
    assert (tmp_path / "pulled" / "README.md").read_bytes() == adapters[1]["lora"].read_bytes()


def test_without_a_repository_nothing_leaves(hub: FakeHub, adapters: Any):
    with pytest.raises(ConfigError, match=r"hub\.repository.*nothing was sent.*safetensors \(\d+ bytes\)"):
        push(hub, None, adapters)
    assert hub.requests == []


def test_weights_of_real_notes_need_a_second_consent(hub: FakeHub, adapters: Any):
    with pytest.raises(ConfigError, match=r"hub\.share_derived_weights is false.*real notes.*lora to me/lora"):
        push(hub, "me/{adapter}", adapters, synthetic=False)
    assert hub.requests == []
    assert len(push(hub, "me/{adapter}", adapters, synthetic=False, share_derived_weights=True)) == 2


def test_adapters_do_not_share_a_repository(hub: FakeHub, adapters: Any):
    with pytest.raises(ConfigError, match=r"2 adapters share me/all; put \{adapter\} into the name"):
        push(hub, "me/all", adapters)
    assert hub.requests == []


def test_a_public_repository_gets_nothing_unless_asked(hub: FakeHub, adapters: Any):
    hub.files["me/lora"], hub.private["me/lora"] = {}, False
    with pytest.raises(DataError, match="me/lora: expected a private repository"):
        push(hub, "me/{adapter}", adapters)
    assert hub.files["me/lora"] == {}
    push(hub, "me/{adapter}", adapters, private=False)
    assert "adapter_model.safetensors" in hub.files["me/lora"]


def test_a_repository_without_safetensors_is_refused(hub: FakeHub, tmp_path: Path):
    hub.files["me/old"], hub.private["me/old"] = {"adapter_config.json": b"{}", "adapter_model.bin": b"x"}, True
    with pytest.raises(DataError, match=r"me/old at c+: expected an adapter, found no adapter_model\.safetensors"):
        pull_adapter("lora", repository="me/old", revision=None, output=tmp_path / "out", endpoint=hub.address)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="me/absent: the Hub refused"):
        pull_adapter("lora", repository="me/absent", revision=None, output=tmp_path / "out", endpoint=hub.address)
    with pytest.raises(ConfigError, match=r"hub\.repository"):
        pull_adapter("lora", repository=None, revision=None, output=tmp_path / "out")


def test_an_adapter_that_lacks_a_file_is_refused(adapters: Any):
    (adapters[0]["lora"] / "adapter_config.json").unlink()
    with pytest.raises(DataError, match="expected a file of the adapter lora, found none"):
        plan_shipments("me/{adapter}", *adapters)


BROKEN = {
    "pointer": ("adapter_model.safetensors", b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
    "empty": ("adapter_model.safetensors", b"", "an empty file"),
    "truncated": ("adapter_model.safetensors", save({"a.lora_A.weight": torch.ones(9)})[:-1], r"expected 1\d\d bytes"),
    "zero": ("adapter_model.safetensors", save({"a.lora_B.weight": torch.zeros(9)}), "the adapter does nothing"),
    "no tensors": ("adapter_model.safetensors", save({}), "the adapter has no tensors"),
    "configuration": ("adapter_config.json", b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_pulled_adapter_that_is_not_whole_is_one_line(damage: str, hub: FakeHub, adapters: Any, tmp_path: Path):
    push(hub, "me/{adapter}", adapters)
    name, content, expected = BROKEN[damage]
    hub.files["me/lora"][name] = content
    with pytest.raises(ClinicalPeftError, match=f"me/lora at c+: .*{expected}.*again") as caught:
        pull_adapter("lora", repository="me/lora", revision=None, output=tmp_path / "out", endpoint=hub.address)
    assert str(tmp_path) not in str(caught.value)
    assert not (tmp_path / "out").exists()
