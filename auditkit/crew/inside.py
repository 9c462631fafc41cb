"""What happens inside a worker: it is made ready, opens what it was sent, and sends back only what can be."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from auditkit.crew.tasks import Task
from auditkit.errors import AuditkitError, InvalidOptionError, in_words
from auditkit.run import AuditRun
from auditkit.startup import start_quickly

Work = Callable[[Sequence[int], Sequence[AuditRun]], list[Any]]
Answer = list[Any] | Exception
"""An outcome for each run, or one error for all of them."""

_work: list[bytes | Work] = []
"""What the processes of a pool of ours are for; it is opened with the first task, which can say why not."""


def packed(thing: object, what: str) -> bytes:
    """A thing as bytes for another process.

    Raises
    ------
    InvalidOptionError
        If that cannot be.
    """
    try:
        return pickle.dumps(thing)
    except Exception as error:
        raise InvalidOptionError(
            f"{what} cannot be sent to another process: {type(error).__name__}: {error}. "
            "Export without jobs= and executor=, or with threads: ThreadPoolExecutor()."
        ) from None


def opened(data: bytes) -> Any:
    """The thing again.

    Raises
    ------
    InvalidOptionError
        If it cannot be made here.
    """
    try:
        return pickle.loads(data)
    except Exception as error:
        raise InvalidOptionError(
            f"What was sent to another process cannot be opened there: {type(error).__name__}: {error}. "
            "Move what the script or the notebook itself defines into a module, or export without jobs= "
            "and executor=."
        ) from None


def make_ready(work: bytes, light: bool) -> None:
    """Let a process of ours do nothing but its work, and not outlive the one that started it."""
    # Ctrl-C reaches all: who has nothing to do waits for its end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if light:
        start_quickly()
    _work[:] = [work]


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def done_here(task: bytes) -> Answer:
    """The outcomes of a task, in a process that was made ready; Ctrl-C ends it, and nothing is left."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        work = _work[0]
        if isinstance(work, bytes):
            work = _work[0] = opened(work)
        return done(work, opened(task))
    except InvalidOptionError as error:
        return error
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def done_anywhere(work: bytes, task: bytes) -> Answer:
    """The same in a process of somebody else."""
    try:
        return done(opened(work), opened(task))
    except InvalidOptionError as error:
        return error


def done(work: Work, task: Task) -> Answer:
    """The outcomes of a task: errors that it raises are among them, or are the outcome of each run."""
    try:
        return [sendable(outcome) for outcome in work(task.places, task.runs)]
    except Exception as error:
        return cast(Exception, sendable(error))


def sendable(outcome: Any) -> Any:
    """The outcome; for an error of somebody else's that does not survive the way, what it says.

    What led to an error stays here: where Dask is there, pickling takes it along, and a driver's error in
    it may hold a secret, or cannot be made again.
    """
    if not isinstance(outcome, Exception):
        return outcome
    outcome.__cause__ = outcome.__context__ = outcome.__traceback__ = None
    try:
        again = pickle.loads(pickle.dumps(outcome))
    except Exception:
        again = None
    if type(again) is type(outcome) and str(again) == str(outcome):
        return outcome
    return AuditkitError(f"{type(outcome).__name__}: {in_words(outcome)}")
