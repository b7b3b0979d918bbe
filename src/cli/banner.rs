//! The banner, which the relay prints when it is ready: its URLs, a QR code for phones, and warnings about public
//! addresses.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::has_colours;
use crate::http::trust;
use crate::limits;
use crate::net::machine::{Machine, is_private};
use crate::net::reach::{addresses, url, url_of_host};
use crate::server::Server;
#[cfg(feature = "wires")]
use crate::wire::Wire;

/// What the relay prints when it is ready. Each URL is on a line of its own after four spaces, so that programs find
/// it.
#[derive(Debug)]
pub struct Banner {
    /// The URLs to open, with their addresses; localhost first, if the relay listens there.
    urls: Vec<(SocketAddr, String)>,
    /// The Unix sockets, for proxies.
    unix: Vec<PathBuf>,
    /// Whether the URLs use TLS.
    secure: bool,
    /// The addresses for operators.
    operators: Vec<String>,
    /// Where other relays of the cluster reach it.
    cluster: Option<SocketAddr>,
    /// The wires of other libraries that are on.
    #[cfg(feature = "wires")]
    wires: Vec<Wire>,
    /// The URL (without TLS) of the page about the local authority, and the authority's fingerprint.
    trust: Option<(String, String)>,
    /// The public addresses, where the relay may be reachable from the internet.
    public: Vec<IpAddr>,
    /// Whether stdout is a terminal: then a phone can read a QR code from it.
    terminal: bool,
    /// The room of the link that it shows; none without randomness.
    room: Option<String>,
}

impl Banner {
    /// The banner of `server` on this machine, for stdout.
    pub fn new(server: &Server) -> Self {
        let fingerprint = server.authority_fingerprint().map(str::to_owned);
        let terminal = io::stdout().is_terminal() && has_colours();
        let machine = Machine::detect();
        let names = names_to_open(server.certificate_names(), &machine, fingerprint.is_some());
        let banner =
            Self::from_addresses(server.local_addrs(), &machine, server.is_secure(), &names, fingerprint, terminal);
        Self {
            unix: server.unix_paths().map(Path::to_owned).collect(),
            #[cfg(feature = "wires")]
            wires: server.wires().to_vec(),
            #[cfg(feature = "admin")]
            operators: server.admin_addresses(),
            #[cfg(feature = "cluster")]
            cluster: server.cluster_address(),
            ..banner
        }
    }

    /// Writes it to stdout on a thread of its own, because a reader of stdout may block it.
    pub fn print(self) {
        let print = move || {
            let mut out = io::stdout().lock();
            // A closed stdout is no error: nobody wants to read it.
            let _ = write!(out, "{self}").and_then(|()| out.flush());
        };
        std::thread::spawn(print);
    }

    fn from_addresses(
        listening: &[SocketAddr],
        host: &Machine,
        secure: bool,
        names: &[String],
        fingerprint: Option<String>,
        terminal: bool,
    ) -> Self {
        let scheme = if secure { "https" } else { "http" };
        let opened = addresses(listening, host);
        let public = opened.iter().map(|address| address.ip()).filter(|ip| !is_private(*ip)).collect();
        let mut urls: Vec<(SocketAddr, String)> = Vec::new();
        for address in opened {
            // The local authority does not sign for public addresses.
            if fingerprint.is_some() && !is_private(address.ip()) {
                continue;
            }
            let url = url(scheme, address, listening);
            if !urls.iter().any(|(_, there)| *there == url) {
                urls.push((address, url));
            }
        }
        let best = urls.iter().find(|(address, _)| !address.ip().is_loopback()).or(urls.first());
        let best = best.map(|(address, _)| *address);
        if let Some(address) = best.filter(|address| !address.ip().is_loopback()) {
            let named = names.iter().map(|name| (address, url_of_host(scheme, name, address.port())));
            // A certificate of the operator's own is for names, one of the local authority for addresses too, and those
            // are found by every device.
            let first = urls.iter().position(|(address, _)| !address.ip().is_loopback()).unwrap_or_default();
            let at = if fingerprint.is_some() { urls.len() } else { first };
            urls.splice(at..at, named);
        }
        let trust = fingerprint.zip(best).map(|(fingerprint, address)| {
            let page = url("http", address, listening).trim_end_matches('/').to_owned() + trust::PAGE;
            (page, fingerprint)
        });
        Self {
            urls,
            unix: Vec::new(),
            operators: Vec::new(),
            cluster: None,
            #[cfg(feature = "wires")]
            wires: Vec::new(),
            secure,
            trust,
            public,
            terminal,
            room: unguessable_room(),
        }
    }

