"""Who may connect, and how: password, protected mode, unix socket, limits."""

import os
import socket
import stat
import subprocess

import harness
from harness import Client, Server, check_equal, check_in


def test_a_password_is_asked_for(program, folder):
    with Server(program, folder, '--requirepass', 'secret') as server, server.client() as client:
        check_equal(client.error('get', 'a'), 'NOAUTH Authentication required.')
        check_in('WRONGPASS', client.error('auth', 'guess'))
        check_equal(client('auth', 'secret'), 'OK')
        check_equal(client('get', 'a'), None)
        check_equal(client('config', 'set', 'requirepass', ''), 'OK')
        with server.client() as other:
            check_equal(other('get', 'a'), None)


def test_unix_socket(program, folder):
    path = folder + '/socket'
    with Server(program, folder, '--unixsocket', path, '--unixsocketperm', '750',
                '--shards', '2') as server:
        check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o750)
        with Client(path) as client, server.client() as other:
            check_equal(client('set', 'a', 'b'), 'OK')
            check_equal(other('get', 'a'), b'b')
        check_equal(server.stop(), 0)
    check_equal(os.path.exists(path), False)


def test_no_tcp_at_all(program, folder):
    path = folder + '/socket'
    command = [program, '--port', '0', '--unixsocket', path, '--dir', folder + '/data']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            while 'Ready to accept' not in process.stdout.readline():
                check_equal(process.poll(), None)
            with Client(path) as client:
                check_equal(client('ping'), 'PONG')
                check_equal(client.info()['tcp_port'], '0')
        finally:
            process.terminate()
            check_equal(process.wait(60), 0)


def foreign_address():
    """An address of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(('192.0.2.1', 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith('127.') else address


def test_protected_mode_sends_strangers_away(program, folder):
    address = foreign_address()
    if address is None:
        print('     (no address but loopback here)')
        return
    port = harness.free_port()
    command = [program, '--port', str(port), '--dir', folder + '/data']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            while 'Ready to accept' not in process.stdout.readline():
                check_equal(process.poll(), None)
            with Client((address, port)) as client:
                check_in('DENIED Redis is running in protected mode', client.error('ping'))
            with Client(('127.0.0.1', port)) as client:
                check_equal(client('ping'), 'PONG')
                check_equal(client('config', 'set', 'protected-mode', 'no'), 'OK')
            with Client((address, port)) as client:
                check_equal(client('ping'), 'PONG')
        finally:
            process.terminate()
            check_equal(process.wait(60), 0)


def test_maxclients(program, folder):
    with Server(program, folder, '--maxclients', '3') as server:
        clients = [server.client() for _ in range(3)]
        for client in clients:
            check_equal(client('ping'), 'PONG')
        with server.client() as other:
            check_in('max number of clients reached', other.error())
        check_equal(clients[0]('config', 'set', 'maxclients', '4'), 'OK')
        with server.client() as other:
            check_equal(other('ping'), 'PONG')
        for client in clients:
            client.close()


def test_clients_are_refused_and_others_served_when_descriptors_run_out(program, folder):
    for backend in ('uring', 'posix'):
        with Limited(program, folder, '--io-backend', backend) as server:
            first = server.client()
            check_equal(first('set', 'a', backend), 'OK')
            check_equal(first('config', 'set', 'maxclients', '10000'), 'OK')
            clients = []
            refusal = None
            while refusal is None:
                client = server.client()
                refusal = refusal_of(client)
                clients.append(client)
            check_equal(refusal, b'-ERR max number of clients reached\r\n')
            for _ in range(100):
                with server.client() as refused:
                    check_equal(refusal_of(refused), b'-ERR max number of clients reached\r\n')
            check_equal(clients[0].text('get', 'a'), backend)
            stats = first.info('stats')
            check_equal(int(stats['rejected_connections']) >= 101, True)
            check_equal(first('save'), 'OK')
            for client in clients:
                client.close()
            with served_client(server) as client:
                check_equal(client.text('get', 'a'), backend)
            first.close()
            check_equal(server.stop(), 0)


class Limited(Server):
    """A server that may have 128 files open."""

    def __init__(self, program, folder, *arguments):
        super().__init__('/bin/sh', folder, '-c', 'ulimit -n 128; exec "$0" "$@"', program,
                         *arguments)


def refusal_of(client):
    """What a client is told instead of the answer to PING; None if it is served."""
    try:
        client.send('ping')
        line = client.socket.recv(100)
    except ConnectionError:
        return b'-ERR max number of clients reached\r\n'
    return None if line == b'+PONG\r\n' else line


def served_client(server):
    """The server hears of clients that have gone when it comes to them."""
    while True:
        client = server.client()
        if refusal_of(client) is None:
            return client
        client.close()


harness.main(globals())
