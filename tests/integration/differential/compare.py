"""Which replies count as the same.

A reply is the same if its bytes are, or if the line's rule (`~rule`) or the command's says so, or
if the pair stands in KNOWN, the table of the differences that are meant to be.
"""

import re

from support.resp import Error

NEAR_MS = 1200 * 1000


def _numbers_near(theirs, ours, limit):
    if not isinstance(theirs, int) or not isinstance(ours, int):
        return False
    if theirs <= 0 or ours <= 0:
        return theirs == ours
    return abs(theirs - ours) <= limit


def near(theirs, ours):
    """Times in seconds or milliseconds of commands that ran at different moments."""
    limit = NEAR_MS if isinstance(theirs, int) and theirs > 10 ** 7 else NEAR_MS // 1000
    return _numbers_near(theirs, ours, limit)


def shape(theirs, ours):
    """The same types all the way down; what is in them depends on the server."""
    if isinstance(theirs, (list, tuple)):
        return (isinstance(ours, (list, tuple)) and len(theirs) == len(ours) and
                all(shape(one, other) for one, other in zip(theirs, ours)))
    return type(theirs) is type(ours)


def kind(theirs, ours):
    """The same type at the top."""
    return type(theirs) is type(ours)


def _sorted(value):
    return sorted(value, key=repr) if isinstance(value, list) else value


def unordered(theirs, ours):
    return _sorted(theirs) == _sorted(ours)


def scan(theirs, ours):
    """A whole scan in one reply: cursor 0 and the same keys in any order."""
    if isinstance(theirs, Error) or isinstance(ours, Error):
        return theirs == ours
    return theirs[0] == ours[0] and unordered(theirs[1], ours[1])


def error(theirs, ours):
    """Both refuse, with the same code word; the text after it is our own."""
    return (isinstance(theirs, Error) and isinstance(ours, Error) and
            theirs.text.split(b' ')[0] == ours.text.split(b' ')[0])


def fields(theirs, ours):
    """A map, as RESP2 writes it or RESP3, with the same names; values by shape."""
    def names(value):
        if value and isinstance(value[0], tuple):
            return [name for name, _ in value]
        return value[::2]
    return isinstance(theirs, list) and isinstance(ours, list) and names(theirs) == names(ours)


def slowlog(theirs, ours):
    """Entries of the same commands, shortened and redacted alike."""
    def arguments(value):
        return [entry[3] for entry in value]
    return isinstance(ours, list) and arguments(theirs) == arguments(ours) and shape(theirs, ours)


def help_text(theirs, ours):
    """Simple strings behind the same first line."""
    if not isinstance(theirs, list) or not isinstance(ours, list):
        return theirs == ours
    return theirs[:1] == ours[:1] and all(isinstance(line, bytes) for line in ours)


def command_info(theirs, ours):
    """For each command: name, arity, places of keys, flags, categories. Tips and the uses of keys
    depend on the version; so does the arity of GETKEYS, and which commands there are. Two flags are
    about states that we are never in."""
    if isinstance(theirs, Error) or isinstance(ours, Error):
        return theirs == ours

    def told(entry):
        flags = sorted(set(entry[2]) - {b'allow_busy', b'no_async_loading'})
        arity = 0 if b'|getkeys' in entry[0] else entry[1]
        return [entry[0], arity, flags, entry[3:6], sorted(entry[6])]

    return len(theirs) == len(ours) and all(
        their is None or (our is not None and told(their) == told(our))
        for their, our in zip(theirs, ours)
    )


RULES = {rule.__name__: rule for rule in (near, shape, kind, unordered, scan, error, fields,
                                       slowlog)}

# What depends on the moment, or on the order in a hash table, for every use of a command.
COMMAND_RULES = {
    b'TTL': near,
    b'PTTL': near,
    b'KEYS': unordered,
    b'TIME': shape,
    b'LASTSAVE': shape,
}

# For the commands of random_commands_test.py, by their first one or two words.
RANDOM_RULES = {
    b'HELLO': fields,
    b'INFO': kind,
    b'CLIENT ID': kind,
    b'CLIENT INFO': kind,
    b'CLIENT LIST': kind,
    b'OBJECT IDLETIME': kind,
    b'MEMORY USAGE': kind,
    b'COMMAND': kind,
    b'COMMAND COUNT': kind,
    b'COMMAND INFO': command_info,
    b'COMMAND LIST': unordered,
    b'CONFIG GET': unordered,
}

