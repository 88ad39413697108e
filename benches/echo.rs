//! Time of an echo over loopback TCP, this crate beside bare mio, with the same clients in one run
//! (criterion). An iteration is one message of every connection; criterion's throughput is messages
//! a second.
//!
//! Both servers are threads of this process, on one processor with the clients, so a figure is the
//! time of server and client together. `cost` measures the servers alone.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so and stop")]

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use support::client::{ANY_PORT, StreamClients};
use support::machine::{raise_descriptor_limit, share_one_processor};
use support::{bare, ours};

mod support;

fn echo(c: &mut Criterion) {
    raise_descriptor_limit();
    share_one_processor();
    let (ours, bare) = (start_ours(), start_bare());
    for size in [64, 16 << 10] {
        for connections in [1, 50, 1_000] {
            let mut group = c.benchmark_group(format!("echo/{size} B"));
            group.throughput(Throughput::Elements(connections as u64));
            for (name, addr) in [("ours", ours), ("bare", bare)] {
                let mut clients = StreamClients::connect(addr, connections, size).expect("clients");
                group.bench_function(BenchmarkId::new(name, connections), |b| {
                    b.iter(|| clients.round().expect("an echo"));
                });
            }
            group.finish();
        }
    }
}

/// Serves until the process exits.
fn start_ours() -> SocketAddr {
    start(|ready| {
        let (mut server, addr) = ours::listen(ANY_PORT)?;
        ready(addr);
        server.serve_forever()
    })
}

fn start_bare() -> SocketAddr {
    start(|ready| {
        let listener = bare::listen(ANY_PORT)?;
        ready(listener.local_addr()?);
        bare::serve(listener, None)
    })
}

fn start(serve: impl FnOnce(&dyn Fn(SocketAddr)) -> io::Result<()> + Send + 'static) -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || serve(&|addr| sender.send(addr).expect("a receiver")));
    receiver.recv().expect("the server starts")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = echo
}
criterion_main!(benches);
