//! How an operation of the platform can fail.

/// A network operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The connection failed or ended early. The text is for the log.
    #[error("{0}")]
    Failed(String),
    /// The operation took longer than it was given.
    #[error("it took too long")]
    TimedOut,
    /// The client disconnected, so every further operation of the request is pointless.
    #[error("the client disconnected")]
    Cancelled,
}

/// A body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The body is longer than the limit.
    #[error("the body is too long")]
    TooLong,
    /// The envelope that contains the body is malformed. The text is for the caller.
    #[error("{0}")]
    Malformed(String),
    /// There is no memory for the body, because other requests hold it.
    #[error("other requests hold the memory that it needs")]
    Overloaded,
    /// The body ended early or did not arrive in time.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// A signature could not be verified because the platform does not accept the key. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VerifyError(pub String);

/// A limit could not be checked because its store did not reply. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LimitError(pub String);

/// A text could not be encrypted or decrypted. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CipherError(pub String);
