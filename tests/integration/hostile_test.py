"""Clients that mean harm, or know no better: others are served, and memory is bounded by what came.

What a single connection may do is tested in tests/unit/net; here are whole servers, many such
clients at once, and the figures of INFO. Nothing is measured in time. Memory is looked at only with
jemalloc: under a sanitizer what is freed is kept, and nothing can be said.
"""

import os
import resource
import select
import socket
import threading

import harness
from harness import Client, Server, check_equal, check_in, encode

WAIT_S = 300  # a limit for hangs, not an expectation
KIB = 1024
MIB = 1024 * KIB


# ---- tools ----


class Memory:
    """What the server uses beyond what it used when this was made."""

    def __init__(self, client):
        self.client = client
        info = client.info('memory')
        self.is_known = info['mem_allocator'].startswith('jemalloc')
        self.used = int(info['used_memory'])
        self.resident = int(info['used_memory_rss'])

    def check_at_most(self, limit):
        if self.is_known:
            used = int(self.client.info('memory')['used_memory']) - self.used
            check_at_most(used, limit, 'bytes more are used')

    def check_resident_at_most(self, limit):
        if self.is_known:
            resident = int(self.client.info('memory')['used_memory_rss']) - self.resident
            check_at_most(resident, limit, 'bytes more are resident')


def check_at_most(got, limit, what):
    if got > limit:
        raise AssertionError(f'{got} {what}, at most {limit} were expected')


def allow_files():
    """As many as the machine allows, for this program and the servers it starts; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def small_window(server):
    """A connection that takes little before the server notices that nobody reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    connection.settimeout(WAIT_S)
    connection.connect(('127.0.0.1', server.port))
    return connection


def push_until_closed(connection, data):
    """Sends again and again and reads nothing, until the server has closed; bytes sent."""
    connection.setblocking(False)
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    sent = 0
    while True:
        events = poll.poll(WAIT_S * 1000)
        if not events:
            raise AssertionError(f'still open after {sent} bytes')
        if events[0][1] & (select.POLLHUP | select.POLLERR):
            return sent
        try:
            sent += connection.send(data)
        except BlockingIOError:
            pass
        except ConnectionError:
            return sent


def push_until_stuck(connection, data, limit):
    """Sends until the server reads no more, or `limit` bytes are sent; bytes sent."""
    connection.setblocking(False)
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    sent = 0
    while sent < limit and poll.poll(500):
        at = sent % len(data)
        try:
            sent += connection.send(data[at:at + 64 * KIB])
        except BlockingIOError:
            pass
    connection.settimeout(WAIT_S)
    return sent


