"""Runs a sample as a person would who has just copied it, and reads the text of the answer from what it prints."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.clients import npm
from tests.clients.programs import TIMEOUT, TOOLS, missing

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "curl": "sample.sh",
    "python-urllib": "sample.py",
    "python-requests": "sample.py",
    "python-openai": "sample.py",
    "javascript-fetch": "sample.mjs",
    "javascript-openai": "sample.mjs",
    "java": "Sample.java",
    "php": "sample.php",
    "http": "sample.http",
}
"""The languages that are run; the others have no tool on every machine that tests this."""

_COMMANDS = {
    ".sh": ["bash"],
    ".py": [sys.executable, "-W", "error"],
    ".mjs": ["node"],
    ".java": ["java", "-XX:TieredStopAtLevel=1", "-Xshare:auto"],
    ".php": ["php"],
}
_NEEDS = {".sh": "curl", ".mjs": "node", ".java": "java", ".php": "php"}


def run(language: str, code: str, folder: Path, key: str, url: str) -> str:
    """What a sample prints."""
    file = folder / FILES[language]
    file.write_text(code, encoding="utf-8")
    if language == "http":
        return _send(code, url)
    for tool, package in TOOLS.get(_NEEDS.get(file.suffix, ""), {}).items():
        if shutil.which(tool) is None:
            missing(tool, package)
    if language == "javascript-openai" and not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(npm.install() / "node_modules")
    # No locale: a sample has to work in any.
    environment = {"PATH": os.environ["PATH"], "GATEWAY_KEY": key, "HOME": str(folder)}
    done = subprocess.run(
        [*_COMMANDS[file.suffix], str(file)],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, (language, done.stderr.decode(errors="replace"), code)
    return done.stdout.decode("utf-8")


def text_of(language: str, output: str) -> str:
    """The text of the answer: some samples print it, others print what came over the wire."""
    if language.startswith(("python", "javascript")):
        return output.removesuffix("\n")
    if language == "http":
        output = output.partition("\r\n\r\n")[2]
    if output.startswith("data: "):
        events = [line.removeprefix("data: ") for line in output.splitlines() if line.startswith("data: {")]
        return "".join(_piece(json.loads(event)) for event in events)
    return _piece(json.loads(output))


def _piece(body: dict[str, Any]) -> str:
    if "generated_text" in body:
        return str(body["generated_text"])
    choices = body["choices"]
    assert isinstance(choices, list)
    choice: dict[str, Any] = choices[0] if choices else {}
    inside: dict[str, object] = choice.get("delta") or choice.get("message") or {}
    return str(choice.get("text") or inside.get("content") or "")


def _send(code: str, url: str) -> str:
    head, _, body = code.partition("\n\n")
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body.encode())
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return answer.decode("utf-8")
