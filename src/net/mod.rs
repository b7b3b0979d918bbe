//! Listeners, streams and TLS.
//!
//! # Platforms
//! What the operating systems do differently is in the module `system`, which is `unix` or `windows`, with the same items.
//! Everything else is the same code everywhere. This is what differs; FreeBSD is as macOS is unless it says otherwise.
//!
//! | | Linux | macOS | Windows |
//! | --- | --- | --- | --- |
//! | data that nobody acknowledges | TCP_USER_TIMEOUT ends the connection ([`TCP_USER_TIMEOUT`](crate::limits::TCP_USER_TIMEOUT)) | no option that socket2 has: pings and writes have their deadlines all the same, and after the relay has closed a socket the kernel's own timeout ends it | as on macOS |
//! | when a full socket counts as writable | a third of its buffer must be free, so the relay also tries to write | 2 KiB must be free (SO_SNDLOWAT); to try as well costs nothing | once the last write was taken; the same |
//! | how much a socket takes from the relay ([`SEND_BUFFER_BYTES`](crate::limits::SEND_BUFFER_BYTES)) | twice what was asked for; accepted sockets inherit it | what was asked for; they inherit it | what was asked for, and one write more; they inherit it |
//! | IPv6 | IPV6_V6ONLY is set, so `*` and `localhost` are two sockets everywhere | the same | the same |
//! | an address that was in use a moment ago | SO_REUSEADDR | SO_REUSEADDR; with it, `localhost:8080` may be bound beside another program's `*:8080` | nothing is needed, and SO_EXCLUSIVEADDRUSE keeps other programs out |
//! | connections that wait to be accepted ([`BACKLOG`](crate::limits::BACKLOG)) | up to net.core.somaxconn, 4,096 | up to kern.ipc.somaxconn, 128 | up to what Windows likes |
//! | errors of `accept` | of one connection: tried again at once; any other, such as EMFILE: after a pause | the same; options of a socket that is gone already may fail, which is only logged | the same with Winsock's errors |
//! | `localhost` | never asked of the resolver | the same | the same |
//! | `NAME.local` | the host name with `.local` | the host name, which is that unless DHCP or an administrator has set another | the host name with `.local` |
//! | file descriptors | the soft limit is raised to the hard one | to kern.maxfilesperproc at most | not counted |
//! | `unix:/PATH` | yes | yes | refused with a sentence |
//! | `systemd` | sockets that listen (SO_ACCEPTCONN) and are streams | refused with a sentence: launchd passes its sockets by a call of its own | refused with a sentence |
//! | the folder of the local authority | $STATE_DIRECTORY, $XDG_STATE_HOME, `~/.local/state` | the same variables, or `~/Library/Application Support` | `%LOCALAPPDATA%` |
//! | who else may write or read a secret | owner and mode | owner and mode | owner and ACL |
//! | how the relay ends, or reloads | SIGINT, SIGTERM; SIGHUP | the same | Ctrl-C, Ctrl-Break, and the console's, the user's and the machine's end, each within the seconds that Windows grants; certificates are reloaded when their files change |
//! | letters of a file in `--web` | compared by the file system | compared by the relay, since most file systems ignore their case | the same; so device names, short names and a dot at the end are no files either |

pub(crate) mod accept;
pub(crate) mod address;
#[cfg(any(feature = "auth", feature = "cluster", feature = "doctor"))]
pub(crate) mod authorities;
pub(crate) mod buffer;
#[cfg(feature = "tls")]
pub(crate) mod certificate;
#[cfg(feature = "tls")]
pub(crate) mod counted;
pub(crate) mod headers;
pub(crate) mod info;
pub(crate) mod listen;
pub(crate) mod machine;
#[cfg(any(feature = "cli", feature = "page"))]
pub(crate) mod reach;
pub(crate) mod read;
// Compiled for tests on other systems too, because it only reads texts.
#[cfg(any(
    all(windows, any(feature = "lan", feature = "auth", feature = "admin", feature = "cluster", feature = "cli")),
    test
))]
#[path = "windows/sddl.rs"]
mod sddl;
#[cfg_attr(unix, path = "unix/mod.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
pub(crate) mod system;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
pub(crate) mod tls;