    /// The link to open twice, or to send to somebody.
    fn link(&self) -> Option<String> {
        let url = self.invitation().or_else(|| self.urls.first().map(|(_, url)| url.as_str()))?;
        Some(format!("{url}?room={}", self.room.as_ref()?))
    }

    /// What a page or a program with each library needs.
    #[cfg(feature = "wires")]
    fn say_wires(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.invitation().or_else(|| self.urls.first().map(|(_, url)| url.as_str()));
        // Behind a proxy its address is not known here.
        let (scheme, rest) = url.and_then(|url| url.split_once("://")).unwrap_or(("https", "HOST/"));
        let scheme = if scheme == "https" { "wss" } else { "ws" };
        for wire in Wire::ALL.into_iter().filter(|wire| self.wires.contains(wire)) {
            writeln!(f, "{} with {wire} need {}", wire.speakers(), wire.line(&format!("{scheme}://{rest}{wire}")))?;
        }
        Ok(())
    }

    /// The URL for other devices on the network.
    fn invitation(&self) -> Option<&str> {
        self.urls.iter().find(|(address, _)| !address.ip().is_loopback()).map(|(_, url)| url.as_str())
    }
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signaling-relay {} is ready.", env!("CARGO_PKG_VERSION"))?;
        if !self.urls.is_empty() {
            write!(f, " It listens on")?;
            for (_, url) in &self.urls {
                write!(f, "\n    {url}")?;
            }
        }
        writeln!(f)?;
        if let Some(link) = self.link() {
            match self.invitation() {
                Some(_) => writeln!(f, "To call somebody, open this link and send it to them: {link}")?,
                None => writeln!(
                    f,
                    "To try a call, open this link in two tabs: {link}\nIt works on this machine only; for others on your \
                     network, start with --lan."
                )?,
            }
        }
        #[cfg(feature = "wires")]
        self.say_wires(f)?;
        if let Some(address) = &self.cluster {
            writeln!(f, "Other relays of its cluster reach it at {address}")?;
        }
        for path in &self.unix {
            writeln!(f, "It listens for proxies on unix:{}", path.display())?;
        }
        for address in &self.operators {
            writeln!(f, "It tells operators how it is at {address}")?;
        }
        if let Some((page, fingerprint)) = &self.trust {
            writeln!(f, "\nEvery device has to trust this relay's own authority once. How to: {page}")?;
            writeln!(f, "Compare the fingerprint that the device shows, SHA-256 {fingerprint}")?;
        }
        if self.terminal
            && let Some(invitation) = self.invitation()
        {
            let target = self.trust.as_ref().map(|(page, _)| page.clone()).or_else(|| self.link());
            let target = target.unwrap_or_else(|| invitation.to_owned());
            write!(f, "\nFor phones, {target}\n{}", qr_code(&target))?;
        }
        if let (Some(url), false) = (self.invitation(), self.secure) {
            writeln!(
                f,
                "\nWARNING: {url} is without TLS: browsers give it no camera, and everybody on the network can read and \
                 change what is sent. Start with --lan, or with --cert and --key."
            )?;
        }
        for ip in &self.public {
            writeln!(
                f,
                "\nWARNING: {ip} is a public address: unless a firewall protects it, everybody on the internet can \
                 connect."
            )?;
        }
        writeln!(f, "Ctrl-C ends it.")
    }
}

/// Those of the names in the certificate by which others may find this machine. The local authority signs for all names of
/// the machine; of those, only the one with `.local` is found on the network without a name server (mDNS, RFC 6762).
fn names_to_open(certified: Vec<String>, machine: &Machine, is_of_authority: bool) -> Vec<String> {
    let is_for_others = |name: &String| match is_of_authority {
        true => name.ends_with(".local") && machine.names.contains(name),
        false => !name.starts_with("*.") && name != "localhost",
    };
    certified.into_iter().filter(is_for_others).take(limits::BANNER_NAMES).collect()
}

