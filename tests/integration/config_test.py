"""Configuration: files, arguments, CONFIG GET, SET and REWRITE."""

import os

import harness
from harness import ReplyError, Server, check_equal, check_in, run


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def test_an_unknown_directive_names_line_and_suggestion(program, folder):
    path = write(folder, 'a.conf', '# a comment\nport 7000\nmaxmemry 100mb\n')
    code, text = run(program, path)
    check_equal(code, 1)
    check_in('*** FATAL CONFIG FILE ERROR (', text)
    check_in("Reading the configuration file, at line 3\n>>> 'maxmemry 100mb'\n"
             "Bad directive or wrong number of arguments (did you mean 'maxmemory'?)", text)


def test_a_bad_argument_names_itself(program, folder):
    code, text = run(program, '--dir', folder + '/data', '--maxclients', 'many')
    check_equal(code, 1)
    check_in(""">>> 'maxclients "many"'\nargument couldn't be parsed into an integer""", text)


def test_a_missing_file_is_an_error(program, folder):
    code, text = run(program, folder + '/absent.conf')
    check_equal(code, 1)
    check_in('absent.conf', text)


def test_check_config(program, folder):
    good = write(folder, 'good.conf', 'port 7000\nsave 60 1\n')
    bad = write(folder, 'bad.conf', 'port 70000\n')
    check_equal(run(program, good, '--check-config')[0], 0)
    check_equal(run(program, '--check-config', bad)[0], 1)
    check_equal(run(program, '--check-config', '-', text_in='maxmemory 1gb\n')[0], 0)
    check_equal(run(program, '--check-config', '-', text_in='maxmemory lots\n')[0], 1)


def test_what_would_be_dangerous_to_ignore_is_refused(program, folder):
    for arguments in (('--cluster-enabled', 'yes'), ('--replicaof', '127.0.0.1', '7000'),
                      ('--user', 'default', 'on'), ('--daemonize', 'yes'),
                      ('--tls-port', '7000'), ('--rename-command', 'GET', '')):
        code, _ = run(program, '--dir', folder + '/data', '--check-config', *arguments)
        check_equal((arguments, code), (arguments, 1))


def test_version_and_help(program, folder):
    code, text = run(program, '--version')
    check_equal(code, 0)
    check_in('EloqStore server v=', text)
    check_in('compatible with redis 7.2.5', text)
    code, text = run(program, '--help')
    check_equal(code, 0)
    check_in('Usage:', text)


def test_healthcheck(program, folder):
    with Server(program, folder) as server:
        check_equal(run(program, '--healthcheck', '--port', str(server.port))[0], 0)
    check_equal(run(program, '--healthcheck', '--port', str(server.port))[0], 1)
    with Server(program, folder, '--requirepass', 'secret') as server:
        check_equal(run(program, '--healthcheck', '--port', str(server.port))[0], 0)


def test_arguments_override_the_file(program, folder):
    other = write(folder, 'other.conf', 'timeout 77\n')
    path = write(folder, 'a.conf', f'include {other}\nmaxclients 100\nmaxmemory 300mb\n'
                                   'hash-max-ziplist-entries 9\n')
    with Server(program, folder, path, '--maxclients', '200') as server, \
            server.client() as client:
        check_equal(client.pairs('config', 'get', 'maxclients', 'timeout', 'maxmemory'),
                    {'maxclients': '200', 'timeout': '77', 'maxmemory': str(300 << 20)})
        check_equal(client.pairs('config', 'get', 'hash-max-*-entries'),
                    {'hash-max-listpack-entries': '9', 'hash-max-ziplist-entries': '9'})
        check_in("'hash-max-listpack-entries' is accepted without effect", server.log())
        check_equal(client.info()['config_file'], path)


def test_get_returns_every_directive(program, folder):
    with Server(program, folder) as server, server.client() as client:
        values = client.pairs('config', 'get', '*')
        assert len(values) > 190, len(values)
        check_equal(values['save'], '3600 1 300 100 60 10000')
        check_equal(values['appendonly'], 'yes')
        check_equal(values['slave-read-only'], values['replica-read-only'])
        # Clients save all parameters and put them back.
        for name, value in values.items():
            try:
                check_equal(client('config', 'set', name, value), 'OK')
            except ReplyError as error:
                raise AssertionError(f'config set {name} {value!r}: {error}') from error
        check_equal(client.pairs('config', 'get', '*'), values)


def test_set_takes_all_pairs_or_none(program, folder):
    with Server(program, folder) as server, server.client() as client:
        check_equal(client('config', 'set', 'timeout', '10', 'maxmemory', '200mb', 'save',
                           '60 1 30 100'), 'OK')
        check_equal(client.pairs('config', 'get', 'timeout', 'save'),
                    {'timeout': '10', 'save': '60 1 30 100'})
        check_equal(client.error('config', 'set', 'timeout', '20', 'maxclients', 'x'),
                    "ERR CONFIG SET failed (possibly related to argument 'maxclients') - "
                    "argument couldn't be parsed into an integer")
        check_equal(client.pairs('config', 'get', 'timeout'), {'timeout': '10'})
        check_equal(client.error('config', 'set', 'port', '1'),
                    "ERR CONFIG SET failed (possibly related to argument 'port') - can't set "
                    'immutable config')
        check_equal(client.error('config', 'set', 'nosuch', '1'),
                    "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'")
        check_equal(client.error('config', 'set', 'timeout', '1', 'timeout', '2'),
                    "ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate "
                    'parameter')


def test_set_takes_effect_on_every_shard(program, folder):
    with Server(program, folder, '--shards', '3') as server, server.client() as client:
        check_equal(client('config', 'set', 'requirepass', 'secret'), 'OK')
        # Some of these connections are served by each shard.
        for _ in range(20):
            with server.client() as other:
                check_in('NOAUTH', other.error('get', 'a'))


def test_rewrite_keeps_comments_and_changes_lines(program, folder):
    path = write(folder, 'a.conf', '# my server\nmaxclients 100\n\n# patience\ntimeout 5\n'
                                   'timeout 6\nmaxmemory-samples 9\n')
    with Server(program, folder, path) as server, server.client() as client:
        check_equal(client('config', 'set', 'timeout', '7', 'slowlog-max-len', '3'), 'OK')
        check_equal(client('config', 'rewrite'), 'OK')
        port, data = server.port, folder + '/data'
    text = read(path)
    check_in('# my server\nmaxclients 100\n\n# patience\ntimeout 7\nmaxmemory-samples 9\n'
             '# Generated by CONFIG REWRITE\n', text)
    check_in('\nslowlog-max-len 3\n', text)
    check_in(f'\nport {port}\n', text)
    check_in(f'\ndir {data}\n', text)
    check_equal(run(program, path, '--check-config')[0], 0)


def test_rewrite_without_a_file_is_an_error(program, folder):
    with Server(program, folder) as server, server.client() as client:
        check_equal(client.error('config', 'rewrite'),
                    'ERR The server is running without a config file')


def test_resetstat_puts_counters_back(program, folder):
    with Server(program, folder) as server, server.client() as client:
        client('get', 'a')
        check_equal(client('config', 'resetstat'), 'OK')
        check_equal(client.info()['keyspace_misses'], '0')


harness.main(globals())
