//! One socket option of Windows, `SO_EXCLUSIVEADDRUSE`, which neither the standard library nor socket2 has. It needs one
//! line of unsafe code, which is why it is a crate of its own: the relay forbids that.
#![cfg(windows)]

use std::io;
use std::os::windows::io::{AsRawSocket, AsSocket};

use windows_sys::Win32::Networking::WinSock::{SO_EXCLUSIVEADDRUSE, SOCKET, SOL_SOCKET, setsockopt};

/// Makes the address that `socket` will be bound to its own: no other socket can then be bound to it, not even one with
/// `SO_REUSEADDR`, which on Windows would take over its connections.
///
/// # Errors
/// When Windows refuses it, as it does once the socket is bound.
pub fn make_exclusive(socket: &impl AsSocket) -> io::Result<()> {
    let on: i32 = 1;
    let handle = socket.as_socket();
    #[allow(unsafe_code, reason = "Windows offers it only as a C function")]
    // SAFETY: the socket is borrowed, so it is open during the call; Windows reads the four bytes of `on` and keeps no
    // pointer to them.
    let result = unsafe {
        setsockopt(
            handle.as_raw_socket() as SOCKET,
            SOL_SOCKET,
            SO_EXCLUSIVEADDRUSE,
            std::ptr::from_ref(&on).cast(),
            size_of_val(&on) as i32,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_is_bound_already_is_refused() {
        let bound = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(make_exclusive(&bound).is_err());
    }
}