def all_until_closed(connection):
    """What still comes."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionError:
        pass
    return b''.join(parts)


def unread_bytes(client):
    """Of all connections but the asking one, by CLIENT LIST: its qbuf fields."""
    own = client('client', 'id')
    total = 0
    for line in client.text('client', 'list').splitlines():
        fields = dict(field.split('=', 1) for field in line.split(' '))
        if int(fields['id']) != own:
            total += int(fields['qbuf'])
    return total


def await_unread(client, count):
    """Until the server has received what was sent and keeps it as half a command."""
    while unread_bytes(client) < count:
        pass


def await_clients(client, count):
    while int(client.info('clients')['connected_clients']) != count:
        pass


# ---- before AUTH ----


def test_a_stranger_has_ten_arguments_of_16_kib(program, folder):
    with Server(program, folder, '--requirepass', 'secret') as server:
        bulk = b'x' * 16384
        with server.client() as client:
            check_in('NOAUTH', client.error('mget', *[bulk] * 9))
            check_equal(client('auth', 'secret'), 'OK')
            check_equal(client('mget', *[bulk + b'x'] * 10), [None] * 10)
        for request, error in (
            (b'*11\r\n', b'-ERR Protocol error: unauthenticated multibulk length\r\n'),
            (b'*2\r\n$3\r\nGET\r\n$16385\r\n',
             b'-ERR Protocol error: unauthenticated bulk length\r\n'),
        ):
            with server.client() as client:
                client.socket.sendall(request)
                check_equal(all_until_closed(client.socket), error)


def test_a_stranger_that_does_not_read_is_closed_and_costs_nothing(program, folder):
    with Server(program, folder, '--requirepass', 'secret') as server, server.client() as client:
        check_equal(client('auth', 'secret'), 'OK')
        memory = Memory(client)
        strangers = [small_window(server) for _ in range(8)]
        threads = [threading.Thread(target=push_until_closed,
                                    args=(stranger, encode(['get', 'a']) * 500))
                   for stranger in strangers]
        for thread in threads:
            thread.start()
        while int(client.info('clients')['connected_clients']) > 1:
            # What the kernel had handed over when receiving paused comes on top of 64 KiB: about a
            # megabyte each, more or less.
            memory.check_at_most(12 * MIB)
        for thread in threads:
            thread.join()
        for stranger in strangers:
            stranger.close()
        check_equal(client('set', 'a', 'b'), 'OK')


def test_strangers_with_half_commands_cost_what_they_send(program, folder):
    count = 200
    half = b'*10\r\n' + b'$16384\r\n%s\r\n' % (b'x' * 16384) * 3 + b'$16384\r\nx'
    with Server(program, folder, '--requirepass', 'secret') as server, server.client() as client:
        check_equal(client('auth', 'secret'), 'OK')
        memory = Memory(client)
        strangers = [server.client() for _ in range(count)]
        for stranger in strangers:
            stranger.socket.sendall(half)
        await_unread(client, count * len(half))
        memory.check_at_most(4 * count * len(half) + 64 * KIB)
        for stranger in strangers:
            stranger.close()
        await_clients(client, 1)
        memory.check_at_most(8 * MIB)


# ---- what is declared, and what comes ----


def test_nothing_is_allocated_for_what_is_only_declared(program, folder):
    count = 500
    half = b'*1048576\r\n$536870912\r\nabc'
    with Server(program, folder, '--shards', '2') as server, server.client() as client:
        others = [server.client() for _ in range(count)]
        for other in others:
            check_equal(other('ping'), 'PONG')
        memory = Memory(client)
        for other in others:
            other.socket.sendall(half)
        await_unread(client, count * len(half))
        # Beyond what came: a parser and the smallest buffer for each.
        memory.check_at_most(4 * count * len(half) + count * KIB + 64 * KIB)
        for other in others:
            other.close()


def test_lines_that_do_not_end_cost_what_came_and_end_at_64_kib(program, folder):
    count = 100
    line = b'x' * 65536
    with Server(program, folder) as server, server.client() as client:
        memory = Memory(client)
        others = [server.client() for _ in range(count)]
        for other in others:
            other.socket.sendall(line)
        await_unread(client, count * len(line))
        memory.check_at_most(4 * count * len(line) + 64 * KIB)
        check_equal(client('set', 'a', 'b'), 'OK')
        for other in others:
            other.socket.sendall(b'x')
            check_equal(all_until_closed(other.socket),
                        b'-ERR Protocol error: too big inline request\r\n')
            other.close()


def test_large_values_that_do_not_end_cost_what_came(program, folder):
    count = 20
    part = b'x' * MIB
    with Server(program, folder) as server, server.client() as client:
        memory = Memory(client)
        others = [server.client() for _ in range(count)]
        for other in others:
            other.socket.sendall(b'*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\n' + part)
        await_unread(client, count * len(part))
        memory.check_at_most(4 * count * len(part) + 64 * KIB)
        for other in others:
            other.close()
        await_clients(client, 1)
        check_equal(client('get', 'a'), None)


BROKEN = (
    (b'*2147483648\r\n', 'invalid multibulk length'),
    (b'*1048577\r\n', 'invalid multibulk length'),
    (b'*99999999999999999999\r\n', 'invalid multibulk length'),
    (b'*x\r\n', 'invalid multibulk length'),
    (b'*1\r\n:1\r\n', "expected '$', got ':'"),
    (b'*1\r\n\r\n', "expected '$', got '?'"),
    (b'*1\r\n$-1\r\n', 'invalid bulk length'),
    (b'*1\r\n$536870912\r\n', 'invalid bulk length'),
    (b'*1\r\n$99999999999999999999\r\n', 'invalid bulk length'),
    (b'*1\r\n$+4\r\nPING\r\n', 'invalid bulk length'),
    (b'get "a\r\n', 'unbalanced quotes in request'),
)


def test_what_is_not_the_protocol_ends_that_connection_alone(program, folder):
    with Server(program, folder, '--proto-max-bulk-len', '1mb') as server, server.client() as other:
        for data, error in BROKEN:
            with server.client() as client:
                client.socket.sendall(encode(['ping']) + data)
                replies = all_until_closed(client.socket)
                check_equal(replies[:7], b'+PONG\r\n')
                check_in(error, replies.decode())
                check_equal(replies.count(b'\r\n'), 2)
            check_equal(other('ping'), 'PONG')


def test_ends_of_lines_are_cr_and_lf_and_nothing_else(program, folder):
    with Server(program, folder) as server, server.client() as other:
        for data in (b'*1\n$4\nPING\n', b'*1\r\n$4\r\nPING\n\r', b'*1\r\n$4\r\nPINGxx',
                     b'*1\r\n$4\r\nPING\rx', b'*1\rx$4\r\nPING\r\n', b'*1\r\n$4\rxPING\r\n'):
            with server.client() as client:
                # What follows would be a command to a parser that takes less for an end.
                client.socket.sendall(data + encode(['set', 'forged', 'x']))
                client.socket.shutdown(socket.SHUT_WR)
                replies = all_until_closed(client.socket)
                check_equal(b'+OK' in replies or b'+PONG' in replies, False)
            check_equal(other('exists', 'forged'), 0)


def test_empty_requests_leave_nothing_behind(program, folder):
    empty = (b'*0\r\n', b'*-1\r\n', b'*-2147483648\r\n', b'\r\n', b'   \r\n')
    with Server(program, folder) as server, server.client() as client:
        for first in empty:
            for second in empty:
                client.socket.sendall(first + encode(['incr', 'n']) + second + first
                                      + encode(['echo', second]))
                check_equal(isinstance(client.read(), int), True)
                check_equal(client.read(), second)
        check_equal(client.text('get', 'n'), str(len(empty) ** 2))


# ---- slow ones ----


def test_commands_that_come_byte_by_byte_from_many_are_carried_out(program, folder):
    count = 50
    with Server(program, folder, '--shards', '2') as server, server.client() as other:
        clients = [server.client() for _ in range(count)]
        requests = [encode(['set', f'key {n}', 'v' * n]) for n in range(count)]
        for at in range(max(len(request) for request in requests)):
            for client, request in zip(clients, requests):
                client.socket.sendall(request[at:at + 1])
            if at % 8 == 0:
                check_equal(other('ping'), 'PONG')
        for number, client in enumerate(clients):
            check_equal(client.read(), 'OK')
            check_equal(other.text('get', f'key {number}'), 'v' * number)
            client.close()


def test_who_does_not_read_waits_and_then_gets_every_reply(program, folder):
    value = os.urandom(100 * KIB)
    request = encode(['get', 'large'])
    reply = b'$%d\r\n%s\r\n' % (len(value), value)
    with Server(program, folder, '--shards', '2', '--client-output-buffer-limit', 'normal', '0',
                '0', '0') as server, server.client() as client:
        check_equal(client('set', 'large', value), 'OK')
        memory = Memory(client)
        # Replies of 1 GB are asked for by each.
        readers = [small_window(server) for _ in range(4)]
        sent = [push_until_stuck(reader, request * 10000, 10000 * len(request))
                for reader in readers]
        memory.check_at_most(4 * 40 * MIB)
        check_equal(client('set', 'other', 'x'), 'OK')
        check_equal(client('get', 'large') == value, True)
        for reader, bytes_sent in zip(readers, sent):
            file = reader.makefile('rb')
            for _ in range(min(bytes_sent // len(request), 500)):
                check_equal(file.read(len(reply)) == reply, True)
            file.close()
            reader.close()
        await_clients(client, 1)
        memory.check_at_most(16 * MIB)


def test_who_does_not_read_is_closed_at_the_limit(program, folder):
    # One shard: of commands that another one answers, up to 128 may be under way beyond the limit.
    with Server(program, folder, '--shards', '1', '--client-output-buffer-limit', 'normal', '1mb',
                '0', '0') as server, server.client() as client:
        check_equal(client('mset', *[word for n in range(1000) for word in (n, b'y' * 2000)]), 'OK')
        memory = Memory(client)
        for _ in range(4):
            with small_window(server) as reader:
                # One reply of 2 MB: nothing can be held back.
                push_until_closed(reader, encode(['mget', *range(1000)]))
            memory.check_at_most(8 * MIB)
            check_equal(client('ping'), 'PONG')


def test_a_monitor_that_does_not_read_is_closed_at_the_limit(program, folder):
    with Server(program, folder, '--shards', '2', '--client-output-buffer-limit',
                'normal', '1mb', '0', '0') as server, server.client() as client:
        monitors = [small_window(server) for _ in range(8)]
        for monitor in monitors:
            monitor.sendall(encode(['monitor']))
            check_equal(monitor.recv(5), b'+OK\r\n')
        memory = Memory(client)
        value = b'x' * 100 * KIB
        for _ in range(200):
            check_equal(client('set', 'a', value), 'OK')
            if int(client.info('clients')['connected_clients']) == 1:
                break
        await_clients(client, 1)
        memory.check_at_most(24 * MIB)
        for monitor in monitors:
            monitor.close()


# ---- many ----


def test_ten_thousand_idle_connections_cost_2_kib_each(program, folder):
    count = min(10000, allow_files() - 200) - 1
    path = folder + '/socket'
    with Server(program, folder, '--unixsocket', path, '--maxclients', str(count + 1), '--shards',
                '2') as server, server.client() as client:
        check_equal(client('set', 'a', 'b'), 'OK')
        memory = Memory(client)
        idle = []
        for _ in range(count):
            idle.append(socket.socket(socket.AF_UNIX))
            idle[-1].connect(path)
        for connection in idle:
            connection.sendall(encode(['get', 'a']))
        for connection in idle:
            check_equal(connection.recv(100), b'$1\r\nb\r\n')
        check_equal(int(client.info('clients')['connected_clients']), count + 1)
        # The tables of connections, and the buffers that all share, beside.
        memory.check_at_most(2 * KIB * count + MIB)
        memory.check_resident_at_most(2 * KIB * count + 8 * MIB)
        with Client(path) as refused:
            check_in(b'max number of clients reached', refused.read_line())
        check_equal(client.text('get', 'a'), 'b')
        for connection in idle:
            connection.close()
        await_clients(client, 1)


def test_storms_of_client_kill(program, folder):
    rounds = 20
    with Server(program, folder, '--shards', '2') as server, server.client() as client:
        check_equal(client('set', 'a', b'x' * 10000), 'OK')
        threads = [threading.Thread(target=storm, args=(server, number, rounds))
                   for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
        with server.client() as last:
            await_clients(last, 1)
            check_equal(last('set', 'a', 'b'), 'OK')
            check_equal(last.text('get', 'a'), 'b')


def storm(server, number, rounds):
    """Opens connections, has them busy, kills them and those of others in every way there is."""
    work = b''.join(encode(words) for words in (['get', 'a'], ['mset', 'b', 1, 'c', 2],
                                                ['client', 'list'], ['keys', '*'])) * 50
    filters = (['type', 'normal'], ['skipme', 'no', 'type', 'normal'], ['user', 'default'],
               ['maxage', '0'], ['id', '1'], ['laddr', f'127.0.0.1:{server.port}'])
    for turn in range(rounds):
        victims = [server.client() for _ in range(8)]
        killer = server.client()
        for victim in victims:
            swallow(victim.socket.sendall, work)
        try:
            killer('client', 'kill', *filters[(number + turn) % len(filters)])
            for victim in victims:
                killer('client', 'kill', 'id', victim_id(victim))
        except (ConnectionError, harness.ReplyError):
            pass  # killed by another
        for victim in victims:
            victim.close()
        killer.close()


def victim_id(victim):
    """Some number near its id, without asking."""
    return victim.socket.fileno() * 7 % 500 + 1


def swallow(call, *arguments):
    try:
        call(*arguments)
    except ConnectionError:
        pass


# ---- arguments ----


def test_patterns_made_to_take_long_end(program, folder):
    key = 'a' * 1000
    patterns = ('a*' * 40 + 'b', '*a' * 40 + '*b', '[a-z]*' * 40 + 'b', '?*' * 100 + 'b',
                '*' * 1000 + 'b', '[^b]*' * 40 + 'b', '\\a*' * 40 + 'b', '[' * 1000, '*[' * 500)
    with Server(program, folder) as server, server.client() as client:
        for number in range(20):
            check_equal(client('set', key + str(number), 'x'), 'OK')
        for pattern in patterns:
            check_equal(client('keys', pattern), [])
            check_equal(client('scan', '0', 'match', pattern, 'count', '1000')[1], [])
            check_equal(client('config', 'get', pattern), [])
            client('command', 'list', 'filterby', 'pattern', pattern)
        check_equal(len(client('keys', 'a*' * 40)), 20)


EDGES = ('-9223372036854775809', '-9223372036854775808', '-9223372036854775807', '-4294967297',
         '-4294967296', '-2147483649', '-2147483648', '-1', '-0', '9223372036854775806',
         '9223372036854775807', '9223372036854775808', '18446744073709551615',
         '18446744073709551616', '4294967295', '4294967296', '99999999999999999999999', '', ' ',
         '+1', '01', '1 ', ' 1', '1e3', '0x10', '1\x000', 'nan', 'inf', '-')
INTEGERS = (
    ('incrby', 'n', None), ('decrby', 'n', None), ('setex', 'k', None, 'v'),
    ('psetex', 'k', None, 'v'), ('set', 'k', 'v', 'ex', None), ('set', 'k', 'v', 'px', None),
    ('set', 'k', 'v', 'exat', None), ('set', 'k', 'v', 'pxat', None), ('getex', 'k', 'ex', None),
    ('getex', 'k', 'pxat', None), ('expire', 'n', None), ('pexpire', 'n', None),
    ('expireat', 'n', None), ('pexpireat', 'n', None), ('setrange', 'k', None, 'v'),
    ('getrange', 'k', None, '-1'), ('getrange', 'k', '0', None), ('substr', 'k', None, None),
    ('select', None), ('move', 'n', None), ('swapdb', '0', None), ('scan', None),
    ('scan', '0', 'count', None), ('client', 'kill', 'id', None),
    ('client', 'kill', 'maxage', None), ('client', 'pause', None, 'x'),
    ('client', 'unblock', None), ('slowlog', 'get', None), ('copy', 'k', 'l', 'db', None),
    ('hello', None), ('wait', '0', None), ('config', 'set', 'maxclients', None),
    ('config', 'set', 'hz', None), ('lcs', 'k', 'n', 'idx', 'minmatchlen', None),
    ('object', 'freq', None), ('debug', 'sleep', None), ('command', 'getkeys', 'set', None),
)  # fmt: skip


def test_integers_at_their_ends_are_taken_or_refused(program, folder):
    with Server(program, folder, '--shards', '2') as server, server.client() as client:
        memory = Memory(client)
        for form in INTEGERS:
            for edge in EDGES:
                if form[0] == 'client' and form[1] == 'kill' and edge.startswith('-'):
                    continue
                client('mset', 'k', 'value', 'n', '9223372036854775807')
                try:
                    client(*(edge if word is None else word for word in form))
                except harness.ReplyError:
                    pass
                # One reply for each, and the next in its place.
                check_equal(client.text('echo', edge), edge)
                client('select', '0')
        client('flushall')
        memory.check_at_most(4 * MIB)


def junk_commands(client):
    """Every command with arguments that are none, but those whose replies can't be counted."""
    junk = (b'\r\n+OK\r\n', b'\x00\xff\r\n:1\r\n', b'-ERR x\r', b'\n$-1\r\n')
    left_out = {'monitor', 'quit', 'shutdown', 'reset', 'sync', 'psync'}
    names = {name.decode() for name in client('command', 'list')} - left_out
    for name in sorted(names) + [b'no such\r\n+OK\r\n', b'\r\n', b'\x00', b'']:
        yield [name]
        for word in junk:
            yield [name, word]
            yield [name, word, word]
            yield [name, word, b'1', word]
            yield [name, b'key', word, word, word]
            for sub in (b'get', b'set', b'id', b'list', b'info', b'kill', b'help'):
                yield [name, sub, word]


