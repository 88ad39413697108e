//! The example `kv` and Redis' clients as they are by default, which begin with `HELLO 3`.

use std::env;
use std::process::{Command, Stdio};

use crate::command::{Server, has, wait};
use crate::example_server;
use crate::program::python_with;

fn start() -> (Server, String) {
    let mut server = example_server::start("kv", &["127.0.0.1:0"]);
    let addr = example_server::addr(&mut server);
    (server, addr)
}

/// Runs a client, which says so at its end.
fn all_comes_back(client: &mut Command) {
    let client = client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = client.spawn().unwrap();
    wait(&mut child);
    let output = child.wait_with_output().unwrap();
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(said(&output.stdout), "all came back\n", "{}", said(&output.stderr));
}

const REDIS_PY: &str = r#"
import sys, redis

def of(r):
    assert r.ping() and r.set("a", 1) and r.get("a") == b"1" and r.get("none") is None
    assert r.set("a", 2, ex=100, get=True) == b"1" and r.ttl("a") in (99, 100)
    assert r.set("a", 3, nx=True) is None and r.expire("a", 200, gt=True)
    assert r.expireat("a", 33177117420) and r.expiretime("a") == 33177117420
    assert r.mset({"b": 2, "c": 3}) and r.mget("b", "none", "c") == [b"2", None, b"3"]
    assert r.pipeline().set("b", 1).incr("b").get("none").execute() == [True, 2, None]
    assert r.pipeline(transaction=False).get("b").get("b").execute() == [b"2", b"2"]
    with r.pipeline() as pipe:
        pipe.watch("b")
        pipe.multi()
        pipe.set("b", 5)
        r.set("b", 4)
        try:
            pipe.execute()
            raise AssertionError("a watched key was changed")
        except redis.WatchError:
            pass
    assert r.transaction(lambda pipe: pipe.multi() or pipe.incr("b"), "b") == [5]
    assert r.info()["redis_version"] and r.info("keyspace")["db0"]["keys"] == 3
    assert set(r.config_get("max*", "save")) >= {"maxmemory", "maxclients", "save"}
    assert r.client_setname("me") and r.client_getname() in ("me", b"me")
    assert "me" in [client["name"] for client in r.client_list()]
    assert any(client["lib-name"] == "redis-py" for client in r.client_list())
    messages = r.pubsub()
    messages.subscribe("news")
    assert messages.get_message(timeout=20)["type"] == "subscribe"
    assert r.publish("news", "hello") == 1
    assert messages.get_message(timeout=20)["data"] == b"hello"
    messages.ping()
    assert messages.get_message(timeout=20)["type"] == "pong"
    messages.close()
    large = b"x" * (20 << 20)
    assert r.set("large", large) and r.get("large") == large and r.strlen("large") == len(large)
    assert r.command_count() > 50 and r.flushall() and r.dbsize() == 0

port = int(sys.argv[1].rpartition(":")[2])
of(redis.Redis(port=port))
of(redis.Redis(port=port, protocol=2))
of(redis.Redis(port=port, protocol=3, client_name="named", username="default", password="any"))
print("all came back")
"#;

/// Python's `redis`, from where `REDIS_PYTHON` says, or else from any Python.
#[test]
fn redis_py_is_content() {
    let Some(mut python) = python_with("redis", "REDIS_PYTHON") else { return };
    let (_server, addr) = start();
    all_comes_back(python.args(["-c", REDIS_PY, &addr]));
}

/// Whether this npm package is where `NODE_PATH` says.
fn has_package(package: &str) -> bool {
    if !has("node") {
        return false;
    }
    let required = format!("require('{package}')");
    let found = Command::new("node").args(["-e", &required]).output().unwrap().status.success();
    if !found {
        println!(
            "skipped: the npm package {package} is not installed, or NODE_PATH does not name it"
        );
    }
    found
}

#[test]
fn node_redis_is_content() {
    if !has_package("redis") {
        return;
    }
    let script = r"
const { createClient } = require('redis');
const assert = require('assert');
(async () => {
  const client = createClient({ url: `redis://${process.argv[1]}` });
  client.on('error', (error) => { console.error(error); process.exit(1); });
  await client.connect();
  assert.strictEqual(await client.set('a', 'x', { EX: 100 }), 'OK');
  assert.strictEqual(await client.get('a'), 'x');
  assert.strictEqual(await client.get('none'), null);
  assert([99, 100].includes(await client.ttl('a')));
  assert.deepStrictEqual(await client.multi().set('b', 1).incr('b').get('none').exec(), ['OK', 2, null]);
  assert(/redis_version:/.test(await client.info()));
  assert.strictEqual((await client.configGet('save')).save, '');
  const other = client.duplicate();
  await other.connect();
  await client.watch('b');
  await other.set('b', 5);
  await assert.rejects(client.multi().set('b', 6).exec(), /watched keys has been changed/i);
  let hear;
  const heard = new Promise((resolve) => { hear = resolve; });
  await other.subscribe('news', (message) => hear(message));
  assert.strictEqual(await client.publish('news', 'hello'), 1);
  assert.strictEqual(await heard, 'hello');
  assert.strictEqual(await other.get('a'), 'x', 'a listener may ask with RESP3');
  await other.unsubscribe('news');
  const large = 'x'.repeat(5 << 20);
  await client.set('large', large);
  assert.strictEqual(await client.get('large'), large);
  await client.close();
  await other.close();
  console.log('all came back');
})().catch((error) => { console.error(error); process.exit(1); });
";
    let (_server, addr) = start();
    all_comes_back(Command::new("node").args(["-e", script, &addr]));
}

#[test]
fn ioredis_is_content() {
    if !has_package("ioredis") {
        return;
    }
    let script = r"
const Redis = require('ioredis');
const assert = require('assert');
(async () => {
  const port = process.argv[1].split(':').pop();
  const [client, listener] = [new Redis(port), new Redis(port)];
  assert.strictEqual(await client.set('a', 'x', 'EX', 100), 'OK');
  assert.strictEqual(await client.get('a'), 'x');
  const done = await client.multi().set('b', 1).incr('b').get('none').exec();
  assert.deepStrictEqual(done, [[null, 'OK'], [null, 2], [null, null]]);
  assert.deepStrictEqual(await client.pipeline().get('a').get('none').exec(), [[null, 'x'], [null, null]]);
  assert(/redis_version:/.test(await client.info()));
  const heard = new Promise((resolve) => listener.on('message', (_, message) => resolve(message)));
  assert.strictEqual(await listener.subscribe('news'), 1);
  assert.strictEqual(await client.publish('news', 'hello'), 1);
  assert.strictEqual(await heard, 'hello');
  const large = 'x'.repeat(5 << 20);
  await client.set('large', large);
  assert.strictEqual(await client.get('large'), large);
  await Promise.all([client.quit(), listener.quit()]);
  console.log('all came back');
})().catch((error) => { console.error(error); process.exit(1); });
";
    let (_server, addr) = start();
    all_comes_back(Command::new("node").args(["-e", script, &addr]));
}

/// Rust's `redis`: the program of `tests/redis_rs`, from where `REDIS_RS_CLIENT` says.
#[test]
fn redis_rs_is_content() {
    let Ok(client) = env::var("REDIS_RS_CLIENT") else {
        println!("skipped: REDIS_RS_CLIENT does not name the program of tests/redis_rs");
        return;
    };
    let (_server, addr) = start();
    all_comes_back(Command::new(client).arg(&addr));
}
