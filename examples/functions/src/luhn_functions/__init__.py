"""Numbers with a check digit by Luhn's formula, such as those of payment cards."""

from __future__ import annotations

from stellar import stellar


@stellar("LUHN_VALID")
def luhn_valid(number: str | None) -> bool:
    """Whether the last digit of a number is the check digit that Luhn's formula gives for the others.

    number: The number, a text of digits, blanks and hyphens
    returns: True if it is; false for null, and for a text without digits

        LUHN_VALID('4111 1111 1111 1111')  // true
        LUHN_VALID('4111 1111 1111 1112')  // false
        LUHN_VALID(null)  // false
        LUHN_VALID('4111x')  // error
    """
    digits = "" if number is None else number.replace(" ", "").replace("-", "")
    if digits and not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"LUHN_VALID takes digits, blanks and hyphens as number, not {number!r}")
    return bool(digits) and checksum(digits) % 10 == 0


def checksum(digits: str) -> int:
    """The sum of Luhn's formula: every second digit from the right counts twice, and its digits are added."""
    return sum(
        sum(divmod(int(digit) * 2, 10)) if place % 2 else int(digit) for place, digit in enumerate(reversed(digits))
    )
