//! The resources that are no reply of a model: the caller's account and sessions, the models, and the number of tokens of a
//! request.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::exchange::Exchange;
use super::routes::MODELS_BELOW;
use crate::api::{
    Context, Envelope, Interface, Messages, estimate, find_model, list_models, native, parse_count,
    render_count, render_session, render_sessions, render_usage,
};
use crate::auth::Caller;
use crate::bedrock::count_tokens;
use crate::config::Config;
use crate::error::{Code, Error};
use crate::host::{Host, IncomingRequest};
use crate::limits::{self, Memory};
use crate::log::Record;
use crate::sessions;

/// Returns the numbers of the caller's account.
pub(super) async fn usage(
    caller: Option<&Caller>,
    config: &Config,
    host: &impl Host,
) -> Result<Envelope, Error> {
    let account = limits::account(caller);
    let standing = match config.limits.budget {
        None => None,
        Some(budget) => Some((budget, limits::standing(account, host).await?)),
    };
    Ok(render_usage(account, standing))
}

/// Returns the models that callers may name, or one of them.
pub(super) fn models(request: &IncomingRequest<()>, config: &Config) -> Result<Envelope, Error> {
    let json = match config.path_below(request.path()).strip_prefix(MODELS_BELOW) {
        Some(name) => find_model(name, config),
        None => list_models(request.query(), config),
    };
    Ok(Envelope::json(200, json?))
}

/// Returns the inference profiles and foundation models that callers may use.
pub(super) fn catalogue(request: &IncomingRequest<()>, config: &Config) -> Result<Envelope, Error> {
    let path = config.path_below(request.path());
    let json = native::find_in_catalogue(path, request.query(), config)?;
    Ok(Envelope::new(200, "application/json", json))
}

/// Returns the sessions of the caller.
pub(super) async fn sessions(
    request: &IncomingRequest<()>,
    caller: Option<&Caller>,
    config: &Config,
    host: &impl Host,
) -> Result<Envelope, Error> {
    Ok(render_sessions(&sessions::list(request.query(), caller, config, host).await?))
}

/// Returns or deletes a session of the caller.
pub(super) async fn session(
    request: &IncomingRequest<()>,
    caller: Option<&Caller>,
    config: &Config,
    memory: &Arc<Memory>,
    host: &impl Host,
) -> Result<Envelope, Error> {
    let id = request.path().rsplit('/').next().unwrap_or_default();
    if request.method == Method::DELETE {
        sessions::delete(id, caller, config, host).await?;
        return Ok(Envelope::empty(204));
    }
    let view = sessions::read(id, request.query(), caller, config, memory, host).await?;
    Ok(render_session(&view))
}

impl<H: Host> Exchange<'_, '_, H> {
    /// Counts the tokens of a request: as Bedrock counts them where the model can, else by an estimate.
    pub(super) async fn count(
        mut self,
        config: &Config,
        headers: &HeaderMap,
        body: Bytes,
    ) -> (Envelope, Record) {
        let context = Context { headers, config, state: self.isolate.bedrock_state() };
        let request = match parse_count(body, &context, &mut self.record) {
            Ok(request) => request,
            Err(error) => {
                let envelope = self.fail("", error);
                return self.finish(envelope);
            }
        };
        let endpoint = config.find_model(request.model.as_deref());
        let mut counted = None;
        if endpoint.as_ref().is_some_and(|it| it.count_uri.is_some()) {
            let deadline = self.deadline(Messages.timeout(config));
            let bedrock = self.isolate.bedrock_until(deadline, config, self.host);
            counted = Some(count_tokens(&request, &bedrock, &mut self.record).await);
        }
        let envelope = match counted {
            Some(Ok(tokens)) => render_count(tokens, false),
            // The caller's fault.
            Some(Err(error)) if error.code == Code::Rejected => self.fail("", error),
            failed => {
                self.record.error = failed.and_then(|it| it.err()?.cause);
                let tokens = estimate(&request, endpoint.and_then(|it| it.model));
                render_count(tokens, true)
            }
        };
        self.finish(envelope)
    }
}
