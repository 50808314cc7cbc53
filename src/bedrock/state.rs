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
    pub refused: Refusals,
}

/// The parts of payloads that models have refused, and that are no longer sent to them.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Vec<(String, String)>>);

impl Refusals {
    /// A caller chooses the names of betas: more are forgotten, and learnt again.
    const MOST: usize = 200;

    /// Reports whether a model has refused a part.
    pub fn contains(&self, model_id: &str, part: &str) -> bool {
        lock(&self.0).iter().any(|known| is(known, model_id, part))
    }

    /// Remembers that a model has refused a part. Returns whether that is news.
    pub fn insert(&self, model_id: &str, part: &str) -> bool {
        let mut refusals = lock(&self.0);
        if refusals.iter().any(|known| is(known, model_id, part)) {
            return false;
        }
        if refusals.len() >= Self::MOST {
            refusals.remove(0);
        }
        refusals.push((model_id.to_owned(), part.to_owned()));
        true
    }
}

fn is((known_model, known_part): &(String, String), model_id: &str, part: &str) -> bool {
    known_model == model_id && known_part == part
}
