"""The words that random commands are made of: edges of numbers, awkward bytes, few keys."""


def _around(numbers):
    """The numbers, and those next to them."""
    return [b'%d' % (number + step) for number in numbers for step in (-1, 0, 1)]


# Few, so that commands meet; keys with one tag, keys over all shards, awkward bytes. The longest
# one is as long as a key may be here.
KEYS = [b'a', b'b', b'c', b'd', b'e', b'{t}f', b'{t}g', b'', b'a\x00b\r\n', b'\xff{}', b'k' * 1536]
MISSING = [b'missing', b'{t}missing', b'm' * 1535]
DATABASES = [b'0', b'1', b'2', b'15']

EXACT = _around([0, 10, 2**31, 2**32, 2**53, 2**63 - 1, -(2**31), -(2**63)])
NOT_INTEGERS = [
    b'',
    b'abc',
    b'1.5',
    b' 1',
    b'1 ',
    b'+1',
    b'01',
    b'-0',
    b'0x10',
    b'1e3',
    b'1\x00',
    b'-',
    b'99999999999999999999',
    b'1' * 300,
]
INTEGERS = EXACT + [b'5', b'100', b'-100', b'18446744073709551615', b'18446744073709551616']
FLOATS = [
    b'0',
    b'-0',
    b'-0.0',
    b'0.1',
    b'-0.5',
    b'3.0e3',
    b'1e-10',
    b'1e308',
    b'-1e308',
    b'1.7976931348623157e308',
    b'1e4000',
    b'1e4932',
    b'1e5000',
    b'1e-5000',
    b'inf',
    b'-inf',
    b'+inf',
    b'Infinity',
    b'nan',
    b'-nan',
    b'nan(1)',
    b'0x1p4',
    b'.5',
    b'5.',
    b'+1.5',
    b'123456789.123456789123456789',
    b'0.1000000000000000055511151231257827',
    b'9' * 40,
    b'0.' + b'3' * 200,
    b'1e17',
    b'99999999999999999.5',
]
BINARY = [
    b'\x00',
    b'\r\n',
    b'a\nb',
    b'\xff\xfe\x00\r\n',
    b'\xc3\xa4',
    b'$5\r\nhello\r\n',
    b'*1\r\n',
]
TEXTS = [b'', b'v', b'hello world', b'x' * 44, b'x' * 45, b'"quoted" \'text\' \\', b'*', b'string']
LONG = [b'y' * 3000, b'z' * 5000, b'0123456789' * 7000]
VALUES = TEXTS + BINARY + EXACT + FLOATS[:10] + NOT_INTEGERS[:8]
JUNK = TEXTS + BINARY + INTEGERS + NOT_INTEGERS + FLOATS + [b'FOO', b'NX', b'EX', b'GET', b'DB']

OFFSETS = _around([0, 5, 44, 3000]) + [
    b'-3',
    b'-100',
    b'536870911',
    b'536870912',
    b'2147483648',
    b'4294967296',
    b'9223372036854775807',
    b'9223372036854775808',
    b'-9223372036854775808',
]
PATTERNS = [
    b'*',
    b'a*',
    b'[ab]',
    b'[^a]',
    b'[b-a]',
    b'[a',
    b'[a-',
    b'[\\a]',
    b'?',
    b'',
    b'{t}*',
    b'*g',
    b'a\\',
    b'\\a',
    b'**',
    b'*[',
    b'k*k',
    b'\xff*',
    b'a\x00*',
    b'zzz',
]

# Times far away, so that nothing expires while a stream runs.
AFTER_S = [b'33177117420', b'33177117421', b'33177117430', b'9223372036854775', b'9223372036854776']
AFTER_MS = [b'33177117420123', b'33177117420500', b'33177117421999', b'9223372036854775807']
BEFORE = [b'1', b'0', b'-1', b'-9223372036854775808', b'-9223372036854776', b'1600000000']
FOREVER_S = [b'9223372036854775', b'9223372036854776', b'9223372036854775807', b'9223370399119966']
FOREVER_MS = [b'9223372036854775807', b'9223370399119966000', b'9223372036854775808']
