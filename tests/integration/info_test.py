"""INFO: the fields that tools read, and where redis-cli looks for them."""

import socket

import harness
from harness import Server, check_equal, check_in

SECTIONS = ['Server', 'Clients', 'Memory', 'Persistence', 'Stats', 'Replication', 'CPU', 'Modules',
            'Commandstats', 'Errorstats', 'Cluster', 'Keyspace', 'Storage']

FIELDS = '''redis_version redis_git_sha1 redis_mode os arch_bits process_id run_id tcp_port
server_time_usec uptime_in_seconds uptime_in_days hz executable config_file eloqstore_version
io_backend connected_clients maxclients blocked_clients used_memory used_memory_human
used_memory_rss used_memory_peak total_system_memory maxmemory maxmemory_policy mem_allocator
mem_fragmentation_ratio loading rdb_changes_since_last_save rdb_bgsave_in_progress
rdb_last_save_time rdb_last_bgsave_status aof_enabled aof_rewrite_in_progress
aof_last_write_status total_connections_received total_commands_processed
instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes rejected_connections
expired_keys evicted_keys keyspace_hits keyspace_misses total_error_replies role connected_slaves
master_replid master_repl_offset used_cpu_sys used_cpu_user cluster_enabled cached_keys
storage_provider_read_hits storage_provider_read_misses page_reads log_used_bytes checkpoints
data_files live_bytes'''.split()


def sections_of(text):
    return [line[2:] for line in text.split('\r\n') if line.startswith('# ')]


def test_fields_of_all_sections(program, folder):
    with Server(program, folder, '--shards', '2') as server, server.client() as client:
        client('set', 'a', '1', 'ex', '1000')
        client('set', 'b', '2')
        client('get', 'a')
        client('get', 'absent')
        client.error('get')
        check_equal(sections_of(client.text('info', 'everything')), SECTIONS)
        info = client.info('all')
        for field in FIELDS:
            check_in(field, info)
        check_equal(info['redis_version'], '7.2.5')
        check_equal(info['tcp_port'], str(server.port))
        check_equal(info['process_id'], str(server.process.pid))
        check_equal(info['db0'], 'keys=2,expires=1,avg_ttl=0')
        check_equal(info['keyspace_hits'], '1')
        check_equal(info['keyspace_misses'], '1')
        check_equal(info['role'], 'master')
        check_in('calls=2,', info['cmdstat_get'])
        check_in('calls=2,', info['cmdstat_set'])


def test_sections_can_be_chosen(program, folder):
    with Server(program, folder) as server, server.client() as client:
        check_equal(sections_of(client.text('info', 'keyspace')), ['Keyspace'])
        check_equal(sections_of(client.text('info', 'cpu', 'SERVER')), ['Server', 'CPU'])
        default = [name for name in SECTIONS if name != 'Commandstats']
        check_equal(sections_of(client.text('info')), default)
        check_equal(sections_of(client.text('info', 'default')), default)
        check_equal(client.text('info', 'nosuch'), '')


def test_redis_cli_finds_its_fields_first(program, folder):
    """redis-cli --stat takes the first place where the name of a field occurs."""
    with Server(program, folder) as server, server.client() as client:
        text = client.text('info')
        for field in ('used_memory:', 'connected_clients:', 'blocked_clients:',
                      'total_commands_processed:', 'total_connections_received:'):
            check_equal(text.count('\r\n' + field), 1)
        at = text.index('used_memory')
        check_equal(text[at - 2:at + 12], '\r\nused_memory:')
        at = text.index('loading')
        check_equal(text[at - 2:at + 10], '\r\nloading:0\r')


def test_maxmemory_tells_what_is_in_force(program, folder):
    with Server(program, folder, '--maxmemory', '123mb') as server, server.client() as client:
        check_equal(client.info('memory')['maxmemory'], str(123 << 20))
        check_equal(client('config', 'set', 'maxmemory', '0'), 'OK')
        assert int(client.info('memory')['maxmemory']) > 123 << 20


def error_counts(info):
    return {name[len('errorstat_'):]: int(value.split('=')[1])
            for name, value in info.items() if name.startswith('errorstat_')}


def test_errors_are_counted_by_their_code(program, folder):
    """Whether a command failed, was rejected, or isn't one; on whichever shard it ran."""
    with Server(program, folder, '--shards', '2') as server, server.client() as client:
        client('config', 'resetstat')
        check_equal(error_counts(client.info('everything')), {})
        check_equal(client.info('stats')['total_error_replies'], '0')
        for i in range(20):
            client('set', 'key:%d' % i, 'text')
            client.error('incr', 'key:%d' % i)
        client.error('get')
        client.error('nosuch')
        client.error('hello', '9')
        client.error('auth', 'default', 'wrong', 'more')
        check_equal(error_counts(client.info('errorstats')), {'ERR': 23, 'NOPROTO': 1})
        info = client.info('everything')
        check_equal(info['total_error_replies'], '24')
        check_in('calls=20,', info['cmdstat_incr'])
        check_in('rejected_calls=0,failed_calls=20', info['cmdstat_incr'])
        check_in('rejected_calls=1,failed_calls=0', info['cmdstat_get'])
        client('config', 'resetstat')
        info = client.info('everything')
        check_equal(error_counts(info), {})
        check_equal(info['total_error_replies'], '0')
        assert 'cmdstat_incr' not in info


def test_protocol_errors_are_errors_too(program, folder):
    with Server(program, folder) as server, server.client() as client:
        client('config', 'resetstat')
        with socket.create_connection(('127.0.0.1', server.port)) as other:
            other.sendall(b'*1\r\n!')
            assert other.recv(100).startswith(b'-ERR Protocol error')
        check_equal(error_counts(client.info('errorstats')), {'ERR': 1})


harness.main(globals())
