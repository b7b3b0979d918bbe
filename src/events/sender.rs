//! The task that sends what is queued: one batch after the other, each as often as it takes until the application has it.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::queue::{Batch, Queue};
use crate::http_client::complaints::{Complaint, Complaints};
use crate::limits;

/// Sends a batch to the application.
pub(super) trait Post: Send + Sync + 'static {
    /// The status that the application answers with.
    fn post(&self, batch: &Batch) -> impl Future<Output = anyhow::Result<StatusCode>> + Send;
}

/// Sends what is queued.
pub(super) struct Sender<P> {
    queue: Arc<Queue>,
    post: P,
    is_hurried: watch::Receiver<bool>,
    complaints: Complaints,
    /// Events that were lost, of which the log does not know yet.
    lost: u64,
}

/// Why the application has not taken a batch.
#[derive(Debug)]
struct Failure {
    why: String,
    /// Whether it wants no more (410).
    is_gone: bool,
}

impl<P: Post> Sender<P> {
    /// Sends what is in `queue` by `post`.
    pub(super) fn new(queue: Arc<Queue>, post: P) -> Self {
        let is_hurried = queue.hurried();
        Self { queue, post, is_hurried, complaints: Complaints::new(), lost: 0 }
    }

    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.queue.next().await {
            self.deliver(&batch).await;
            self.queue.note_sent();
            self.lost += batch.lost;
            if self.lost > 0 && self.complaints.take_line() {
                warn!(lost = std::mem::take(&mut self.lost), "events were lost, because the application took too few");
            }
        }
    }

    /// Sends the batch until the application has it.
    async fn deliver(&mut self, batch: &Batch) {
        let mut next_pause = limits::EVENTS_PAUSE_MIN;
        while let Err(failure) = self.attempt(batch).await {
            if let Some(Complaint::Fails { left_out }) = self.complaints.failed(&failure.why) {
                let (queued, lost) = self.queue.backlog();
                let error = failure.why;
                warn!(%error, queued, lost, left_out, "the application of --events-url did not take events; trying again");
            }
            // Standard Webhooks has a sender stop then. But there is one application here, which an operator named, and a proxy may
            // say so for a moment: so it is asked as seldom as possible.
            let pause = if failure.is_gone { limits::EVENTS_PAUSE_MAX } else { next_pause };
            self.rest(pause).await;
            next_pause = (2 * next_pause).min(limits::EVENTS_PAUSE_MAX);
        }
        if let Some(Complaint::Recovered { left_out }) = self.complaints.succeeded() {
            info!(left_out, "the application of --events-url takes events again");
        }
    }

    async fn attempt(&self, batch: &Batch) -> Result<(), Failure> {
        match timeout(limits::EVENTS_DEADLINE, self.post.post(batch)).await {
            Ok(Ok(status)) if status.is_success() => Ok(()),
            Ok(Ok(status)) => {
                let why = format!("it answered with the status {status}, and must with one from 200 to 299");
                Err(Failure { why, is_gone: status == StatusCode::GONE })
            }
            Ok(Err(error)) => Err(Failure { why: format!("{error:#}"), is_gone: false }),
            Err(_) => Err(Failure { why: "no answer in time".to_owned(), is_gone: false }),
        }
    }

    /// Waits for `pause` and a little more. When the relay shuts down, there is no time for that.
    async fn rest(&mut self, pause: Duration) {
        let pause = pause.mul_f64(1.0 + limits::EVENTS_JITTER * chance());
        if *self.is_hurried.borrow_and_update() {
            return sleep(pause.min(limits::EVENTS_PAUSE_MIN)).await;
        }
        tokio::select! {
            () = sleep(pause) => {}
            // The queue, and so its end of the channel, lives as long as this does.
            _ = self.is_hurried.changed() => {}
        }
    }
}

