//! A test for each kind of socket, so that a failure says which kind it is of.

/// Makes a test of a function for each named value: `name::case`.
macro_rules! cases {
    ($name:ident, $($(#[$attribute:meta])? $case:ident: $value:expr),+) => {
        mod $name {
            $(
                #[test]
                $(#[$attribute])?
                fn $case() {
                    super::$name($value);
                }
            )+
        }
    };
}

/// For each kind of stream.
macro_rules! kinds {
    ($name:ident) => {
        cases!($name, tcp: $crate::support::Kind::Tcp, #[cfg(unix)] unix: $crate::support::Kind::Unix);
    };
}

/// For each kind of UDP socket.
macro_rules! udp_kinds {
    ($name:ident) => {
        cases!(
            $name,
            v4: $crate::support::DatagramKind::V4,
            v6: $crate::support::DatagramKind::V6,
            dual: $crate::support::DatagramKind::Dual
        );
    };
}

/// For each kind of datagram socket.
macro_rules! datagram_kinds {
    ($name:ident) => {
        cases!(
            $name,
            v4: $crate::support::DatagramKind::V4,
            v6: $crate::support::DatagramKind::V6,
            dual: $crate::support::DatagramKind::Dual,
            #[cfg(unix)]
            unix: $crate::support::DatagramKind::Unix
        );
    };
}

/// For each way to run handlers that block which every system has.
macro_rules! modes {
    ($name:ident) => {
        cases!(
            $name,
            inline: &socketserver::blocking::Workers::inline(),
            threads: &socketserver::blocking::Workers::threads(4)
        );
    };
}
