"""Java's calendar, which is Julian before 15 October 1582: years, months, weeks and days."""

from __future__ import annotations

from dataclasses import dataclass

from stellar.util.cached_properties import cached_property

MS_A_DAY = 86_400_000
# The first Gregorian day, counted from 1 January 1970
_CUTOVER = -141_427
_CUTOVER_YEAR = 1582


def day_number(year: int, month: int, day: int = 1, *, julian: bool | None = None) -> int:
    """Return the number of a day, counted from 1 January 1970. Months and days out of range overflow into the next.

    year: the year; 0 is 1 BC, -1 is 2 BC
    julian: use the Julian calendar; None selects the calendar by the date
    """
    carried, month_index = divmod(month - 1, 12)
    year += carried
    if julian is None:
        gregorian = _count_days(year, month_index, day, julian=False)
        if year > _CUTOVER_YEAR and gregorian >= _CUTOVER:
            return gregorian
        by_julian = _count_days(year, month_index, day, julian=True)
        return gregorian if min(gregorian, by_julian) >= _CUTOVER else by_julian
    return _count_days(year, month_index, day, julian=julian)


def _count_days(year: int, month_index: int, day: int, *, julian: bool) -> int:
    # Years begin in March here, so that the leap day is the last day
    shifted = year - (month_index < 2)
    leap_days = shifted // 4 if julian else shifted // 4 - shifted // 100 + shifted // 400
    day_of_year = (153 * ((month_index + 10) % 12) + 2) // 5 + day - 1
    return shifted * 365 + leap_days + day_of_year - (719_470 if julian else 719_468)


def year_month_day(number: int) -> tuple[int, int, int]:
    """Return the year (0 is 1 BC), month (from 1) and day of a day number."""
    if number >= _CUTOVER:
        era, of_era = divmod(number + 719_468, 146_097)
        year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
        day_of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
        year = era * 400 + year_of_era
    else:
        era, of_era = divmod(number + 719_470, 1461)
        year_of_era = min(of_era // 365, 3)
        day_of_year = of_era - 365 * year_of_era
        year = era * 4 + year_of_era
    month_index = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_index + 2) // 5 + 1
    month = (month_index + 2) % 12 + 1
    return year + (month <= 2), month, day


def weekday(number: int) -> int:
    """Return the day of the week: Sunday is 1, Saturday is 7."""
    return (number + 4) % 7 + 1


def on_or_before(number: int, day_of_week: int) -> int:
    """Return the number of the last day up to this one that is a given day of the week."""
    return number - (weekday(number) - day_of_week) % 7


@dataclass(frozen=True)
class LocalDateTime:
    """The local date and time of an instant.

    epoch: the instant in epoch milliseconds
    offset: the offset from UTC in milliseconds
    """

    epoch: int
    offset: int = 0

    @cached_property
    def _split(self) -> tuple[int, int]:
        return divmod(self.epoch + self.offset, MS_A_DAY)

    @cached_property
    def _date(self) -> tuple[int, int, int]:
        return year_month_day(self._split[0])

    @property
    def number(self) -> int:
        """The number of the day, counted from 1 January 1970."""
        return self._split[0]

    @property
    def astronomical_year(self) -> int:
        """The year; 0 is 1 BC."""
        return self._date[0]

    @property
    def era(self) -> int:
        """0 for BC, 1 for AD."""
        return int(self._date[0] > 0)

    @property
    def year(self) -> int:
        """The year of the era, from 1."""
        year = self._date[0]
        return year if year > 0 else 1 - year

    @property
    def month(self) -> int:
        """From 1."""
        return self._date[1]

    @property
    def day(self) -> int:
        return self._date[2]

    @property
    def weekday(self) -> int:
        return weekday(self.number)

    @property
    def day_of_year(self) -> int:
        return self.number - day_number(self._date[0], 1) + 1

    @property
    def week_of_month(self) -> int:
        """The week of the month. Weeks begin on Sunday, and the first day is in week 1."""
        return (self.day - 1 + weekday(self.number - self.day + 1) - 1) // 7 + 1

    @cached_property
    def week_of_year_and_year(self) -> tuple[int, int]:
        """The week and its year. The week of 1 January is week 1."""
        year = self._date[0]
        next_new_year = day_number(year + 1, 1)
        if on_or_before(self.number, 1) + 7 > next_new_year:
            return 1, year + 1
        new_year = day_number(year, 1)
        return (self.number - on_or_before(new_year, 1)) // 7 + 1, year

    @property
    def millisecond_of_day(self) -> int:
        return self._split[1]

    @property
    def hour(self) -> int:
        return self._split[1] // 3_600_000

    @property
    def minute(self) -> int:
        return self._split[1] // 60_000 % 60

    @property
    def second(self) -> int:
        return self._split[1] // 1000 % 60

    @property
    def millisecond(self) -> int:
        return self._split[1] % 1000
