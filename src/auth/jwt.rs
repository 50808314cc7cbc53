//! JWTs of one issuer: Amazon Cognito, Cloudflare Access, any OpenID Connect provider.
//!
//! RS256 and ES256. The key decides the algorithm and a token can only name it; `none` and the HMAC algorithms are
//! not among those that a key can have. The signature is checked before the claims, so that the time of a response
//! tells nothing about them.
//!
//! Out of scope: encrypted tokens, OpenID Connect discovery (`JWT_JWKS_URL` says what it would), revocation: a token
//! is valid until it expires.
//!
//! <https://www.rfc-editor.org/rfc/rfc7519>, <https://www.rfc-editor.org/rfc/rfc8725>

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::caller::{Caller, Session};
use super::jwks::Jwks;
use super::refusal::Refusal;
use crate::config::Issuer;
use crate::date::YEAR_10000;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::host::{Algorithm, Host, SignatureVerifier};

/// The difference between clocks that is tolerated.
const LEEWAY: Duration = Duration::from_secs(60);

/// OpenID Connect's limit for a subject.
const MAX_SUBJECT_BYTES: usize = 255;

/// Verifies a JWT and returns its subject.
///
/// 1. It has three parts and a header without unknown extensions.
/// 2. The issuer has the key that it names, for the algorithm that it names.
/// 3. The signature was made with that key.
/// 4. Its issuer, audience and times are right.
/// 5. It has a subject and the required scope.
pub(super) async fn verify<H: Host>(
    issuer: &Issuer,
    jwks: &Jwks,
    jwt: &str,
    deadline: Deadline,
    host: &H,
) -> Result<Session, Refusal> {
    // 1.
    let Unverified { message, algorithm, kid, claims, signature } = Unverified::parse(jwt)?;
    // 2.
    let key = jwks.find(&issuer.jwks_url, kid.as_deref(), algorithm, deadline, host).await;
    let key = key.map_err(Refusal::Issuer)?;
    let key = key.ok_or_else(|| Refusal::Unauthenticated(jwks.why_missing()))?;
    // 3.
    let Some(verifier) = host.verifier() else {
        let cause = "JWT_ISSUER is set, and this host cannot verify signatures";
        return Err(Refusal::Other(Error::misconfigured(cause)));
    };
    match verifier.verify(&key, message.as_bytes(), &signature).await {
        Ok(true) => accept(issuer, &claims, host.now()),
        Ok(false) => Err("the JWT's signature does not match".into()),
        Err(problem) => {
            let cause = format!("the issuer's key cannot be used: {problem}");
            Err(Refusal::Unauthenticated(cause.into()))
        }
    }
}

/// Checks claims that the issuer has signed: steps 4 and 5.
fn accept(issuer: &Issuer, claims: &Claims, now: SystemTime) -> Result<Session, Refusal> {
    // 4.
    let expires = claims.check_times(now)?;
    if claims.text("iss")? != Some(&*issuer.issuer) {
        return Err("the JWT is of another issuer".into());
    }
    check_audience(issuer, claims)?;
    // 5.
    let session = Session { caller: Some(claims.caller()?), expires: Some(expires) };
    match &issuer.required_scope {
        Some(scope) if !claims.has_scope(scope)? => {
            Err(Refusal::Scope { session, scope: scope.clone() })
        }
        _ => Ok(session),
    }
}

fn check_audience(issuer: &Issuer, claims: &Claims) -> Result<(), Refusal> {
    let is_ours = |audience: &&str| issuer.audiences.iter().any(|ours| ours == audience);
    // Cognito's access tokens name the client in place of an audience.
    // https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
    let is_for_us = match (claims.list("aud")?, claims.text("token_use")?) {
        (Some(aud), None | Some("access" | "id")) => aud.iter().any(is_ours),
        (None, Some("access")) => claims.text("client_id")?.as_ref().is_some_and(is_ours),
        _ => false,
    };
    if is_for_us { Ok(()) } else { Err("the JWT is for another audience".into()) }
}

