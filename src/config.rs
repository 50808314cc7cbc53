//! The settings: values that are read once, validated together, and never change.
//!
//! The variables are the Lambda's (`BEDROCK_REGION`, `BEDROCK_MODEL_ID`, `MAX_TOKENS`, `TEMPERATURE`), those of the
//! AWS SDKs for what the Lambda takes from its role, and the project's own. A closure looks a name up, so the
//! platform decides where they come from.
//!
//! Out of scope: profiles, files, metadata services, web identities, and everything that is learnt after start
//! ([`Isolate`](crate::Isolate)).

mod access;
mod authentication;
mod endpoint;
mod guardrail;
mod level;
mod limits;
mod patterns;
mod sessions;
#[cfg(any(feature = "dynamodb", test))]
mod sessions_table;
mod settings;
mod variables;

pub use access::Access;
pub(crate) use access::{ApiToken, ClientKey, Issuer};
pub use authentication::Authentication;
pub use endpoint::Endpoint;
pub(crate) use endpoint::is_loopback;
pub(crate) use guardrail::Guardrail;
pub use level::Level;
pub(crate) use limits::MOST_IN_FLIGHT;
pub use limits::{Budget, Limits};
pub(crate) use sessions::SessionKey;
pub use sessions::Sessions;
#[cfg(any(feature = "dynamodb", test))]
pub use sessions_table::SessionsTable;
pub use settings::Config;
pub use variables::ConfigError;

#[cfg(test)]
mod tests;
