"""The installed program in a real terminal, with tmux."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("scripts", reason="terminals are in the checkout, not in the wheel")

from scripts.terminal import Terminal

PROGRAM = Path(sys.executable).with_name("stellar")


@pytest.fixture
def screen(tmp_path, need) -> Iterator[Callable[..., Terminal]]:
    need("tmux")
    terminals: list[Terminal] = []

    def open_terminal(*arguments: str) -> Terminal:
        folder = tmp_path / str(len(terminals))
        folder.mkdir()
        terminals.append(Terminal(folder, [str(PROGRAM), *arguments], {"MAAS_HOME": str(folder / "no models")}))
        return terminals[-1]

    yield open_terminal
    for each in terminals:
        each.close()


PROMPT = r"^\[Stellar\]>>> "
LAST_PROMPT = rf"{PROMPT}?\s*\Z"


def test_a_user_types_completes_interrupts_and_quits(screen):
    screen = screen()
    shown = screen.wait_for(LAST_PROMPT)
    assert shown.startswith("Stellar, Go!\n?NAME shows the help of a function, %help the commands;")
    # Completions are offered during input, and Tab accepts the only one
    screen.type("x := TO_UPP")
    screen.wait_for(r"TO_UPPER\(  \(input\)  \S+")
    screen.press("Tab")
    screen.wait_for(rf"{PROMPT}x := TO_UPPER\($")
    screen.wait_for(r"^TO_UPPER\(input\)  \S+")
    screen.type("'squid')")
    screen.press("Enter")
    screen.wait_for(r"^SQUID$")
    # An unfinished expression continues
    screen.type("if x == 'SQUID'")
    screen.press("Enter")
    screen.wait_for(r"^ +\.\.\. ?$")
    screen.type("then {'timestamp' : 1571163621233, 'bytes' : 5831} else null")
    screen.press("Enter")
    screen.wait_for(r"║ timestamp │ 1571163621233  \(2019-10-15 18:20:21 UTC\) ║")
    screen.wait_for(r"║ bytes     │ 5831  \(5\.7 KiB\) ")
    # An error shows its source location
    screen.type("1 + TO_UPER('a')")
    screen.press("Enter")
    screen.wait_for(
        r"^\[!\] unknown function TO_UPER\n1 \| 1 \+ TO_UPER\('a'\)\n +\^{7}\nhint: did you mean TO_UPPER\?$"
    )
    screen.wait_for(LAST_PROMPT)
    # A line is discarded, and earlier variables stay
    screen.type("never")
    screen.press("C-c")
    screen.wait_for(rf"{PROMPT}never\n{LAST_PROMPT}")
    screen.type("x")
    screen.press("Enter")
    screen.wait_for(r">>> x\nSQUID$")
    # Earlier lines are recalled
    screen.press("Up", "Up")
    screen.wait_for(rf"{PROMPT}1 \+ TO_UPER\('a'\)\n*(?:TO_UPER|\Z)")
    screen.press("C-c")
    screen.type("quit")
    screen.press("Enter")
    screen.wait_for(r"^ended with 0$")


def test_an_evaluation_is_interrupted(screen):
    screen = screen()
    screen.wait_for(LAST_PROMPT)
    screen.type("x := 1")
    screen.press("Enter")
    screen.wait_for(r"^1$")
    numbers = f"[{', '.join(['1'] * 50)}]"
    screen.type(f"n := {numbers}")
    screen.press("Enter")
    screen.wait_for(r"\(50 items\)$")
    # The entropy of 60,000 characters, 125,000 times, would take minutes
    screen.type("LENGTH(MAP(n, a -> MAP(n, b -> MAP(n, c -> STRING_ENTROPY(FORMAT('%060000d', c))))))")
    screen.press("Enter")
    screen.interrupt()
    screen.wait_for(rf"^\[!\] interrupted\n{LAST_PROMPT}")
    screen.type("x + 41")
    screen.press("Enter")
    screen.wait_for(r"^42$")


def test_colours_can_be_disabled(screen):
    with_colours, without = screen(), screen("-na")
    for each in (with_colours, without):
        each.wait_for(LAST_PROMPT)
        each.type("TRIM('a')")
    with_colours.wait_for("\x1b\\[32m'a'", colours=True)
    without.wait_for(r"TRIM\('a'\)")
    assert not re.search("\x1b\\[[0-9;]*3[0-9]", without.capture(colours=True))


def test_options_have_their_effect(screen, tmp_path):
    (tmp_path / "record.json").write_text('{"bytes": 41}')
    (tmp_path / "keys").write_text('"\\C-g": beginning-of-line\nset editing-mode emacs\nnonsense\n')
    screen = screen("-v", str(tmp_path / "record.json"), "-irc", str(tmp_path / "keys"))
    shown = screen.wait_for(LAST_PROMPT)
    assert shown.startswith(f"stellar: {tmp_path}/keys: ignored lines 3: ")
    screen.type(" + 1")
    screen.press("C-g")
    screen.type("bytes")
    screen.wait_for(rf"{PROMPT}bytes \+ 1")
    screen.press("Enter")
    screen.wait_for(r"^42$")


def test_an_invalid_option_ends_the_program(screen, tmp_path):
    screen = screen("-v", str(tmp_path / "nowhere.json"))
    screen.wait_for(r"^ended with 1$")
    assert "nowhere.json: No such file or directory\n" in screen.capture()
    assert "Stellar, Go!" not in screen.capture()
