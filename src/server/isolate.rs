//! The state that outlives a request: the configuration, and what has been learnt since the start.

use std::sync::Arc;

use crate::auth;
use crate::bedrock::{self, Bedrock};
use crate::config::{Config, ConfigError};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::host::Http;
use crate::json::quoted;
use crate::limits::Memory;

/// A configuration, and what one isolate has learnt with it: the offset of AWS's clock, the retry quota, circuit
/// breakers, temporary credentials, signing keys, the issuer's keys, and fields that a model refused.
///
/// The platform owns it and passes it to every handler. Two of them in one process share nothing.
#[derive(Debug)]
pub struct Isolate {
    config: Result<Config, ConfigError>,
    pub(super) auth: auth::State,
    bedrock: bedrock::State,
    /// The memory that the requests hold.
    pub(super) memory: Arc<Memory>,
}

impl Isolate {
    /// Starts with a configuration, which may be invalid: every response is then 500, and the log says why.
    pub fn new(config: Result<Config, ConfigError>) -> Self {
        let (auth, bedrock, memory) = Default::default();
        Self { config, auth, bedrock, memory }
    }

    /// Reads the configuration from variables, which a closure looks up.
    pub fn from_vars(vars: impl Fn(&str) -> Option<String>) -> Self {
        Self::new(Config::from_vars(vars))
    }

    /// Returns the configuration.
    ///
    /// # Errors
    ///
    /// Its problems, if it is invalid.
    pub fn config(&self) -> Result<&Config, &ConfigError> {
        self.config.as_ref()
    }

    /// Returns the log lines of the start: one for each warning about the configuration. Print them once.
    pub fn warnings(&self) -> Vec<String> {
        let Ok(config) = self.config() else { return Vec::new() };
        let is_logged = config.log_level <= crate::config::Level::Warn;
        let warnings = config.warnings.iter().filter(|_| is_logged);
        warnings.map(|it| format!(r#"{{"level":"warn","warning":{}}}"#, quoted(it))).collect()
    }

    /// Counts the memory of the requests together with that of another isolate in the same process.
    #[cfg(feature = "entry")]
    pub(crate) fn share_memory(&mut self, other: &Self) {
        self.memory = other.memory.clone();
    }

    /// Prepares a call to Bedrock, whose deadline is `BEDROCK_TIMEOUT_MS` from now.
    ///
    /// # Errors
    ///
    /// If the configuration is invalid.
    pub fn bedrock<'a, H: Http>(&'a self, host: &'a H) -> Result<Bedrock<'a, H>, Error> {
        let config = self.checked_config()?;
        Ok(self.bedrock_until(Deadline::new(host.now(), config.timeout), config, host))
    }

    pub(super) fn bedrock_until<'a, H>(
        &'a self,
        deadline: Deadline,
        config: &'a Config,
        host: &'a H,
    ) -> Bedrock<'a, H> {
        Bedrock::new(config, &self.bedrock, &self.memory, deadline, host)
    }

    /// Returns the configuration, or the error of every response.
    pub(super) fn checked_config(&self) -> Result<&Config, Error> {
        // The problems name variables and never repeat a value.
        self.config().map_err(|error| Error::misconfigured(error.to_string()))
    }

    /// Returns what has been learnt about Bedrock.
    pub(crate) fn bedrock_state(&self) -> &bedrock::State {
        &self.bedrock
    }
}
