//! A test for each kind of socket, so that a failure says which kind it is of.

/// Makes a test of a function for each kind of stream: `name::tcp` and `name::unix`.
macro_rules! kinds {
    ($name:ident) => {
        mod $name {
            #[test]
            fn tcp() {
                super::$name($crate::support::Kind::Tcp);
            }

            #[cfg(unix)]
            #[test]
            fn unix() {
                super::$name($crate::support::Kind::Unix);
            }
        }
    };
}

/// The same for each kind of datagram socket.
macro_rules! datagram_kinds {
    ($name:ident) => {
        mod $name {
            #[test]
            fn v4() {
                super::$name($crate::support::DatagramKind::V4);
            }

            #[test]
            fn v6() {
                super::$name($crate::support::DatagramKind::V6);
            }

            #[test]
            fn dual() {
                super::$name($crate::support::DatagramKind::Dual);
            }

            #[cfg(unix)]
            #[test]
            fn unix() {
                super::$name($crate::support::DatagramKind::Unix);
            }
        }
    };
}

/// The same for each kind of UDP socket.
macro_rules! udp_kinds {
    ($name:ident) => {
        mod $name {
            #[test]
            fn v4() {
                super::$name($crate::support::DatagramKind::V4);
            }

            #[test]
            fn v6() {
                super::$name($crate::support::DatagramKind::V6);
            }

            #[test]
            fn dual() {
                super::$name($crate::support::DatagramKind::Dual);
            }
        }
    };
}

/// The same for each way to run handlers that block which every system has.
macro_rules! modes {
    ($name:ident) => {
        mod $name {
            #[test]
            fn inline() {
                super::$name(&socketserver::blocking::Workers::inline());
            }

            #[test]
            fn threads() {
                super::$name(&socketserver::blocking::Workers::threads(4));
            }
        }
    };
}
