"""Files of Grok patterns: those of a configuration, and those that are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from stellar.java.grok import SHIPPED, GrokError, load_common_definitions, parse_definitions
from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation, read_text
from stellar.pipeline.parsers.parser import Settings
from stellar.util.abbreviate import quote


class PatternFile(NamedTuple):
    """A file of patterns.

    path: the path at which it was found
    content: its content
    definitions: its patterns by name
    """

    path: str
    content: str
    definitions: Mapping[str, str]


def find_pattern_file(grok_path: str, settings: Settings) -> PatternFile:
    """Return the pattern file of a path.

    It is searched in the configuration directory, in HDFS if a configuration in ZooKeeper names one, then in the file
    system, then among the shipped files.

    Raises ConfigError if the file is not found or is invalid, and if HDFS cannot be read.
    """
    relative = grok_path.lstrip("/")
    candidates = [settings.directory / relative] if settings.directory else []
    if candidates and candidates[0].is_file():
        return _make_file(str(candidates[0]), read_text(candidates[0]))
    if (remote := _read_remote(grok_path, settings)) is not None:
        return _make_file(grok_path, remote)
    candidates.append(Path(grok_path))
    if candidates[-1].is_file():
        return _make_file(grok_path, read_text(candidates[-1]))
    shipped = {f"patterns/{file.name}": file for file in SHIPPED.iterdir()}
    if relative in shipped:
        return _make_file(grok_path, shipped[relative].read_text(encoding="utf-8"))
    hint = _HINT if settings.directory is None else ""
    raise _no_pattern_file(grok_path, candidates, sorted(shipped), settings.location / "grokPath", hint)


_HINT = (
    "; with a configuration in ZooKeeper, --patterns DIR names a directory that has a copy, and hdfs.uri in the global "
    "configuration an HDFS that has the file"
)


def _read_remote(grok_path: str, settings: Settings) -> str | None:
    """Return the content of a file in HDFS; None if it does not exist, or no HDFS is searched."""
    if settings.read_remote is None:
        return None
    location = settings.location / "grokPath"
    try:
        return settings.read_remote(grok_path).decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise location.error(f"invalid UTF-8 at byte {error.start} of {grok_path} in HDFS") from error
    except (OSError, ValueError) as error:
        raise location.error(f"cannot read {grok_path} in HDFS: {error}") from error


@cache
def load_shipped_file(name: str) -> Mapping[str, str]:
    """Return the common patterns and those of a shipped file."""
    return MappingProxyType(
        {**load_common_definitions(), **parse_definitions((SHIPPED / name).read_text(encoding="utf-8"))}
    )


def load_common_patterns(directory: Path | None) -> Mapping[str, str]:
    """Return the patterns available to all files: the shipped ones and `patterns/common` of the configuration."""
    own = directory / "patterns" / "common" if directory else None
    if own is None or not own.is_file():
        return load_common_definitions()
    return {**load_common_definitions(), **_make_file(str(own), read_text(own)).definitions}


def _make_file(path: str, content: str) -> PatternFile:
    try:
        return PatternFile(path, content, parse_definitions(content))
    except GrokError as error:
        raise SourceLocation(path).error(f"{error}; write its regular expression after the name") from error


def _no_pattern_file(
    grok_path: str, candidates: list[Path], shipped: list[str], location: SourceLocation, hint: str
) -> ConfigError:
    searched = " and ".join(dict.fromkeys(map(str, candidates)))
    names = ", ".join(f"/{name}" for name in shipped)
    return location.error(
        f"unknown pattern file {quote(grok_path)}: searched {searched}; built-in files are {names}{hint}"
    )
