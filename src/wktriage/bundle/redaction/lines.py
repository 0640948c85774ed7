"""Redaction of one line of any evidence file: named values, options, and what tells itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from wktriage.bundle.redaction import names, spoken, values
from wktriage.bundle.redaction.values import HIDDEN, cut

Span = tuple[int, int]
Learn = Callable[[bytes], None]

_HINTS = tuple(dict.fromkeys((*names.HINTS, *values.HINTS, *spoken.HINTS)))

# A name with the sign between it and its value. Runs of name characters are taken whole.
_NAMED = re.compile(
    rb"""(?<![A-Za-z0-9_.-])(?P<name>[A-Za-z0-9_.-]++)\\{0,7}+["'`]?+"""
    rb"""(?P<sign>[ \t]*+(?::=|=>|=(?!=)|:(?!:)|""" + b"|".join(spoken.SIGNS) + rb""")[ \t]*+)"""
)
# An option of a command and the gap before its value: --token x, "--token","x".
_OPTION = re.compile(
    rb"""(?<![A-Za-z0-9_-])--?(?P<name>[A-Za-z][A-Za-z0-9_.-]*+)"""
    rb"""(?:\\{0,7}+["'][ \t]*+,[ \t]*+(?=\\{0,7}["'])|[ \t]++(?![-=:,\s]))"""
)
_OPENING = re.compile(rb"""\\{0,7}+["'`]""")
_QUOTED = {
    b'"': re.compile(rb'(?:[^"\\]|\\.)*+', re.S),
    b"'": re.compile(rb"[^']*+"),
    b"`": re.compile(rb"[^`]*+"),
}
_LIST = re.compile(rb"""\[(?:[^\]"']|"(?:[^"\\]|\\.)*+"|'[^']*+')*+\]""", re.S)
_FLAT = re.compile(rb"""(?:map\[(?:[^\[\]]|\[[^\[\]]*+\])*+\]|\{[^{}]*+\})""")
# A bare value ends at a blank, at the next named value, or where what encloses it is closed.
_BARE = re.compile(
    rb"""(?:(?![,;&|][ \t]{0,4}["']?[A-Za-z_][A-Za-z0-9_.-]{0,60}["']?[ \t]{0,2}[:=])"""
    rb"""(?![)}\]>"'`]{1,8}(?:[\s,;:.(){}\[\]\\|]|$))(?!\\[nrt"'\\])[^\s])*+"""
)
# The other words of a value of a Go struct: up to the next field or the closing brace.
_STRUCT_REST = re.compile(
    rb"(?: (?![A-Z][A-Za-z0-9_]{0,60}:)[^\s:={}\[\]]{1,200}+)*+(?=\}| [A-Z][A-Za-z0-9_]{0,60}:)"
)
_SCHEME = re.compile(rb"(?:bearer|basic|token|apikey|negotiate|ntlm|digest)[ \t]++", re.I)
_WITH_FIELDS = re.compile(
    rb"""(?:digest|aws4-[a-z0-9-]{1,40}|hawk|oauth)[ \t]++"""
    rb"""(?P<fields>(?:[A-Za-z_-]{1,40}=(?:\\{0,3}"[^"\\]{0,500}+\\{0,3}"|[^\s,"']{1,2000}+)"""
    rb"""(?:,?[ \t]{0,4}))+)""",
    re.I,
)
_COOKIES = re.compile(rb"""[^\s;,"'`\]}]++(?:;[ \t]?[^\s;,"'`\]}]++)*+""")
_PARENT = (b"api ", b"access ", b"secret ", b"private ", b"signing ", b"encryption ", b"auth ")
_NAME_OF_PAIR = frozenset({b"name", b"key", b"k", b"env", b"variable"})
_VALUE_OF_PAIR = frozenset({b"value", b"val", b"v"})

