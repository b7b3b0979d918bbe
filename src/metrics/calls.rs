//! What is counted of calls: how long they take to be set up, and what clients report of them.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::{Counter, Counters, Times};

/// How long calls took to be set up, as far as the relay sees it.
#[derive(Debug, Default)]
pub(crate) struct SetupTimes {
    /// From the join of a client that met somebody to the first offer that it made or got.
    pub join_to_offer: Times,
    /// From an offer to its answer.
    pub offer_to_answer: Times,
    /// From an answer to the first candidate of who answered.
    pub answer_to_candidate: Times,
    /// Offers that were not answered in time.
    pub unanswered: Counter,
}

/// The states of calls that clients report.
const CALL_STATES: [&str; 3] = ["connected", "failed", OTHER];
/// The types of ICE candidates (RFC 8839 section 5.1), and `none` where a client does not say.
const CANDIDATE_TYPES: [&str; 6] = ["host", "srflx", "prflx", "relay", OTHER, NONE];
/// How the media travels, or how the TURN server is reached, and `none` where a client does not say.
const PROTOCOLS: [&str; 5] = ["udp", "tcp", "tls", OTHER, NONE];
const OTHER: &str = "other";
const NONE: &str = "none";

/// What a client reports of a call: positions in the lists of words above, so that nothing of its own text stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallReport {
    state: usize,
    local: usize,
    remote: usize,
    protocol: usize,
}

/// How many kinds of reports there are.
const KINDS: usize = CALL_STATES.len() * CANDIDATE_TYPES.len() * CANDIDATE_TYPES.len() * PROTOCOLS.len();

/// How many reports there were of each kind.
#[derive(Debug, Default)]
pub(crate) struct CallReports(Counters<KINDS>);

impl CallReport {
    /// From what a client said.
    pub(crate) fn new(state: &str, local: Option<&str>, remote: Option<&str>, protocol: Option<&str>) -> Self {
        let [local, remote] = [local, remote].map(|kind| position(&CANDIDATE_TYPES, kind.unwrap_or(NONE)));
        Self {
            state: position(&CALL_STATES, state),
            local,
            remote,
            protocol: position(&PROTOCOLS, protocol.unwrap_or(NONE)),
        }
    }

    /// Whether it says what became of the call.
    pub(crate) fn is_of_outcome(self) -> bool {
        CALL_STATES.get(self.state).is_some_and(|state| *state != OTHER)
    }

    /// Its words: the state, the types of both candidates, and the protocol.
    fn words(self) -> [&'static str; 4] {
        let Self { state, local, remote, protocol } = self;
        [
            word(&CALL_STATES, state),
            word(&CANDIDATE_TYPES, local),
            word(&CANDIDATE_TYPES, remote),
            word(&PROTOCOLS, protocol),
        ]
    }

    #[cfg(feature = "admin")]
    fn of_number(number: usize) -> Self {
        let (rest, protocol) = (number / PROTOCOLS.len(), number % PROTOCOLS.len());
        let (rest, remote) = (rest / CANDIDATE_TYPES.len(), rest % CANDIDATE_TYPES.len());
        let (state, local) = (rest / CANDIDATE_TYPES.len(), rest % CANDIDATE_TYPES.len());
        Self { state, local, remote, protocol }
    }

    fn number(self) -> usize {
        let Self { state, local, remote, protocol } = self;
        ((state * CANDIDATE_TYPES.len() + local) * CANDIDATE_TYPES.len() + remote) * PROTOCOLS.len() + protocol
    }
}

/// The word at a position of a list.
fn word(words: &[&'static str], position: usize) -> &'static str {
    words.get(position).copied().unwrap_or(OTHER)
}

/// Where a word stands in a list; that of [`OTHER`] if it stands nowhere.
fn position(words: &[&str], word: &str) -> usize {
    let find = |word: &str| words.iter().position(|known| *known == word);
    find(word).or_else(|| find(OTHER)).unwrap_or_default()
}

impl CallReports {
    /// Counts one more.
    pub(crate) fn add(&self, report: CallReport) {
        self.0.add(report.number());
    }

    /// The words of each kind that was reported, in the order of [`CallReport`], and how often.
    #[cfg(feature = "admin")]
    pub(crate) fn get(&self) -> impl Iterator<Item = ([&'static str; 4], u64)> {
        let counts = self.0.get().into_iter().enumerate();
        counts.filter(|(_, count)| *count > 0).map(|(number, count)| (CallReport::of_number(number).words(), count))
    }
}

/// As its words.
impl Serialize for CallReport {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let [state, local, remote, protocol] = self.words();
        let mut report = to.serialize_struct("CallReport", 4)?;
        report.serialize_field("state", state)?;
        report.serialize_field("local", local)?;
        report.serialize_field("remote", remote)?;
        report.serialize_field("protocol", protocol)?;
        report.end()
    }
}

#[cfg(all(test, feature = "admin"))]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_counted_by_words_of_ours_and_what_is_none_of_them_is_other() {
        let reports = CallReports::default();
        let report = CallReport::new("connected", Some("host"), Some("relay"), Some("tls"));
        reports.add(report);
        reports.add(report);
        reports.add(CallReport::new("failed", None, None, None));
        reports.add(CallReport::new("\n# x", Some("Host"), Some("none"), Some("")));
        let counted: Vec<_> = reports.get().collect();
        assert_eq!(
            counted,
            [
                (["connected", "host", "relay", "tls"], 2),
                (["failed", "none", "none", "none"], 1),
                (["other", "other", "none", "other"], 1)
            ]
        );
    }
}
