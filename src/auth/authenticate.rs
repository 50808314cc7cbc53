//! Authentication of a request.

use super::caller::Session;
use super::cors::is_foreign;
use super::credential::Credential;
use super::jwks::Jwks;
use super::refusal::Refusal;
use super::{jwt, sigv4, tokens};
use crate::config::{Access, Config};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::host::{Body, Host, IncomingRequest, RequestBody};
use crate::outlined::outlined;

/// The state of one isolate for authentication: the issuer's keys.
#[derive(Debug, Default)]
pub(crate) struct State {
    jwks: Jwks,
}

/// Authenticates a request. If a signature covers the body, the body, of `limit` bytes at most, is read and returned with
/// the request.
///
/// 1. The request has one credential or none. Of two, neither counts.
/// 2. The credential is of a configured method and proves who calls.
/// 3. If a browser sent it, its page is the Worker's own or of `ALLOWED_ORIGINS`.
pub(crate) async fn authenticate<B: Body, H: Host>(
    request: IncomingRequest<RequestBody<B>>,
    config: &Config,
    state: &State,
    deadline: Deadline,
    limit: usize,
    host: &H,
) -> Result<(Session, IncomingRequest<RequestBody<B>>), Refusal> {
    let access = &config.access;
    let (session, request) = if access.is_open {
        (Session::OPEN, request)
    } else {
        // 1.
        let credential = Credential::find(&request.headers, request.query(), access)?;
        // 2.
        match credential {
            Credential::Signature(authorization) => {
                let (keys, region) = (&access.keys, &config.endpoint.region);
                let signed = sigv4::verify(authorization, &request, keys, region, host.now())?;
                outlined(read_signed(signed, request, limit, deadline, host)).await?
            }
            credential => (check_token(&credential, access, state, deadline, host).await?, request),
        }
    };
    // 3.
    check_origin(session, request, access)
}

/// Checks that a request did not come from a browser for a page of a foreign origin.
pub(crate) fn check_origin<B>(
    session: Session,
    request: IncomingRequest<B>,
    access: &Access,
) -> Result<(Session, IncomingRequest<B>), Refusal> {
    if is_foreign(&request.headers, &access.origins) {
        return Err(Refusal::Origin(session));
    }
    Ok((session, request))
}

/// Reads the body and checks that it is the signed one.
async fn read_signed<B: Body, H: Host>(
    signed: sigv4::Signed,
    request: IncomingRequest<RequestBody<B>>,
    limit: usize,
    deadline: Deadline,
    host: &H,
) -> Result<(Session, IncomingRequest<RequestBody<B>>), Refusal> {
    let (request, body) = request.take_body();
    let body = body
        .read(limit, deadline.left(host.now()))
        .await
        .map_err(|error| Refusal::Other(Error::unreadable(error, limit)))?;
    let session = Session::new(signed.check(&body)?);
    Ok((session, request.with_body(RequestBody::Buffered(body))))
}

/// Checks a credential that is not a signature.
async fn check_token<H: Host>(
    credential: &Credential<'_>,
    access: &Access,
    state: &State,
    deadline: Deadline,
    host: &H,
) -> Result<Session, Refusal> {
    let token = |token| tokens::find(&access.tokens, token).map(Session::new);
    let jwt = |issuer, jwt| outlined(jwt::verify(issuer, &state.jwks, jwt, deadline, host));
    match *credential {
        Credential::ApiKey(key) => token(key).ok_or_else(|| "the API token is not known".into()),
        // One credential of either kind.
        Credential::Bearer(bearer) => match (token(bearer), &access.issuer) {
            (Some(session), _) => Ok(session),
            (None, Some(issuer)) => jwt(issuer, bearer).await,
            (None, None) => Err("the API token is not known".into()),
        },
        Credential::Assertion(assertion) => match &access.issuer {
            Some(issuer) => jwt(issuer, assertion).await,
            None => Err("no JWT_ISSUER is configured".into()),
        },
        Credential::None | Credential::Signature(_) => Err(no_credential(access).into()),
    }
}

/// Returns the cause of a refusal of a request without a credential.
fn no_credential(access: &Access) -> &'static str {
    if access.tokens.is_empty() && access.issuer.is_none() && access.keys.is_empty() {
        "no access method is configured: set API_TOKENS, JWT_ISSUER or CLIENT_KEYS, or AUTH=open"
    } else {
        "there is no credential"
    }
}
