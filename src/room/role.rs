//! What a client may do in a room.

/// What a client may do in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// What every member may.
    #[default]
    Guest,
    /// A host: it comes before members without this role, whenever they joined.
    Host,
}

impl Role {
    /// Parses `host` or `guest`.
    ///
    /// # Errors
    /// A sentence, if it is another text.
    #[cfg(feature = "auth")]
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "host" => Ok(Self::Host),
            "guest" => Ok(Self::Guest),
            _ => Err("a role is \"host\" or \"guest\""),
        }
    }

    /// Its name in tokens.
    #[cfg(feature = "auth")]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guest => "guest",
        }
    }
}
