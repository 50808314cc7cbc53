//! JWTs of one issuer: Amazon Cognito, Cloudflare Access, any OpenID Connect provider.
//!
//! RS256 and ES256. The algorithm is the key's, and a token can only name it; `none` and the HMAC
//! algorithms are not among those that a key can have. The signature is checked before the claims,
//! so that the time that an answer takes tells nothing about them.
//!
//! Out of scope: encrypted tokens, OpenID Connect discovery (`JWT_JWKS_URL` says what it would),
//! revocation, and sessions: a token is good until it expires.
//!
//! <https://www.rfc-editor.org/rfc/rfc7519>, <https://www.rfc-editor.org/rfc/rfc8725>

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use serde_json::{Map, Value};

use super::jwks::{Algorithm, Jwks};
use super::tokens::entries;
use super::{Caller, Refusal, Session};
use crate::config::{Variables, is_loopback};
use crate::date::YEAR_10000;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::host::{Host, VerifyError};

/// By how much clocks may differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// OpenID Connect's limit of a subject.
const MAX_SUBJECT_BYTES: usize = 255;

/// Who issues the tokens, and which of them are for us.
#[derive(Debug)]
pub(crate) struct Issuer {
    issuer: String,
    audiences: Vec<String>,
    required_scope: Option<String>,
    jwks: Jwks,
}

impl Issuer {
    /// `Some(None)` where none is configured.
    pub(super) fn read(
        vars: &mut Variables<impl Fn(&str) -> Option<String>>,
    ) -> Option<Option<Self>> {
        let issuer = vars.read_optional("JWT_ISSUER", |text| {
            // Compared with `iss` as it is written.
            parse_url(text).map(|_| text.to_owned())
        });
        let audiences = vars.read_optional("JWT_AUDIENCE", |text| {
            Ok(entries(text).map(str::to_owned).collect::<Vec<_>>())
        });
        let url = vars.read_optional("JWT_JWKS_URL", parse_url);
        let scope = vars.read_optional("JWT_REQUIRED_SCOPE", |text| {
            // It becomes part of a header between quotes.
            let is_allowed = |it: u8| it.is_ascii_graphic() && it != b'"' && it != b'\\';
            let is_scope = text.bytes().all(is_allowed);
            is_scope.then(|| text.to_owned()).ok_or("must be one scope, without white space")
        });
        if let Some(None) = issuer {
            for name in ["JWT_AUDIENCE", "JWT_JWKS_URL", "JWT_REQUIRED_SCOPE"] {
                if vars.non_empty(name).is_some() {
                    vars.problem(name, "is set, and JWT_ISSUER is not");
                }
            }
        } else if let Some(None) = audiences {
            // Without it a token that the issuer made for anybody would do.
            vars.problem("JWT_AUDIENCE", "is not set, and JWT_ISSUER is");
        }
        let (issuer, audiences, url, required_scope) = (issuer?, audiences?, url?, scope?);
        let Some(issuer) = issuer else { return Some(None) };
        let url = match url {
            Some(url) => url,
            None => default_jwks_url(&issuer)?,
        };
        let audiences = audiences.unwrap_or_default();
        Some(Some(Self { issuer, audiences, required_scope, jwks: Jwks::at(url) }))
    }

    /// The caller of a JWT.
    ///
    /// 1. It has three parts, and a header that we understand all of.
    /// 2. The issuer has the key that it names, for the algorithm that it names.
    /// 3. The signature is that key's.
    /// 4. It is of this issuer, for this audience, of this time.
    /// 5. It has a subject, and the scope.
    pub(super) async fn verify<H: Host>(
        &self,
        jwt: &str,
        deadline: Deadline,
        host: &H,
    ) -> Result<Session, Refusal> {
        // 1.
        let Unverified { message, algorithm, kid, claims, signature } = Unverified::parse(jwt)?;
        // 2.
        let key = self.jwks.key(kid.as_deref(), algorithm, deadline, host).await;
        let key = key.map_err(Refusal::Issuer)?.ok_or("the issuer has no such key")?;
        // 3.
        match host.verify(&key, message.as_bytes(), &signature).await {
            Ok(true) => self.accept(&claims, host.now()),
            Ok(false) => Err("the JWT's signature does not match".into()),
            Err(error) => Err(unverifiable(&error)),
        }
    }

    /// Steps 4 and 5, for claims that are the issuer's.
    fn accept(&self, claims: &Claims, now: SystemTime) -> Result<Session, Refusal> {
        // 4.
        let expires = claims.check_times(now)?;
        if claims.text("iss")? != Some(&*self.issuer) {
            return Err("the JWT is of another issuer".into());
        }
        self.check_audience(claims)?;
        // 5.
        let session = Session { caller: Some(claims.caller()?), expires: Some(expires) };
        match &self.required_scope {
            Some(scope) if !claims.has_scope(scope)? => {
                Err(Refusal::Scope { session, scope: scope.clone() })
            }
            _ => Ok(session),
        }
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), Refusal> {
        let is_ours = |audience: &&str| self.audiences.iter().any(|ours| ours == audience);
        // Cognito's access tokens name the client in the place of an audience.
        // https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
        let is_for_us = match (claims.list("aud")?, claims.text("token_use")?) {
            (Some(aud), None | Some("access" | "id")) => aud.iter().any(is_ours),
            (None, Some("access")) => claims.text("client_id")?.as_ref().is_some_and(is_ours),
            _ => false,
        };
        if is_for_us { Ok(()) } else { Err("the JWT is for another audience".into()) }
    }
}

