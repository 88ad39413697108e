//! Several loops: a panic in one ends neither that loop nor the others.

#![cfg(all(unix, not(mio_unsupported_force_poll_poll)))]

use std::sync::mpsc;
use std::thread;

use socketserver::{Echo, LoopGroup, Options, Server};

use super::streams::Hostile;
use super::touches::{Value, at_each_touch};
use super::{PLACES, converse};
use crate::support::PATIENCE;

const LOOPS: usize = 2;

#[test]
fn a_panic_at_any_touch_costs_one_connection_of_one_loop() {
    at_each_touch(|touches| {
        let options = Options { max_connections: PLACES, ..Options::default() };
        let group = LoopGroup::new(LOOPS).options(options);
        let handle = group.handle();
        let (tell, told) = mpsc::channel();
        let shared = touches.clone();
        let running = thread::spawn(move || {
            group.serve(
                |_| (),
                |index, server: &mut Server| {
                    let made = shared.clone();
                    let factory: Value = shared.value("the drop of a factory");
                    let hostile = server.listen("127.0.0.1:0", move |_| {
                        let _ = &factory;
                        made.touch("factory");
                        Hostile::new(&made)
                    })?;
                    let echo = server.listen("127.0.0.1:0", |_| Echo)?;
                    if index + 1 == LOOPS {
                        let addr = |id| server.io().local_addr(id).unwrap();
                        tell.send((addr(hostile), addr(echo))).unwrap();
                    }
                    Ok(())
                },
            )
        });
        let (hostile, echo) = told.recv_timeout(PATIENCE).unwrap();
        for text in [&b"echo"[..], b"error", b"timer", b"offload"] {
            converse(&hostile, text).join().unwrap();
        }
        for _ in 0..2 * PLACES {
            assert_eq!(converse(&echo, b"still here").join().unwrap(), b"still here");
        }
        handle.shutdown(PATIENCE);
        let reports = running.join().unwrap().unwrap();
        assert_eq!(reports.iter().map(|one| one.report.forced).sum::<u64>(), 0);
        for one in &reports {
            assert_eq!((one.stats.live(), one.stats.pending_output()), (0, 0));
        }
    });
}
