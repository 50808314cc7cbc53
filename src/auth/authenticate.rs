//! Authentication of a request.

use http::HeaderMap;
use sha2::{Digest, Sha256};

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

/// The way in which the body of a request is taken to check a signature that covers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intake {
    /// The most bytes.
    pub limit: usize,
    /// Whether the platform keeps it.
    pub is_kept: bool,
}

/// Authenticates a request. If a signature covers the body, the returned body has been taken.
///
/// 1. The request has one credential or none. Of two, neither counts.
/// 2. The credential is of a configured method and proves who calls.
/// 3. If a browser sent it, its page is the Worker's own or of `ALLOWED_ORIGINS`.
pub(crate) async fn authenticate<B: Body, H: Host>(
    request: &IncomingRequest<()>,
    body: B,
    config: &Config,
    state: &State,
    deadline: Deadline,
    intake: Intake,
    host: &H,
) -> Result<(Session, RequestBody<B>), Refusal> {
    let access = &config.access;
    let (session, body) = if access.is_open {
        (Session::OPEN, RequestBody::Pending(body))
    } else {
        // 1.
        let credential = Credential::find(&request.headers, request.query(), access)?;
        // 2.
        match credential {
            Credential::Signature(authorization) => {
                let (keys, region) = (&access.keys, &config.endpoint.region);
                let signed = sigv4::verify(authorization, request, keys, region, host.now())?;
                outlined(take_signed(signed, body, intake, deadline, host)).await?
            }
            credential => {
                let session = check_token(&credential, access, state, deadline, host).await;
                (session.map_err(Refusal::of_token)?, RequestBody::Pending(body))
            }
        }
    };
    // 3.
    Ok((check_origin(session, &request.headers, access)?, body))
}

/// Checks that a request did not come from a browser for a page of a foreign origin.
pub(crate) fn check_origin(
    session: Session,
    headers: &HeaderMap,
    access: &Access,
) -> Result<Session, Refusal> {
    match is_foreign(headers, &access.origins) {
        true => Err(Refusal::Origin(session)),
        false => Ok(session),
    }
}

/// Takes the body and checks that it is the signed one.
async fn take_signed<B: Body, H: Host>(
    signed: sigv4::Signed,
    body: B,
    Intake { limit, is_kept }: Intake,
    deadline: Deadline,
    host: &H,
) -> Result<(Session, RequestBody<B>), Refusal> {
    let within = deadline.left(host.now());
    let unreadable = |error| Refusal::Other(Error::unreadable(error, limit));
    let (body, hash) = if is_kept {
        let body = body.keep(limit, within).await.map_err(unreadable)?;
        let hash = host.sha256_kept(&body).await;
        (RequestBody::Kept(body), hash)
    } else {
        let body = body.read(limit, within).await.map_err(unreadable)?;
        let hash = Sha256::digest(&body).into();
        (RequestBody::Buffered(body), hash)
    };
    Ok((Session::new(signed.check(&hash)?), body))
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
        Credential::None | Credential::Signature(_) => {
            Err(Refusal::Missing(no_credential(access).into()))
        }
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