/// The name of a room that nobody can guess, and that can be said on the telephone: 48 random bits, as the call page makes
/// them.
fn unguessable_room() -> Option<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).ok()?;
    // 16 consonants and 4 vowels, so each byte gives one syllable, and all are equally likely.
    let syllable = |byte: &u8| {
        let consonant = b"bdfghjklmnrstvwy".get(usize::from(byte >> 4)).copied().unwrap_or(b'b');
        let vowel = b"aiou".get(usize::from(byte & 3)).copied().unwrap_or(b'a');
        [char::from(consonant), char::from(vowel)].iter().collect::<String>()
    };
    let words: Vec<String> = bytes.chunks(2).map(|pair| pair.iter().map(syllable).collect()).collect();
    Some(words.join("-"))
}

/// `text` as a QR code: black on white whatever the terminal's colours are. Empty if the text is too long.
fn qr_code(text: &str) -> String {
    let Ok(code) = QrCode::new(text) else { return String::new() };
    let code = code.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build();
    code.lines().fold(String::new(), |mut lines, line| {
        // Writing into a string does not fail.
        let _ = writeln!(lines, "\x1b[30;107m{line}\x1b[0m");
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner(listening: &[&str], secure: bool, fingerprint: Option<&str>, terminal: bool) -> Banner {
        let host = Machine {
            names: vec!["localhost".into(), "studio".into()],
            addresses: ["192.168.1.5", "203.0.113.9", "fd00::5", "fe80::5"].map(|ip| ip.parse().unwrap()).into(),
        };
        let listening: Vec<SocketAddr> = listening.iter().map(|address| address.parse().unwrap()).collect();
        Banner::from_addresses(&listening, &host, secure, &[], fingerprint.map(str::to_owned), terminal)
    }

    fn urls(listening: &[&str]) -> Vec<String> {
        banner(listening, false, None, false).urls.into_iter().map(|(_, url)| url).collect()
    }

    #[test]
    fn everything_that_can_be_opened_is_printed_once() {
        assert_eq!(urls(&["127.0.0.1:8080", "[::1]:8080"]), ["http://localhost:8080/"]);
        assert_eq!(urls(&["127.0.0.1:8080"]), ["http://127.0.0.1:8080/"]);
        assert_eq!(urls(&["[::1]:80"]), ["http://[::1]/"]);
        assert_eq!(urls(&["127.0.0.1:1", "[::1]:2"]), ["http://127.0.0.1:1/", "http://[::1]:2/"]);
        assert_eq!(
            urls(&["192.168.1.5:8080", "127.0.0.1:8080"]),
            ["http://127.0.0.1:8080/", "http://192.168.1.5:8080/"]
        );
        assert_eq!(
            urls(&["0.0.0.0:8080", "[::]:8080"]),
            [
                "http://localhost:8080/",
                "http://192.168.1.5:8080/",
                "http://203.0.113.9:8080/",
                "http://[fd00::5]:8080/"
            ]
        );
    }

    #[test]
    fn it_shows_one_link_with_a_room_of_its_own_and_what_cannot_work() {
        let link = |said: &str| said.split_whitespace().find(|word| word.contains("?room=")).unwrap().to_owned();
        let said = banner(&["127.0.0.1:8080", "[::1]:8080"], false, None, false).to_string();
        let room = link(&said).strip_prefix("http://localhost:8080/?room=").unwrap().to_owned();
        assert_eq!((room.len(), room.matches('-').count()), (19, 3), "{said}");
        assert!(said.contains("two tabs") && said.contains("this machine only") && said.contains("--lan"), "{said}");
        let again = banner(&["127.0.0.1:8080", "[::1]:8080"], false, None, false).to_string();
        assert_ne!(link(&said), link(&again));
        let said = banner(&["0.0.0.0:8080"], true, Some("AB"), false).to_string();
        assert!(link(&said).starts_with("https://192.168.1.5:8080/?room="), "{said}");
        assert!(said.contains("send it") && !said.contains("this machine only"), "{said}");
        assert_eq!(said.matches("?room=").count(), 1, "{said}");
    }

    #[cfg(feature = "wires")]
    #[test]
    fn each_wire_that_is_on_comes_with_the_line_that_its_pages_need() {
        let said = |wires: &[Wire], listening: &[&str], secure| {
            let mut banner = banner(listening, secure, None, false);
            banner.wires = wires.to_vec();
            let said = banner.to_string();
            said.lines().filter(|line| line.starts_with("Pages with ")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(said(&[], &["127.0.0.1:8080"], false).is_empty());
        assert_eq!(
            said(&[Wire::YWebrtc], &["127.0.0.1:8080"], false),
            ["Pages with y-webrtc need { signaling: [\"ws://127.0.0.1:8080/y-webrtc\"] }"]
        );
        assert_eq!(
            said(&[Wire::Trystero, Wire::YWebrtc, Wire::Trystero], &["0.0.0.0:443"], true),
            [
                "Pages with y-webrtc need { signaling: [\"wss://192.168.1.5/y-webrtc\"] }",
                "Pages with trystero need { relayConfig: { urls: [\"wss://192.168.1.5/trystero\"] } }",
            ]
        );
        assert_eq!(
            said(&[Wire::YWebrtc], &[], false),
            ["Pages with y-webrtc need { signaling: [\"wss://HOST/y-webrtc\"] }"]
        );
    }

    #[test]
    fn what_is_open_to_the_world_is_warned_about() {
        let said = |listening: &[&str], secure| banner(listening, secure, None, false).to_string();
        assert!(!said(&["127.0.0.1:8080"], false).contains("WARNING"));
        assert!(!said(&["192.168.1.5:8080"], true).contains("WARNING"));
        let plain = said(&["192.168.1.5:8080"], false);
        assert!(plain.contains("WARNING: http://192.168.1.5:8080/ is without TLS"), "{plain}");
        let public = said(&["0.0.0.0:8080"], true);
        assert!(public.contains("WARNING: 203.0.113.9 is a public address") && !public.contains("without"), "{public}");
    }

    #[test]
    fn a_local_authority_comes_with_its_fingerprint() {
        let said = banner(&["0.0.0.0:443"], true, Some("AB:CD"), false).to_string();
        assert!(said.contains("How to: http://192.168.1.5:443/trust\n"), "{said}");
        assert!(said.contains("SHA-256 AB:CD\n") && !said.contains("https://203.0.113.9"), "{said}");
    }

    #[test]
    fn a_name_in_the_certificate_is_among_the_urls() {
        let machine = Machine {
            names: ["localhost", "vm", "vm.local"].map(str::to_owned).into(),
            addresses: vec!["192.168.1.5".parse().unwrap()],
        };
        let urls = |certified: &[&str], listening: &str, fingerprint: Option<&str>| {
            let certified = certified.iter().map(|name| (*name).to_owned()).collect();
            let names = names_to_open(certified, &machine, fingerprint.is_some());
            let (listening, fingerprint) = ([listening.parse().unwrap()], fingerprint.map(str::to_owned));
            let banner = Banner::from_addresses(&listening, &machine, true, &names, fingerprint, false);
            banner.urls.into_iter().map(|(_, url)| url).collect::<Vec<_>>()
        };
        let of_authority = ["localhost", "vm", "vm.local"];
        assert_eq!(
            urls(&of_authority, "0.0.0.0:8080", Some("AB")),
            ["https://localhost:8080/", "https://192.168.1.5:8080/", "https://vm.local:8080/"]
        );
        // The authority was made under another name of the machine.
        assert_eq!(
            urls(&["localhost", "former.local"], "0.0.0.0:8080", Some("AB")),
            ["https://localhost:8080/", "https://192.168.1.5:8080/"]
        );
        assert_eq!(
            urls(&["relay.example", "*.example", "localhost"], "0.0.0.0:443", None),
            ["https://localhost/", "https://relay.example/", "https://192.168.1.5/"]
        );
        // Others do not reach it.
        assert_eq!(urls(&of_authority, "127.0.0.1:8080", Some("AB")), ["https://127.0.0.1:8080/"]);
    }

    #[test]
    fn a_phone_reads_the_address_off_a_terminal_and_only_there() {
        let said = banner(&["192.168.1.5:8080"], true, None, true).to_string();
        assert!(said.contains("For phones, https://192.168.1.5:8080/?room=") && said.contains("\n\x1b["), "{said}");
        assert!(said.contains('█'), "{said}");
        for said in [banner(&["192.168.1.5:8080"], true, None, false), banner(&["127.0.0.1:8080"], true, None, true)] {
            assert!(!said.to_string().contains('\x1b'), "{said}");
        }
    }
}
