//! How a client of PeerJS gets its id: it is decided whether it may claim that, and then nobody else may have it.

use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::PeerClient;
use crate::auth::{Answer, Decision, Denial, Grant, JoinRequest};
use crate::budget::Charge;
use crate::outbox::{CloseRequest, Topic};
use crate::peer::JoinRefusal;
use crate::room::{ErrorCode, Refusal};
use crate::wires::peerjs::ids::Claimed;
use crate::wires::peerjs::{room, text};
use crate::wires::refused::{self, Wanted};

/// How far a client has come.
pub(super) enum Stage {
    /// It has not claimed its id, and wants to; or it cannot, for that reason.
    Begins(Box<Result<JoinRequest, Refusal>>),
    /// Whether it may claim its id is being decided.
    Waits(Box<(Decision, Charge)>),
    /// It has its id.
    Open,
    /// It is refused, and was told so: its connection is about to close.
    Refused,
}

impl PeerClient {
    /// Goes on with that as far as it goes now.
    pub(super) fn enter(&mut self, cx: &mut Context<'_>) {
        self.stage = match mem::replace(&mut self.stage, Stage::Refused) {
            Stage::Begins(request) => self.begin(*request),
            stage => stage,
        };
        if let Stage::Waits(waits) = &mut self.stage
            && let Poll::Ready(answer) = waits.0.as_mut().poll(cx)
        {
            self.stage = self.claim(answer);
        }
    }

    /// Asks whether the client may claim its id, and claims it if that is decided at once.
    fn begin(&mut self, request: Result<JoinRequest, Refusal>) -> Stage {
        let joined = request.and_then(|request| {
            self.rate.take_join().map(|()| request).map_err(|over| {
                self.hub.metrics.refusals.add(over.number());
                JoinRefusal::from(over).into()
            })
        });
        let request = match joined {
            Ok(request) => request,
            Err(refusal) => return self.refuse(&refusal, None),
        };
        match self.hub.authorize(&request) {
            Answer::Now(answer) => self.claim(answer),
            Answer::Later(decision) => {
                let headers = request.headers.iter().map(|(name, value)| name.len() + value.reveal().len());
                let token = request.token.as_ref().map_or(0, |token| token.reveal().len());
                let bytes = headers.sum::<usize>() + token + request.origin.as_ref().map_or(0, String::len);
                match self.outbox.sender().purse().charge(bytes) {
                    Some(memory) => Stage::Waits(Box::new((decision, memory))),
                    None => {
                        let why = "there is no memory for you now: try again later";
                        self.refuse(&Refusal::new(ErrorCode::Unavailable, why), None)
                    }
                }
            }
        }
    }

    /// Claims the id, if that was allowed.
    fn claim(&self, answer: Result<Grant, Denial>) -> Stage {
        let grant = match answer {
            Ok(grant) => grant,
            Err(denial) => return self.refuse(&denial.into(), None),
        };
        if grant.id.is_some_and(|id| id.as_str() != self.who.id()) {
            let why = "you may claim another id: the one that your token, or who decides, says";
            return self.refuse(&Refusal::new(ErrorCode::Unauthorized, why), None);
        }
        match self.ids.claim(&self.who, &self.outbox) {
            Claimed::New | Claimed::Again => Stage::Open,
            Claimed::Taken => self.refuse(&Refusal::new(ErrorCode::IdTaken, "ID is taken"), Some(text::id_taken())),
        }
    }

    /// Tells the client, the log and the observer that it is refused, and closes.
    fn refuse(&self, refusal: &Refusal, frame: Option<Bytes>) -> Stage {
        refused::note(&self.hub, &self.rate, &self.outbox, &Wanted::Id(self.who.id()), room(), refusal);
        let frame = frame.unwrap_or_else(|| text::error(&refusal.message));
        self.outbox.announce(self.outbox.sender(), Topic::Other, frame);
        self.outbox.request_close(CloseRequest::Refused);
        Stage::Refused
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begins(_) => "Begins",
            Self::Waits(_) => "Waits",
            Self::Open => "Open",
            Self::Refused => "Refused",
        })
    }
}
