//! What callbacks may do.

mod other_sockets;
mod own_socket;
