"""The other end of a widget's comm, as its page is: asks, is told the traits, and reads static copies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

STATIC_TAGS = frozenset({"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"})
STATIC_ATTRIBUTES = frozenset({"style", "scope"})


@dataclass(eq=False)
class Wire:
    """A comm that only tests hold; what is sent has to be JSON, and is kept as that."""

    comm_id: str = "a-wire-of-a-test"
    messages: list[dict[str, Any]] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    sent_bytes: int = 0

    def on_msg(self, callback: Any) -> None:
        self.heard = callback

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        text = json.dumps(data, allow_nan=False)
        self.sent_bytes += len(text)
        self.messages.append(json.loads(text))
        self.buffers.append(buffers)

    def close(self, *_: Any) -> None:
        """Nobody is there to be told."""


class Page:
    """A page with one widget: `ask` gives Python's answer, `traits` is what Python has sent of its state."""

    def __init__(self, widget: Any):
        if not isinstance(widget.comm, Wire):
            widget.comm = Wire()
        self.wire: Wire = widget.comm
        self.traits = _as_json(widget.get_state())
        self._read_up_to = len(self.wire.messages)
        self._asked = 0

    def ask(self, do: str, **question: Any) -> dict[str, Any]:
        """The answer to a question, without the number that it answers."""
        self._asked += 1
        number = f"{id(self)}:{self._asked}"
        self._deliver({"method": "custom", "content": {"do": do, "id": number, **_as_json(question)}})
        (answer,) = [one for one in self._read() if one.get("answers") == number]
        del answer["answers"]
        return answer

    def put(self, **traits: Any) -> None:
        """Change traits, as `save_changes` of the page does."""
        self._deliver({"method": "update", "state": _as_json(traits), "buffer_paths": []})
        self._read()

    def state(self, name: str) -> Any:
        """A trait as the page has it."""
        self._read()
        return self.traits[name]

    def rows(self, first: int = 0, count: int = 200) -> list[dict[str, str | None]]:
        """Rows as they are shown: the text of each column."""
        answer = self.ask("rows", first=first, count=count)
        return [dict(zip(answer["names"], cells, strict=True)) for cells in answer["cells"]]

    def mark(self, first: int, last: int, how: str = "only") -> dict[str, Any]:
        """Mark rows of the layout that is on the page."""
        return self.ask("mark", first=first, last=last, how=how, layout=self.state("_state")["layout"])

    def _deliver(self, data: dict[str, Any]) -> None:
        self.wire.heard({"content": {"data": data}, "buffers": []})

    def _read(self) -> list[dict[str, Any]]:
        contents = []
        for message in self.wire.messages[self._read_up_to :]:
            if message["method"] == "custom":
                contents.append(message["content"])
            elif message["method"] == "update":
                self.traits |= message["state"]
        self._read_up_to = len(self.wire.messages)
        return contents


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.texts.append("")

    def handle_data(self, text: str) -> None:
        self.texts[-1:] = ["".join(self.texts[-1:]) + text]


def static_texts(html: str) -> list[str]:
    """The texts of a static copy, in their order; it may have the tags and attributes of a plain table."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    for tag, attributes in reader.tags:
        assert tag in STATIC_TAGS, tag
        assert set(attributes) <= STATIC_ATTRIBUTES, (tag, attributes)
        assert "url" not in (attributes.get("style") or "")
    return [text for text in reader.texts if text.strip()]


def state_size(widget: Any) -> int:
    """How many bytes of JSON the notebook file and the page hold of a widget."""
    return len(json.dumps(_as_json(widget.get_state())).encode())


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return plain
