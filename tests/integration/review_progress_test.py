"""Replies in order, and every command ends: pipelines that meet each other, latches and
refusals."""

import threading
import time

import harness
from harness import ReplyError, Server, check_equal, encode

SHARDS = ('--shards', '3', '--enable-debug-command', 'yes')
ROUNDS = 8  # connections, since each lands on a shard of the kernel's choice


def group(name, count):
    """Keys that one shard owns."""
    return [f'{{{name}}}{i}' for i in range(count)]


def ask_all(client, commands):
    """A pipeline's replies; an error is a ReplyError among them."""
    client.socket.sendall(b''.join(encode(words) for words in commands))
    replies = []
    for _ in commands:
        try:
            replies.append(client.read())
        except ReplyError as error:
            replies.append(error)
    return replies


def shown(replies):
    return ['error' if isinstance(reply, ReplyError) else reply for reply in replies]


def test_a_refused_command_waits_behind_writes(program, folder):
    with Server(program, folder, *SHARDS) as server:
        for i in range(ROUNDS):
            with server.client() as client:
                writes = [('SET', key, i) for key in group(f'w{i}', 16)]
                got = ask_all(client, writes + [('NOSUCH',), ('GET',), ('ECHO', 'end')])
                check_equal(shown(got), ['OK'] * 16 + ['error', 'error', b'end'])


def test_a_refused_command_between_reads_keeps_its_place(program, folder):
    with Server(program, folder, *SHARDS) as server:
        for i in range(ROUNDS):
            with server.client() as client:
                first, second = group(f'r{i}', 2)
                check_equal(client('MSET', first, '1', second, '2'), 'OK')
                got = ask_all(
                    client, [('GET', first), ('NOSUCH',), ('GET', second), ('GET',), ('GET', first)]
                )
                check_equal(shown(got), [b'1', 'error', b'2', 'error', b'1'])


def test_batches_and_commands_over_shards_let_each_other_go_on(program, folder):
    keys = [f'shared{i}' for i in range(6)]
    spread = [word for key in keys for word in (key, '0')]
    failures = []

    def repeat(server, commands):
        try:
            with server.client() as client:
                for _ in range(150):
                    for reply in ask_all(client, commands):
                        if isinstance(reply, ReplyError):
                            raise reply
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    with Server(program, folder, *SHARDS) as server:
        work = [[('MSET', *spread)] * 8] * 3
        work += [[('INCR', key)] * 4 + [('GET', key)] * 4 for key in keys]
        work += [[('MGET', *keys)] * 8]
        threads = [threading.Thread(target=repeat, args=(server, commands)) for commands in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_equal(failures, [])
        check_equal(server.stop(), 0)


def test_more_commands_over_shards_than_coroutines(program, folder):
    keys = [f'many{i}' for i in range(6)]
    with Server(program, folder, *SHARDS) as server:
        with server.client() as client:
            check_equal(client('MSET', *[word for key in keys for word in (key, 'v')]), 'OK')
            got = ask_all(client, [('MGET', *keys)] * 2000 + [('DBSIZE',)] * 1500)
            check_equal(got, [[b'v'] * 6] * 2000 + [6] * 1500)
        clients = [server.client() for _ in range(1500)]
        for client in clients:
            client.send('MSET', *[word for key in keys for word in (key, 'w')])
        check_equal([client.read() for client in clients], ['OK'] * len(clients))
        for client in clients:
            client.close()


def test_removed_keys_are_absent_for_the_rest_of_the_command(program, folder):
    with Server(program, folder, *SHARDS) as server, server.client() as client:
        seeds = group('t', 30)
        check_equal(client('MSET', *[word for key in seeds for word in (key, 'v')]), 'OK')
        check_equal(client('DEBUG', 'SET-ACTIVE-EXPIRE', '0'), 'OK')
        check_equal(client('DEBUG', 'CHECKPOINT'), 'OK')
        check_equal(client('SET', '{t}twice', 'v', 'NX'), 'OK')
        check_equal(ask_all(client, [('DEL', '{t}twice', '{t}twice'), ('ECHO', 'x')]), [1, b'x'])
        for command, wanted in (
            (('MGET', '{t}gone', '{t}0'), [None, b'v']),
            (('EXISTS', '{t}gone', '{t}gone'), 0),
            (('DEL', '{t}gone'), 0),
        ):
            check_equal(client('SET', '{t}gone', 'v', 'NX', 'PX', '1'), 'OK')
            time.sleep(0.01)
            check_equal(ask_all(client, [command, ('ECHO', 'x')]), [wanted, b'x'])


def test_a_key_too_long_is_absent(program, folder):
    with Server(program, folder, *SHARDS) as server:
        for i in range(ROUNDS):
            with server.client() as client:
                short = f'{{l{i}}}'
                long = short + 'x' * 3000
                ask_all(client, [('SET', short, '1'), ('DEBUG', 'CHECKPOINT')])
                got = ask_all(
                    client,
                    [
                        ('GET', short),
                        ('GETSET', long, 'v'),
                        ('GET', long),
                        ('SET', long, 'v', 'GET'),
                        ('EXISTS', long, short, f'other{i}'),
                    ],
                )
                check_equal(shown(got), [b'1', 'error', None, 'error', 1])


def test_time_to_live_counts_from_the_command(program, folder):
    with Server(program, folder, '--shards', '1') as server, server.client() as client:
        for i in range(20):
            time.sleep(0.02 + 0.004 * i)  # the shard sleeps, its clock stands still
            before = time.monotonic()
            check_equal(client('SET', 'key', 'v', 'PX', '10000'), 'OK')
            left = client('PTTL', 'key')
            passed = (time.monotonic() - before) * 1000
            if not 10000 - passed - 2 <= left <= 10000:
                raise AssertionError(f'{left} ms are left of 10000 after {passed}')


def test_a_shutdown_waits_for_a_save_in_the_background(program, folder):
    for mode in ('NOSAVE', 'SAVE'):
        with Server(program, folder, *SHARDS) as server, server.client() as client:
            ask_all(client, [('SET', f'key{i}', 'v' * 500) for i in range(20000)])
            ask_all(client, [('BGSAVE',)])
            client.send('SHUTDOWN', mode)
            check_equal(server.wait(), 0)


def test_monitor_shows_each_command_once(program, folder):
    with Server(program, folder, *SHARDS) as server:
        for i in range(ROUNDS):
            with server.client() as monitor, server.client() as client:
                check_equal(monitor('MONITOR'), 'OK')
                ask_all(client, [('GET', key) for key in group(f'm{i}', 10)] + [('ECHO', 'end')])
                lines = [monitor.read()]
                while '"end"' not in lines[-1]:
                    lines.append(monitor.read())
                check_equal(len([line for line in lines if '"GET"' in line]), 10)


def test_half_closed_connections_get_all_replies(program, folder):
    with Server(program, folder, *SHARDS) as server:
        for i in range(ROUNDS):
            with server.client() as client:
                commands = [
                    ('MSET', 'a', i, 'b', i, 'c', i),
                    ('MGET', 'a', 'b', 'c'),
                    ('NOSUCH',),
                    ('GET', 'a'),
                    ('DBSIZE',),
                ] * 40
                wanted = ['OK', [b'%d' % i] * 3, 'error', b'%d' % i, 3] * 40
                check_equal(shown(ask_all(client, commands)), wanted)
                client.socket.sendall(b''.join(encode(words) for words in commands))
                client.socket.shutdown(harness.socket.SHUT_WR)
                check_equal(shown([read(client) for _ in commands]), wanted)


def read(client):
    try:
        return client.read()
    except ReplyError as error:
        return error


harness.main(globals())