# Values that hide nothing: empty, placeholders, truth values, Go verbs.
_OPEN = re.compile(
    rb"""(?:null|nil|<nil>|~|none|true|false|yes|no|on|off|enabled|disabled|undefined|"""
    rb"""\*+|x{3,}|<[a-z_ -]{1,40}>|\[?redacted\]?|\$\{[^}]*\}|\$[A-Z_][A-Z0-9_]*|"""
    rb"""\$\([^)]{0,80}\)|\{\{[^}]*\}\}|%[+#]?[svqdx]|[\[\]{}(),;.]*)\Z""",
    re.I,
)
# What messages say of a secret, after a colon and a blank, without telling it.
_PROSE = frozenset(
    b"invalid expired missing incorrect required empty mismatch not unknown unexpected failed ok "
    b"set unset is was must cannot has wrong bad denied rejected refused malformed error no too "
    b"the a an unauthorized forbidden expected got permission authentication signature could can "
    b"option flag are will should needs requires verification validation".split()
)
_NUMBER = re.compile(rb"[0-9]{1,15}(?:\.[0-9]{1,9})?\Z")
_DIRECTORY = re.compile(rb"[/~][^\s]*\Z")


@dataclass
class Secrets:
    """Secret values to look for. ``given`` come from the caller; others are found in configs."""

    values: set[bytes] = field(default_factory=set)
    _pattern: re.Pattern[bytes] | None = None

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Secrets:
        """Take values that the caller knows to be secret; shorter than 4 bytes hide nothing."""
        return cls({v for v in (str(g).strip().encode() for g in secrets) if len(v) >= 4})

    def learn(self, value: bytes) -> None:
        """Take a value found in a configuration, when it is distinctive enough to search for.

        A password such as ``wukongim`` is a word of every metric name: hiding that word
        everywhere would destroy the evidence and tell the password.
        """
        value = value.strip()
        distinctive = len(value) >= 16 or (len(value) >= 8 and not value.isalpha())
        if distinctive and HIDDEN not in value and value not in self.values:
            self.values.add(value)
            self._pattern = None

    def pattern(self) -> re.Pattern[bytes] | None:
        """Return a pattern for all values, the longest first; None when there are none."""
        if self._pattern is None and self.values:
            ordered = sorted(self.values, key=lambda v: (-len(v), v))
            self._pattern = re.compile(b"|".join(re.escape(v) for v in ordered))
        return self._pattern


def hints_in(lower: bytes) -> tuple[bytes, ...]:
    """Return which hints of a secret are in a text in lower case."""
    return tuple(hint for hint in _HINTS if hint in lower)


def suspicious(lower: bytes, hints: tuple[bytes, ...] = _HINTS) -> bool:
    """Tell whether a text in lower case may hold a secret: most of the evidence does not.

    ``hints`` are those that may be in it, when that is known.
    """
    for hint in hints:
        if hint in lower:
            return True
    if b"@" in lower and b"(" in lower:
        return True
    return names.has_secret_key(lower) or (len(lower) <= 80 and values.is_long_run(lower))


def hide_known(data: bytes, secrets: Secrets, counts: Counter[str]) -> bytes:
    """Return the text without the values that are secret elsewhere."""
    pattern = secrets.pattern()
    if pattern is None:
        return data
    data, number = pattern.subn(HIDDEN, data)
    if number:
        counts["known-secret"] += number
    return data


def redact_line(
    line: bytes, secrets: Secrets, counts: Counter[str], *,
    rule: str = "named-value", learn: Learn | None = None,
) -> bytes:  # fmt: skip
    """Return a line of any evidence file without its secrets; ``counts`` grows by rule.

    ``rule`` is what a named value counts as; ``learn`` gets its secret.
    """
    line = hide_known(line, secrets, counts)
    lower = line.lower()
    if not suspicious(lower):
        return line
    line = values.hide(line, lower, counts)
    if b"-----" in line:
        line = _one_line_keys(line, counts)
    if values.is_base64_line(line):
        counts["private-key"] += 1
        return HIDDEN + line[len(line.rstrip()) :]
    spans = [s for find in (_options, _named, _elements, spoken.spans) for s in find(line)]
    for start, end in _disjoint(spans):
        counts[rule] += 1
        if learn is not None:
            learn(line[start:end])
    return cut(line, _disjoint(spans)) if spans else line


