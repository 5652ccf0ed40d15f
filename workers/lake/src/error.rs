//! What can go wrong with a lake.

use engine::ports::{PortError, PortErrorKind};

/// A failed call on the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store did not do what was asked.
    #[error("'{name}' cannot be {action}")]
    Store {
        /// `read`, `written`, `listed`, `deleted`.
        action: &'static str,
        /// The object.
        name: String,
        /// The store's answer.
        source: object_store::Error,
    },
    /// The local file system did not do what was asked.
    #[error("'{path}' cannot be opened for writing")]
    File {
        /// The file.
        path: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Somebody else leads: this process must end, and may start again.
    #[error("{0}")]
    Fenced(String),
    /// Another process writes to this lake now.
    #[error("lake '{lake}' is written by {holder}: stop that process, or use another lake")]
    Held {
        /// The lake.
        lake: String,
        /// Host, process and version of the other one.
        holder: String,
    },
    /// What is stored makes no sense.
    #[error("'{object}' makes no sense: {reason}")]
    Corrupt {
        /// The object or view.
        object: String,
        /// Why.
        reason: String,
    },
    /// A late commit of an older leader landed first: begin again, behind it.
    #[error("'{0}' is the late commit of an older leader: begin again behind it")]
    Overtaken(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A location that cannot be opened.
    #[error("{0}")]
    Location(PortError),
    /// A snapshot's files were deleted while it was read: read the latest one.
    #[error("snapshot {0} expired while it was read: read the latest one")]
    Expired(u64),
}

impl LakeError {
    pub(crate) fn corrupt(object: impl Into<String>, reason: impl ToString) -> Self {
        LakeError::Corrupt { object: object.into(), reason: reason.to_string() }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> PortErrorKind {
        match self {
            LakeError::Store { source, .. } => match source {
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. } => PortErrorKind::Denied,
                object_store::Error::NotFound { .. } => PortErrorKind::Gone,
                object_store::Error::NotSupported { .. }
                | object_store::Error::NotImplemented { .. }
                | object_store::Error::InvalidPath { .. } => PortErrorKind::Invalid,
                _ => PortErrorKind::Outage,
            },
            LakeError::File { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => PortErrorKind::Denied,
                _ => PortErrorKind::Outage,
            },
            LakeError::Fenced(_) | LakeError::Held { .. } => PortErrorKind::Fenced,
            LakeError::Corrupt { .. } => PortErrorKind::Corrupt,
            LakeError::Invalid(_) => PortErrorKind::Invalid,
            LakeError::Location(error) => error.kind(),
            LakeError::Expired(_) | LakeError::Overtaken(_) => PortErrorKind::Gone,
        }
    }
}

impl From<LakeError> for PortError {
    fn from(error: LakeError) -> PortError {
        use std::error::Error;
        // The store's answer says the rest of its own chain.
        let cause = error.source().map(|s| format!(": {s}")).unwrap_or_default();
        PortError::new(error.kind(), format!("{error}{cause}"))
    }
}

/// Result of a call on the lake.
pub type Result<T, E = LakeError> = std::result::Result<T, E>;
