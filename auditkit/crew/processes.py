"""Processes that export: when one dies, the pool is made anew, and the run that was the reason is found."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from auditkit.crew.inside import Answer, Work, done_anywhere, done_here, make_ready, packed
from auditkit.crew.tasks import Task
from auditkit.errors import InvalidOptionError, WorkerDiedError

_TRIES_ALONE = 2
_DEAD = (BrokenProcessPool, CancelledError, TimeoutError)
_LOOK_SECONDS = 1
_LOOKS = 5
_PATIENCE_SECONDS = 60
_starting = threading.Lock()

Outcome = tuple[int, Any]


class Processes:
    """A pool of processes: that of the caller until it breaks, or else our own.

    Whoever dies takes the whole pool along, so no more tasks are under way than there are processes:
    theirs are the runs that may have been the reason. Each of them is tried again in a process alone.
    """

    def __init__(
        self, work: Work, workers: int, *, given: ProcessPoolExecutor | None = None, light: bool = False
    ):
        self._work = packed(work, "This export")
        self._workers = workers
        self._light = light
        self._given = given
        self._own: ProcessPoolExecutor | None = None
        self._context = _Context()
        self._under_way: dict[Future[Answer], Task] = {}

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """The place of each run and what became of it, as they come."""
        waiting = deque(tasks)
        suspects: list[Task] = []
        try:
            while waiting or self._under_way or suspects:
                if not suspects:
                    yield from self._filled(waiting)
                elif not self._under_way:
                    yield from self._judged(suspects)
                    suspects = []
                yield from self._finished(suspects)
        finally:
            self._end()

    def _filled(self, waiting: deque[Task]) -> Iterator[Outcome]:
        """Give every process something to do; the outcomes are those of runs that cannot be sent."""
        while waiting and len(self._under_way) < self._workers:
            task = waiting.popleft()
            try:
                self._under_way[self._submitted(task)] = task
            except BrokenProcessPool:
                waiting.appendleft(task)
                if self._under_way:
                    return
                self._renew(self._workers)
            except InvalidOptionError as error:
                if len(task.places) == 1:
                    yield task.places[0], error
                waiting.extendleft(reversed(task.alone() if len(task.places) > 1 else []))

    def _finished(self, suspects: list[Task]) -> Iterator[Outcome]:
        """What is done by now; what was under way when a process died is suspect."""
        for future in self._ended():
            task = self._under_way.pop(future)
            try:
                answer = future.result(timeout=0)
            except _DEAD:
                suspects += task.alone()
            else:
                yield from each(task, answer)

    def _judged(self, suspects: Iterable[Task]) -> Iterator[Outcome]:
        """The suspects one at a time, in a process in which nothing else is done."""
        self._renew(1)
        for task in suspects:
            for _ in range(_TRIES_ALONE):
                self._under_way[self._submitted(task)] = task
                for future in self._ended():
                    del self._under_way[future]
                try:
                    answer = future.result(timeout=0)
                    break
                except _DEAD:
                    self._renew(1)
            else:
                answer = died(task, "the process that exported it ended three times before it was done")
            yield from each(task, answer)
        self._renew(self._workers)

    def _ended(self) -> set[Future[Answer]]:
        """What is done, of all that is under way at least one.

        A pool may hang when a process dies just as another one is started (Python 3.11): if it says nothing
        of a death for some seconds, all is taken for lost.
        """
        looks = 0
        while looks < _LOOKS:
            done = wait(self._under_way, _LOOK_SECONDS, FIRST_COMPLETED).done
            if done or not self._under_way:
                return done
            looks += self._given is None and self._context.has_dead()
        return set(self._under_way)

    def _submitted(self, task: Task) -> Future[Answer]:
        data = packed(task, f"Run {task.runs[0].id!r}")
        if self._given is not None:
            return self._given.submit(done_anywhere, self._work, data)
        if self._own is None:
            self._renew(self._workers)
        assert self._own is not None
        return self._own.submit(done_here, data)

    def _renew(self, workers: int) -> None:
        """A fresh pool of ours; its processes start when there is something to do."""
        if self._own is not None:
            self._own.shutdown(wait=False)
            self._context.kill()
        self._given = None
        self._context = _Context()
        self._own = ProcessPoolExecutor(
            workers, self._context, initializer=make_ready, initargs=(self._work, self._light)
        )

    def _end(self) -> None:
        """Let nothing go on: what is under way by now is no longer wanted."""
        for future in self._under_way:
            future.cancel()
        if self._own is not None:
            if self._under_way:
                self._context.interrupt()
            self._own.shutdown(wait=False, cancel_futures=True)
            self._context.join(_PATIENCE_SECONDS)
            self._context.kill()


def each(task: Task, answer: Answer) -> Iterator[Outcome]:
    """The place and the outcome of each run of a task."""
    outcomes = [answer] * len(task.places) if isinstance(answer, Exception) else answer
    return iter(zip(task.places, outcomes, strict=True))


def died(task: Task, how: str) -> WorkerDiedError:
    """The error of a run that ends whoever exports it."""
    return WorkerDiedError(
        f"Run {task.runs[0].id!r} was not exported: {how}. It may have been killed for the memory that it "
        "took, or have crashed. Try this run alone, on a machine with more memory, or with fewer jobs."
    )


class _Process(SpawnProcess):
    """A process that does not run the script again which started it; so that needs no `__main__` guard."""

    def start(self) -> None:
        with _starting, _no_script(), _uninterrupted():
            super().start()


class _Context(SpawnContext):
    """Starts such processes, and knows them."""

    def __init__(self) -> None:
        self._started: list[_Process] = []

    def Process(self, *arguments: Any, **options: Any) -> _Process:  # type: ignore[override]
        """A process that is yet to be started."""
        self._started.append(_Process(*arguments, **options))
        return self._started[-1]

    def has_dead(self) -> bool:
        """Whether any of them has ended."""
        return any(process.exitcode is not None for process in self._started)

    def interrupt(self) -> None:
        """Stop what they are doing."""
        for process in self._started:
            with suppress(ProcessLookupError):
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGINT)

    def join(self, seconds: float) -> None:
        """Wait for their end, for so long at most."""
        end = time.monotonic() + seconds
        for process in self._started:
            if process.pid is not None:
                process.join(max(0, end - time.monotonic()))

    def kill(self) -> None:
        """End them, whatever they do, and wait for that."""
        for process in self._started:
            if process.pid is not None:
                process.kill()
        self.join(_PATIENCE_SECONDS)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait; the process takes that over until it is ready to heed it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _no_script() -> Iterator[None]:
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