_KEY_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


def open_private_key(line: bytes) -> bool:
    """Tell whether a private key in PEM form begins on the line and does not end there."""
    begins = [m.end() for m in _KEY_BEGIN.finditer(line)]
    return bool(begins) and _KEY_END.search(line, begins[-1]) is None


def private_key_end(line: bytes) -> int:
    """Return where a private key's last line ends in this line, -1 for not here."""
    end = _KEY_END.search(line)
    return end.end() if end else -1


def _one_line_keys(line: bytes, counts: Counter[str]) -> bytes:
    """Hide the keys that lie on one line, escaped; of one that goes on, what is here of it."""
    spans = []
    done = 0
    body = len(line.rstrip(b"\r\n"))
    for begin in _KEY_BEGIN.finditer(line):
        if begin.start() < done:
            continue
        end = _KEY_END.search(line, begin.end())
        done = end.start() if end else body
        if done > begin.end():
            spans.append((begin.end(), done))
    counts["private-key"] += len(spans)
    return cut(line, spans)


def _disjoint(spans: list[Span]) -> Iterator[Span]:
    done = 0
    for start, end in sorted(spans, key=lambda s: (s[0], -s[1])):
        if end > max(start, done):
            yield max(start, done), end
            done = end


def _elements(line: bytes) -> Iterator[Span]:
    if b"</" not in line:
        return
    for name, start, end in values.markup(line):
        if names.is_secret(name) and not is_open(line[start:end]):
            yield start, end


def _options(line: bytes) -> Iterator[Span]:
    """Yield the values that follow an option: ``--token x``, ``["--token", "x"]``."""
    position = 0
    while match := _OPTION.search(line, position):
        position = match.end()
        if not names.is_secret(match["name"]):
            continue
        start, end = value_span(line, position)
        if not is_open(line[start:end]) and line[start:end].lower() not in _PROSE:
            yield start, end
            position = max(position, end)


def _named(line: bytes) -> Iterator[Span]:
    """Yield the spans of the values of names that say that theirs is secret."""
    position = 0
    inside = 0
    """Up to here everything belongs to a secret object."""
    awaited = False
    """The name of a name/value pair was a secret's."""
    while match := _NAMED.search(line, position):
        position = match.end()
        name = match["name"]
        low = name.lower()
        secret = names.is_secret(name)
        spoken = low == b"key" and line[
            max(0, match.start() - 12) : match.start()
        ].lower().endswith(_PARENT)
        if names.is_authorization(name) or names.is_cookie(name):
            span = _header(line, position, names.is_cookie(name))
        elif low == b"auth":
            start, end = value_span(line, position)
            span = (start, end) if values.is_base64_pair(line[start:end]) else None
        elif secret or spoken or (awaited and low in _VALUE_OF_PAIR) or match.start() < inside:
            if (container := _FLAT.match(line, position)) is not None:
                inside = max(inside, container.end())
                continue
            nested = match.start() < inside and not secret
            if nested and is_harmless(name, line[slice(*value_span(line, position))]):
                continue
            span = _secret(line, match, name)
        else:
            if low in _NAME_OF_PAIR:
                start, end = value_span(line, position)
                awaited = names.is_secret(line[start:end].lstrip(b"-"))
            continue
        awaited = False
        if span is not None:
            yield span
            position = max(position, span[1])


def _secret(line: bytes, match: re.Match[bytes], name: bytes) -> Span | None:
    position, sign = match.end(), match["sign"]
    start, end = value_span(line, position)
    value = line[start:end]
    bare = start == position
    if is_open(value) or hides_nothing(name, value):
        return None
    if bare and b":" in sign and sign[-1:].isspace():
        # A sentence. "--- PASS: TestX" is one, too.
        word = value.rstrip(b".,;:!").lower()
        if word in _PROSE or name == b"PASS" or (word.isalpha() and names.is_plural(name)):
            return None
    if bare and sign == b":" and name[:1].isupper():
        rest = _STRUCT_REST.match(line, end)
        end = rest.end() if rest else end
    return start, end


