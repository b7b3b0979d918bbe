//! Events for an application.

use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::events::EventsUrl;

/// Events for an application.
#[derive(Debug, Args)]
#[command(next_help_heading = "Events for an application")]
pub(super) struct EventFlags {
    /// Tell this URL by POST who comes and leaves, who the host is, that a room is empty, and what becomes of calls.
    ///
    /// It gets {"run","lost","events":[...]} in JSON, with the headers of Standard Webhooks, and answers with a status from 200 to
    /// 299; otherwise it gets the same again. The events of a room come in order. Redirects are not followed.
    #[arg(long, value_name = "URL", env = "SIGNALING_RELAY_EVENTS_URL", hide_env_values = true)]
    events_url: Option<EventsUrl>,

    /// Sign the events with the secret in this file (Standard Webhooks); may be given several times, and each one signs.
    ///
    /// It is `whsec_` and the base64 of 24 to 64 bytes, as `echo whsec_$(openssl rand -base64 32)` makes it. Only a URL of this
    /// machine needs none. SIGHUP reads it again.
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_EVENTS_SECRET_FILE", value_delimiter = ',')]
    events_secret_file: Vec<PathBuf>,

    /// Trust the certificate authorities in this PEM file for --events-url with https.
    ///
    /// Without it they are those of the system.
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_EVENTS_CA")]
    events_ca: Option<PathBuf>,
}

impl EventFlags {
    pub(super) fn set(self, config: &mut Config) {
        config.events_url = self.events_url;
        config.events_secret_file = self.events_secret_file;
        config.events_ca = self.events_ca;
    }
}