/// The parts of a JWT.
struct Unverified<'a> {
    /// The signed part.
    message: &'a str,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Claims,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    fn parse(jwt: &'a str) -> Result<Self, &'static str> {
        const NO_JWT: &str = "the token is not known, and is not a JWT";
        let (message, signature) = jwt.rsplit_once('.').ok_or(NO_JWT)?;
        let (header, claims) = message.split_once('.').ok_or(NO_JWT)?;
        let header = decode(header).ok_or("the JWT's header is malformed")?;
        // A fourth part would be in here, and base64url has no dot.
        let claims = Claims(decode(claims).ok_or("the JWT's claims are malformed")?);
        let signature =
            URL_SAFE_NO_PAD.decode(signature).map_err(|_| "the JWT's signature is malformed")?;
        if header.contains_key("crit") {
            return Err("the JWT's header has extensions");
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
        let algorithm = algorithm.ok_or("the JWT's algorithm is not allowed")?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err("the JWT's kid is not a string"),
        };
        Ok(Self { message, algorithm, kid, claims, signature })
    }
}

/// The claims of a JWT. Unknown claims are ignored, as the standard wants. Of a repeated claim the last counts.
struct Claims(Map<String, Value>);

const MALFORMED: &str = "a claim of the JWT is malformed";

impl Claims {
    /// Returns a claim that is a string.
    fn text(&self, name: &str) -> Result<Option<&str>, &'static str> {
        self.0.get(name).map(|value| value.as_str().ok_or(MALFORMED)).transpose()
    }

    /// Returns a claim that is a string or an array of strings.
    fn list(&self, name: &str) -> Result<Option<Vec<&str>>, &'static str> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let many = match value {
            Value::Array(many) => many.as_slice(),
            one => std::slice::from_ref(one),
        };
        many.iter().map(Value::as_str).collect::<Option<_>>().map(Some).ok_or(MALFORMED)
    }

    /// Returns a claim that is a time: seconds since the epoch, possibly with a fraction.
    fn time(&self, name: &str) -> Result<Option<SystemTime>, &'static str> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().and_then(|it| Duration::try_from_secs_f64(it).ok());
        // Leaves room for the leeway.
        let time = seconds.filter(|it| it.as_secs() < YEAR_10000).ok_or(MALFORMED)?;
        Ok(UNIX_EPOCH.checked_add(time))
    }

    /// Checks the times and returns when the token expires, leeway included.
    fn check_times(&self, now: SystemTime) -> Result<SystemTime, Refusal> {
        let expires = self.time("exp")?.ok_or("the JWT has no exp")? + LEEWAY;
        if now >= expires {
            return Err(Refusal::Expired("the JWT has expired".into()));
        }
        for (name, cause) in
            [("nbf", "the JWT is not valid yet"), ("iat", "the JWT was issued in the future")]
        {
            if self.time(name)?.is_some_and(|begins| begins > now + LEEWAY) {
                return Err(cause.into());
            }
        }
        Ok(expires)
    }

    /// Returns the subject as a caller.
    fn caller(&self) -> Result<Caller, &'static str> {
        let is_name = |name: &str| (1..=MAX_SUBJECT_BYTES).contains(&name.len());
        match (self.text("sub")?, self.text("common_name")?) {
            (Some(sub), _) if is_name(sub) => Ok(Caller::new("jwt", sub)),
            // A service token of Cloudflare Access.
            // https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/application-token/
            (Some(""), Some(name)) if is_name(name) => Ok(Caller::new("service", name)),
            _ => Err("the JWT has no subject, or too long a one"),
        }
    }

    /// Reports whether the token has a scope.
    fn has_scope(&self, scope: &str) -> Result<bool, &'static str> {
        // Microsoft and Okta call it `scp`. Entra ID has the permissions of applications in `roles`, Auth0 those of users in
        // `permissions`: claims of other issuers' own, which may have another form there.
        let lists = [
            self.list("scope")?,
            self.list("scp")?,
            self.list("roles").ok().flatten(),
            self.list("permissions").ok().flatten(),
        ];
        Ok(lists.iter().flatten().flatten().flat_map(|list| list.split(' ')).any(|it| it == scope))
    }
}

/// Decodes a JSON object in base64url.
fn decode(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}