def _header(line: bytes, position: int, cookie: bool) -> Span | None:
    """Return the credentials of an Authorization or Cookie header, after their scheme's name."""
    if cookie and _OPENING.match(line, position) is None and line[position : position + 1] != b"[":
        match = _COOKIES.match(line, position)
        start, end = match.span() if match else (position, position)
    else:
        start, end = value_span(line, position)
        bare = start == position
        if (with_fields := _WITH_FIELDS.match(line, start)) is not None:
            start, end = with_fields.span("fields")
            end = len(line[:end].rstrip())
        elif (scheme := _SCHEME.match(line, start)) is not None:
            start = scheme.end()
            end = value_span(line, start)[1] if bare else max(start, end)
    value = line[start:end]
    return None if is_open(value) or value.lower() in _PROSE else (start, end)


def value_span(line: bytes, position: int) -> Span:
    """Return where the value at ``position`` begins and ends, without its quotes or brackets.

    What is not closed goes to the end of the line.
    """
    opening = _OPENING.match(line, position)
    end_of_line = len(line.rstrip(b"\r\n"))
    if opening is not None:
        return opening.end(), min(_closing(line, opening.end(), opening[0]), end_of_line)
    if line[position : position + 1] == b"[":
        listed = _LIST.match(line, position)
        end = listed.end() - 1 if listed else end_of_line
        inner = position + 1
        if (
            line[inner : inner + 1] in (b'"', b"'")
            and line[end - 1 : end] == line[inner : inner + 1]
        ):
            return (inner + 1, end - 1) if end - 1 > inner else (inner, end)
        return inner, end
    bare = _BARE.match(line, position)
    end = bare.end() if bare else position
    while end > position and line[end - 1 : end] in (b",", b";"):
        end -= 1
    return position, end


def _closing(line: bytes, start: int, mark: bytes) -> int:
    """Return where the quotation that ``mark`` opened ends; the line's end when it does not."""
    if len(mark) == 1:
        match = _QUOTED[mark].match(line, start)
        return match.end() if match else len(line)
    at = line.find(mark, start)
    while at > 0 and line[at - 1 : at] == b"\\":
        at = line.find(mark, at + 1)
    return at if at >= 0 else len(line)


def is_open(value: bytes) -> bool:
    """Tell whether a value hides nothing: empty, a placeholder, a truth value, hidden already."""
    bare = value.strip().strip(b"\"'")
    return bare == HIDDEN or (len(bare) <= 200 and _OPEN.match(bare) is not None)


def hides_nothing(name: bytes, value: bytes) -> bool:
    """Tell whether the value of a name that sounds secret is none: a count, a directory."""
    bare = value.strip().strip(b"\"'")
    if names.is_plural(name) and _NUMBER.match(bare):
        return True
    return names.is_working_directory(name) and _DIRECTORY.match(bare) is not None


_PLAIN_NAMES = frozenset({
    b"file", b"path", b"name", b"mode", b"type", b"external", b"environment", b"source",
    b"target", b"uid", b"gid", b"user", b"username", b"enabled", b"ttl", b"expire", b"expiry",
    b"expires", b"alg", b"algorithm", b"issuer", b"url", b"host", b"port", b"driver",
})  # fmt: skip
_MEASURE = re.compile(rb"[0-9]{1,9}(?:ms|s|m|h|d)?\Z")


def is_harmless(name: bytes, value: bytes) -> bool:
    """Tell whether a value inside a secret object is one that says how, not what."""
    bare = value.strip().strip(b"\"'")
    return name.lower() in _PLAIN_NAMES or is_open(bare) or _MEASURE.match(bare) is not None
