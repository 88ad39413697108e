//! The beginning of a run of the server, and its end in order.

use log::info;

use super::Server;
use crate::io::ShutdownState;
use crate::stats::ShutdownReport;

impl<S> Server<S> {
    pub(super) fn begin_run(&mut self) {
        self.mailbox.begin_run();
        self.forget_drain();
        self.reactor.stage.io.sockets.resume_all();
    }

    pub(super) fn end_run(&mut self) {
        self.mailbox.end_run(self.report.unwrap_or_default());
    }

    pub(super) fn is_drained(&self) -> bool {
        self.reactor.stage.io.drain == ShutdownState::Done
    }

    /// After a shutdown the listeners may accept again.
    pub(super) fn forget_drain(&mut self) {
        if self.is_drained() {
            self.reactor.stage.io.drain = ShutdownState::Running;
            self.reactor.stage.io.sockets.resume_all();
        }
    }

    pub(super) fn begin_drain(&mut self) {
        if let ShutdownState::Requested { grace } = self.reactor.stage.io.drain {
            self.reactor.stage.stop_group(grace);
            let io = &mut self.reactor.stage.io;
            io.drain = ShutdownState::Draining { since: io.now, deadline: io.after(grace) };
            self.before_drain = io.stats;
            io.ask_all_to_close();
        }
    }

    pub(super) fn end_drain(&mut self) {
        let io = &mut self.reactor.stage.io;
        let ShutdownState::Draining { since, deadline } = io.drain else { return };
        let at_rest = io.is_drained();
        if !at_rest && deadline > io.now {
            return;
        }
        // From now on nobody begins anything that would outlive it.
        io.drain = ShutdownState::Draining { since, deadline: deadline.min(io.now) };
        if at_rest {
            self.reactor.stage.give_up_attempts();
        }
        let forced = self.reactor.stage.abort_all();
        self.reactor.stage.stop_datagrams();
        // A later run has a stop of its own.
        self.reactor.stage.io.stop = None;
        let stats = self.reactor.stage.io.stats;
        let before = self.before_drain;
        let report = ShutdownReport {
            drained: stats.all_ended() - before.all_ended() - forced,
            forced,
            bytes_dropped: stats.bytes_dropped - before.bytes_dropped,
        };
        info!("shut down: {report:?}");
        self.report = Some(report);
        self.reactor.stage.io.drain = ShutdownState::Done;
    }
}