fn unverifiable(error: &VerifyError) -> Refusal {
    match error {
        VerifyError::Unsupported => {
            let cause = "JWT_ISSUER is set, and this host cannot verify signatures";
            Refusal::Other(Error::misconfigured(cause))
        }
        VerifyError::Key(problem) => {
            let cause = format!("the issuer's key cannot be used: {problem}");
            Refusal::Stranger(cause.into())
        }
    }
}

/// A JWT's parts.
struct Unverified<'a> {
    /// What is signed.
    message: &'a str,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Claims,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    fn parse(jwt: &'a str) -> Result<Self, &'static str> {
        const NO_JWT: &str = "the token is not known, and is no JWT";
        let (message, signature) = jwt.rsplit_once('.').ok_or(NO_JWT)?;
        let (header, claims) = message.split_once('.').ok_or(NO_JWT)?;
        let header = decode(header).ok_or("the JWT's header is malformed")?;
        // A part more is in here, and a dot is not of base64url.
        let claims = Claims(decode(claims).ok_or("the JWT's claims are malformed")?);
        let signature =
            URL_SAFE_NO_PAD.decode(signature).map_err(|_| "the JWT's signature is malformed")?;
        if header.contains_key("crit") {
            return Err("the JWT's header has extensions");
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::of);
        let algorithm = algorithm.ok_or("the JWT's algorithm is not allowed")?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err("the JWT's kid is no string"),
        };
        Ok(Self { message, algorithm, kid, claims, signature })
    }
}

/// A JWT's claims. Those that are not asked for are ignored, as the standard wants it; of one that is
/// there twice the last counts.
struct Claims(Map<String, Value>);

const MALFORMED: &str = "a claim of the JWT is malformed";

impl Claims {
    fn text(&self, name: &str) -> Result<Option<&str>, &'static str> {
        self.0.get(name).map(|value| value.as_str().ok_or(MALFORMED)).transpose()
    }

    /// A string, or an array of strings.
    fn list(&self, name: &str) -> Result<Option<Vec<&str>>, &'static str> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let many = match value {
            Value::Array(many) => many.as_slice(),
            one => std::slice::from_ref(one),
        };
        many.iter().map(Value::as_str).collect::<Option<_>>().map(Some).ok_or(MALFORMED)
    }

    /// Seconds since the epoch, and fractions of them.
    fn time(&self, name: &str) -> Result<Option<SystemTime>, &'static str> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().and_then(|it| Duration::try_from_secs_f64(it).ok());
        // With room for the leeway.
        let time = seconds.filter(|it| it.as_secs() < YEAR_10000).ok_or(MALFORMED)?;
        Ok(UNIX_EPOCH.checked_add(time))
    }

    /// When the token expires, with the leeway.
    fn check_times(&self, now: SystemTime) -> Result<SystemTime, &'static str> {
        let expires = self.time("exp")?.ok_or("the JWT has no exp")? + LEEWAY;
        if now >= expires {
            return Err("the JWT has expired");
        }
        for (name, cause) in
            [("nbf", "the JWT is not valid yet"), ("iat", "the JWT was issued in the future")]
        {
            if self.time(name)?.is_some_and(|begins| begins > now + LEEWAY) {
                return Err(cause);
            }
        }
        Ok(expires)
    }

    fn caller(&self) -> Result<Caller, &'static str> {
        let is_name = |name: &str| (1..=MAX_SUBJECT_BYTES).contains(&name.len());
        match (self.text("sub")?, self.text("common_name")?) {
            (Some(sub), _) if is_name(sub) => Ok(Caller::new("jwt", sub)),
            // Of a service token of Cloudflare Access.
            // https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/application-token/
            (Some(""), Some(name)) if is_name(name) => Ok(Caller::new("service", name)),
            _ => Err("the JWT has no subject, or too long a one"),
        }
    }

    fn has_scope(&self, scope: &str) -> Result<bool, &'static str> {
        // The second is Microsoft's and Okta's.
        let lists = [self.list("scope")?, self.list("scp")?];
        Ok(lists.iter().flatten().flatten().flat_map(|list| list.split(' ')).any(|it| it == scope))
    }
}

/// A JSON object in base64url.
fn decode(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

fn parse_url(text: &str) -> Result<Uri, &'static str> {
    const NOT_A_URL: &str = "must be an https URL without a user or fragment; plain http is for a loopback address only";
    let uri: Uri = text.parse().map_err(|_| NOT_A_URL)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(NOT_A_URL)?;
    let is_safe = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(&host.to_ascii_lowercase()),
        _ => false,
    };
    if is_safe && !text.contains(['@', '#']) { Ok(uri) } else { Err(NOT_A_URL) }
}

/// Where Cognito has its keys, and most others; or Cloudflare Access.
fn default_jwks_url(issuer: &str) -> Option<Uri> {
    let host = issuer.parse::<Uri>().ok()?.host()?.to_ascii_lowercase();
    let path = match host.ends_with(".cloudflareaccess.com") {
        true => "/cdn-cgi/access/certs",
        false => "/.well-known/jwks.json",
    };
    format!("{}{path}", issuer.trim_end_matches('/')).parse().ok()
}
