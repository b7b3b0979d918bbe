//! The page that explains how to trust the local authority, and the downloads that it offers.
//!
//! They are served with and without TLS, because a device needs them before it trusts the authority.

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Response, StatusCode};

use super::body::Body;
use super::response::{set, text};

/// The path of the page.
pub(crate) const PAGE: &str = "/trust";

/// The languages of the page, each with its section.
const LANGUAGES: [(&str, &str); 2] = [("en", include_str!("trust.en.html")), ("zh", include_str!("trust.zh.html"))];

/// The pages and downloads for one authority. Nothing in them is secret.
#[derive(Debug)]
pub(crate) struct TrustPages {
    der: Bytes,
    pem: Bytes,
    fingerprint: String,
}

impl TrustPages {
    /// The pages of the authority with this root certificate, as DER and as PEM, and its SHA-256.
    pub(crate) fn new(der: &[u8], pem: &str, fingerprint: String) -> Self {
        Self { der: Bytes::copy_from_slice(der), pem: Bytes::copy_from_slice(pem.as_bytes()), fingerprint }
    }

    /// The SHA-256 of the authority's certificate. People compare the download's with the terminal's.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The answer to a request for `path` with these headers, if it is one of these pages.
    pub(crate) fn answer(&self, path: &str, request: &HeaderMap) -> Option<Response<Body>> {
        let (content_type, body) = match path {
            PAGE => ("text/html; charset=utf-8", Body::of_text(self.page(request))),
            "/trust.css" => ("text/css; charset=utf-8", Body::from(include_str!("trust.css"))),
            // Phones and desktops offer to install a file of this type.
            "/authority.crt" => ("application/x-x509-ca-cert", self.der.clone().into()),
            "/authority.pem" => ("application/x-pem-file", self.pem.clone().into()),
            _ => return None,
        };
        let mut response = text(StatusCode::OK, "");
        *response.body_mut() = body;
        set(&mut response, header::CONTENT_TYPE, content_type);
        let policy =
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
        set(&mut response, header::REFERRER_POLICY, "no-referrer");
        Some(response)
    }

    /// The page with the visitor's language first, and the steps for the visitor's system unfolded.
    fn page(&self, request: &HeaderMap) -> String {
        let value = |name: HeaderName| request.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let preferred = language(value(header::ACCEPT_LANGUAGE));
        let (mut first, others): (String, String) =
            LANGUAGES.iter().fold(Default::default(), |(first, others), (language, section)| {
                if *language == preferred { (first + section, others) } else { (first, others + section) }
            });
        for system in systems(value(header::USER_AGENT)) {
            let folded = format!("<details id=\"{preferred}-{system}\"");
            first = first.replace(&folded, &format!("{folded} open"));
        }
        // A narrow screen breaks it between octets.
        let fingerprint = self.fingerprint.replace(':', ":<wbr>");
        include_str!("trust.html")
            .replace("{language}", preferred)
            .replace("{sections}", &(first + &others))
            .replace("{fingerprint}", &fingerprint)
    }
}

/// The language of the page that `Accept-Language` ranks highest (RFC 9110 section 12.5.4); English if it has none.
fn language(accepted: &str) -> &'static str {
    let ranked = accepted.split(',').filter_map(|range| {
        let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
        let weight: f32 = weight.trim().strip_prefix("q=")?.parse().ok()?;
        let primary = tag.trim().split('-').next()?;
        let (language, _) = LANGUAGES.iter().find(|(language, _)| primary.eq_ignore_ascii_case(language))?;
        (weight > 0.0).then_some((*language, weight))
    });
    // Of equal ones the first.
    let best = ranked.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or("en", |(language, _)| language)
}

/// The systems that the page has steps for and that a browser with this `User-Agent` may run on.
fn systems(user_agent: &str) -> &'static [&'static str] {
    let names = |words: &[&str]| words.iter().any(|word| user_agent.contains(word));
    if names(&["iPhone", "iPad", "iPod"]) {
        &["ios"]
    } else if names(&["Android", "HarmonyOS"]) {
        &["android"]
    } else if names(&["Windows"]) {
        &["windows"]
    } else if names(&["Macintosh"]) {
        // Safari says the same on an iPad as on a Mac.
        if names(&["Chrome/", "Firefox/"]) { &["macos"] } else { &["ios", "macos"] }
    } else if names(&["Linux"]) {
        &["linux"]
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page for a visitor whose browser sends these headers.
    fn page_for(user_agent: &'static str, languages: &'static str) -> String {
        let mut request = HeaderMap::new();
        request.insert(header::USER_AGENT, header::HeaderValue::from_static(user_agent));
        request.insert(header::ACCEPT_LANGUAGE, header::HeaderValue::from_static(languages));
        TrustPages::new(b"", "", "AB:CD:EF".to_owned()).page(&request)
    }

    /// The ids of what is unfolded, in their order.
    fn unfolded(page: &str) -> Vec<&str> {
        page.split("<details id=\"").filter_map(|rest| rest.split_once("\" open>")).map(|(id, _)| id).collect()
    }

    #[test]
    fn the_visitors_system_is_unfolded_in_the_visitors_language() {
        let visitors = [
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1", "ios"),
            ("Mozilla/5.0 (Linux; Android 10; K) Chrome/130.0.0.0 Mobile Safari/537.36", "android"),
            ("Mozilla/5.0 (Phone; OpenHarmony 5.0) ArkWeb/4.1 Mobile HarmonyOS", "android"),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:115.0) Gecko/20100101 Firefox/115.0", "windows"),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/130.0.0.0 Safari/537.36", "macos"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "linux"),
        ];
        for (user_agent, system) in visitors {
            assert_eq!(unfolded(&page_for(user_agent, "de, en;q=0.7")), [format!("en-{system}")], "{user_agent}");
            assert_eq!(unfolded(&page_for(user_agent, "zh-CN,zh;q=0.9,en;q=0.8")), [format!("zh-{system}")]);
        }
        let ipad = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.5 Safari/605.1.15";
        assert_eq!(unfolded(&page_for(ipad, "en")), ["en-ios", "en-macos"], "an iPad says that it is a Mac");
        assert_eq!(unfolded(&page_for("curl/8.5.0", "")), [""; 0]);
    }

    #[test]
    fn the_visitors_language_comes_first_and_the_other_is_there() {
        for (languages, first) in [
            ("", "en"),
            ("zh-TW", "zh"),
            ("fr, ZH;q=0.5", "zh"),
            ("en, zh", "en"),
            ("zh;q=0", "en"),
            ("zh;q=0.2, en;q=0.9", "en"),
        ] {
            let page = page_for("", languages);
            let at = |language: &str| page.find(&format!("<section id=\"{language}\"")).unwrap();
            assert_eq!(at("en") < at("zh"), first == "en", "{languages}");
            assert!(page.contains(&format!("<html lang=\"{first}\">")), "{languages}");
        }
    }

    #[test]
    fn the_fingerprint_breaks_between_octets_and_never_inside_one() {
        assert_eq!(page_for("", "").matches("AB:<wbr>CD:<wbr>EF</code>").count(), 2, "in both languages");
        let style = include_str!("trust.css");
        let of_the_fingerprint = style.lines().find(|line| line.starts_with(".fingerprint")).unwrap();
        assert!(of_the_fingerprint.contains("overflow-wrap: normal"), "{of_the_fingerprint}");
    }
}
