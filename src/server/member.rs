//! A server as one loop of a group.

use std::io;
use std::sync::Arc;

use super::Server;
use crate::io::group::{GroupMember, GroupState};

impl<S> Server<S> {
    /// What is opened until [`Server::end_building`], all loops of the group open.
    pub(crate) fn join(&mut self, group: &Arc<GroupState>, index: usize)
    where
        S: 'static,
    {
        let mailbox = Arc::clone(&self.mailbox);
        let place = GroupMember::new(Arc::clone(group), index, mailbox);
        self.reactor.stage.io.own.share(&group.met);
        self.reactor.stage.io.sockets.place = Some(place);
    }

    pub(crate) fn end_building(&mut self) -> io::Result<()> {
        self.reactor.stage.io.sockets.place.as_mut().map_or(Ok(()), GroupMember::end_building)
    }

    /// The run of one loop of a group. An order to stop that it has obeyed already, while it was being
    /// built, is one for its run.
    pub(super) fn serve_in_group(&mut self) -> io::Result<()> {
        self.begin_run();
        let io = &mut self.reactor.stage.io;
        if let Some(grace) = io.sockets.place.as_ref().and_then(|place| place.group.ordered_stop())
        {
            io.shutdown(grace);
        }
        self.serve_until_drained()
    }
}
