"""Raw messages in the sentences of errors."""

from __future__ import annotations

import codecs
from collections.abc import Callable

from stellar.pipeline.parsers.parser import Settings


def raw_text_of(settings: Settings) -> Callable[[str], str]:
    """Return a function that shows a message as `raw_message` of an error document does: its bytes, read as UTF-8.

    An unknown `readCharset`, which is an error of the configuration, shows the message as it is.
    """
    name = settings.options.get("readCharset", "UTF-8")
    try:
        charset = codecs.lookup(name).name if isinstance(name, str) else "utf-8"
    except LookupError:
        charset = "utf-8"
    if charset == "utf-8":
        return lambda text: text
    return lambda text: text.encode(charset, "replace").decode("utf-8", "replace")