def test_no_argument_can_forge_a_reply(program, folder):
    with Server(program, folder, '--requirepass', 'secret') as server:
        for protocol in ('2', '3'):
            with server.client() as client:
                # Before AUTH, too: these errors name what was sent.
                client.error(b'\r\n+OK\r\n', b'\r\n+OK\r\n')
                check_equal(isinstance(client('hello', protocol, 'auth', 'default', 'secret'),
                                       dict if protocol == '3' else list), True)
                for number, words in enumerate(list(junk_commands(client))):
                    marker = f'mark {number}'
                    client.send(*words)
                    client.send('echo', marker)
                    try:
                        client.read()
                    except harness.ReplyError as error:
                        check_equal('\r' in str(error) or '\n' in str(error), False)
                    except UnicodeDecodeError:
                        pass  # an error that quotes bytes as they are; still one line
                    check_equal(client.read(), marker.encode())


def test_commands_that_are_not_there_do_no_harm(program, folder):
    absent = ('subscribe', 'psubscribe', 'ssubscribe', 'unsubscribe', 'publish', 'eval', 'evalsha',
              'script', 'function', 'fcall', 'restore', 'dump', 'migrate', 'replicaof', 'sync',
              'psync', 'module', 'cluster', 'failover', 'acl', 'blpop', 'xread')  # fmt: skip
    with Server(program, folder) as server, server.client() as client:
        there = {name.decode() for name in client('command', 'list')}
        for name in absent:
            if name not in there:
                check_in('unknown command', client.error(name, 'a', '0', 'b'))
        check_in('DEBUG command not allowed', client.error('debug', 'sleep', '0'))
        check_equal(client('ping'), 'PONG')


harness.main(globals())
