"""Loading of the files with tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stellar.language.errors import ConfigError
from stellar.pipeline.config.loading import validate
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.suites_schema import CaseConfig, SuiteConfig
from stellar.util.abbreviate import quote
from stellar.util.yaml_reader import Listed, Location, Mapped, Node, YamlErrors, YamlReader

FOLDER = "tests"
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Suite:
    """The tests of a file.

    directory: that of the configuration
    lines: the line of each test
    """

    file: Path
    directory: Path
    config: SuiteConfig
    lines: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the file without its extension, which is also the default sensor."""
        return self.file.stem

    @property
    def cases(self) -> Iterator[tuple[CaseConfig, int]]:
        """The tests, each with its line."""
        return zip(self.config.tests, self.lines, strict=True)


def load_suites(directory: Path) -> list[Suite]:
    """Return the tests of a configuration directory, by file.

    Raises ConfigError if the directory has no such file, and YamlErrors with all errors of all files.
    """
    files = list_files(directory)
    if not files:
        raise ConfigError(str(directory), "", f"no {FOLDER}/*.yaml in this directory; add tests, or check the path")
    suites: list[Suite] = []
    errors: list[str] = []
    for file in files:
        try:
            suites.append(load_suite(file, directory))
        except YamlErrors as error:
            errors += str(error).splitlines()
    if errors:
        raise YamlErrors("\n".join(errors))
    return suites


def list_files(directory: Path) -> list[Path]:
    """Return the files with tests of a configuration directory, sorted."""
    return sorted(each for each in (directory / FOLDER).glob("*") if each.suffix in SUFFIXES)


def load_suite(file: Path, directory: Path) -> Suite:
    """Return the tests of a file. Raises YamlErrors with all errors, each with its location, and OSError."""
    root = YamlReader(file).root
    location = SourceLocation(str(file))
    locations = dict(_list_locations(root, location))
    if not isinstance(root, Mapped):
        raise YamlErrors(f"{root.at}: expected a mapping with the key tests, got {root.describe()}")
    try:
        config = validate(SuiteConfig, root.to_value(), location)
    except ConfigError as error:
        raise YamlErrors("\n".join(_describe(each, locations, root.at) for each in error.errors)) from error
    _check_names(config, file, locations)
    lines = tuple(locations[f"tests[{index}]"].line for index in range(len(config.tests)))
    return Suite(file, directory, config, lines)


def _check_names(config: SuiteConfig, file: Path, locations: dict[str, Location]) -> None:
    first: dict[str, int] = {}
    for index, each in enumerate(config.tests):
        if (earlier := first.setdefault(each.name, index)) != index:
            at, before = (locations[f"tests[{number}].name"] for number in (index, earlier))
            raise YamlErrors(
                f"{at}: tests[{index}].name: duplicate name {quote(each.name)}, first in line {before.line}"
            )


def _list_locations(node: Node, location: SourceLocation) -> Iterator[tuple[str, Location]]:
    """Yield the path of each value with its location: of a member that of its key, which is what an error is about."""
    if isinstance(node, Mapped):
        for key, (at, value) in node.entries.items():
            yield (location / key).path, at
            yield from _list_locations(value, location / key)
    elif isinstance(node, Listed):
        for index, item in enumerate(node.items):
            yield (location / index).path, item.at
            yield from _list_locations(item, location / index)


def _describe(error: ConfigError, locations: dict[str, Location], root: Location) -> str:
    path = error.path
    while path and path not in locations:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    at = locations.get(path, root)
    return f"{at}: {error.path}: {error.message}" if error.path else f"{at}: {error.message}"
