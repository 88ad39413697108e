//! Inside another loop: a server that glib, Python's asyncio or your own poll(2) steps.
//!
//! A program that has a loop already (a window, an interpreter, a game) need not give the server a thread.
//! The server needs three things of that loop:
//!
//! * **It watches the descriptor** of the server ([`AsFd`](std::os::fd::AsFd)) for input, level-triggered. It
//!   is readable when there are events: a client, bytes, or a call from another thread.
//! * **It waits no longer than** [`Server::poll_timeout`](crate::Server::poll_timeout) says, asked anew before
//!   each wait. Timers do not make the descriptor readable, and neither does work that the budgets of one turn
//!   have left; then it says zero.
//! * **After each wait it calls** [`Server::turn`](crate::Server::turn) with no wait, whatever ended the wait.
//!
//! Such a loop with poll(2):
//!
//! ```
//! # #[cfg(all(target_os = "linux", feature = "sys"))] {
//! use std::os::fd::AsFd;
//! use std::time::Duration;
//! use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
//! use socketserver::{Options, Server};
//!
//! let mut server = Server::with_shared(0, Options::default())?;
//! let clock = server.add_timer_handler(|cx| {
//!     *cx.shared += 1;
//!     cx.set_timer(Duration::from_millis(1));
//!     Ok(())
//! })?;
//! server.io_mut().set_timer(clock, Duration::from_millis(1));
//! while *server.shared() < 3 {
//!     // Rounded up: a timer that is due in 0.3 ms must not spin until then.
//!     let wait = server.poll_timeout().map(|wait| wait + Duration::from_micros(999));
//!     let wait = wait.map_or(PollTimeout::NONE, |wait| {
//!         PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
//!     });
//!     // The other descriptors of the program go into the same call.
//!     poll(&mut [PollFd::new(server.as_fd(), PollFlags::POLLIN)], wait)?;
//!     server.turn(Some(Duration::ZERO))?;
//! }
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! glib and libuv ask the same two questions: `prepare` of a `GSource` returns the timeout and its `GPollFD` is
//! the descriptor. In Python's asyncio the descriptor goes to `add_reader`, and `call_later` gets the timeout.
//!
//! A loop that is edge-triggered (mio, epoll with `EPOLLET`) has to turn until `poll_timeout` is not zero and a
//! turn had no event; level-triggered ones need no such care.
//!
//! # How such a server ends
//!
//! [`Io::shutdown`](crate::Io::shutdown) and [`ServerHandle::shutdown`](crate::ServerHandle::shutdown) reach it
//! in its next turn, for which they wake the descriptor. It goes on from turn to turn, and is over when
//! [`Io::is_shutting_down`](crate::Io::is_shutting_down) returns `false`;
//! [`ServerHandle::wait`](crate::ServerHandle::wait) in another thread returns then.
