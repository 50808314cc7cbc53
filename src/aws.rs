//! AWS's protocols: Signature Version 4, temporary credentials, event streams, errors.
//!
//! Out of scope: what Bedrock's operations mean ([`bedrock`](crate::bedrock)).

mod access_key;
mod credentials;
mod errors;
mod event_stream;
mod messages;
mod regions;
pub(crate) mod sigv4;

pub use access_key::Credentials;
pub(crate) use credentials::RoleCredentials;
pub use credentials::{AssumeRoleError, RoleSettings, TemporaryCredentials, read_assume_role};
pub(crate) use errors::{AwsError, Recovery, error_type, named_by, too_long};
pub use event_stream::{FrameError, Frames, Message};
pub(crate) use event_stream::{Prelude, encode_event, encode_exception, header_in};
pub(crate) use messages::loggable;
pub(crate) use regions::{
    Elsewhere, Variant, check_arn, check_model, endpoint_url, partition, without_profile,
};
pub use sigv4::{Scope, SignError, SigningCache, sign, sign_post};
