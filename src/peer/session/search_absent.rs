//! Without the feature `cluster`, there is nothing to search for.

use std::convert::Infallible;

/// Nothing.
pub(super) type Search = Infallible;
