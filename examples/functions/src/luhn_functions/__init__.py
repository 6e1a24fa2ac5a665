"""Numbers with a check digit by Luhn's formula, such as those of payment cards."""

from __future__ import annotations

from stellar import stellar


@stellar("LUHN_VALID")
def luhn_valid(number: str | None) -> bool:
    """Check the last digit of a number by Luhn's formula.

    number: The number, a string of digits, spaces and hyphens
    returns: True if the check digit is valid; false if it is not, for null, and for a string without digits

        LUHN_VALID('4111 1111 1111 1111')  // true
        LUHN_VALID('4111 1111 1111 1112')  // false
        LUHN_VALID(null)  // false
        LUHN_VALID('4111x')  // error
    """
    digits = "" if number is None else number.replace(" ", "").replace("-", "")
    if digits and not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"invalid number {number!r}: expected digits, spaces and hyphens")
    return bool(digits) and checksum(digits) % 10 == 0


def checksum(digits: str) -> int:
    """Return the sum of Luhn's formula, in which every second digit from the right is doubled, and its digits added."""
    return sum(
        sum(divmod(int(digit) * 2, 10)) if position % 2 else int(digit)
        for position, digit in enumerate(reversed(digits))
    )
