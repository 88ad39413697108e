//! A client of Rust's `redis`, as its documentation has it: `redis-rs-client ADDR`.

use redis::{Commands, RedisResult, cmd, pipe, transaction};

fn main() -> RedisResult<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6379".into());
    for url in [format!("redis://{addr}/"), format!("redis://{addr}/?protocol=resp3")] {
        run(&url)?;
    }
    println!("all came back");
    Ok(())
}

fn run(url: &str) -> RedisResult<()> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_connection()?;
    let _: () = connection.set_ex("number", 1, 100)?;
    assert_eq!(connection.incr::<_, _, i64>("number", 41)?, 42);
    assert_eq!(connection.get::<_, Option<String>>("none")?, None);
    let large = vec![b'x'; 5 << 20];
    let _: () = connection.set("large", &large)?;
    assert!(connection.get::<_, Vec<u8>>("large")? == large);

    let both: (i64, Option<i64>) = pipe().get("number").get("none").query(&mut connection)?;
    assert_eq!(both, (42, None));
    let both: (i64, i64) =
        pipe().atomic().incr("number", 1).incr("number", 1).query(&mut connection)?;
    assert_eq!(both, (43, 44));
    let (after,): (i64,) = transaction(&mut connection, &["number"], |connection, pipe| {
        let before: i64 = connection.get("number")?;
        pipe.set("number", 2 * before).ignore().get("number").query(connection)
    })?;
    assert_eq!(after, 88);

    let info: redis::InfoDict = cmd("INFO").query(&mut connection)?;
    assert!(info.get::<String>("redis_version").is_some());
    let mut listener = client.get_connection()?;
    let mut messages = listener.as_pubsub();
    messages.subscribe("news")?;
    assert_eq!(connection.publish::<_, _, i64>("news", "hello")?, 1);
    assert_eq!(messages.get_message()?.get_payload::<String>()?, "hello");
    Ok(())
}
