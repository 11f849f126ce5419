"""What a person sees who starts the gateway: how far it is, then its address, a key, and a line to paste."""

from __future__ import annotations

import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

from gateway.engines.vllm.link import Progress
from gateway.wiring import build_key_store

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.settings import Settings

_POLL_SECONDS = 0.1
_WORDS = {
    "starting": "starting",
    "importing": "importing vLLM",
    "configuring": "reading the model's configuration",
    "loading": "loading the weights",
    "allocating": "measuring memory and allocating the KV cache",
    "attaching": "attaching the workers",
    "failed": "loading failed, see above; it is tried again",
    "restarting": "restarting the engine",
}


class Console:
    """Progress on standard error, the way in on standard output."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key: str | None = settings.dev_key

    def prepare_store(self) -> None:
        """Bring the key store up to date, and make the subscription `dev` where the defaults are in use."""
        key_store = build_key_store(self._settings)
        try:
            if self._settings.uses_default_database or self._settings.dev_key:
                self._key = key_store.subscriptions.ensure_dev(self._settings.dev_key) or self._settings.dev_key
        finally:
            key_store.store.close()

    def start(self, listener: socket.socket, folder: Path) -> None:
        """Follow the start in a thread until a prompt would be answered."""
        threading.Thread(target=self._follow, args=(listener, folder), name="console", daemon=True).start()

    def _follow(self, listener: socket.socket, folder: Path) -> None:
        started, shown = time.monotonic(), ""
        while True:
            if listener.fileno() < 0:  # the gateway is stopping
                return
            progress = Progress.read(folder)
            if progress.refused is not None:  # whoever is told of it ends the gateway
                return
            phase = progress.phase
            if phase == "ready":  # the host is; are the workers?
                if _answers_ready(listener):
                    break
                phase = "attaching"
            if phase != shown:
                shown = phase
                sys.stderr.write(f"[{time.monotonic() - started:5.1f} s] {_WORDS[phase]} …\n")
            time.sleep(_POLL_SECONDS)
        sys.stderr.write(f"[{time.monotonic() - started:5.1f} s] ready\n")
        sys.stdout.write(self._welcome(_url(listener)))
        sys.stdout.flush()

    def _welcome(self, url: str) -> str:
        key = self._key or "$GATEWAY_KEY"
        lines = ["", f"The Get Data gateway answers at {url} with the model {self._settings.model_names[0]}."]
        if self._settings.is_demo:
            lines.append(
                "It is a demo of a few million parameters, not Llama 2. Other weights: GATEWAY_MODEL=… make serve"
            )
        if self._settings.dev_key:
            lines.append(f"Subscription key of `dev`, from GATEWAY_DEV_KEY: {key}")
        elif self._key:
            lines.append(f"Subscription key of `dev`, shown now and never again: {key}")
        else:
            another = ".venv/bin/flask subscriptions create NAME --product starter"
            lines.append(f"Keys were shown when they were made. Another one: {another}")
        lines += [
            "",
            f'curl -X POST "{url}/Get%20Data" -H "Content-Type: application/json" \\',
            f'  -H "Ocp-Apim-Subscription-Key: {key}" --data-raw \'{{"prompt": "Tell me about llama2"}}\'',
            "",
            "",
        ]
        return "\n".join(lines)


def _url(listener: socket.socket) -> str:
    if listener.family == socket.AF_UNIX:
        return "http://localhost"
    host, port = listener.getsockname()[:2]
    host = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _answers_ready(listener: socket.socket) -> bool:
    """Whether `GET /health/ready` says 200, asked the way a caller would."""
    try:
        address = listener.getsockname()
        if listener.family != socket.AF_UNIX and address[0] in {"0.0.0.0", "::"}:  # noqa: S104
            address = ("127.0.0.1" if listener.family == socket.AF_INET else "::1", *address[1:])
        with socket.socket(listener.family, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(address)
            sock.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return sock.makefile("rb").read().startswith(b"HTTP/1.1 200")
    except OSError:
        return False
