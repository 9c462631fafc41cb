"""What every widget is: a view of traits, answers to its script, words for failures, a static copy."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from auditkit.errors import AuditkitError, in_words

Answer = dict[str, Any] | None

_ADVICE = {
    errno.ENOENT: "Check that it is still there, then try again.",
    errno.EACCES: "Choose another folder, or ask for access.",
    errno.EPERM: "Choose another folder, or ask for access.",
    errno.EROFS: "Choose another folder.",
    errno.ENOTDIR: "Choose another folder.",
    errno.EEXIST: "Choose another folder.",
    errno.ENOSPC: "Make room, or choose another folder.",
}
log = logging.getLogger("auditkit")


class Made(traitlets.TraitType[Any, Any]):
    """A trait whose value is made by a method of its owner whenever it is asked for.

    Setting it calls another method; its observers are told by `AuditWidget.tell`.
    """

    def __init__(self, make: str, put: str):
        super().__init__()
        self._make, self._put = make, put

    def get(self, obj: Any, cls: Any = None) -> Any:
        """What the method makes."""
        return getattr(obj, self._make)()

    def set(self, obj: Any, value: Any) -> None:
        """Let the other method take it in."""
        getattr(obj, self._put)(value)


class AuditWidget(anywidget.AnyWidget):
    """A widget whose script asks questions and whose failures are said in words.

    A question is a message `{"do": name, "id": …}`; the method `_do_name(question)` answers it.
    """

    message = traitlets.Dict({"kind": "", "text": ""}).tag(sync=True)
    """What the widget says: `kind` (info, error or empty) and `text`."""

    def __init__(self, **traits: Any):
        super().__init__(**traits)
        self.on_msg(self._answer)

    @property
    def code(self) -> str:
        """What the widget shows as a script that can be run."""
        raise NotImplementedError

    def say(self, text: str, kind: str = "info") -> None:
        """Show a sentence under the widget; an empty one takes the last away."""
        self.message = {"kind": kind if text else "", "text": text}

    def attempt(self, action: Callable[[], Answer]) -> Answer:
        """What an action gives, or None after saying why it failed."""
        try:
            return action()
        except (AuditkitError, OSError) as error:
            self.say(sentence(error), "error")
        except Exception as error:
            log.exception("a widget failed")
            self.say(f"This did not work: {type(error).__name__}: {error}", "error")
        return None

    def tell(self, name: str) -> None:
        """Tell the observers of a made trait that it has changed; it is made only if there are any."""
        if self._trait_notifiers.get(name, {}).get("change") or self._trait_notifiers.get(traitlets.All):
            self.notify_change(
                traitlets.Bunch(name=name, old=None, new=getattr(self, name), owner=self, type="change")
            )

    def static_html(self) -> str:
        """The widget as a page without scripts shows it."""
        raise NotImplementedError

    def _do_code(self, question: dict[str, Any]) -> Answer:
        return {"code": self.code}

    def _answer(self, widget: Any, question: dict[str, Any], buffers: Any) -> None:
        method = getattr(self, f"_do_{question.get('do')}", None)
        if method is None:
            return
        answer = self.attempt(lambda: method(question) or {})
        given = {"failed": True} if answer is None else answer
        buffers = given.pop("buffers", None)
        self.send({"answers": question.get("id"), **given}, buffers)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "text/html": self.static_html()}, metadata


def sentence(error: Exception) -> str:
    """An error in words: what is wrong, and what to do about it."""
    words = in_words(error)
    if isinstance(error, OSError) and not isinstance(error, AuditkitError) and error.errno in _ADVICE:
        return f"{words}. {_ADVICE[error.errno]}"
    return words
