//! What the doctor found, as text for people and as JSON for programs. Nothing that was told to it in confidence is in
//! it.

use std::cell::RefCell;
use std::fmt::Write as _;

use serde::Serialize;

use crate::limits;

/// What is looked at, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Check {
    /// The name has addresses.
    Address,
    /// Something listens at one of them.
    Port,
    /// It speaks TLS, where the URL says so.
    Tls,
    /// Browsers accept its certificate.
    Certificate,
    /// The page is there, and may use camera and microphone.
    Page,
    /// The clocks of the relay and of this machine agree.
    Clock,
    /// The addresses for other devices on the local network answer.
    Lan,
    /// A page of this origin may use the relay.
    Origin,
    /// The connection becomes a WebSocket.
    Upgrade,
    /// A client gets into a room.
    Join,
    /// Two members hear each other.
    Messages,
    /// The connection outlives silence, and the relay pings.
    Silence,
    /// STUN servers answer.
    Stun,
    /// TURN servers let a client in.
    Turn,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Port => "port",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Page => "page",
            Self::Clock => "clock",
            Self::Lan => "lan",
            Self::Origin => "origin",
            Self::Upgrade => "upgrade",
            Self::Join => "join",
            Self::Messages => "messages",
            Self::Silence => "silence",
            Self::Stun => "stun",
            Self::Turn => "turn",
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Calls can be made, and there is something to know.
    Note,
    /// This keeps people from calls.
    Wrong,
    /// It was not tried, because something before it is wrong.
    Skipped,
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Finding {
    #[serde(rename = "name")]
    check: Check,
    state: State,
    /// What was seen.
    detail: String,
    /// What to do.
    advice: Option<String>,
}

/// The report as JSON.
#[derive(Serialize)]
struct Told<'a> {
    url: &'a str,
    ok: bool,
    checks: &'a [Finding],
}

/// What was found at one URL.
#[derive(Debug)]
pub(super) struct Report {
    url: RefCell<String>,
    findings: RefCell<Vec<Finding>>,
    secrets: RefCell<Vec<String>>,
}

impl Report {
    /// An empty one about a URL.
    pub(super) fn new(url: String) -> Self {
        Self { url: RefCell::new(url), findings: RefCell::default(), secrets: RefCell::default() }
    }

    /// What is looked at from now on, since a redirect led there.
    pub(super) fn is_about(&self, url: String) {
        *self.url.borrow_mut() = url;
        // What the first URL led to is no matter where the page is elsewhere.
        self.findings.borrow_mut().retain(|finding| finding.check == Check::Page);
    }

    /// Never shows this text, whoever repeats it. A very short one is no secret, and may be a part of any word.
    pub(super) fn keeps_secret(&self, text: &str) {
        if text.len() >= 4 {
            self.secrets.borrow_mut().push(text.to_owned());
        }
    }

    /// It is as it should be.
    pub(super) fn ok(&self, check: Check, detail: impl Into<String>) {
        self.add(check, State::Ok, detail.into(), None);
    }

    /// There is something to know.
    pub(super) fn note(&self, check: Check, detail: impl Into<String>, advice: impl Into<String>) {
        self.add(check, State::Note, detail.into(), Some(advice.into()));
    }

    /// It keeps people from calls.
    pub(super) fn wrong(&self, check: Check, detail: impl Into<String>, advice: impl Into<String>) {
        self.add(check, State::Wrong, detail.into(), Some(advice.into()));
    }

    /// It was not tried.
    pub(super) fn skip(&self, check: Check, why: impl Into<String>) {
        self.add(check, State::Skipped, why.into(), None);
    }

    fn add(&self, check: Check, state: State, detail: String, advice: Option<String>) {
        let advice = advice.map(|advice| self.without_secrets(&advice));
        let finding = Finding { check, state, detail: self.without_secrets(&detail), advice };
        self.findings.borrow_mut().push(finding);
    }

    /// `text` on one line, without secrets and without what a terminal would obey.
    fn without_secrets(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for secret in self.secrets.borrow().iter() {
            shown = shown.replace(secret, "(hidden)");
        }
        shown.chars().map(|letter| if is_shown(letter) { letter } else { ' ' }).collect()
    }

    /// Closes the report: the checks in `expected` of which there is nothing were not tried.
    pub(super) fn finish(&self, expected: &[Check]) {
        let first_wrong = self.first_wrong();
        for check in expected {
            if self.findings.borrow().iter().any(|finding| finding.check == *check) {
                continue;
            }
            match first_wrong {
                Some(wrong) => self.skip(*check, format!("not tried, because of {}", wrong.name())),
                None => self.wrong(*check, "it did not end in time", "see whether the relay's machine is overloaded"),
            }
        }
        // A stable sort: servers stay in their order.
        self.findings.borrow_mut().sort_by_key(|finding| finding.check);
    }

