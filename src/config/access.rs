//! The callers that may use the Worker, and how they prove who they are.

use std::fmt;

use http::{HeaderName, Uri};

use super::endpoint::is_loopback;
use super::variables::{Variables, entries};
use crate::hex::from_hex;
use crate::secret::Secret;

/// The callers that may use the Worker. With nothing configured none may: an open Worker is an explicit choice.
#[derive(Debug)]
pub struct Access {
    /// `AUTH=open`: callers need no credential.
    pub(crate) is_open: bool,
    /// `API_TOKENS`.
    pub(crate) tokens: Vec<ApiToken>,
    /// `JWT_ISSUER`.
    pub(crate) issuer: Option<Issuer>,
    /// `CLIENT_KEYS`.
    pub(crate) keys: Vec<ClientKey>,
    /// `ALLOWED_ORIGINS`, as browsers write them.
    pub(crate) origins: Vec<String>,
    /// `ALLOWED_HEADERS`: the headers that pages may send besides those that this service reads.
    pub(crate) headers: Vec<String>,
    /// The value of `www-authenticate`: one challenge for each configured scheme.
    pub(crate) challenge: String,
}

/// An API token: its name, and the SHA-256 of the token. The token itself is stored nowhere.
pub(crate) struct ApiToken {
    pub name: String,
    pub hash: [u8; 32],
}

/// A key that was issued to a client that signs.
pub(crate) struct ClientKey {
    pub id: String,
    pub secret: Secret,
}

