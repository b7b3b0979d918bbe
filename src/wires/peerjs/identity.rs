//! Who a client says to be, and what else it can see.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::text;
use crate::secret::Secret;

/// Who somebody says to be.
#[derive(Debug)]
pub(super) struct Identity {
    /// The id within its space, as [`Space::key`] makes it. The table has the same.
    pub key: Arc<str>,
    /// How many bytes of that are the space.
    space: usize,
    /// The id as JSON.
    pub json: Box<str>,
    /// By what it is known again.
    pub token: Secret,
}

/// Those of one key do not see those of another one: before each id of the table stands the key and its length, so that no id
/// and no key can be taken for parts of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Space(Box<str>);

impl Space {
    /// That of a key.
    pub(super) fn new(key: &str) -> Self {
        Self(format!("{}:{key}", key.len()).into())
    }

    /// An id within it, as the table knows it.
    pub(super) fn key(&self, id: &str) -> String {
        [&*self.0, id].concat()
    }
}

impl Identity {
    /// The client that says to be `id` in `space`, and is known again by `token`.
    pub(super) fn new(space: &Space, id: &str, token: Secret) -> Self {
        Self { key: space.key(id).into(), space: space.0.len(), json: text::json(id).into(), token }
    }

    /// The id.
    pub(super) fn id(&self) -> &str {
        self.key.split_at_checked(self.space).unwrap_or_default().1
    }

    /// Another id within its space, as the table knows it.
    pub(super) fn key_of(&self, id: &str) -> String {
        let (space, _) = self.key.split_at_checked(self.space).unwrap_or_default();
        [space, id].concat()
    }

    /// The bytes of its texts.
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.json.len() + self.token.reveal().len()
    }

    /// Whether another connection is of the same client. In constant time, as if somebody guessed.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.token.reveal().as_bytes().ct_eq(other.token.reveal().as_bytes()).into()
    }
}
