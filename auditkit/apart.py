"""Work in a thread of its own, and the pipe that feeds it; both bear being interrupted anywhere.

Only the main thread is interrupted, and it waits in `SimpleQueue`, whose calls are not left half done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_PIECES = 4


class Apart:
    """Work that goes on in another thread.

    Attributes
    ----------
    failure : BaseException or None
        What it raised; a panic of Rust, too, which is no Exception.
    """

    def __init__(self, work: Callable[[], object], name: str):
        self.failure: BaseException | None = None
        self._ended = False
        self._news: SimpleQueue[None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the end; once interrupted one can wait again.

        After an interrupted `join` Python 3.11 takes a thread for ended that is not (bpo-45274).
        """
        while not self._ended:
            self._news.get()
        self._thread.join()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            self.failure = error
        finally:
            self._ended = True
            self._news.put(None)


class Pipe:
    """Pieces on their way from one thread to another, a few at a time."""

    def __init__(self) -> None:
        self._pieces: SimpleQueue[Any] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._broken = False
        for _ in range(_PIECES):
            self._room.put(None)

    def put(self, piece: Any) -> None:
        """Send a piece once there is room; into a broken pipe, nothing."""
        self._room.get()
        if self._broken:
            self._room.put(None)
        else:
            self._pieces.put(piece)

    def end(self) -> None:
        """Say that no more pieces come."""
        self._pieces.put(None)

    def take(self) -> Any:
        """The next piece, None at the end.

        Raises
        ------
        BrokenPipeError
            If the pipe was broken off.
        """
        piece = self._pieces.get()
        if self._broken:
            raise BrokenPipeError("broken off")
        self._room.put(None)
        return piece

    def break_off(self) -> None:
        """Let go whoever waits at either end."""
        self._broken = True
        self._room.put(None)
        self._pieces.put(None)