# (command, Redis's reply, our reply, why). Regular expressions over the words, joined by blanks and
# in capitals, and over the replies' bytes.
KNOWN = [
    (r'CLIENT (NO-TOUCH|SETINFO).*', r'-ERR unknown subcommand .*', r'[+-].*',
     'came with Redis 7.2, whose version we report'),
    (r'HELLO 3', r'-NOAUTH HELLO must .*', r'-NOAUTH HELLO must .* HELLO <proto> AUTH .*',
     'the text of Redis 7.2'),
    (r'COMMAND GETKEYS (GET|SET|PING)', r"-ERR wrong number of arguments for 'command\|getkeys'.*",
     r'-ERR (Invalid number of arguments specified for command|The command has no key arguments).*',
     'Redis 7.2 lets GETKEYS have one argument, 7.0 wants two'),
    (r'CONFIG SET LOGLEVEL SHOUT', r'-.* debug, verbose, notice, warning\r\n',
     r'-.* debug, verbose, notice, warning, nothing\r\n', 'Redis 7.2 has "nothing"'),
    (r'CONFIG GET APPENDONLY', r'.*\$2\r\nno\r\n', r'.*\$3\r\nyes\r\n', 'we keep a log by default'),
    (r'COMMAND GETKEYSANDFLAGS SET K V', r'.*OW.*', r'.*RW.*',
     'the use of a key is told per command, not looked up in its arguments'),
    (r'OBJECT ENCODING .*', r'\$6\r\nembstr\r\n', r'\$3\r\nint\r\n',
     'what INCRBYFLOAT stored counts as an integer when it is one'),
    (r'OBJECT ENCODING .*', r'\$3\r\nraw\r\n', r'\$(6\r\nembstr|3\r\nint)\r\n',
     'an APPEND of nothing changes nothing'),
    (r'SCAN (-1)?', r'\*2\r\n.*', r'-ERR invalid cursor\r\n', 'Redis takes what strtoul takes'),
    (r'DEBUG .*', r"-ERR unknown subcommand or wrong number of arguments for '.*",
     r"-ERR (unknown subcommand|wrong number of arguments for) '.*",
     'DEBUG is a container of subcommands here, as CLIENT and CONFIG are in both'),
]

# The same for the commands of random_commands_test.py, which meet more; these need not be met.
KNOWN_IN_RANDOM = [
    (r'COMMAND GETKEYSANDFLAGS SET .*', r'.*OW.*', r'.*RW.*',
     'the use of a key is told per command, not looked up in its arguments'),
    (r'CONFIG GET .*\*.*', r'[*%].*', r'[*%].*', 'which directives there are, and paths and ports'),
    (r'COMMAND GETKEYS(ANDFLAGS)? .*', r"-ERR wrong number of arguments for 'command\|getkeys.*",
     r'.*', 'Redis 7.2 lets GETKEYS have one argument, 7.0 wants two'),
    (r'SCAN (-?\d+)?(\x00.*)?( .*)?', r'[*-].*',
     r'-ERR (invalid cursor|this SCAN cursor is not known).*',
     'Redis takes what strtoul takes; ours are known to the server'),
    (r'CONFIG SET .*', r'-ERR .* between \d+ and \d+ inclusive\r\n',
     r'-ERR .* between \d+ and \d+ inclusive\r\n', 'some numbers have lower limits here'),
    (r'P?EXPIRE(AT)? .*', r'-ERR Unsupported option .{1000,}', r'-ERR Unsupported option .{900,}',
     'an error has at most 1024 bytes'),
    (r'OBJECT REFCOUNT .*', r':2147483647\r\n', r':1\r\n', 'Redis shares the integers below 10000'),
]


class Known:
    """KNOWN, with a note of which entries were met."""

    def __init__(self, table):
        self.entries = [(re.compile(command.encode(), re.S), re.compile(theirs.encode(), re.S),
                         re.compile(ours.encode(), re.S), why)
                        for command, theirs, ours, why in table]
        self.met = set()

    def allows(self, args, theirs, ours):
        words = b' '.join(bytes(arg) for arg in args).upper()
        for index, (command, their_pattern, our_pattern, _) in enumerate(self.entries):
            if (command.fullmatch(words) and their_pattern.fullmatch(theirs) and
                    our_pattern.fullmatch(ours)):
                self.met.add(index)
                return True
        return False

    def unmet(self):
        return [KNOWN[index][0] + ': ' + KNOWN[index][3]
                for index in range(len(self.entries)) if index not in self.met]


def random_rule(args):
    """The rule for a command that no line gives one to; None: byte by byte."""
    words = [arg.upper() for arg in args[:2]]
    if words[1:] == [b'HELP']:
        return help_text
    if words[0] == b'COMMAND' and len(words) > 1:
        if len(args) == 2 and words[1] in (b'LIST', b'INFO'):
            return kind
        return RANDOM_RULES.get(b' '.join(words))
    return RANDOM_RULES.get(b' '.join(words)) or RANDOM_RULES.get(words[0])


def same(line, theirs, ours):
    """`theirs` and `ours` are (value, bytes)."""
    if theirs[1] == ours[1]:
        return True
    rule = RULES[line.rule] if line.rule else COMMAND_RULES.get(line.args[0].upper())
    return rule is not None and rule(theirs[0], ours[0])