/// A random number from 0 to 1; without randomness 1.
fn chance() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use futures_util::FutureExt;
    use tokio::time::{Instant, advance};

    use super::*;

    /// What an application does with a request.
    #[derive(Debug, Clone, Copy)]
    enum Does {
        Answer(u16),
        Hang,
        Refuse,
    }

    /// An application that does one thing after the other, and then takes all.
    #[derive(Clone, Default)]
    struct Application(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        does: VecDeque<Does>,
        requests: Vec<(Instant, Batch)>,
    }

    impl Application {
        fn that(does: impl IntoIterator<Item = Does>) -> Self {
            Self(Arc::new(Mutex::new(State { does: does.into_iter().collect(), ..State::default() })))
        }

        /// The requests since the last call: after how many seconds each came, rounded down, and its id.
        fn requests(&self, since: Instant) -> Vec<(u64, String)> {
            let requests = std::mem::take(&mut self.0.lock().unwrap().requests);
            requests.into_iter().map(|(at, batch)| ((at - since).as_secs(), batch.id)).collect()
        }
    }

    impl Post for Application {
        async fn post(&self, batch: &Batch) -> anyhow::Result<StatusCode> {
            let does = {
                let mut state = self.0.lock().unwrap();
                state.requests.push((Instant::now(), batch.clone()));
                state.does.pop_front().unwrap_or(Does::Answer(204))
            };
            match does {
                Does::Answer(status) => Ok(StatusCode::from_u16(status)?),
                Does::Hang => std::future::pending().await,
                Does::Refuse => anyhow::bail!("connection refused"),
            }
        }
    }

    fn queue() -> Arc<Queue> {
        let queue = Arc::new(Queue::new("run".into()));
        queue.push(r#"{"name":1}"#.into(), false);
        queue
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_sent_again_with_the_same_id_and_longer_pauses_until_it_is_taken() {
        let application = Application::that(
            [500, 302, 404, 503, 200].map(Does::Answer).into_iter().chain([500; 8].map(Does::Answer)),
        );
        let (queue, began) = (queue(), Instant::now());
        let sender = Sender::new(Arc::clone(&queue), application.clone());
        let sending = tokio::spawn(sender.run());
        tokio::time::sleep(Duration::from_secs(30)).await;
        let requests = application.requests(began);
        assert!(requests.iter().all(|(_, id)| id == "run-1"), "{requests:?}");
        let at: Vec<u64> = requests.iter().map(|(at, _)| *at).collect();
        assert_eq!(at.len(), 5, "{at:?}");
        for (at, (least, most)) in at.into_iter().zip([(0, 0), (1, 1), (3, 3), (7, 8), (15, 18)]) {
            assert!((least..=most).contains(&at), "{at} s");
        }
        // The next batch begins with short pauses again, which grow to a minute at most.
        queue.push(r#"{"name":2}"#.into(), false);
        queue.close();
        let began = Instant::now();
        sending.await.unwrap();
        let at: Vec<u64> = application.requests(began).iter().map(|(at, _)| *at).collect();
        assert_eq!(at.len(), 9, "{at:?}");
        let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[0] <= 2 && pauses[7] >= 59 && pauses.iter().all(|pause| *pause <= 76), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_or_is_not_there_is_asked_again_and_who_is_gone_seldom() {
        let application = Application::that([Does::Hang, Does::Refuse, Does::Answer(410)]);
        let (queue, began) = (queue(), Instant::now());
        queue.close();
        Sender::new(queue, application.clone()).run().await;
        let at: Vec<u64> = application.requests(began).iter().map(|(at, _)| *at).collect();
        let deadline = limits::EVENTS_DEADLINE.as_secs();
        assert_eq!(at.len(), 4, "{at:?}");
        assert!(at[0] == 0 && (deadline + 1..=deadline + 2).contains(&at[1]), "{at:?}");
        assert!(at[3] - at[2] >= 60, "{at:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_is_down_for_a_minute_gets_all_of_that_minute_in_order() {
        // It is asked six times in the first minute.
        let application = Application::that([Does::Refuse; 6]);
        let queue = Arc::new(Queue::new("run".into()));
        let sending = tokio::spawn(Sender::new(Arc::clone(&queue), application.clone()).run());
        let began = Instant::now();
        for name in 1..=60 {
            queue.push(format!(r#"{{"name":{name}}}"#), false);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(queue.backlog(), (60, 0));
        queue.close();
        sending.await.unwrap();
        assert!((63..=80).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        let requests = std::mem::take(&mut application.0.lock().unwrap().requests);
        let names = requests[6..].iter().flat_map(|(_, batch)| {
            let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
            assert_eq!(body["lost"], 0);
            let events = body["events"].as_array().unwrap().clone();
            events.into_iter().map(|event| event["name"].as_u64().unwrap())
        });
        assert!(names.eq(1..=60));
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_is_under_way_at_a_time() {
        let application = Application::that([Does::Hang]);
        let queue = queue();
        let mut sending = Box::pin(Sender::new(Arc::clone(&queue), application.clone()).run());
        assert!((&mut sending).now_or_never().is_none());
        (0..1000).for_each(|_| queue.push(r#"{"name":2}"#.into(), false));
        advance(limits::EVENTS_DEADLINE / 2).await;
        assert!((&mut sending).now_or_never().is_none());
        assert_eq!(application.requests(Instant::now()).len(), 1);
        assert_eq!(queue.backlog(), (1001, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_shuts_down_waits_for_no_long_pause() {
        let application = Application::that([500; 9].map(Does::Answer));
        let queue = queue();
        let sending = tokio::spawn(Sender::new(Arc::clone(&queue), application.clone()).run());
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(application.requests(Instant::now()).len(), 7);
        queue.hurry();
        queue.close();
        let began = Instant::now();
        sending.await.unwrap();
        let at: Vec<u64> = application.requests(began).iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [0, 1, 2], "at once, and then a second apart");
    }
}
