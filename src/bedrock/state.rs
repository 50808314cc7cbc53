//! The knowledge of one isolate about Bedrock, kept from request to request.
//!
//! It is forgotten with the isolate, and every isolate learns for itself.

use std::sync::Mutex;

use super::breaker::Breakers;
use super::clock::ClockOffset;
use super::quota::Quota;
use crate::aws::{RoleCredentials, SigningCache};
use crate::lock::lock;

/// Everything that one isolate has learnt about Bedrock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub clock: ClockOffset,
    pub quota: Quota,
    pub breakers: Breakers,
    pub role: RoleCredentials,
    pub signing: SigningCache,
    pub temperature: RefusedBy,
}

/// The ids of the models that have refused a field which the Worker adds by itself.
#[derive(Debug, Default)]
pub(crate) struct RefusedBy(Mutex<Vec<String>>);

impl RefusedBy {
    pub fn contains(&self, model_id: &str) -> bool {
        lock(&self.0).iter().any(|known| known == model_id)
    }

    /// Remembers a model. Returns whether that is news.
    pub fn insert(&self, model_id: &str) -> bool {
        let mut models = lock(&self.0);
        let is_new = !models.iter().any(|known| known == model_id);
        if is_new {
            models.push(model_id.to_owned());
        }
        is_new
    }
}
