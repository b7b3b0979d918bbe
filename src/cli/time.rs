//! Times on the command line.

use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;

/// Parses a time such as `90m`: a number with s, m, h or d; none if it is no such time, or not between these.
pub(super) fn parse(text: &str, least: Duration, most: Duration) -> Option<Duration> {
    let (unit, seconds) =
        [("s", 1), ("m", 60), ("h", 60 * 60), ("d", DAY)].into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let time = Duration::from_secs(number.checked_mul(seconds)?);
    (least..=most).contains(&time).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn a_time_is_a_number_with_a_unit_between_two_others() {
        let [least, most] = [Duration::from_secs(10), Duration::from_secs(7 * DAY)];
        for (text, seconds) in [("10s", 10), ("90m", 5_400), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(parse(text, least, most), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse(limits::TURN_TTL_TEXT, least, most), Some(limits::TURN_TTL));
        for text in ["", "9s", "8d", "12", "1.5h", "-1h", "h", "1w", "99999999999999999999d"] {
            assert_eq!(parse(text, least, most), None, "{text}");
        }
    }
}
