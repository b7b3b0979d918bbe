//! `/metrics`, for Prometheus. Each metric is described in `README.md` beside this file. The values of labels come from short
//! lists in the code, never from a client.

use std::fmt::{Error, Write};
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;

use super::process;
use super::writer::Writer;
#[cfg(feature = "cluster")]
use crate::cluster::{Cluster, directory::CLAIM_RESULTS};
use crate::metrics::{LOG_LINES_LOST, TIME_BOUNDS, Times};
use crate::net::tls::Tls;
use crate::protocol::MESSAGE_TYPES;
use crate::quota::OverLimit;
use crate::relay::Relay;
use crate::room::ErrorCode;
#[cfg(feature = "wires")]
use crate::wire::Wire;
use crate::ws::Disconnect;

/// What is scraped.
#[derive(Debug)]
pub(super) struct Scrape {
    /// The relay.
    pub relay: Arc<Relay>,
    /// Its TLS, if it has any.
    pub tls: Option<Arc<Tls>>,
}

/// The type of the answer.
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

impl Scrape {
    /// The metrics as they are now.
    pub(super) fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing into a string does not fail.
        if prometheus_text::encode(&mut text, &registry).is_err() {
            let _ = text.write_str("# the metrics cannot be written\n");
        }
        text
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut to = Writer(encoder);
        self.encode_clients(&mut to)?;
        self.encode_traffic(&mut to)?;
        #[cfg(feature = "wires")]
        self.encode_wires(&mut to)?;
        self.encode_calls(&mut to)?;
        self.encode_ends(&mut to)?;
        #[cfg(feature = "auth")]
        self.encode_events(&mut to)?;
        #[cfg(feature = "cluster")]
        self.encode_cluster(&mut to)?;
        self.encode_resources(&mut to)?;
        process::encode(&mut to)
    }
}

impl Scrape {
    fn encode_clients(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let hub = self.relay.hub();
        let rooms = hub.rooms.count();
        to.gauge("connections", "Open connections, those that only load a page too", hub.quotas.open() as f64)?;
        to.gauge("websockets", "Open WebSockets", hub.drain.websockets() as f64)?;
        to.gauge("rooms", "Rooms with members", rooms.rooms as f64)?;
        to.gauge(
            "booked_rooms",
            "Rooms that the API made ahead of time, with members or without",
            rooms.booked as f64,
        )?;
        to.gauge("peers", "Members of rooms, those whose places are held too", rooms.peers as f64)?;
        to.gauge("knocks", "Clients that wait at locked rooms", rooms.knocks as f64)?;
        to.gauge(
            "held_places",
            "Places that are held for clients whose connections are lost",
            hub.quotas.held() as f64,
        )?;
        to.gauge(
            "addresses",
            "Addresses of clients that are remembered for their limits",
            hub.quotas.addresses() as f64,
        )?;
        to.counter("websockets_opened", "WebSockets that were opened", hub.metrics.websockets.get() as f64)?;
        to.counter("joins", "Joins that succeeded", hub.metrics.joins.get() as f64)?;
        to.counter("resumes", "Places that were taken again", hub.metrics.resumes.get() as f64)
    }

    fn encode_traffic(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let metrics = &self.relay.hub().metrics;
        let mut messages = [0; MESSAGE_TYPES.len()];
        let (mut received, mut relayed, mut relayed_bytes) = (0, 0, 0);
        for hot in metrics.all_hot() {
            messages.iter_mut().zip(hot.messages.get()).for_each(|(sum, more)| *sum += more);
            received += hot.received_bytes.get();
            relayed += hot.relayed.get();
            relayed_bytes += hot.relayed_bytes.get();
        }
        to.counters("messages", "Messages from clients by type", "type", MESSAGE_TYPES.into_iter().zip(messages))?;
        to.counter("received_bytes", "Bytes that were read from WebSockets", received as f64)?;
        to.counter("relayed_messages", "Copies of messages that were queued for receivers", relayed as f64)?;
        to.counter("relayed_bytes", "Bytes of these, as their senders wrote them", relayed_bytes as f64)?;
        encode_times(
            to,
            "relay_latency_seconds",
            "From reading messages until their copies are written or left to other tasks; one of 64 is timed",
            &metrics.latency,
        )
    }

    #[cfg(feature = "wires")]
    fn encode_wires(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let (hub, wires) = (self.relay.hub(), &self.relay.site.wires);
        let websockets = Wire::ALL.iter().zip(hub.drain.websockets_on_wires());
        let websockets = websockets.map(|(wire, count)| (wire.name(), count as f64));
        to.gauges("wire_websockets", "Open WebSockets on the wires of other libraries", "wire", websockets)?;
        let topics = Wire::ALL.into_iter().map(|wire| (wire.name(), wires.count(wire)));
        let topics = topics.map(|(name, count)| (name, count as f64));
        to.gauges(
            "wire_topics",
            "Topics there that somebody is subscribed to, ids that somebody has, or groups or rooms with a member",
            "wire",
            topics,
        )?;
        let mut messages = [0; Wire::ALL.len()];
        for hot in hub.metrics.all_hot() {
            messages.iter_mut().zip(hot.wires.get()).for_each(|(sum, more)| *sum += more);
        }
        let messages = Wire::ALL.iter().map(|wire| wire.name()).zip(messages);
        to.counters("wire_messages", "Messages from clients there", "wire", messages)
    }

