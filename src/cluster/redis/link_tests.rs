//! One connection to a Redis that answers late, or no more.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::cluster::settings::ClusterSettings;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A connection on which the test answers.
struct Served {
    reads: BufReader<OwnedReadHalf>,
    writes: OwnedWriteHalf,
}

impl Served {
    /// Accepts a connection, and says what a Redis says of itself.
    async fn greet(listener: &TcpListener) -> Self {
        let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
        let (reads, writes) = TcpStream::into_split(stream);
        let mut served = Self { reads: BufReader::new(reads), writes };
        assert_eq!(served.next().await.as_deref(), Some("INFO"));
        let info = "redis_version:7.2.0\r\nrole:master\r\nrun_id:abc\r\nuptime_in_seconds:100\r\n";
        served.answer(&format!("${}\r\n{info}\r\n", info.len())).await;
        served
    }

    /// The name of the next command but `PING`, which is answered; none when the connection has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            let parts = self.line().await?.strip_prefix('*').unwrap().parse::<usize>().unwrap();
            let mut command = Vec::new();
            for _ in 0..parts {
                self.line().await?;
                command.push(self.line().await?);
            }
            match command.swap_remove(0) {
                ping if ping == "PING" => self.answer("+PONG\r\n").await,
                name => return Some(name),
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = soon("a command", self.reads.read_line(&mut line)).await;
        (read.is_ok_and(|read| read > 0)).then(|| line.trim_end().to_owned())
    }

    async fn answer(&mut self, answer: &str) {
        let _ = self.writes.write_all(answer.as_bytes()).await;
    }
}

/// Writes down that the connection was lost.
struct Notes(mpsc::UnboundedSender<String>);

impl Listener for Notes {
    fn connects(&self, _: &ServerInfo, _: bool) {}

    fn is_away(&self, why: &Refused) {
        let _ = self.0.send(why.to_string());
    }
}

/// A link to what the test answers, on which two questions may be under way; and why it is away.
async fn link() -> (TcpListener, Arc<Link>, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap()).parse().unwrap();
    let settings = ClusterSettings { url, password_file: None, authorities: None, prefix: String::new() };
    let (notes, whys) = mpsc::unbounded_channel();
    let dialer = Arc::new(Dialer::new(&settings).unwrap());
    let link = Arc::new(Link::new(dialer, 2, Box::new(Notes(notes))));
    tokio::spawn(Arc::clone(&link).run(None));
    (listener, link, whys)
}

fn get() -> Cmd {
    let mut command = redis::cmd("GET");
    command.arg("key");
    command
}

#[tokio::test]
async fn an_answer_after_its_time_ends_the_connection_and_is_never_used() {
    let (listener, link, mut whys) = link().await;
    let mut served = Served::greet(&listener).await;
    let on = link.connected().await.unwrap();
    let asks = tokio::spawn({
        let link = Arc::clone(&link);
        async move { link.ask::<String>(get(), Some(on)).await }
    });
    assert_eq!(served.next().await.as_deref(), Some("GET"));
    assert_eq!(asks.await.unwrap(), Err(Failed::Away));
    assert_eq!(soon("the end", whys.recv()).await.unwrap(), "it did not answer in time");
    served.answer("+late\r\n").await;
    assert_eq!(served.next().await, None, "the connection is gone");
    let mut next = Served::greet(&listener).await;
    assert_ne!(link.connected().await.unwrap(), on);
    assert_eq!(link.ask::<String>(get(), Some(on)).await, Err(Failed::Away), "it is another connection");
    let (answer, asked) = tokio::join!(link.ask::<String>(get(), None), async {
        let asked = next.next().await;
        next.answer("+new\r\n").await;
        asked
    });
    assert_eq!((answer, asked.as_deref()), (Ok("new".into()), Some("GET")));
}

#[tokio::test]
async fn more_questions_than_may_be_under_way_hear_at_once_that_redis_is_away() {
    let (listener, link, _whys) = link().await;
    let mut served = Served::greet(&listener).await;
    let ask = || {
        let link = Arc::clone(&link);
        tokio::spawn(async move { link.ask::<String>(get(), None).await })
    };
    let (first, second) = (ask(), ask());
    assert_eq!((served.next().await.as_deref(), served.next().await.as_deref()), (Some("GET"), Some("GET")));
    assert_eq!(ask().await.unwrap(), Err(Failed::Away));
    served.answer("+one\r\n+two\r\n").await;
    // Whichever came first.
    let mut answers = [first.await.unwrap().unwrap(), second.await.unwrap().unwrap()];
    answers.sort();
    assert_eq!(answers, ["one", "two"]);
}

#[tokio::test]
async fn a_connection_of_which_only_this_half_is_left_is_found_without_a_question() {
    let (listener, _link, mut whys) = link().await;
    let served = Served::greet(&listener).await;
    assert_eq!(soon("the end", whys.recv()).await.unwrap(), "it did not answer in time");
    drop(served);
    Served::greet(&listener).await;
}

#[tokio::test]
async fn a_redis_that_is_no_primary_any_more_is_dialled_anew() {
    let (listener, link, mut whys) = link().await;
    let mut served = Served::greet(&listener).await;
    let (answer, _) = tokio::join!(link.ask::<String>(get(), None), async {
        served.next().await;
        served.answer("-READONLY You can't write against a read only replica.\r\n").await;
    });
    assert_eq!(answer, Err(Failed::Away));
    assert!(soon("the end", whys.recv()).await.unwrap().contains("read only replica"));
    Served::greet(&listener).await;
}

#[tokio::test]
async fn what_is_of_another_kind_than_a_relay_writes_is_foreign_and_ends_nothing() {
    let (listener, link, _whys) = link().await;
    let mut served = Served::greet(&listener).await;
    for (said, answer) in [
        ("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", Err(Failed::Foreign)),
        ("+fine\r\n", Ok("fine".to_owned())),
    ] {
        let asked = tokio::join!(link.ask::<String>(get(), None), async {
            served.next().await;
            served.answer(said).await;
        });
        assert_eq!(asked.0, answer, "{said}");
    }
}
