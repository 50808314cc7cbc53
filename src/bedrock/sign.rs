//! Signing of requests of the embedding program, with the credentials that calls to Bedrock have.

use super::error::InvokeError;
use super::means::Bedrock;
use crate::aws::Scope;
use crate::aws::sigv4::Unsigned;
use crate::config::Authentication;
use crate::error::Error;
use crate::host::Http;
use crate::outlined::outlined;

impl<H: Http> Bedrock<'_, H> {
    /// Returns the headers of a signature. Without a region it is for the configured one.
    ///
    /// # Errors
    ///
    /// If there are no credentials that sign, or the request cannot be signed.
    pub(crate) async fn sign(
        &self,
        request: &Unsigned<'_>,
        service: &str,
        region: Option<&str>,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let (config, state, host) = (self.config, self.state, self.host);
        let now = || state.clock.correct(host.now());
        let temporary;
        let credentials = match &config.authentication {
            Authentication::SigV4(credentials) => credentials,
            Authentication::AssumeRole(role) => {
                let assumed = outlined(state.role.get(role, host, self.deadline, now)).await;
                (temporary, _) = assumed
                    .map_err(|error| InvokeError::from(error).into_public(0, config, state))?;
                &temporary.credentials
            }
            Authentication::ApiKey(_) => {
                return Err(Error::misconfigured(
                    "AWS_BEARER_TOKEN_BEDROCK cannot sign: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
                ));
            }
        };
        let scope = Scope { region: region.unwrap_or(&config.endpoint.region), service };
        request.sign(credentials, scope, now()).map_err(|error| Error::invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