    fn encode_calls(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let hub = self.relay.hub();
        let times = hub.rooms.setup_times();
        encode_times(
            to,
            "join_to_offer_seconds",
            "From the joins of clients that met somebody to the first offer that they made or got",
            &times.join_to_offer,
        )?;
        encode_times(to, "offer_to_answer_seconds", "From offers to their answers", &times.offer_to_answer)?;
        encode_times(
            to,
            "answer_to_candidate_seconds",
            "From answers to the first candidates of those who answered",
            &times.answer_to_candidate,
        )?;
        to.counter("offers_unanswered", "Offers that nobody answered within 30 s", times.unanswered.get() as f64)?;
        to.labelled_counters(
            "call_reports",
            "Calls that clients reported, by how they ended up",
            ["state", "local", "remote", "protocol"],
            hub.metrics.reports.get(),
        )
    }

    fn encode_ends(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let metrics = &self.relay.hub().metrics;
        let codes = ErrorCode::ALL.map(ErrorCode::as_str);
        to.counters(
            "errors",
            "Error messages to clients by code",
            "code",
            codes.into_iter().zip(metrics.errors.get()),
        )?;
        let kinds = Disconnect::KINDS.into_iter().zip(metrics.closes.get());
        to.counters("websockets_closed", "WebSockets that ended by reason", "reason", kinds)?;
        let limits = OverLimit::NAMES.into_iter().zip(metrics.refusals.get());
        to.counters("refusals", "Connections, upgrades and joins that were refused by limit", "limit", limits)?;
        let handshakes = [("ok", metrics.handshakes.get()), ("failed", metrics.failed_handshakes.get())];
        to.counters("tls_handshakes", "TLS handshakes by result", "result", handshakes.into_iter())
    }

    /// Of a relay whose events nobody gets, they are all 0.
    #[cfg(feature = "auth")]
    fn encode_events(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let counts = self.relay.events.as_ref().map(|events| events.counts()).unwrap_or_default();
        to.gauge("events_queued", "Events that wait for the application, or are on their way", counts.queued as f64)?;
        to.counter("events_sent", "Events that the application has taken", counts.sent as f64)?;
        to.counter("events_lost", "Events that were lost, because the application took too few", counts.lost as f64)
    }

    /// Of a relay that is not one of several, they are all 0.
    #[cfg(feature = "cluster")]
    fn encode_cluster(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let (cluster, none) = (self.relay.cluster.as_ref(), Times::default());
        let counts = cluster.map(Cluster::counts).unwrap_or_default();
        to.gauge("cluster_relays", "Other relays of the cluster that live", counts.relays as f64)?;
        to.gauge("tunnels", "Clients whose rooms live at other relays", counts.tunnels as f64)?;
        to.counter("tunnels_opened", "All of these that there were", counts.tunnels_opened as f64)?;
        to.gauge("guests", "Clients in rooms here that have come by other relays", counts.guests as f64)?;
        let results = CLAIM_RESULTS.into_iter().zip(counts.claims);
        to.counters("room_claims", "Rooms that were looked up in Redis, by where they live", "result", results)?;
        to.counter("rooms_taken_over", "Rooms that were taken over from dead relays", counts.taken_over as f64)?;
        to.counter("rooms_let_go", "Rooms that were given up, because another relay has them", counts.let_go as f64)?;
        to.gauge("redis_up", "Whether Redis is there", f64::from(counts.is_redis_there))?;
        to.counter("redis_reconnects", "How often Redis was connected again", counts.redis_reconnects as f64)?;
        let latency = cluster.map_or(&none, Cluster::redis_latency);
        encode_times(to, "redis_latency_seconds", "From questions to Redis to its answers", latency)
    }

    fn encode_resources(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let hub = self.relay.hub();
        let queued = hub.drain.queued();
        to.gauge("queued_messages", "Messages that wait for clients to read", queued.messages as f64)?;
        to.gauge("queued_bytes", "Bytes of these", queued.bytes as f64)?;
        to.gauge(
            "stalled_clients",
            "Clients whose sockets accept nothing although messages wait",
            queued.stalled as f64,
        )?;
        let (pinned, limit) = hub.quotas.memory();
        to.gauge("memory_pinned_bytes", "Memory that clients pin", pinned as f64)?;
        to.gauge("memory_budget_bytes", "Memory that they may pin, 0 if there is no limit", limit.unwrap_or(0) as f64)?;
        if let Some(expiry) = self.tls.as_ref().and_then(|tls| tls.expiry()) {
            let seconds = expiry.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            to.gauge(
                "certificate_expiry_timestamp_seconds",
                "When the certificate expires (Unix time)",
                seconds as f64,
            )?;
        }
        to.counter("log_lines_lost", "Lines of the log that nobody read in time", LOG_LINES_LOST.get() as f64)?;
        to.info("build", "The version of the relay", [("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn encode_times(to: &mut Writer<'_>, name: &str, help: &str, times: &Times) -> Result<(), Error> {
    let (sum, within) = times.get();
    let bounds = TIME_BOUNDS.iter().map(|nanos| *nanos as f64 / 1e9).chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(within).collect();
    to.histogram(name, help, sum, &buckets)
}
