"""What a format is: a value with a name that writes runs and, where it can, reads them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from auditkit.errors import InvalidOptionError
from auditkit.formats.stream import InputStream
from auditkit.run import AuditRun, RunHeader

if TYPE_CHECKING:
    import pyarrow as pa

Compression = Literal["gzip", "zstd"]
COMPRESSION_SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
RunEvents = Iterator["pa.RecordBatch | RunHeader"]
"""For each run of an input its batches of `schema.result_schema()`, then its header."""


class RepeatedResults(Exception):
    """`results` stands twice in one object: the last counts, so the object has to be read whole."""


class Sink(Protocol):
    """Where a format writes to."""

    def write(self, data: Any, /) -> object:
        """Take some bytes; they are not changed afterwards."""


class FileOfSink:
    """The file object that pyarrow wants to write to, made of a callable that takes bytes."""

    closed = False

    def __init__(self, write: Callable[[bytes], object]):
        self._write = write

    def write(self, data: Any) -> int:
        """Hand on a copy: pyarrow uses its buffer again."""
        self._write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing to flush."""

    def close(self) -> None:
        """The sink outlives this."""


@runtime_checkable
class Format(Protocol):
    """A way to write a run as bytes."""

    @property
    def name(self) -> str:
        """What `format=` calls it."""

    @property
    def suffix(self) -> str:
        """How its file names end, with the dot."""

    def write(self, run: AuditRun, sink: Sink) -> None:
        """Write one run; its batches are read once, in order."""


@runtime_checkable
class ReadableFormat(Format, Protocol):
    """A format whose files can be loaded back."""

    def recognises(self, head: bytes) -> bool:
        """Whether an input that begins with these bytes (64 KiB, or all there are) is of this format."""

    def read(self, stream: InputStream) -> RunEvents:
        """The runs of an input, streamed.

        Raises
        ------
        InvalidRunError
            At the end, with every failure.
        """


@runtime_checkable
class QuickFormat(ReadableFormat, Protocol):
    """A readable format that tells the headers of an input without reading its results."""

    def headers(self, stream: InputStream) -> Iterator[RunHeader]:
        """The headers of all runs of an input."""


@runtime_checkable
class SelectionFormat(Format, Protocol):
    """A format that puts rows of several runs into one file."""

    def write_selection(self, runs: Iterable[AuditRun], sink: Sink) -> None:
        """Write the runs one behind the other."""


@runtime_checkable
class ConfigurableFormat(Format, Protocol):
    """A format that heeds options."""

    def configured(self, options: WriteOptions) -> Format:
        """The same format under these options.

        Raises
        ------
        InvalidOptionError
            If an option makes no sense with it.
        """


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How a file is written; the defaults are those of every exporting function."""

    include_metadata: bool = True
    flatten_results: bool = False
    formula_guard: bool = True
    excel: bool = False
    compression: Compression | None = None

    def __post_init__(self) -> None:
        if self.compression not in (None, *COMPRESSION_SUFFIXES):
            raise InvalidOptionError(
                f"{self.compression!r} is no compression. Give compression='gzip', 'zstd' or None."
            )

    def refuse(self, format_name: str, *names: str) -> None:
        """Refuse options that were changed from their defaults and mean nothing to a format."""
        for name in names:
            if getattr(self, name) != getattr(_DEFAULTS, name):
                raise InvalidOptionError(
                    f"{name}={getattr(self, name)!r} means nothing to the format {format_name!r}. "
                    "Leave it out."
                )

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {name: value for name, value in vars(self).items() if value != getattr(_DEFAULTS, name)}


_DEFAULTS = WriteOptions()


def headers(format: ReadableFormat, stream: InputStream) -> Iterator[RunHeader]:
    """The headers of all runs of an input, the quick way where the format knows one."""
    quick = getattr(format, "headers", None)  # isinstance with a protocol costs more than the reading
    if quick is not None:
        yield from quick(stream)
    else:
        yield from (event for event in format.read(stream) if isinstance(event, RunHeader))
