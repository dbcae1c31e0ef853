"""Damage whose places are known: typing errors, shuffled words, and what bad optical character recognition leaves."""
import re

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
MISREAD = {"rn": "m", "m": "rn", "l": "1", "I": "l", "O": "0", "o": "0", "e": "c", "h": "b", "li": "h", "s": "5", "cl": "d",
           "d": "cl", "w": "vv", "a": "u", "u": "ii", "t": "f", "g": "q", "B": "8", "S": "$", " ": "", "n": "ri", "i": "!"}


def neighbours(letter):
    """The keys beside, above and below it."""
    for number, row in enumerate(ROWS):
        if letter in row:
            at = row.index(letter)
            near = [(number, at - 1), (number, at + 1), (number - 1, at), (number - 1, at + 1), (number + 1, at - 1), (number + 1, at)]
            return "".join(ROWS[r][c] for r, c in near if 0 <= r < len(ROWS) and 0 <= c < len(ROWS[r]))
    return ""


def typing_error(word, random):
    """The word with one error, and which: swap, drop, insert or neighbour. The first letter stays."""
    while True:
        kind, at = random.choice(("swap", "drop", "insert", "neighbour")), random.randrange(1, len(word))
        key = random.choice(neighbours(word[at].lower()) or "e")
        wrong = {"swap": word[:at] + word[at + 1:at + 2] + word[at] + word[at + 2:], "drop": word[:at] + word[at + 1:],
                 "insert": word[:at] + key + word[at:], "neighbour": word[:at] + key + word[at + 1:]}[kind]
        if wrong != word:
            return wrong, kind


def with_typing_errors(text, share, random):
    """The text with errors in this share of its words, all of four letters or more; and [start, end, kind] of each, in bytes."""
    words = list(re.finditer(r"\b[A-Za-z]{4,}\b", text))
    n_errors = min(len(words), round(share * len(text.split())))
    out, places, done = "", [], 0
    for word in sorted(random.sample(words, n_errors), key=lambda match: match.start()):
        wrong, kind = typing_error(word.group(), random)
        out += text[done:word.start()]
        places.append([len(out.encode()), len((out + wrong).encode()), kind])
        out, done = out + wrong, word.end()
    return out + text[done:], places


def shuffled(text, random):
    words = text.split()
    random.shuffle(words)
    return " ".join(words)


def swapped(text, random, share=0.1):
    """This share of the words has changed places with the next one."""
    words = text.split()
    for at in sorted(random.sample(range(len(words) - 1), round(share * len(words)))):
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def misread(text, random, share):
    """Characters taken for others, spaces lost, specks taken for characters."""
    out, at = "", 0
    while at < len(text):
        size = 2 if text[at:at + 2] in MISREAD else 1
        piece = text[at:at + size]
        if random.random() < share:
            piece = MISREAD.get(piece, piece + random.choice("~|^'.,_ "))
        out, at = out + piece, at + size
    return out
