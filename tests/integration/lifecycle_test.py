"""Starting and ending: data stays, exit codes are Redis's."""

import os
import signal
import socket
import time

import harness
from harness import Server, check_equal, check_in, check_match


def fill(server, count):
    with server.client() as client:
        for i in range(count):
            check_equal(client('set', f'key:{i}', f'value:{i}'), 'OK')


def check_filled(server, count):
    with server.client() as client:
        check_equal(client('dbsize'), count)
        for i in range(count):
            check_equal(client.text('get', f'key:{i}'), f'value:{i}')


def test_terminate_ends_with_zero_and_keeps_data(program, folder):
    with Server(program, folder) as server:
        fill(server, 300)
        check_equal(server.stop(signal.SIGTERM), 0)
        check_in('Received SIGTERM scheduling shutdown...', server.log())
        check_in('User requested shutdown...', server.log())
        check_in('is now ready to exit, bye bye...', server.log())
    with Server(program, folder) as server:
        check_filled(server, 300)


def test_interrupt_ends_with_zero(program, folder):
    with Server(program, folder) as server:
        fill(server, 10)
        check_equal(server.stop(signal.SIGINT), 0)
        check_in('Received SIGINT scheduling shutdown...', server.log())


def test_a_killed_server_has_lost_nothing(program, folder):
    for mode in ('always', 'everysec', 'no'):
        with Server(program, folder, '--appendfsync', mode) as server:
            fill(server, 300)
            server.kill()
        with Server(program, folder, '--appendfsync', mode) as server:
            check_filled(server, 300)


def test_opens_with_another_number_of_shards(program, folder):
    for shards in (1, 3, 2):
        with Server(program, folder, '--shards', str(shards)) as server:
            fill(server, 200)
            server.kill()
        with Server(program, folder, '--shards', str(shards % 3 + 1)) as server:
            check_filled(server, 200)
            check_equal(server.stop(), 0)


def test_posix_opens_what_uring_has_written(program, folder):
    with Server(program, folder) as server:
        fill(server, 200)
        check_equal(server.stop(), 0)
    with Server(program, folder, '--io-backend', 'posix') as server:
        check_filled(server, 200)
        with server.client() as client:
            check_equal(client.info()['io_backend'], 'posix')


def test_shutdown_by_a_client(program, folder):
    for how in ((), ('save',), ('nosave',)):
        with Server(program, folder) as server:
            fill(server, 50)
            with server.client() as client:
                client.send('shutdown', *how)
                check_equal(server.wait(), 0)
        with Server(program, folder) as server:
            check_filled(server, 50)


def slowly_stopping(server):
    """Has got SIGTERM during a command that does not end for a long time."""
    client = server.client()
    # They are taken together, so with the first one's reply the second one is under way.
    client.socket.sendall(harness.encode(['ping']) + harness.encode(['debug', 'sleep', '1000']))
    check_equal(client.read(), 'PONG')
    server.process.send_signal(signal.SIGTERM)
    server.wait_for('User requested shutdown')
    return client


def test_a_second_interrupt_ends_a_server_that_is_slow_to_stop(program, folder):
    for shards in ('1', '2'):
        with Server(program, folder, '--shards', shards, '--enable-debug-command',
                    'yes') as server:
            with server.client() as client:
                check_equal(client('set', 'a', shards), 'OK')
            with slowly_stopping(server):
                check_equal(server.stop(signal.SIGINT), 1)
            check_in('You insist... exiting now.', server.log())
        with Server(program, folder, '--shards', shards) as server, server.client() as client:
            check_equal(client.text('get', 'a'), shards)


def test_a_second_sigterm_changes_nothing(program, folder):
    """As with Redis: only SIGINT insists."""
    with Server(program, folder, '--enable-debug-command', 'yes') as server:
        with slowly_stopping(server):
            server.process.send_signal(signal.SIGTERM)
            check_equal(server.stop(signal.SIGINT), 1)


def test_the_first_lines_are_those_that_test_suites_wait_for(program, folder):
    with Server(program, folder) as server:
        check_match(rf' PID: {server.process.pid}\b', server.log())
        check_match(r'Ready to accept connections', server.log())


def test_a_port_in_use_is_an_error(program, folder):
    for shards in ('1', '2'):
        with Server(program, folder, '--shards', shards) as server:
            other = os.path.join(folder, 'other')
            code, text = harness.run(program, '--port', str(server.port), '--bind', '127.0.0.1',
                                     '--dir', other, '--shards', shards)
            check_equal(code, 1)
            check_in(f'Could not create server TCP listening socket 127.0.0.1:{server.port}: '
                     'bind: Address already in use', text)
            check_equal(os.path.exists(other), False)


