//! What a call needs of the relay: two members who hear each other, and connections that outlive silence.

use std::future::pending;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::ice;
use super::member::{Entry, Heard, Member, enter, text};
use super::reach::Door;
use super::report::{Check, Report};
use super::room;
use super::tls::Trust;
use crate::limits;
use crate::secret::Secret;

/// How the doctor behaves in a room.
pub(super) struct Visit<'a> {
    /// The origin of the page.
    pub(super) origin: &'a str,
    /// The token to show.
    pub(super) token: Option<&'a Secret>,
    /// How long to be silent.
    pub(super) idle: Duration,
    /// When everything ends.
    pub(super) until: Instant,
}

/// Makes the signaling of a call between two members, and asks the servers that browsers would ask.
pub(super) async fn call(door: &Door, visit: &Visit<'_>, trust: &Trust, report: &Report) {
    let until = visit.until.min(Instant::now() + limits::DOCTOR_ROOM);
    let room = match room::choose(visit.token, door.target.room.as_deref()) {
        Ok(room) => room,
        Err(error) => {
            report.wrong(Check::Join, format!("this system has no randomness: {error}"), "repair this system");
            return;
        }
    };
    let entry = Entry { origin: visit.origin, room: &room.name, token: visit.token };
    let Some(one) = enter(door, &entry, true, report, until).await else { return };
    let others = one.joined.get("peers").and_then(Value::as_array).map_or(0, Vec::len);
    if room.is_shared {
        report.ok(Check::Join, format!("a client enters the room that the token names, where {others} others are"));
    } else {
        report.ok(Check::Join, "a client enters a room of its own");
    }
    let servers = ice::Servers::of(&one.joined);
    tokio::join!(ice::look(servers, trust, report, visit.until), async {
        let Some(pair) = meet(door, &entry, one, report, until).await else { return };
        be_silent(pair, visit, report).await;
    });
}

/// Two members, or one where the token is one person's.
struct Pair {
    one: Member,
    other: Option<Member>,
}

/// A second member comes, and each says something to the other.
async fn meet(door: &Door, entry: &Entry<'_>, mut one: Member, report: &Report, until: Instant) -> Option<Pair> {
    if room::is_personal(entry.token) {
        report.note(
            Check::Messages,
            "the token is one person's (sub), so no second member came to hear the first",
            "use a token without sub to see that two hear each other",
        );
        return Some(Pair { one, other: None });
    }
    let Some(mut other) = enter(door, entry, false, report, until).await else {
        one.leave().await;
        return None;
    };
    for (from, to) in [("first", "second"), ("second", "first")] {
        let (speaker, listener) = if from == "first" { (&mut one, &mut other) } else { (&mut other, &mut one) };
        let word = room::random().unwrap_or_default();
        let data = json!({"doctor": word});
        let message = json!({"type": "message", "to": listener.id(), "data": data});
        speaker.say(&message).await;
        let is_it = |heard: &Value| text(heard, "type") == "message" && heard.get("data") == Some(&data);
        if let Err(why) = listener.hear_until(until, is_it).await {
            // An error that answers the message goes to who sent it.
            let answer = speaker.hear_until(Instant::now() + limits::DOCTOR_GOODBYE, |_| false).await;
            let why = answer.err().filter(|answer| answer.contains("refused")).unwrap_or(why);
            report.wrong(
                Check::Messages,
                format!("the {to} member did not hear the {from} one: {why}"),
                "see whether the proxy passes on at once what comes over a WebSocket (in nginx: proxy_buffering off), \
                 and whether all requests reach one relay",
            );
            one.leave().await;
            other.leave().await;
            return None;
        }
    }
    report.ok(Check::Messages, "two members hear each other");
    Some(Pair { one, other: Some(other) })
}

/// Says nothing for a while, and sees that the connection lasts and the relay pings.
async fn be_silent(pair: Pair, visit: &Visit<'_>, report: &Report) {
    let Pair { mut one, mut other } = pair;
    let begun = Instant::now();
    let ends = begun + visit.idle;
    let waits_for_ping = visit.idle >= limits::PING_INTERVAL;
    let wanted = if waits_for_ping { ends + limits::DOCTOR_PING_LATE } else { ends };
    let last = visit.until.min(wanted);
    let mut pings = 0;
    let end = loop {
        let now = Instant::now();
        if now >= last || (now >= ends && pings > 0) {
            break None;
        }
        // Until the silence is over, and then until a ping comes.
        let next = if now < ends { ends.min(last) } else { last };
        let heard = timeout_at(next, async {
            tokio::select! {
                heard = one.hear() => heard,
                heard = hear(other.as_mut()) => heard,
            }
        });
        match heard.await {
            Ok(Heard::Ping) => pings += 1,
            Ok(Heard::Message(_)) => {}
            Ok(Heard::End(why)) => break Some(why),
            Err(_) => {}
        }
    };
    let silence = begun.elapsed().as_secs_f64();
    match end {
        None if pings == 0 && last < wanted => report.note(
            Check::Silence,
            format!("no time was left to wait for the relay's ping: the connection outlived {silence:.0} s"),
            "see why all before that took so long",
        ),
        end => tell(end, pings, silence, waits_for_ping, report),
    }
    one.leave().await;
    if let Some(other) = other {
        other.leave().await;
    }
}

async fn hear(member: Option<&mut Member>) -> Heard {
    match member {
        Some(member) => member.hear().await,
        None => pending().await,
    }
}

fn tell(end: Option<String>, pings: u32, silence: f64, waits_for_ping: bool, report: &Report) {
    let interval = limits::PING_INTERVAL.as_secs();
    match end {
        Some(why) => report.wrong(
            Check::Silence,
            format!("the connection ended after {silence:.0} s of silence: {why}"),
            format!(
                "let the proxy wait longer than the {interval} s after which the relay pings, for example 60 s (nginx: \
                 proxy_read_timeout and proxy_send_timeout; HAProxy: timeout tunnel); if the relay was restarted, try \
                 again"
            ),
        ),
        None if pings > 0 => {
            report.ok(Check::Silence, format!("the connection outlives {silence:.0} s, and the relay pings"));
        }
        None if !waits_for_ping => {
            report.ok(Check::Silence, format!("the connection outlives {silence:.0} s; no ping was waited for"));
        }
        None => report.wrong(
            Check::Silence,
            format!("no ping came for {silence:.0} s, and the relay sends one each {interval} s"),
            "see whether something between here and the relay keeps the pings of WebSockets to itself: then a lost \
             connection is not noticed, and others cut it because of silence",
        ),
    }
}
