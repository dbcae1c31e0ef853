"""Whether the sentences of a page say what its tables say."""
import re


def numbers(text):
    """Every share, and every number with a point."""
    return set(re.findall(r"[-+]?\b\d+(?:\.\d+)?(?: ?%|(?<=\.\d)|(?<=\.\d\d)|(?<=\.\d\d\d)|(?<=\.\d{5}))", text.replace("\n", " ")))


def is_one_of(number, tables):
    """A sentence may leave the sign out, or give 41 % for 41.4 % and 0.09 for 0.087; % points stand in tables as plain numbers."""
    value, n_places = plain(number)
    known = [plain(n) for n in tables if number.endswith("%") or not n.endswith("%")]
    return any(places >= n_places and abs(other - value) < 0.5001 * 0.1**n_places for other, places in known)


def plain(number):
    """Its value without the sign, and how many places it has."""
    digits = number.lstrip("+-").removesuffix("%").rstrip()
    return float(digits), len(digits.partition(".")[2])


def unfounded(text, given):
    """The numbers of a text's sentences that are neither in its tables nor given."""
    tables = {number for row in re.findall(r"^\|.*\|.*\|$", text, re.MULTILINE) for number in numbers(row)}
    prose = "\n".join(line for line in text.split("\n") if not line.startswith(("|", "    ", "!", "`")))
    return sorted(number for number in numbers(prose) - given if not is_one_of(number, tables))