/// The issuer of JWTs, and which of its tokens are for this service.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// The value of the claim `iss`.
    pub issuer: String,
    /// The accepted values of the claim `aud`.
    pub audiences: Vec<String>,
    /// A scope that every token must have.
    pub required_scope: Option<String>,
    /// The URL of the key set.
    pub jwks_url: Uri,
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl Access {
    /// Reports whether callers need no credential.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Reads `AUTH`, `API_TOKENS`, `JWT_ISSUER`, `JWT_AUDIENCE`, `JWT_JWKS_URL`, `JWT_REQUIRED_SCOPE`,
    /// `CLIENT_KEYS`, `ALLOWED_ORIGINS` and `ALLOWED_HEADERS`.
    pub(super) fn read(vars: &mut Variables<impl Fn(&str) -> Option<String>>) -> Option<Self> {
        let open = vars.read_optional("AUTH", |text| match text {
            "open" => Ok(()),
            _ => Err("must be open, or not set"),
        });
        let tokens = vars.read("API_TOKENS", "", parse_tokens);
        let issuer = Issuer::read(vars);
        let keys = vars.read("CLIENT_KEYS", "", parse_keys);
        let origins = vars.read("ALLOWED_ORIGINS", "", parse_origins);
        let headers = vars.read("ALLOWED_HEADERS", "", parse_headers);
        if let Some(Some(())) = open {
            // An operator who set both wants one of them, and only one guess is safe.
            for name in ["API_TOKENS", "JWT_ISSUER", "CLIENT_KEYS"] {
                if vars.non_empty(name).is_some() {
                    vars.problem(name, "is set, and AUTH is open: take one of them out");
                }
            }
        }
        let (is_open, tokens) = (open?.is_some(), tokens?);
        let (issuer, keys) = (issuer?, keys?);
        let (origins, headers) = (origins?, headers?);

        let mut challenges = Vec::new();
        // RFC 9110 wants a challenge in every 401. If nothing is configured it is this one.
        if keys.is_empty() || !tokens.is_empty() || issuer.is_some() {
            challenges.push(r#"Bearer realm="bedrock-edge""#);
        }
        if !keys.is_empty() {
            challenges.push("AWS4-HMAC-SHA256");
        }
        let challenge = challenges.join(", ");
        Some(Self { is_open, tokens, issuer, keys, origins, headers, challenge })
    }
}

impl Issuer {
    /// Returns `Some(None)` if no issuer is configured.
    fn read(vars: &mut Variables<impl Fn(&str) -> Option<String>>) -> Option<Option<Self>> {
        let issuer = vars.read_optional("JWT_ISSUER", |text| {
            // It is compared with `iss` as it is written.
            parse_url(text).map(|_| text.to_owned())
        });
        let audiences = vars.read_optional("JWT_AUDIENCE", |text| {
            Ok(entries(text).map(str::to_owned).collect::<Vec<_>>())
        });
        let url = vars.read_optional("JWT_JWKS_URL", parse_url);
        let scope = vars.read_optional("JWT_REQUIRED_SCOPE", |text| {
            // It becomes part of a header, between quotation marks.
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
            // Without it a token that the issuer made for any other service would be accepted.
            vars.problem("JWT_AUDIENCE", "is not set, and JWT_ISSUER is");
        }
        let (issuer, audiences, url, required_scope) = (issuer?, audiences?, url?, scope?);
        let Some(issuer) = issuer else { return Some(None) };
        let jwks_url = match url {
            Some(url) => url,
            None => default_jwks_url(&issuer)?,
        };
        let audiences = audiences.unwrap_or_default();
        Some(Some(Self { issuer, audiences, required_scope, jwks_url }))
    }
}

/// Parses `name:sha256` entries. A name may stand there twice, while its token is replaced.
fn parse_tokens(text: &str) -> Result<Vec<ApiToken>, &'static str> {
    const FORM: &str = "must be entries of the form name:sha256, between them a new line, a space or a comma, \
         the name of up to 64 letters, digits, -, _ and ., the hash of 64 hexadecimal digits";
    let mut tokens: Vec<ApiToken> = Vec::new();
    for entry in entries(text) {
        let (name, hash) = entry.split_once(':').filter(|(name, _)| is_name(name)).ok_or(FORM)?;
        let hash = from_hex(hash).ok_or(FORM)?;
        if tokens.iter().any(|known| known.hash == hash) {
            return Err("has the same hash twice");
        }
        tokens.push(ApiToken { name: name.to_owned(), hash });
    }
    Ok(tokens)
}

/// Parses `id:secret` entries.
fn parse_keys(text: &str) -> Result<Vec<ClientKey>, &'static str> {
    const FORM: &str = "must be entries of the form id:secret, between them a new line, a space or a comma, \
         the id of 16 to 128 letters, digits and _, the secret of 32 to 128 printable characters";
    let mut keys: Vec<ClientKey> = Vec::new();
    for entry in entries(text) {
        let (id, secret) = entry.split_once(':').ok_or(FORM)?;
        // The form of IAM's access key ids.
        let is_id = (16..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_secret = (32..=128).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_id || !is_secret {
            return Err(FORM);
        }
        if keys.iter().any(|key| key.id == id) {
            return Err("has the same id twice");
        }
        keys.push(ClientKey { id: id.to_owned(), secret: Secret::new(secret) });
    }
    Ok(keys)
}

/// Parses origins as a browser sends them.
fn parse_origins(text: &str) -> Result<Vec<String>, &'static str> {
    let origins = entries(text).map(|origin| is_origin(origin).then(|| origin.to_owned()));
    origins.collect::<Option<_>>().ok_or(
        "must be origins as a browser sends them, such as https://example.com or \
         http://localhost:3000: in lower case, without a path, a default port or *",
    )
}

/// Parses names of headers.
fn parse_headers(text: &str) -> Result<Vec<String>, &'static str> {
    let name = |name: &str| match name.parse::<HeaderName>() {
        // In CORS, it stands for every header.
        Ok(parsed) if name != "*" => Ok(parsed.as_str().to_owned()),
        _ => Err("must be names of headers, such as baggage and sentry-trace"),
    };
    entries(text).map(name).collect()
}

/// Reports whether a text is a serialized tuple origin. Origins are compared byte by byte.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => ":",
    };
    let is_authority =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    let port = match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => Some(port),
        _ => None,
    };
    is_scheme
        && !authority.is_empty()
        && !authority.starts_with(':')
        && authority.bytes().all(is_authority)
        && !authority.ends_with(default_port)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|it| it.to_string() == port))
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

/// Returns where Cognito and most other issuers publish their keys, or Cloudflare Access.
fn default_jwks_url(issuer: &str) -> Option<Uri> {
    let host = issuer.parse::<Uri>().ok()?.host()?.to_ascii_lowercase();
    let path = match host.ends_with(".cloudflareaccess.com") {
        true => "/cdn-cgi/access/certs",
        false => "/.well-known/jwks.json",
    };
    format!("{}{path}", issuer.trim_end_matches('/')).parse().ok()
}

/// Reports whether a text can name an API token.
fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_allowed)
}
