//! A server as one loop of a group.

use std::io;
use std::sync::Arc;

use super::Server;
use crate::io::group::{GroupMember, GroupState};

impl<S> Server<S> {
    /// Joins a group. All loops open what is opened until [`Server::end_building`].
    pub(crate) fn join(&mut self, group: &Arc<GroupState>, index: usize)
    where
        S: 'static,
    {
        let mailbox = Arc::clone(&self.mailbox);
        let member = GroupMember::new(Arc::clone(group), index, mailbox);
        self.reactor.dispatcher.io.local_addrs.share(&group.learned);
        self.reactor.dispatcher.io.sockets.member = Some(member);
    }

    pub(crate) fn end_building(&mut self) -> io::Result<()> {
        self.reactor.dispatcher.io.sockets.member.as_mut().map_or(Ok(()), GroupMember::end_building)
    }

    /// Serves as one loop of a group. A stop that was requested during the building applies to this
    /// run.
    pub(super) fn serve_in_group(&mut self) -> io::Result<()> {
        self.begin_run();
        let io = &mut self.reactor.dispatcher.io;
        if let Some(grace) =
            io.sockets.member.as_ref().and_then(|member| member.group.requested_stop())
        {
            io.shutdown(grace);
        }
        self.serve_until_drained()
    }
}
