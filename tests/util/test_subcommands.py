"""The first word of a command line selects a subcommand, or is a usage error."""

from __future__ import annotations

import argparse

import pytest

from maas_runtime.cli.main import main as maas
from stellar.pipeline.loaders.cli import main as stellar_enrichment
from stellar.pipeline.profiler.cli import main as stellar_profiler
from stellar.util.subcommands import select_command


@pytest.mark.parametrize(
    ("words", "selected"),
    [([], None), (["--help"], None), (["--version", "run"], None), (["run", "check"], "run"), (["check"], "check")],
)
def test_the_first_word_selects_the_command(words: list[str], selected: str | None) -> None:
    assert select_command(argparse.ArgumentParser(), words, ("run", "check")) == selected


PROGRAMS = {"maas": maas, "stellar-enrichment": stellar_enrichment, "stellar-profiler": stellar_profiler}


@pytest.mark.parametrize(
    ("program", "words", "message"),
    [
        ("maas", ["statu", "--registry", "x"], "unknown command statu; did you mean status?"),
        ("maas", ["--registry", "x", "status"], "expected a command before --registry: serve, serve-model, deploy, "),
        ("stellar-enrichment", ["laod"], "unknown command laod; did you mean load?"),
        ("stellar-profiler", ["rum", "x"], "unknown command rum; did you mean run?"),
    ],
)
def test_an_unknown_command_is_a_usage_error(
    program: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[program](words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
