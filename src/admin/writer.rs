//! Writes metrics as Prometheus reads them.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Writes metrics.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    /// A gauge of the relay.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.gauge_named(&named(name), help, value)
    }

    /// A counter of the relay.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.counter_named(&named(name), help, value)
    }

    /// A gauge with this very name.
    pub(super) fn gauge_named(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A counter with this name, after which comes `_total`.
    pub(super) fn counter_named(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let mut counter = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        counter.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A gauge for each value of a label.
    #[cfg(feature = "wires")]
    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl Iterator<Item = (&'static str, f64)>,
    ) -> Result<(), Error> {
        let name = named(name);
        let mut family = self.0.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (value, gauge) in values {
            family.encode_family(&[(label, value)])?.encode_gauge(&gauge)?;
        }
        Ok(())
    }

    /// A counter for each value of a label.
    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) -> Result<(), Error> {
        self.labelled_counters(name, help, [label], values.map(|(value, count)| ([value], count)))
    }

    /// A counter for each of some values of labels.
    pub(super) fn labelled_counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
        values: impl Iterator<Item = ([&'static str; N], u64)>,
    ) -> Result<(), Error> {
        let name = named(name);
        let mut family = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (values, count) in values {
            let mut next = values.into_iter();
            let pairs = labels.map(|label| (label, next.next().unwrap_or_default()));
            family.encode_family(&pairs)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    /// Times, with how many were within each bound.
    pub(super) fn histogram(&mut self, name: &str, help: &str, sum: f64, buckets: &[(f64, u64)]) -> Result<(), Error> {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let name = named(name);
        let mut histogram = self.0.encode_descriptor(&name, help, None, MetricType::Histogram)?;
        histogram.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }

    /// What does not change.
    pub(super) fn info(
        &mut self,
        name: &str,
        help: &str,
        labels: [(&'static str, &'static str); 1],
    ) -> Result<(), Error> {
        let name = format!("{}_info", named(name));
        let mut family = self.0.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        family.encode_family(&labels)?.encode_gauge(&1_i64)
    }
}

/// The name of a metric of the relay.
fn named(name: &str) -> String {
    format!("signaling_relay_{name}")
}
