//! Without the feature `cluster`, a relay stands alone.

/// There is none.
#[derive(Debug)]
pub(crate) enum Cluster {}
