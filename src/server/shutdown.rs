//! The beginning of a run of the server, and its shutdown.

use log::info;

use super::Server;
use crate::io::ShutdownState;
use crate::stats::ShutdownReport;

impl<S> Server<S> {
    /// The caller steps the server itself: its first turn begins a run, so that a handle can stop it.
    pub(super) fn begin_step(&mut self) {
        if !self.is_running {
            self.is_running = true;
            self.mailbox.begin_run();
        }
    }

    /// The run of a caller that steps the server ends with its shutdown.
    pub(super) fn end_step(&mut self) {
        if self.is_drained() {
            self.end_run();
        }
    }

    pub(super) fn begin_run(&mut self) {
        self.is_running = true;
        self.mailbox.begin_run();
        self.leave_drained();
        self.reactor.dispatcher.io.sockets.resume_all();
    }

    pub(super) fn end_run(&mut self) {
        self.is_running = false;
        self.mailbox.end_run(self.report.unwrap_or_default());
    }

    pub(super) fn is_drained(&self) -> bool {
        self.reactor.dispatcher.io.shutdown_state == ShutdownState::Done
    }

    /// Ends a finished shutdown: listeners accept again.
    pub(super) fn leave_drained(&mut self) {
        if self.is_drained() {
            self.reactor.dispatcher.io.shutdown_state = ShutdownState::Running;
            self.reactor.dispatcher.io.sockets.resume_all();
        }
    }

    pub(super) fn begin_drain(&mut self) {
        if let ShutdownState::Requested { grace } = self.reactor.dispatcher.io.shutdown_state {
            self.reactor.dispatcher.stop_group(grace);
            let io = &mut self.reactor.dispatcher.io;
            io.shutdown_state =
                ShutdownState::Draining { since: io.now, deadline: io.deadline_in(grace) };
            self.before_drain = io.stats;
            io.begin_shutdown();
        }
    }

    pub(super) fn end_drain(&mut self) {
        let io = &mut self.reactor.dispatcher.io;
        let ShutdownState::Draining { since, deadline } = io.shutdown_state else { return };
        let at_rest = io.is_drained();
        // A grace of zero wants no look at the peers.
        let is_over = deadline <= io.looked_at || deadline == since;
        if !at_rest && !is_over {
            return;
        }
        // From now on no connection can be opened that would outlive the shutdown.
        io.shutdown_state = ShutdownState::Draining { since, deadline: deadline.min(io.now) };
        if at_rest {
            self.reactor.dispatcher.abort_attempts();
        }
        let forced = self.reactor.dispatcher.abort_all();
        self.reactor.dispatcher.stop_datagrams();
        // A later run has its own token.
        self.reactor.dispatcher.io.stop_token = None;
        let stats = self.reactor.dispatcher.io.stats;
        let before = self.before_drain;
        let report = ShutdownReport {
            drained: stats.all_ended() - before.all_ended() - forced,
            forced,
            bytes_dropped: stats.bytes_dropped - before.bytes_dropped,
        };
        info!("shut down: {report:?}");
        self.report = Some(report);
        self.reactor.dispatcher.io.shutdown_state = ShutdownState::Done;
    }
}
