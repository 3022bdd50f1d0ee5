"""A manager's pages, asked as a program asks: over HTTP, on a real port, with the path as it is written."""

import http.client
from collections.abc import Mapping
from typing import Any

import msgspec
from support.build_view import Desk

from zuul_launcher.web.serve import Page


class Answer:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Site:
    def __init__(self, desk: Desk, page: Page) -> None:
        self.desk = desk
        self.page = page

    def ask(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """`path` goes out as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            return Answer(connection.getresponse())
        finally:
            connection.close()
