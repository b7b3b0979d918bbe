//! One request with a batch of events.

use std::sync::Arc;
use std::time::SystemTime;

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, StatusCode};

use super::EventsUrl;
use super::queue::Batch;
use super::sender::Post;
use super::signature::Signer;
use crate::http_client::{self, Authorities, Client};
use crate::limits;

/// Sends batches to the application.
#[derive(Clone)]
pub(super) struct HttpPost {
    url: EventsUrl,
    client: Client,
    signer: Arc<Signer>,
}

impl HttpPost {
    /// To `url`; with https, its certificate must be of the `authorities`.
    ///
    /// # Errors
    /// When the authorities cannot be used.
    pub(super) fn new(url: &EventsUrl, authorities: Authorities<'_>, signer: Arc<Signer>) -> anyhow::Result<Self> {
        let authorities = Authorities { file: authorities.file.filter(|_| url.is_https()), ..authorities };
        Ok(Self { url: url.clone(), client: Client::new(url.is_https(), authorities, 1)?, signer })
    }

    /// The request with the headers of Standard Webhooks. The time is that of this attempt.
    fn request(&self, batch: &Batch) -> anyhow::Result<Request<Full<bytes::Bytes>>> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.0.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, http_client::USER_AGENT)
            .header("webhook-id", &batch.id)
            .header("webhook-timestamp", now);
        let request = match self.signer.sign(&batch.id, now, &batch.body) {
            Some(signatures) => request.header("webhook-signature", signatures),
            None => request,
        };
        Ok(request.body(Full::new(batch.body.clone()))?)
    }
}

impl Post for HttpPost {
    async fn post(&self, batch: &Batch) -> anyhow::Result<StatusCode> {
        self.client.tell(self.request(batch)?, limits::WEBHOOK_BYTES).await
    }
}
