"""A server with the requests and answers of vLLM's LoRA endpoints, as its documentation and source have them.

Written for these tests and nothing else: it answers one token, whatever it is asked. What a real server can
do to its caller is set from outside: be down, restart without its adapters, answer too late.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BASE = "acme/base"


class VllmServer:
    """One replica; listens on a free port until `close`."""

    def __init__(self) -> None:
        self.adapters: dict[str, str] = {}  # name -> path
        self.calls: list[tuple[str, str]] = []  # (what, name), of every request but the list of models
        self.late: set[str] = set()  # what to carry out, and answer only after the caller gave up
        self.refused: dict[str, str] = {}  # what -> message of an error with status 500
        self.dumb = False  # lists an adapter, and does not answer from it
        self.base = BASE
        self.key = ""
        self.away = False  # closes connections without an answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.vllm = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def restart(self) -> None:
        """Adapters that were loaded at run time are lost."""
        self.adapters.clear()

    def names(self, what: str) -> list[str]:
        return [name for called, name in self.calls if called == what]

    def answer(self, what: str, body: dict[str, Any]) -> tuple[int, Any]:
        name = body.get("lora_name", body.get("model", ""))
        if what != "models":
            self.calls.append((what, name))
        if what in self.refused:
            return _error(500, "InternalServerError", self.refused[what])
        answers = {
            "models": self._list,
            "load_lora_adapter": self._load,
            "unload_lora_adapter": self._unload,
            "completions": self._complete,
        }
        return answers[what](name, body.get("lora_path", ""))

    def _list(self, *_: str) -> tuple[int, Any]:
        cards = [_card(self.base, "/models/base", None)]
        cards += [_card(name, path, self.base) for name, path in self.adapters.items()]
        return 200, {"object": "list", "data": cards}

    def _unload(self, name: str, _path: str) -> tuple[int, Any]:
        if name not in self.adapters:
            return _error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        del self.adapters[name]
        return 200, f"Success: LoRA adapter '{name}' removed successfully."

    def _complete(self, name: str, _path: str) -> tuple[int, Any]:
        if name != self.base and (self.dumb or name not in self.adapters):
            return _error(404, "NotFoundError", f"The model `{name}` does not exist.")
        choice = {"index": 0, "text": " Oslo", "logprobs": None, "finish_reason": "length"}
        return 200, {"id": "cmpl-1", "object": "text_completion", "model": name, "choices": [choice]}

    def _load(self, name: str, path: str) -> tuple[int, Any]:
        if not name or not path:
            return _error(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")
        if name in self.adapters:
            message = (
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in "
                "place, set 'load_inplace' to True."
            )
            return _error(400, "InvalidUserInput", message)
        if not (Path(path) / "adapter_config.json").is_file():
            return _error(404, "NotFoundError", f"No adapter found for {path}")
        self.adapters[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer of two packets would wait 40 ms for its second one

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: dict[str, Any]) -> None:
        vllm: VllmServer = self.server.vllm
        if vllm.away:
            self.close_connection = True
            self.connection.close()
            return
        what = self.path.removeprefix("/v1/")
        if vllm.key and self.headers.get("Authorization") != f"Bearer {vllm.key}":
            status, said = 401, {"error": "Unauthorized"}
        else:
            status, said = vllm.answer(what, body)
        if what in vllm.late:
            time.sleep(0.5)
            self.close_connection = True
            return
        text = (said if isinstance(said, str) else json.dumps(said)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the name is http.server's


def _card(name: str, root: str, parent: str | None) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 1,
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": 2048 if parent is None else None,
        "permission": [],
    }


def _error(status: int, kind: str, message: str) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": kind, "param": None, "code": status}}