    fn first_wrong(&self) -> Option<Check> {
        let findings = self.findings.borrow();
        findings.iter().filter(|finding| finding.state == State::Wrong).map(|finding| finding.check).min()
    }

    /// Whether calls can be made.
    pub(super) fn is_ok(&self) -> bool {
        self.first_wrong().is_none()
    }

    /// One JSON object.
    pub(super) fn json(&self) -> String {
        let told = Told { url: &self.url.borrow(), ok: self.is_ok(), checks: &self.findings.borrow() };
        // Texts, a flag and names are always JSON.
        serde_json::to_string(&told).unwrap_or_default()
    }

    /// A line for each finding, between the URL and the verdict.
    pub(super) fn text(&self, has_colours: bool) -> String {
        let mut text = format!("{}\n\n", self.url.borrow());
        let findings = self.findings.borrow();
        for Finding { check, state, detail, advice } in findings.iter() {
            let (word, colour) = match state {
                State::Ok => ("ok", "32"),
                State::Note => ("note", "33"),
                State::Wrong => ("WRONG", "1;31"),
                State::Skipped => ("skipped", "2"),
            };
            let padded = format!("{word:<7}");
            let word = if has_colours { format!("\x1b[{colour}m{padded}\x1b[0m") } else { padded };
            let advice = advice.as_ref().map_or(String::new(), |advice| format!(" -> {advice}"));
            // Writing into a string does not fail.
            let _ = writeln!(text, "{word}  {:<11}  {detail}{advice}", check.name());
        }
        let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
        let verdict = match wrong {
            0 => "Calls can be made.".to_owned(),
            1 => "Calls cannot be made as they should: 1 check is wrong.".to_owned(),
            many => format!("Calls cannot be made as they should: {many} checks are wrong."),
        };
        let _ = writeln!(text, "\n{verdict}");
        text
    }
}

/// Whether a terminal shows `letter` and does nothing else.
fn is_shown(letter: char) -> bool {
    // Those that change the direction of what follows, too.
    !letter.is_control()
        && !matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What somebody else said, as a quotation that is not too long.
pub(super) fn quoted(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(limits::DOCTOR_QUOTE_CHARS).collect();
    let rest = if short.len() < text.len() { "..." } else { "" };
    format!("\"{short}{rest}\"")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn report() -> Report {
        let report = Report::new("http://relay.example/".into());
        report.keeps_secret("a token");
        report.wrong(Check::Join, "it said \"a token\"\u{1b}[31m\u{202e}", "give another one than a token");
        report.note(Check::Port, "one of two", "look at it");
        report.ok(Check::Address, "1 address");
        report.finish(&[Check::Address, Check::Messages]);
        report
    }

    #[test]
    fn each_finding_is_one_line_in_the_order_of_the_checks() {
        let text = report().text(false);
        assert_eq!(
            text,
            "http://relay.example/\n\n\
             ok       address      1 address\n\
             note     port         one of two -> look at it\n\
             WRONG    join         it said \"(hidden)\" [31m  -> give another one than (hidden)\n\
             skipped  messages     not tried, because of join\n\n\
             Calls cannot be made as they should: 1 check is wrong.\n"
        );
        assert!(report().text(true).contains("\u{1b}[1;31mWRONG  \u{1b}[0m"));
    }

    #[test]
    fn json_is_one_object_with_what_the_text_says() {
        let said: Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!((&said["url"], &said["ok"]), (&"http://relay.example/".into(), &false.into()));
        let states: Vec<_> = said["checks"].as_array().unwrap().iter().map(|one| one["state"].as_str()).collect();
        assert_eq!(states, ["ok", "note", "wrong", "skipped"].map(Some));
        assert_eq!(said["checks"][1]["advice"], "look at it");
        assert_eq!(said["checks"][1]["name"], "port");
    }

    #[test]
    fn what_did_not_end_is_wrong_where_nothing_else_is() {
        let report = Report::new("http://relay.example/".into());
        report.ok(Check::Address, "1 address");
        assert!(report.is_ok());
        report.finish(&[Check::Address, Check::Silence]);
        assert!(!report.is_ok());
    }

    #[test]
    fn a_long_quotation_is_cut_between_letters() {
        let quoted = quoted(&"\u{e9} ".repeat(10_000));
        assert!(quoted.ends_with("...\"") && quoted.chars().count() == limits::DOCTOR_QUOTE_CHARS + 5, "{quoted}");
    }
}