def test_the_port_of_a_killed_server_is_waited_for(program, folder):
    """Its rings hold the port until the kernel has taken them down."""
    port = harness.free_port()
    for shards in (1, 2) * 4:
        with Server(program, folder, '--shards', str(shards), port=port) as server:
            clients = [server.client() for _ in range(20)]
            for client in clients:
                client.send('set', 'a', 'x' * 1000000)
            server.kill()
            for client in clients:
                client.close()


def test_a_flush_is_not_undone_by_a_kill_after_a_checkpoint(program, folder):
    """The checkpoint leaves no partition that needs the record of the flush."""
    for shards in (1, 2):
        with Server(program, folder, '--shards', str(shards), '--partitions', '4') as server, \
                server.client() as client:
            for i in range(100):
                client('set', f'old:{i}', 'x')
            client('save')
            client('flushall')
            for i in range(100):
                client('set', f'new:{i}', 'x')
            client('save')
            server.kill()
        with Server(program, folder, '--shards', str(shards)) as server, \
                server.client() as client:
            check_equal(client('dbsize'), 100)
            check_equal(client('get', 'new:7'), b'x')
            check_equal(client('get', 'old:7'), None)


def test_databases_can_be_added_after_a_flush(program, folder):
    for databases, last in ((2, 1), (5, 4), (7, 6)):
        for _ in range(2):
            with Server(program, folder, '--databases', str(databases)) as server, \
                    server.client() as client:
                if databases > 2:
                    client('select', '1')
                    check_equal(client('get', 'a'), b'in 1')
                    check_equal(client('dbsize'), 1)
                else:
                    client('flushall')
                client('select', str(last))
                check_equal(client('set', 'a', f'in {last}'), 'OK')
                check_equal(client('dbsize'), 1)
                server.kill()


def test_a_directory_that_can_not_be_made_is_an_error(program, folder):
    code, text = harness.run(program, '--port', str(harness.free_port()), '--dir',
                             folder + '/no/such/folder')
    check_equal(code, 1)
    check_in(folder + '/no/such/folder', text)


def test_another_number_of_partitions_is_an_error(program, folder):
    with Server(program, folder, '--partitions', '8') as server:
        check_equal(server.stop(), 0)
    with Server(program, folder) as server:
        with server.client() as client:
            check_equal(client.pairs('config', 'get', 'partitions'), {'partitions': '8'})
        check_equal(server.stop(), 0)
    code, text = harness.run(program, '--port', str(harness.free_port()), '--dir',
                             folder + '/data', '--partitions', '16')
    check_equal(code, 1)
    check_in('has 8 partitions, which can\'t be changed to 16', text)


def test_a_damaged_superblock_is_an_error(program, folder):
    with Server(program, folder) as server:
        check_equal(server.stop(), 0)
    path = folder + '/data/SUPER'
    with open(path, 'r+b') as file:
        file.write(b'x' * os.path.getsize(path))
    code, text = harness.run(program, '--port', str(harness.free_port()), '--dir',
                             folder + '/data')
    check_equal(code, 1)
    check_in(path, text)


def test_the_log_file_is_opened_again_on_hangup(program, folder):
    path = folder + '/eloqstore.log'
    with Server(program, folder, '--logfile', path, wait=False) as server:
        wait_for_file(path, 'Ready to accept')
        os.rename(path, path + '.1')
        server.process.send_signal(signal.SIGHUP)
        server.process.send_signal(signal.SIGTERM)
        check_equal(server.wait(), 0)
    with open(path + '.1', encoding='utf-8') as file:
        check_in('Ready to accept', file.read())
    with open(path, encoding='utf-8') as file:
        check_in('bye bye', file.read())


def wait_for_file(path, text):
    end = time.monotonic() + harness.START_TIMEOUT_S
    while True:
        if os.path.exists(path):
            with open(path, encoding='utf-8') as file:
                if text in file.read():
                    return
        if time.monotonic() > end:
            raise AssertionError(f'no {text!r} in {path}')
        time.sleep(0.01)


def test_the_pid_file_is_there_while_the_server_runs(program, folder):
    path = folder + '/server.pid'
    with Server(program, folder, '--pidfile', path) as server:
        with open(path, encoding='utf-8') as file:
            check_equal(file.read(), f'{server.process.pid}\n')
        check_equal(server.stop(), 0)
    check_equal(os.path.exists(path), False)


def test_the_service_manager_is_told(program, folder):
    path = folder + '/notify'
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(60)
        os.environ['NOTIFY_SOCKET'] = path
        try:
            with Server(program, folder, '--supervised', 'systemd') as server:
                check_in('READY=1', manager.recv(1000).decode())
                check_equal(server.stop(), 0)
                check_in('STOPPING=1', manager.recv(1000).decode())
        finally:
            del os.environ['NOTIFY_SOCKET']


harness.main(globals())
