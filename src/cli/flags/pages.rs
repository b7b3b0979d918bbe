//! Which web pages may connect, and which proxies are believed.

use clap::Args;

use crate::config::Config;
use crate::http::origin::{Origin, TupleOrigin};
use crate::http::proxy::TrustedProxy;
#[cfg(feature = "wires")]
use crate::wire::Wire;

/// Which web pages may connect, and which proxies are believed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Web pages and proxies")]
pub(super) struct PageFlags {
    /// Let web pages of this origin connect, such as `https://intranet.example`; may be given several times.
    ///
    /// The relay's own pages and those of the browser's own machine may always connect. Applications and extensions have
    /// origins such as tauri://localhost. `null` allows pages opened from disk, and any sandboxed frame of any web site;
    /// `*`, which stands alone, every page of every site.
    #[arg(long, value_name = "ORIGIN", env = "SIGNALING_RELAY_ALLOW_ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<Origin>,

    /// Speak this wire of another library too, `y-webrtc`, `trystero`, `peerjs`, `matchbox` or `rxdb`, at the path of that name; may
    /// be given several times.
    ///
    /// Its unmodified clients then connect to /y-webrtc, /trystero, /peerjs, /matchbox/ROOM?next=N, or /rxdb. With
    /// --token-secret-file and the like they need a token in ?token=, or for PeerJS as the key, whose room is such as
    /// `y-webrtc/team`, `trystero/*` or `peerjs/`.
    #[cfg(feature = "wires")]
    #[arg(long, value_name = "NAME", env = "SIGNALING_RELAY_WIRE", value_delimiter = ',')]
    wire: Vec<Wire>,

    /// Serve clients of PeerJS with this key only; may be given several times.
    ///
    /// Without it any key is served. Clients of one key do not see those of another one. With --auth-url the key is the client's
    /// token, unless keys are named here; with --token-secret-file and the like it always is.
    #[cfg(feature = "wires")]
    #[arg(long, value_name = "KEY", env = "SIGNALING_RELAY_PEERJS_KEY", value_delimiter = ',')]
    peerjs_key: Vec<String>,

    /// Let web pages of this origin show the call page in a frame; may be given several times.
    ///
    /// The frame needs allow="camera; microphone; display-capture; fullscreen".
    #[arg(long, value_name = "ORIGIN", env = "SIGNALING_RELAY_ALLOW_FRAME", value_delimiter = ',')]
    allow_frame: Vec<TupleOrigin>,

    /// Believe what proxies in this network say about their clients; may be given several times.
    ///
    /// It is an address such as 127.0.0.1, a network such as 10.0.0.0/8, or `unix` for proxies on a Unix socket. The
    /// headers are X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto. Everybody at an address in the network can say
    /// who they are, passes every check of where requests come from, and is not limited: name the proxies alone.
    #[arg(long, value_name = "CIDR", env = "SIGNALING_RELAY_TRUSTED_PROXY", value_delimiter = ',')]
    trusted_proxy: Vec<TrustedProxy>,
}

impl PageFlags {
    pub(super) fn set(self, config: &mut Config) {
        config.allow_origin = self.allow_origin;
        #[cfg(feature = "wires")]
        {
            config.wires = self.wire;
            config.peerjs_key = self.peerjs_key;
        }
        config.allow_frame = self.allow_frame;
        config.trusted_proxy = self.trusted_proxy;
    }
}
