"""The language of `--where`: a condition on rows, as a person writes it.

    val_loss < 1.6 and has mamba
    (params <= 2M or not state = completed) and growth.operator = 'copy-last'

    any        := all { "or" all }
    all        := one { "and" one }
    one        := "not" one | "(" any ")" | "has" KIND | NAME COMPARISON VALUE
    COMPARISON := "<" | "<=" | "=" | "==" | "!=" | ">=" | ">" | "~"             ~ contains, in whatever case
    VALUE      := number | word | "'" text "'"                                  numbers such as 1.6, 3e-4, 250k, 2M, 4G

`parse` knows no rows: what names and kinds there are, and what they mean, is said by whoever tests a condition
(growlab.report.selection). Nothing of it is ever evaluated as code.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from growlab.errors import UsageError
from growlab.escapes import quoted

Operator = Literal["<", "<=", "=", "!=", ">=", ">", "~"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)

MAX_TEXT = 2_000  # characters
_MAX_DEPTH = 40  # of parentheses and 'not'
_SPELT = {"==": "="}
_OTHERWISE = {"&&": "and", "&": "and", "||": "or", "|": "or", "!": "not", "=<": "<=", "=>": ">=", "<>": "!="}
_WORDS = ("and", "or", "not", "has")
_SCALES = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "P": 1e15}

_TOKEN = re.compile(
    r"(?P<blank>\s+)"
    r"|(?P<sign>=<|=>|<>|<=|>=|!=|==|&&|\|\||[<>=~!&|])"
    r"|(?P<parenthesis>[()])"
    r"|'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\""
    r"|(?P<word>(?:[^\s()<>=!~&|'\"\[\]]|\[[^\]]*\])+)"
)
_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<scale>[kMBGTP]?)")


@dataclass(frozen=True)
class Operand:
    """A value as it was written, and the number that it is, if it is one."""

    text: str
    number: float | None
    at: int  # the first character, from 0


@dataclass(frozen=True)
class Comparison:
    name: str
    operator: Operator
    value: Operand
    at: int


@dataclass(frozen=True)
class Has:
    """That a layout has a block, a front end or a head of this kind."""

    kind: str
    at: int


@dataclass(frozen=True)
class Not:
    inner: "Condition"


@dataclass(frozen=True)
class AllOf:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple["Condition", ...]


Condition = Comparison | Has | Not | AllOf | AnyOf


def parse(text: str) -> Condition:
    """Read a condition. Raises UsageError that points at what it cannot read and says what could stand there."""
    if len(text) > MAX_TEXT:
        raise UsageError(f"--where has {len(text):,} characters, at most {MAX_TEXT:,}")
    return _Parser(text).whole()


def fault(text: str, at: int, problem: str) -> UsageError:
    """The error that a place of a condition is to blame for: the problem, the line, and a mark below the place."""
    line = re.sub(r"\s", " ", text)
    return UsageError(f"--where: {problem}\n  {line}\n  {' ' * at}^")


def number_of(text: str) -> float | None:
    """The number that a text stands for, '250k' for 250 000; None where it is none."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    number = float(match["number"]) * _SCALES[match["scale"]]
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class _Token:
    kind: Literal["word", "text", "sign", "parenthesis", "end"]
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else quoted(self.text)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            problem = "this quotation mark has no end" if text[at] in "'\"" else f"cannot read {quoted(text[at])}"
            raise fault(text, at, problem)
        match match.lastgroup:
            case "word":
                yield _Token("word", match["word"], at)
            case "single" | "double" as mark:
                yield _Token("text", match[mark], at)
            case "sign":
                yield _sign(text, match["sign"], at)
            case "parenthesis":
                yield _Token("parenthesis", match["parenthesis"], at)
        at = match.end()
    yield _Token("end", "", len(text))


def _sign(text: str, sign: str, at: int) -> _Token:
    if sign in _OTHERWISE:
        raise fault(text, at, f"{sign} is no sign of this language; write {_OTHERWISE[sign]}")
    return _Token("sign", _SPELT.get(sign, sign), at)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._any()
        if self._next.kind != "end":
            raise self._expected("'and', 'or' or the end")
        return condition

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _takes(self, word: str) -> bool:
        """Take a word of the language, in whatever case, or a parenthesis, where it comes next."""
        token = self._next
        if token.kind in ("word", "parenthesis") and token.text.lower() == word:
            self._at += 1
            return True
        return False

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._takes("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._takes("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise fault(self._text, self._next.at, f"more than {_MAX_DEPTH} parentheses and 'not' in one another")
        condition = self._inner()
        self._depth -= 1
        return condition

    def _inner(self) -> Condition:
        if self._takes("not"):
            return Not(self._one())
        if self._takes("("):
            condition = self._any()
            if not self._takes(")"):
                raise self._expected("')', 'and' or 'or'")
            return condition
        if self._takes("has"):
            if not self._is_name():
                raise self._expected("a kind of block behind 'has', such as mamba")
            return Has(self._next.text, self._take().at)
        return self._comparison()

    def _comparison(self) -> Condition:
        if not self._is_name():
            raise self._expected("a column, 'has', 'not' or '('")
        name = self._take()
        operator = next((known for known in OPERATORS if (known, "sign") == (self._next.text, self._next.kind)), None)
        if operator is None:
            raise self._expected(f"one of {' '.join(OPERATORS)} behind {name}")
        self._take()
        if not (self._is_name() or self._next.kind == "text"):
            raise self._expected(f"a value behind {operator}, such as 1.6 or 'a text'")
        value = self._take()
        number = number_of(value.text) if value.kind == "word" else None
        return Comparison(name.text, operator, Operand(value.text, number, value.at), name.at)

    def _is_name(self) -> bool:
        return self._next.kind == "word" and self._next.text.lower() not in _WORDS

    def _expected(self, what: str) -> UsageError:
        return fault(self._text, self._next.at, f"expected {what}, got {self._next}")
